"""What the tests of pmckpt share: building programs, running them, and waiting for what can be observed."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

HERE = os.path.dirname(os.path.abspath(__file__))
T = TypeVar("T")
Process = subprocess.Popen[bytes]
Result = tuple[int, str, str]  # exit status, output, errors

PROGRAMS = os.path.join(HERE, "programs")
DEADLINE_S = 60

# Exit codes of `checkpoint`: native/include/caesura_errors.def.
ENOENT, EINVAL, ERSTRTABRT, ETRUNCATED, ECORRUPT, EFORMAT, EFILECHANGED, EUNTRUSTED, EUSAGE = (
    2,
    22,
    58,
    201,
    202,
    203,
    205,
    206,
    255,
)


class Settings:
    """Filled by run.py."""

    build = ""  # folder with ckptcvt, checkpoint, pmckpt.h, pmckpt.o, pmceot.o
    programs = ""  # folder for what is built here, readable by all
    rounds = 1


def tool(name: str) -> str:
    return os.path.join(Settings.build, name)


def wait_for(condition: Callable[[], T], what: str) -> T:
    """Waits until condition() is true, and returns what it returned."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.0005)
    raise AssertionError(f"waited {DEADLINE_S} s in vain for {what}")


class Variant:
    """A way to compile and link the programs."""

    def __init__(self, compiler: str, level: str, kind: str) -> None:
        self.compiler, self.level, self.kind = compiler, level, kind

    def __str__(self) -> str:
        return f"{self.compiler} {self.level} {self.kind}"

    COMPILE: dict[str, list[str]] = {
        "pie": ["-fPIE"],
        "no-pie": ["-fno-pie"],
        "static": [],
        "static-pie": ["-fPIE"],
        "lto": ["-flto"],
    }
    LINK: dict[str, list[str]] = {
        "pie": ["-pie"],
        "no-pie": ["-no-pie"],
        "static": ["-static"],
        "static-pie": ["-static-pie"],
        "lto": ["-flto"],
    }

    def folder(self) -> str:
        return os.path.join(Settings.programs, str(self).replace(" ", "_"))

    def build(self, name: str) -> str:
        """Builds the program if that has not been done, and returns its path."""
        path = os.path.join(self.folder(), name)
        if not os.path.exists(path):
            build_program(
                os.path.join(PROGRAMS, name + ".ckpt"),
                path,
                [self.compiler, self.level],
                self.COMPILE[self.kind],
                self.LINK[self.kind],
            )
        return path


def build_program(
    source: str, path: str, compiler: Sequence[str], compile_flags: Sequence[str] = (), link_flags: Sequence[str] = ()
) -> None:
    """The three steps of the README."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    converted, compiled = path + ".tmp.c", path + ".o"
    with open(source) as original, open(converted, "w") as result:
        subprocess.run([tool("ckptcvt")], stdin=original, stdout=result, check=True)
    flags = ["-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-I", Settings.build]
    subprocess.run([*compiler, *flags, *compile_flags, "-c", converted, "-o", compiled], check=True)
    subprocess.run(
        [*compiler, *link_flags, "-o", path, tool("pmckpt.o"), compiled, tool("pmceot.o"), "-lm"], check=True
    )


def have(compiler: str) -> bool:
    return shutil.which(compiler) is not None


DEFAULT = Variant("gcc", "-O2", "pie")


def matrix() -> Iterator[Variant]:
    compilers = [compiler for compiler in ("gcc", "clang") if have(compiler)]
    for compiler in compilers:
        for level in ("-O0", "-O1", "-O2", "-O3"):
            yield Variant(compiler, level, "pie")
            yield Variant(compiler, level, "no-pie")
        yield Variant(compiler, "-O2", "static")
    yield Variant("gcc", "-O2", "static-pie")
    yield Variant("gcc", "-O3", "lto")


class PmckptTest(unittest.TestCase):
    """Each test has a folder of its own, in which everything runs."""

    maxDiff = None

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="pmckpt-test-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.running: list[Process] = []
        self.addCleanup(self.end_all)

    def end_all(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait()

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def write(self, name: str, content: str | bytes) -> None:
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())

    def read(self, name: str) -> bytes:
        with open(self.path(name), "rb") as file:
            return file.read()

    def lines(self, name: str) -> int:
        with contextlib.suppress(FileNotFoundError):
            return self.read(name).count(b"\n")
        return 0

    def start(
        self, command: Sequence[str], pause_ms: int = 0, env: Mapping[str, str] | None = None, **keywords: Any
    ) -> Process:
        """Starts a program in the folder; it is ended with the test at the latest."""
        env = {**os.environ, "TEST_PAUSE_MS": str(pause_ms), **(env or {})}
        process = subprocess.Popen(command, cwd=self.folder, env=env, **keywords)
        self.running.append(process)
        return process

    def start_into(self, command: Sequence[str], name: str, mode: str = "wb", **keywords: Any) -> Process:
        """Starts a program with its output in a file, as the shell does with > (wb) and >> (ab)."""
        with open(self.path(name), mode) as output:
            return self.start(command, stdout=output, **keywords)

    def run_it(self, command: Sequence[str], **keywords: Any) -> Result:
        """Runs a program to its end; returns (status, output, errors)."""
        return self.result_of(self.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **keywords))

    def restore_command(self, program: str, checkpoint: str = "CHECKPOINT", *arguments: str) -> list[str]:
        return [tool("checkpoint"), program, checkpoint, *arguments]

    def identity_of(self, name: str) -> tuple[int, int] | None:
        """Changes when the file is replaced."""
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(self.path(name))
            return status.st_ino, status.st_mtime_ns
        return None

    def handles(self, process: Process, number: int) -> bool:
        """Whether the process has a handler for the signal: in a restore, that the program is back."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{process.pid}/status") as status:
                words = dict(line.split()[:2] for line in status if line.startswith("SigCgt:"))
                return bool(int(words["SigCgt:"], 16) >> (number - 1) & 1)
        return False

    def runs(self, process: Process, program: str) -> bool:
        """Whether it has become the program."""
        with contextlib.suppress(FileNotFoundError, PermissionError):
            return os.readlink(f"/proc/{process.pid}/exe") == program
        return False

    def crash(self, process: Process, number: int = signal.SIGQUIT) -> None:
        process.send_signal(number)
        self.assertEqual(process.wait(timeout=DEADLINE_S), -number)

    def result_of(self, process: Process) -> Result:
        """Waits for the end of a program that was started with pipes."""
        output, errors = process.communicate(timeout=DEADLINE_S)
        return process.returncode, (output or b"").decode(), (errors or b"").decode()

    def take_checkpoint(self, program: str, *arguments: str, status: int = 0, **keywords: Any) -> str:
        """Runs a program that takes a checkpoint by itself, and expects its exit status."""
        got, output, errors = self.run_it([program, *arguments], **keywords)
        self.assertEqual(got, status, errors)
        self.assertTrue(os.path.exists(self.path("CHECKPOINT")), errors)
        return output
