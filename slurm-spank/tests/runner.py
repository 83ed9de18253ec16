"""Runs the tests of a file beside each other: a test of a scheduler waits for most of its time.

    test_events_X.py [-j N] [CLASS[.METHOD]...]

The methods of a class share what its setUpClass makes. Exit status 0 if all passed and at least one ran.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
import unittest
from concurrent.futures import ThreadPoolExecutor
from typing import Iterable

AT_ONCE = 4


def tests_of(suite: unittest.TestSuite) -> Iterable[unittest.TestCase]:
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from tests_of(item)
        else:
            yield item


def one(test: unittest.TestCase) -> str:
    """Runs a test and tells how it went; the verdict."""
    result = unittest.TestResult()
    began = time.monotonic()
    test.run(result)
    verdict = "ok" if result.wasSuccessful() else "FAIL"
    story = "\n".join(text for _, text in result.failures + result.errors)
    if result.skipped:
        verdict = f"skip: {result.skipped[0][1]}"
    print(f"{verdict:5} {test.id().split('.', 1)[1]:75} {time.monotonic() - began:6.1f} s\n{story}", end="", flush=True)
    return verdict


def of_class(tests: list[unittest.TestCase], at_once: int) -> list[str]:
    """Runs the methods of a class; what failed."""
    kind = type(tests[0])
    try:
        kind.setUpClass()
    except Exception:  # as unittest: whatever it is, the class has failed, and the others are still run
        print(f"FAIL  {kind.__name__}.setUpClass", flush=True)
        return [traceback.format_exc()]
    with ThreadPoolExecutor(at_once) as pool:
        results = list(pool.map(one, tests))
    failed = [test.id() for test, verdict in zip(tests, results) if verdict == "FAIL"]
    cluster = getattr(kind, "cluster", None)
    if failed and cluster is not None and not os.environ.get("CAESURA_QUIET"):
        cluster.report()
    kind.tearDownClass()
    kind.doClassCleanups()
    failed += ["".join(traceback.format_exception(*error)) for error in getattr(kind, "tearDown_exceptions")]
    return failed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-j", type=int, default=AT_ONCE, help=f"tests beside each other (default: {AT_ONCE})")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    loader = unittest.TestLoader()
    module = sys.modules["__main__"]
    suite = loader.loadTestsFromNames(options.names, module) if options.names else loader.loadTestsFromModule(module)
    classes: dict[type[unittest.TestCase], list[unittest.TestCase]] = {}
    for test in tests_of(suite):
        classes.setdefault(type(test), []).append(test)
    failed = [story for tests in classes.values() for story in of_class(tests, options.j)]
    for story in failed:
        print(f"failed: {story}")
    count = sum(map(len, classes.values()))
    print(f"{count} tests, {len(failed)} failed")
    sys.exit(1 if failed or count == 0 else 0)
