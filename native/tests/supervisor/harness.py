"""Common ground of these tests: an installed tree of their own with a fake Java, and processes that can be watched.

The tree under test is CAESURA_PREFIX, by default build/prefix of this checkout. Tests get a copy of its native part, so
that a fake engine can stand beside it, readable for every user.
"""

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[2]
BUILT = Path(os.environ.get("CAESURA_PREFIX", TOP / "build/prefix"))
PYTHON = "/usr/bin/python3"
LIMIT = 20.0

PR_SET_CHILD_SUBREAPER = 36
NOBODY = 65534


def as_nobody(command: list[str]) -> list[str]:
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command]


def eventually(condition: Callable[[], Any], what: str, limit: float = LIMIT) -> Any:
    """The first true value of condition; fails the test when the time is over."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {limit} s: {what}")


def state_of(pid: int) -> str:
    """The letter of /proc/PID/stat; empty if there is no such process. Zombies count as gone."""
    try:
        letter = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if letter in "ZX" else letter


def comm_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def children_of(pid: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid:
            yield int(entry.name)


def descendants_of(pid: int) -> list[int]:
    found = []
    for child in children_of(pid):
        found += [child, *descendants_of(child)]
    return found


def namespaces_allowed() -> bool:
    """Whether this user may make a pid namespace at all."""
    test = ["unshare", "--user", "--pid", "--mount-proc", "--fork", "true"]
    return subprocess.run(test, stderr=subprocess.DEVNULL).returncode == 0


class Tree:
    """An installed tree with a fake Java, which does what the script in FAKE_JAVA says (see fake_java)."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="caesura-tree."))
        os.chmod(self.root, 0o755)
        self.prefix = self.root / "prefix"
        (self.prefix / "libexec/caesura").mkdir(parents=True)
        shutil.copytree(
            BUILT / "bin", self.prefix / "bin", ignore=lambda _, names: [n for n in names if n[:3] != "cr_"]
        )
        (self.prefix / "lib").mkdir()
        for library in (BUILT / "lib").glob("libcr*"):
            shutil.copy2(library, self.prefix / "lib", follow_symlinks=False)
        self.java_home = self.root / "java"
        (self.java_home / "bin").mkdir(parents=True)
        shutil.copy2(HERE / "fake_java", self.java_home / "bin/java")
        self.scratch = self.root / "scratch"
        self.scratch.mkdir()
        self.scratch.chmod(0o1777)

    def remove(self) -> None:
        shutil.rmtree(self.root)

    def environment(self, **extra: str) -> dict[str, str]:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("CAESURA_", "LD_", "JAVA", "FAKE_"))}
        return {**env, "JAVA_HOME": str(self.java_home), "SCRATCH": str(self.scratch), **extra}

    def command(self, name: str) -> str:
        return str(self.prefix / "bin" / name)


class ProcessTest(unittest.TestCase):
    """Starts processes and makes sure that none is left. This process adopts what its children leave behind."""

    tree: Tree

    @classmethod
    def setUpClass(cls) -> None:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        cls.tree = Tree()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.tree.remove()

    def setUp(self) -> None:
        self.started: list[subprocess.Popen[str]] = []
        for file in self.tree.scratch.iterdir():
            file.unlink()

    def tearDown(self) -> None:
        ours = {process.pid: process for process in self.started}
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
        # What they left behind is ours now; it may hold their pipes open, and leave children in turn.
        while left := [pid for pid in children_of(os.getpid()) if pid not in ours]:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        for process in self.started:
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()

    def start(self, *command: str, env: Optional[dict[str, str]] = None, **options: Any) -> subprocess.Popen[str]:
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        options.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen(command, env=env or self.tree.environment(), text=True, **options)
        self.started.append(process)
        return process

    def run_to_end(self, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        process = self.start(*command, **options)
        out, err = process.communicate(timeout=LIMIT)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    @staticmethod
    def with_descriptor(number: int, fd: int, *command: str) -> tuple[list[str], dict[str, Any]]:
        """A command line and Popen's options that run command with fd as its descriptor number, and no copy of it."""
        high = fcntl.fcntl(fd, fcntl.F_DUPFD, 500)
        os.close(fd)
        return ["bash", "-c", f'exec "$@" {number}>&{high} {high}>&-', "-", *command], {"pass_fds": [high]}

    def scratch_line(self, name: str) -> str:
        """The first line of a file in the scratch folder, as soon as it is whole."""
        eventually(lambda: "\n" in self.note(name), f"a line in {name}")
        return self.note(name).partition("\n")[0]

    def note(self, name: str) -> str:
        """All of a file in the scratch folder; empty if there is none."""
        path = self.tree.scratch / name
        return path.read_text() if path.exists() else ""


def main() -> None:
    if not (BUILT / "bin/cr_run").exists():
        print(f"{BUILT}/bin/cr_run is missing: run make first", file=sys.stderr)
        sys.exit(1)
    unittest.main()
