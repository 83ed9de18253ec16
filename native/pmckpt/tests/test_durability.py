"""The former CHECKPOINT survives whatever happens to the next one."""

import fcntl
import os
import resource
import subprocess
from typing import Any

from support import DEFAULT, PmckptTest, Process, Settings, wait_for

MIB = 1 << 20


class DurabilityTest(PmckptTest):
    """programs/large.ckpt takes a small checkpoint, then large ones whenever it reads a line."""

    def start_large(self, mib: int, **keywords: Any) -> Process:
        process = self.start(
            [DEFAULT.build("large"), str(mib)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **keywords,
        )
        self.assertEqual(self.answer(process), b"small\n")
        return process

    def answer(self, process: Process) -> bytes:
        assert process.stdout
        return process.stdout.readline()

    def ask(self, process: Process) -> None:
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()

    def finish(self, process: Process) -> str:
        """Ends the program, which has to be in good health; returns its errors."""
        status, output, errors = self.result_of(process)
        self.assertEqual((status, output.split("\n")[-2]), (0, "end"), errors)
        return errors

    def restores_small(self) -> None:
        status, output, errors = self.run_it(self.restore_command(DEFAULT.build("large")), stdin=subprocess.DEVNULL)
        self.assertEqual((status, output, errors), (0, "small\nend\n", ""))

    def size(self, name: str) -> int:
        try:
            return os.path.getsize(self.path(name))
        except FileNotFoundError:
            return -1

    def test_killed_while_writing(self) -> None:
        mib, killed = 192, 0
        for turn in range(10 * Settings.rounds):
            process = self.start_large(mib)
            former = self.identity_of("CHECKPOINT")
            threshold = (turn * mib // 10 + 1) * MIB
            self.ask(process)
            wait_for(
                lambda: self.size("CHECKPOINT.TEMP") >= threshold or self.identity_of("CHECKPOINT") != former,
                f"{threshold} bytes",
            )
            process.kill()
            process.communicate()
            if self.identity_of("CHECKPOINT") == former:
                killed += 1
                self.assertGreaterEqual(self.size("CHECKPOINT.TEMP"), threshold)
                self.restores_small()
            else:
                status, output, _ = self.run_it(self.restore_command(DEFAULT.build("large")), stdin=subprocess.DEVNULL)
                self.assertEqual((status, output), (0, "large\nend\n"))
        self.assertGreater(killed, 2, "the test has to hit the writing")

    def test_left_over_file_is_used(self) -> None:
        self.write("CHECKPOINT.TEMP", "x" * (8 * MIB))
        process = self.start_large(1)
        self.assertEqual(self.finish(process), "")
        self.assertEqual(os.listdir(self.folder), ["CHECKPOINT"])
        self.restores_small()

    def test_file_size_limit(self) -> None:
        """Also the signal that comes with it must not end the program."""
        limit = 24 * MIB
        process = self.start_large(64, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        self.ask(process)
        self.assertEqual(self.answer(process), b"large\n")
        self.assertEqual(os.listdir(self.folder), ["CHECKPOINT"])
        errors = self.finish(process)
        self.assertIn("CHECKPOINT.TEMP cannot be written: File too large", errors)
        self.assertIn("CHECKPOINT is as it was", errors)
        self.restores_small()

    def test_disk_full(self) -> None:
        unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
        script = 'mount -t tmpfs -o size=24m none "$0" && cd "$0" && exec "$@"'
        inside = """
import os, subprocess, sys
program, checkpoint = sys.argv[1:]
first = subprocess.Popen([program, "64"], stdin=-1, stdout=-1, stderr=-1)
assert first.stdout.readline() == b"small\\n"
before = os.stat("CHECKPOINT").st_ino
first.stdin.write(b"\\n")
first.stdin.flush()
assert first.stdout.readline() == b"large\\n"
assert os.listdir(".") == ["CHECKPOINT"], os.listdir(".")
assert os.stat("CHECKPOINT").st_ino == before
output, errors = first.communicate()
assert (first.returncode, output) == (0, b"end\\n")
assert b"CHECKPOINT.TEMP cannot be written: No space left on device; free space" in errors, errors
again = subprocess.run([checkpoint, program, "CHECKPOINT"], stdin=subprocess.DEVNULL, stdout=-1)
assert (again.returncode, again.stdout) == (0, b"small\\nend\\n"), again
print("good")
"""
        os.mkdir(self.path("small"))
        status, _, errors = self.run_it([*unshare, "true"])
        if status != 0:
            self.skipTest("no mount namespace: " + errors)
        command = [
            *unshare,
            "sh",
            "-c",
            script,
            self.path("small"),
            "/usr/bin/python3",
            "-c",
            inside,
            DEFAULT.build("large"),
            os.path.join(Settings.build, "checkpoint"),
        ]
        status, output, errors = self.run_it(command)
        self.assertEqual((status, output), (0, "good\n"), errors)

    def test_two_processes_with_one_name(self) -> None:
        process = self.start_large(1)
        former = self.identity_of("CHECKPOINT")
        with open(self.path("CHECKPOINT.TEMP"), "wb") as other:
            other.write(b"of another process")
            other.flush()
            fcntl.flock(other, fcntl.LOCK_EX)
            self.ask(process)
            self.assertEqual(self.answer(process), b"large\n")
            self.assertEqual(self.read("CHECKPOINT.TEMP"), b"of another process")
        self.assertEqual(self.identity_of("CHECKPOINT"), former)
        self.assertIn("CHECKPOINT.TEMP is just being written by another process", self.finish(process))

    def test_link_is_not_followed(self) -> None:
        self.write("victim", "precious")
        process = self.start_large(1)
        former = self.identity_of("CHECKPOINT")
        os.symlink("victim", self.path("CHECKPOINT.TEMP"))
        self.ask(process)
        self.assertEqual(self.answer(process), b"large\n")
        self.assertEqual((self.read("victim"), self.identity_of("CHECKPOINT")), (b"precious", former))
        self.assertIn("CHECKPOINT.TEMP cannot be opened", self.finish(process))

    def test_folder_without_permission(self) -> None:
        if os.geteuid() == 0:
            self.skipTest("root may write everywhere")
        process = self.start_large(1)
        os.chmod(self.folder, 0o500)
        self.addCleanup(os.chmod, self.folder, 0o700)
        self.ask(process)
        self.assertEqual(self.answer(process), b"large\n")
        self.assertIn("CHECKPOINT.TEMP cannot be opened: Permission denied", self.finish(process))
        self.restores_small()

    def test_other_file_system(self) -> None:
        if not os.path.isdir("/dev/shm") or os.stat("/dev/shm").st_dev == os.stat(self.folder).st_dev:
            self.skipTest("/dev/shm is no other file system")
        temporary = f"/dev/shm/pmckpt-test-{os.getpid()}"
        process = self.start(
            [DEFAULT.build("large")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={"CKPTFNTEMP": temporary},
        )
        _, errors = process.communicate()
        self.assertEqual(process.returncode, 0)
        self.assertIn(b"names in one file system", errors)
        self.assertFalse(os.path.exists(temporary))

    def test_output_is_on_disk_before_the_checkpoint(self) -> None:
        """By the order of the system calls."""
        if self.run_it(["strace", "-V"])[0] != 0:
            self.skipTest("no strace")
        with open(self.path("out"), "wb") as out:
            process = self.start(
                ["strace", "-y", "-o", "trace", "-e", "fsync,fdatasync,rename", DEFAULT.build("shorter")],
                stdout=out,
                stderr=subprocess.DEVNULL,
            )
            process.wait()
        calls = [
            line.split("(")[0] + " " + line.split("<")[-1].split(">")[0].split("/")[-1]
            for line in self.read("trace").decode().split("\n")
            if "sync(" in line or "rename(" in line
        ]
        folder = os.path.basename(self.folder)
        self.assertEqual([call.split(" ")[0] for call in calls], ["fdatasync", "fsync", "rename", "fsync"])
        self.assertEqual((calls[0], calls[1], calls[3]), ("fdatasync out", "fsync CHECKPOINT.TEMP", f"fsync {folder}"))
