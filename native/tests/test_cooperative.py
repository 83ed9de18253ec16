#!/usr/bin/python3
"""The jobs of examples/cooperative: each asks for its own checkpoint, is killed, and goes on from there."""
from __future__ import annotations

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
PREFIX = pathlib.Path(os.environ.get("CAESURA_PREFIX", TOP / "build" / "prefix")).resolve()
EXAMPLES = TOP / "examples" / "cooperative"
LIMIT = 60.0
STEPS = ["step 1: 1", "step 2: 3", "step 3: 6"]
REST = ["step 4: 10", "step 5: 15", "step 6: 21", "sum 21"]


class CooperativeTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="caesura-cooperative."))
        self.addCleanup(shutil.rmtree, self.folder)
        self.out = self.folder / "out"
        self.messages = open(self.folder / "messages", "wb")
        self.addCleanup(self.messages.close)

    def run_command(self, *words: object, out: pathlib.Path) -> subprocess.Popen[bytes]:
        with open(out, "ab") as stdout:
            process = subprocess.Popen(
                [str(word) for word in words],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=self.messages,
                start_new_session=True,
            )
        self.addCleanup(self.end, process)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.kill()
        process.wait()

    def lines(self) -> list[str]:
        return self.out.read_text().splitlines()

    def await_line(self, start: str) -> str:
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            for line in self.lines():
                if line.startswith(start):
                    return line
            time.sleep(0.01)
        raise AssertionError(f"no line {start!r}: {self.lines()} {self.said()}")

    def said(self) -> str:
        return (self.folder / "messages").read_text()

    def await_context(self, job: pathlib.Path) -> None:
        end = time.monotonic() + LIMIT
        while not (job / "000001" / "manifest.json").exists():
            self.assertLess(time.monotonic(), end, self.said())
            time.sleep(0.01)

    def play(self, policy: str, *command: object) -> None:
        name = f"test-{os.getpid()}-{self._testMethodName}"
        store = self.folder / "store"
        spec = f"{policy},store.dir={store}"
        job = self.run_command(PREFIX / "bin" / "cr_run", "--checkpoint", spec, "--name", name, *command, out=self.out)
        here = socket.gethostname()
        self.assertEqual(self.await_line("continued"), f"continued on {here}, context 1", self.said())
        self.await_context(store / "local" / name)
        job.kill()
        job.wait()
        again = self.run_command(PREFIX / "bin" / "cr_restart", "--job", name, out=self.folder / "restart")
        self.assertEqual(again.wait(LIMIT), 0, self.said())
        self.assertEqual(self.lines(), [*STEPS, f"restarted on {here}, context 1", *REST], self.said())

    def compile(self) -> pathlib.Path:
        program = self.folder / "sum"
        flags = ["-Wall", "-Wextra", "-Werror", f"-I{PREFIX}/include", f"-L{PREFIX}/lib", f"-Wl,-rpath,{PREFIX}/lib"]
        subprocess.run(["gcc", "-o", program, EXAMPLES / "sum.c", *flags, "-lcr"], check=True)
        return program

    def test_c(self) -> None:
        self.play("default", self.compile(), 6, 3)

    def test_c_with_resident_engine(self) -> None:
        self.play("1h", self.compile(), 6, 3)

    def test_python(self) -> None:
        self.play("default", sys.executable, EXAMPLES / "sum.py", PREFIX, 6, 3)

    def test_java(self) -> None:
        libexec = PREFIX / "libexec" / "caesura"
        options = ["-Djna.nounpack=true", f"-Djna.boot.library.path={libexec}", "-cp", next(libexec.glob("jna-*.jar"))]
        self.play("default", "java", *options, EXAMPLES / "Sum.java", PREFIX, 6, 3)

    def test_without_a_job(self) -> None:
        alone = self.run_command(self.compile(), 1, 1, out=self.out)
        self.assertEqual(alone.wait(LIMIT), 0)
        self.assertEqual(self.lines(), ["step 1: 1", "no checkpoint: No such file or directory", "sum 1"])

    def test_refused(self) -> None:
        """A job that cannot be checkpointed just now is told so, and goes on."""
        script = "import socket; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); import runpy, sys\n"
        if os.geteuid() != 0:
            self.skipTest("only root has sockets that no context can hold")
        script += f"sys.argv = ['sum.py', '{PREFIX}', '2', '1']; runpy.run_path('{EXAMPLES}/sum.py')"
        spec = f"default,store.dir={self.folder / 'store'}"
        command = [PREFIX / "bin" / "cr_run", "--checkpoint", spec, sys.executable, "-c", script]
        self.assertEqual(self.run_command(*command, out=self.out).wait(LIMIT), 0, self.said())
        self.assertTrue(self.lines()[1].startswith("no checkpoint: "), self.lines())
        self.assertEqual(self.lines()[2:], ["step 2: 3", "sum 3"])


if __name__ == "__main__":
    unittest.main()
