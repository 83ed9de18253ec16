#!/usr/bin/python3
"""Runs the tests of pmckpt: as the caller, and, if that is root, as an ordinary user as well."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

import support

PRODUCTS = ("ckptcvt", "checkpoint", "pmckpt.h", "pmckpt.o", "pmceot.o")
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, help="folder with what pmckpt.mk has built")
    parser.add_argument("--rounds", type=int, default=1, help="repeat what depends on chance so many times")
    parser.add_argument("--only-me", action="store_true", help="do not run as an ordinary user, too")
    parser.add_argument("--verbose", "-v", action="store_true")
    parser.add_argument("tests", nargs="*", help="names of tests, as in test_readme.ReadmeTest.test_plain")
    return parser.parse_args()


def run_tests(options: argparse.Namespace) -> bool:
    """Everything is copied to where any user can read it."""
    with tempfile.TemporaryDirectory(prefix="pmckpt-programs-") as folder:
        os.chmod(folder, 0o755)
        support.Settings.build = os.path.join(folder, "products")
        support.Settings.programs = os.path.join(folder, "programs")
        support.Settings.rounds = options.rounds
        os.mkdir(support.Settings.build)
        for name in PRODUCTS:
            shutil.copy(os.path.join(options.build, name), support.Settings.build)
        loader = unittest.TestLoader()
        suite = loader.loadTestsFromNames(options.tests) if options.tests else loader.discover(support.HERE)
        if loader.errors or suite.countTestCases() == 0:
            print("\n".join(map(str, loader.errors)) or "no tests", file=sys.stderr)
            return False
        return unittest.TextTestRunner(verbosity=2 if options.verbose else 1).run(suite).wasSuccessful()


def run_as_nobody(options: argparse.Namespace) -> bool:
    """In a copy, because the sources may be where nobody else can read them."""
    with tempfile.TemporaryDirectory(prefix="pmckpt-tests-") as folder:
        shutil.copytree(support.HERE, os.path.join(folder, "tests"))
        shutil.copytree(options.build, os.path.join(folder, "build"), ignore=shutil.ignore_patterns("parts"))
        subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
        command = [
            sys.executable,
            "-B",
            os.path.join(folder, "tests", "run.py"),
            "--build",
            os.path.join(folder, "build"),
            "--rounds",
            str(options.rounds),
            *(["-v"] if options.verbose else []),
            *options.tests,
        ]
        return subprocess.run(NOBODY + command, cwd=folder, env={**os.environ, "HOME": folder}).returncode == 0


def main() -> int:
    sys.dont_write_bytecode = True
    sys.path.insert(0, support.HERE)
    # What a shell runs in the background is given these ignored, and would hand that on to the programs under test.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    options = arguments()
    print(f"As user {os.geteuid()}:", flush=True)
    good = run_tests(options)
    if os.geteuid() == 0 and not options.only_me:
        good = run_as_nobody(options) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
