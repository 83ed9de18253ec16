#!/usr/bin/python3
"""The native front of the engine: finding Java, its flags and environment, and the three ways to run it."""

import os
import re
import shutil
import signal
import subprocess
import unittest
from pathlib import Path
from typing import Any

from harness import LIMIT, ProcessTest, eventually, main


# A cr-restore that shows what it was given.
RESTORE = """#!/usr/bin/python3
import os, sys
print(os.getpid(), sys.argv[1:], flush=True)
print(sorted(int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")), flush=True)
if sys.argv[1] == "--fd":
    os.write(1, os.read(int(sys.argv[2]), 100))
sys.exit(5)
"""


class LauncherTest(ProcessTest):
    def launch(self, name: str, *arguments: str, java: str = "", **options: Any) -> "subprocess.CompletedProcess[str]":
        env = {**self.tree.environment(FAKE_JAVA=java), **options.pop("env", {})}
        return self.run_to_end(self.tree.command(name), *arguments, env=env, **options)

    def begin(self, name: str, *arguments: str, java: str = "", **options: Any) -> "subprocess.Popen[str]":
        env = self.tree.environment(FAKE_JAVA='note("java", os.getpid());' + java)
        return self.start(self.tree.command(name), *arguments, env=env, **options)


class Call(LauncherTest):
    """What Java is given."""

    def test_arguments_are_untouched(self) -> None:
        odd = ["--help", "", "a b", "@file", "-Dx=y", "*", "\udcff"]
        for name in ("cr_checkpoint", "cr_restart", "cr_info", "cr_job"):
            result = self.launch(name, *odd, java="print(ascii(argv))")
            self.assertEqual((result.returncode, result.stdout), (0, ascii([name, *odd]) + "\n"), result.stderr)

    def test_flags(self) -> None:
        prefix = self.tree.prefix
        options = self.launch("cr_info", java='print(*options, sep="\\n")').stdout.splitlines()
        for flag in (
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Xshare:auto",
            "-Djna.nounpack=true",
            f"-Djna.boot.library.path={prefix}/libexec/caesura",
            f"-Djna.library.path={prefix}/lib",
        ):
            self.assertIn(flag, options)
        self.assertEqual(options[-2:], ["-cp", f"{prefix}/libexec/caesura/*"])
        archive = prefix / "libexec/caesura/engine.jsa"
        self.assertNotIn(f"-XX:SharedArchiveFile={archive}", options)
        archive.touch()
        self.addCleanup(archive.unlink)
        options = self.launch("cr_info", java='print(*options, sep="\\n")').stdout.splitlines()
        self.assertIn(f"-XX:SharedArchiveFile={archive}", options)

    def test_environment(self) -> None:
        hazards = {
            name: "/nonexistent"
            for name in (
                "JAVA_TOOL_OPTIONS",
                "_JAVA_OPTIONS",
                "JDK_JAVA_OPTIONS",
                "CLASSPATH",
                "LD_LIBRARY_PATH",
                "CAESURA_PLAN_FD",
                "CAESURA_AGENT_FD",
            )
        }
        preload = f"{self.tree.prefix}/lib/libcr_run.so.0"
        for name in ("cr_info", "cr_checkpoint"):
            env = {**hazards, "LD_PRELOAD": preload, "MINE": "kept"}
            out = self.launch(name, java="print(dict(os.environ)); print(os.getpid(), os.getppid())", env=env).stdout
            seen: dict[str, str] = eval(out.splitlines()[0])
            for hazard in [*hazards, "LD_PRELOAD"]:
                self.assertNotIn(hazard, seen)
            self.assertEqual((seen["MINE"], seen["CAESURA_PREFIX"]), ("kept", str(self.tree.prefix)))
            launcher = out.splitlines()[1].split()[name == "cr_checkpoint"]
            self.assertEqual(seen["CAESURA_LAUNCHER_PID"], launcher)

    def test_tree_can_be_moved_and_linked_to(self) -> None:
        link = self.tree.scratch / "cr_info"
        link.symlink_to(self.tree.command("cr_info"))
        env = self.tree.environment(FAKE_JAVA='print(os.environ["CAESURA_PREFIX"])')
        self.assertEqual(self.run_to_end(str(link), env=env).stdout, f"{self.tree.prefix}\n")
        moved = self.tree.root / "moved tree"
        shutil.copytree(self.tree.prefix, moved, symlinks=True)
        self.assertEqual(self.run_to_end(f"{moved}/bin/cr_info", env=env).stdout, f"{moved}\n")

    def test_called_by_another_name(self) -> None:
        other = self.tree.prefix / "bin/other"
        other.symlink_to("cr_info")
        self.addCleanup(other.unlink)
        result = self.run_to_end(str(other))
        self.assertEqual(result.returncode, 255)
        self.assertIn("cr_checkpoint, cr_restart, cr_info, cr_job", result.stderr)


class Java(LauncherTest):
    """Which Java is taken."""

    def java(self, name: str, version: str = "") -> Path:
        home = self.tree.scratch / name
        (home / "bin").mkdir(parents=True)
        self.addCleanup(shutil.rmtree, home)
        shutil.copy2(self.tree.java_home / "bin/java", home / "bin/java")
        if version:
            (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
        return home

    def taken(self, **env: str) -> str:
        result = self.launch("cr_info", java="print(sys.argv[0])", env=env)
        return result.stdout.strip() or result.stderr

    def test_java_home_first_then_path(self) -> None:
        home, other = self.java("one", "17.0.15"), self.java("two", "21")
        path = f"{other}/bin:/usr/bin:/bin"
        self.assertEqual(self.taken(JAVA_HOME=str(home), PATH=path), f"{home}/bin/java")
        self.assertEqual(self.taken(JAVA_HOME="", PATH=path), f"{other}/bin/java")
        self.assertEqual(self.taken(JAVA_HOME="/nonexistent", PATH=path), f"{other}/bin/java")

    def test_old_java_is_passed_over(self) -> None:
        old, older, good = self.java("old", "11.0.2"), self.java("older", "1.8.0_292"), self.java("good", "17")
        path = f"{older}/bin:{good}/bin:/usr/bin:/bin"
        self.assertEqual(self.taken(JAVA_HOME=str(old), PATH=path), f"{good}/bin/java")

    def test_relative_path_is_not_taken(self) -> None:
        good = self.java("good", "17")
        result = self.launch(
            "cr_info",
            java="print(sys.argv[0])",
            env={"JAVA_HOME": "", "PATH": f"bin::.:{good}/bin:/usr/bin"},
            cwd=str(self.java("trap", "17")),
        )
        self.assertEqual(result.stdout, f"{good}/bin/java\n")

    def test_newer_java_may_use_native_code(self) -> None:
        for version, there in (("17.0.1", False), ("25", True)):
            home = self.java(f"v{version}", version)
            out = self.launch("cr_info", java="print(options)", env={"JAVA_HOME": str(home)}).stdout
            self.assertEqual("--enable-native-access=ALL-UNNAMED" in out, there)

    @unittest.skipUnless(os.getuid() == 0, "needs a private mount namespace")
    def test_none_or_too_old(self) -> None:
        old = self.java("old", "11.0.2")
        hide = 'mount -t tmpfs none /usr/lib/jvm 2> /dev/null || [ ! -e /usr/lib/jvm ] || exit 99; exec "$0" x'
        for home, found in ((str(old), f" ({old}/bin/java is Java 11)"), ("", "")):
            env = self.tree.environment(JAVA_HOME=home, PATH="/nonexistent")
            command = [
                "/usr/bin/unshare",
                "--mount",
                "--propagation",
                "private",
                "/bin/sh",
                "-c",
                f"PATH=/usr/bin:/bin; {hide}",
            ]
            for name in ("cr_info", "cr_checkpoint", "cr_restart"):
                hidden = [word.replace("exec", "PATH=/nonexistent exec") for word in command]
                result = self.run_to_end(*hidden, self.tree.command(name), env=env)
                self.assertEqual(result.returncode, 211, result.stderr)
                self.assertEqual(
                    result.stderr,
                    f"{name}: no Java 17 or newer found{found}\n"
                    f"{name}: hint: install a Java runtime, or set JAVA_HOME to one\n",
                )


class Checkpoint(LauncherTest):
    def test_exit_status(self) -> None:
        self.assertEqual(self.launch("cr_checkpoint", java="sys.exit(16)").returncode, 16)
        self.assertEqual(self.launch("cr_checkpoint", java="os.kill(os.getpid(), 9)").returncode, -9)

    def test_java_is_a_child(self) -> None:
        process = self.begin("cr_checkpoint", java='note("parent", os.getppid())')
        process.wait(LIMIT)
        self.assertEqual(self.scratch_line("parent"), str(process.pid))

    def test_descriptors_pass_through(self) -> None:
        for number in (3, 5, 9, 901):
            read_end, write_end = os.pipe()
            line, options = self.with_descriptor(number, write_end, self.tree.command("cr_checkpoint"))
            env = self.tree.environment(FAKE_JAVA=f'os.write({number}, b"context")')
            self.run_to_end(*line, env=env, **options)
            os.close(options["pass_fds"][0])
            with open(read_end) as pipe:
                self.assertEqual(pipe.read(), "context")

    def test_signals_reach_java(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            (self.tree.scratch / "java").unlink(missing_ok=True)
            java = f"signal.signal({int(number)}, lambda *_: sys.exit(40)); note('java', 'up'); time.sleep(60)"
            process = self.begin("cr_checkpoint", java=java)
            eventually(lambda: "up" in self.note("java"), "java up")
            process.send_signal(number)
            self.assertEqual(process.wait(LIMIT), 40)

    def test_java_killed_by_a_forwarded_signal(self) -> None:
        process = self.begin("cr_checkpoint", java="time.sleep(60)")
        self.scratch_line("java")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(LIMIT), -signal.SIGTERM)

    def test_signal_for_the_scope_is_the_launcher_s_own(self) -> None:
        java = "os.kill(os.getppid(), signal.SIGTERM); time.sleep(0.5); note('done', 'x')"
        process = self.begin("cr_checkpoint", java=java)
        self.assertEqual(process.wait(LIMIT), -signal.SIGTERM)
        self.assertEqual(self.scratch_line("done"), "x")  # java was left to finish the context

    def test_ignored_signals_stay_ignored(self) -> None:
        def ignore() -> None:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

        process = self.begin("cr_checkpoint", java="time.sleep(0.5); sys.exit(6)", preexec_fn=ignore)
        self.scratch_line("java")
        process.send_signal(signal.SIGHUP)
        self.assertEqual(process.wait(LIMIT), 6)

    def test_copy_without_a_child_ends_with_0(self) -> None:
        # A restored copy waits for a child that it never had; this waitpid() shows it the same.
        source, library = self.tree.scratch / "copy.c", self.tree.scratch / "copy.so"
        source.write_text("#include <errno.h>\nint waitpid(int p, int *s, int o) { errno = ECHILD; return -1; }\n")
        subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", library, source], check=True)
        for name in ("cr_checkpoint", "cr_restart"):
            result = self.launch(name, java="sys.exit(3)", env={"LD_PRELOAD": str(library)})
            self.assertEqual((result.returncode, result.stderr), (0, ""))


class Restart(LauncherTest):
    """The plan, and the program that the launcher becomes."""

    def setUp(self) -> None:
        super().setUp()
        self.restore = self.tree.prefix / "libexec/caesura/cr-restore"
        self.restore.write_text(RESTORE)
        self.restore.chmod(0o755)

    def plan(self, *words: str) -> str:
        return "say({!r})".format("".join(f"{word}\0" for word in words))

    def test_becomes_cr_restore(self) -> None:
        words = ["--relocate=/a b=/c", "x\ny", "", "file"]
        process = self.begin("cr_restart", "file", java=self.plan("cr-restore", *words))
        out, _ = process.communicate(timeout=LIMIT)
        self.assertEqual((process.returncode, out), (5, f"{process.pid} {words}\n[0, 1, 2]\n"))

    def test_long_plan(self) -> None:
        java = 'say("cr-restore\\0" + "".join(f"--relocate={i:01000d}=/x\\0" for i in range(500)))'
        process = self.begin("cr_restart", java=java)
        out, _ = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 5)
        self.assertEqual(out.count("--relocate="), 500)

    def test_user_s_descriptor_reaches_java_and_cr_restore(self) -> None:
        for number in (3, 4, 9):
            read_end, write_end = os.pipe()
            os.write(write_end, b"!context")
            os.close(write_end)
            line, options = self.with_descriptor(number, read_end, self.tree.command("cr_restart"), "-F", str(number))
            java = f"assert os.read({number}, 1) == b'!'; assert fd > 9;" + self.plan("cr-restore", "--fd", str(number))
            result = self.run_to_end(*line, env=self.tree.environment(FAKE_JAVA=java), **options)
            os.close(options["pass_fds"][0])
            self.assertEqual(result.returncode, 5, result.stderr)
            self.assertEqual(result.stdout.partition(" ")[2], f"['--fd', '{number}']\n[0, 1, 2, {number}]\ncontext")

    def test_low_limit_on_descriptors(self) -> None:
        import resource

        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        process = self.begin(
            "cr_restart",
            java=self.plan("cr-restore", "x"),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (16, hard)),
        )
        self.assertEqual(process.wait(LIMIT), 5)

    def test_failure_of_java_is_the_status(self) -> None:
        for java, status in (("sys.exit(255)", 255), ("os.kill(os.getpid(), 9)", -9)):
            result = self.launch("cr_restart", java=self.plan("cr-restore", "x") + ";" + java)
            self.assertEqual((result.returncode, result.stdout), (status, ""))

    def test_no_plan_no_restart(self) -> None:
        self.assertEqual(self.launch("cr_restart", "--help", java="print('help')").stdout, "help\n")

    def test_bad_plans(self) -> None:
        for text, reason in (("cr-restore\\0--fi", "cut off"), ("--quiet\\0x\\0", "does not begin with cr-restore")):
            result = self.launch("cr_restart", java=f'say("{text}")')
            self.assertEqual(result.returncode, 211)
            self.assertIn(reason, result.stderr)

    def test_missing_cr_restore(self) -> None:
        self.restore.unlink()
        result = self.launch("cr_restart", java=self.plan("cr-restore", "x"))
        self.assertEqual(result.returncode, 211)
        self.assertIn("libexec/caesura/cr-restore: No such file or directory", result.stderr)

    def test_cr_restore_starts_with_the_caller_s_signals(self) -> None:
        self.restore.write_text("#!/usr/bin/python3\nprint(open('/proc/self/status').read())\n")

        def ignore() -> None:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)

        result = self.launch("cr_restart", java=self.plan("cr-restore", "x"), preexec_fn=ignore)
        masks = dict(re.findall(r"(Sig\w+):\s*(\w+)", result.stdout))
        self.assertEqual(int(masks["SigBlk"], 16), 0)
        python_s_own = 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1
        self.assertEqual(int(masks["SigIgn"], 16) & ~python_s_own, 1 << signal.SIGCHLD - 1)


if __name__ == "__main__":
    main()
