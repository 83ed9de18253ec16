"""Runs victim programs through checkpoints and restarts: what test_state.py and test_faults.py share.

A run has a folder of its own and a runner, a forked process that is the subreaper of all that it starts. So nothing
of a run outlives it, and only what it started is ever signalled.
"""
from __future__ import annotations

import argparse
import ctypes
import dataclasses
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import typing

TOP = pathlib.Path(__file__).resolve().parents[2]
PREFIX = pathlib.Path(os.environ.get("CAESURA_PREFIX", TOP / "build" / "prefix"))
BUILD = PREFIX.parent
PROGRAMS = BUILD / "tests" / "programs"
SUPPORT = BUILD / "tests" / "support"
SOURCES = pathlib.Path(__file__).resolve().parent / "programs"

SKIPPED = 77
PR_SET_CHILD_SUBREAPER = 36
IN_CLOSE_WRITE, IN_MOVED_TO, IN_CREATE = 0x8, 0x80, 0x100
libc = ctypes.CDLL(None, use_errno=True)


def error_codes() -> dict[str, int]:
    """Names and codes of the one error table."""
    table = (TOP / "native" / "include" / "caesura_errors.def").read_text()
    return {name.rstrip("_"): int(code) for name, code in re.findall(r"^CAESURA_ERROR\((\w+),\s*(\d+),", table, re.M)}


CODES = error_codes()
# Codes by which a checkpoint may be refused while the processes run on.
REFUSALS = (CODES["EUNSUPPORTED"], CODES["EAGAIN"], CODES["ETIMEDOUT"])


class Failure(Exception):
    """The run did not do what it had to."""


class Skip(Exception):
    """This machine or this user cannot show the state."""


class TimeOut(Exception):
    """The time limit of the run is over."""


# ---- processes -------------------------------------------------------------------------------------------------------


def children_of(pid: int) -> list[int]:
    """Children of all threads of a process; none if it has gone."""
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            found += map(int, pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def descendants_of(pid: int) -> list[int]:
    found = []
    queue = children_of(pid)
    while queue:
        found.append(queue.pop())
        queue += children_of(found[-1])
    return found


def status_of(pid: int) -> dict[str, str]:
    """Lines of /proc/PID/status; empty if the process has gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


def find_pid(ancestor: int, inner_pid: int) -> int:
    """The descendant whose pid in its own namespace is inner_pid, as this process sees it."""
    for pid in [ancestor, *descendants_of(ancestor)]:
        if status_of(pid).get("NSpid", "").split()[-1:] == [str(inner_pid)]:
            return pid
    raise Failure(f"no process of pid {inner_pid} below {ancestor}")


def kill_descendants() -> None:
    """Kills all that this process is the ancestor of, as its subreaper, and waits until it has gone."""
    while True:
        for pid in descendants_of(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def become_subreaper() -> None:
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


def describe_status(code: int) -> str:
    if code < 0 or 128 < code < 128 + 65:
        return f"signal {signal.Signals(-code if code < 0 else code - 128).name}"
    return f"status {code}"


# ---- a run -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Started:
    """A program that runs, first or again: the process that we started for it and the program's own root."""

    process: subprocess.Popen[bytes]
    root: int  # as this process sees it
    inner: int  # as the program sees it


def work_folder(folder: pathlib.Path) -> pathlib.Path:
    """Where the program of a run works; victims name shared memory and abstract sockets after it, so it is unique."""
    return folder / f"{folder.parent.name}.{folder.name}"


class Run:
    """Folder and log of one run, and the steps that it is made of."""

    def __init__(self, folder: pathlib.Path, where: str = "job", path: str = "quick") -> None:
        self.folder = work_folder(folder)
        self.outside = folder
        self.folder.mkdir()
        self.where = where
        self.path = path
        self.step = "start"
        self.log = open(folder / "log", "ab", buffering=0)

    def note(self, text: str) -> None:
        self.log.write(f"[{time.monotonic():.3f}] {text}\n".encode())

    def spawn(self, arguments: typing.Sequence[object], **options: typing.Any) -> subprocess.Popen[bytes]:
        words = [str(argument) for argument in arguments]
        self.note("$ " + " ".join(words))
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", self.log)
        options.setdefault("stderr", self.log)
        return subprocess.Popen(words, **options)

    def await_file(self, path: pathlib.Path, process: subprocess.Popen[bytes]) -> bool:
        """Waits until a file is there or the process has ended; says whether the file is there."""
        inotify = libc.inotify_init1(os.O_CLOEXEC)
        if inotify < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        pidfd = os.pidfd_open(process.pid)
        try:
            if libc.inotify_add_watch(inotify, bytes(path.parent), IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE) < 0:
                raise OSError(ctypes.get_errno(), str(path.parent))
            poll = select.poll()
            poll.register(inotify, select.POLLIN)
            poll.register(pidfd, select.POLLIN)
            while not path.exists():
                if any(fd == pidfd for fd, _ in poll.poll()):
                    return path.exists()
                os.read(inotify, 65536)
            return True
        finally:
            os.close(inotify)
            os.close(pidfd)

    # -- the program --

    def start(self, program: str, *arguments: str, environment: dict[str, str] | None = None) -> Started:
        self.step = "waiting for the program to be ready"
        command: list[object] = [PROGRAMS / program, *arguments]
        if self.where == "job":
            command.insert(0, SUPPORT / "in_namespace")
        with open(self.outside / "out", "wb") as out, open(self.outside / "err", "ab") as err:
            process = self.spawn(
                command,
                cwd=self.folder,
                stdout=out,
                stderr=err,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **(environment or {})},
                start_new_session=True,
            )
        ready = self.folder / "ready"
        if not self.await_file(ready, process):
            self.judge(process, "before it was ready")
            raise Failure("the program ended before it was ready")
        inner = int(ready.read_text())
        return Started(process, find_pid(process.pid, inner), inner)

    def judge(self, process: subprocess.Popen[bytes], when: str) -> None:
        """Waits for the program and raises what its exit status says."""
        self.step = f"waiting for the program to end {when}"
        code = process.wait()
        self.note(f"ended with {code}")
        lines = self.words("err")
        if code == SKIPPED:
            raise Skip(lines[-1] if lines else "")
        if code != 0:
            raise Failure(f"{when} the program ended with {describe_status(code)}: {' | '.join(lines[:3])}")

    def words(self, name: str) -> list[str]:
        path = self.outside / name
        return path.read_text(errors="replace").splitlines() if path.exists() else []

    def go(self) -> None:
        (self.folder / "go").touch()

    # -- checkpoint and restart --

    def checkpoint(self, started: Started, context: pathlib.Path, kill: bool, scope: str = "tree") -> int:
        """Exit status of the checkpoint."""
        self.step = "checkpoint"
        target = find_pid(started.process.pid, 1) if scope == "job" else started.root
        if self.path == "quick":
            command: list[object] = [SUPPORT / "quick_checkpoint", f"--scope={scope}"]
            command += ["--signal=9"] if kill else []
            command += [target, context]
        else:
            command = [PREFIX / "bin" / "cr_checkpoint", f"--{scope}", *(["--kill"] if kill else [])]
            command += ["-f", context, target]
        code = self.spawn(command).wait()
        self.note(f"checkpoint ended with {code}")
        return code

    def last_words(self) -> str:
        """What the command of the log said last."""
        lines = [line for line in self.words("log") if not line.startswith("[")]
        return " | ".join(lines[-2:])

    def must_checkpoint(self, started: Started, context: pathlib.Path, kill: bool, scope: str = "tree") -> None:
        code = self.checkpoint(started, context, kill, scope)
        if code != 0:
            raise Failure(f"checkpoint ended with {describe_status(code)}: {self.last_words()}")
        if kill:
            self.await_death(started)

    def await_death(self, started: Started) -> None:
        """Waits until all of the program has gone, orphans too."""
        self.step = "waiting for the death of the processes"
        code = started.process.wait()
        if code not in (-signal.SIGKILL, 128 + signal.SIGKILL):
            raise Failure(f"after the kill the program ended with {describe_status(code)}")
        self.reap_all()

    def reap_all(self) -> None:
        while True:
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return

    def restart_command(self, context: pathlib.Path, *options: str) -> list[object]:
        namespace = f"--pid-namespace={'current' if self.where == 'current' else 'new'}"
        if self.path == "quick":
            files = sorted(context.iterdir()) if context.is_dir() else [context]
            command: list[object] = [PREFIX / "libexec" / "caesura" / "cr-restore", namespace]
            return [*command, "--restore-pgid", "--restore-sid", *options, *files]
        command = [PREFIX / "bin" / "cr_restart", namespace, "--restore-pgid", "--restore-sid", *options]
        return [*command, context]

    def restart(self, context: pathlib.Path, inner: int) -> Started:
        self.step = "restart"
        running = self.outside / "running"
        running.unlink(missing_ok=True)
        process = self.spawn(
            self.restart_command(context, f"--run-on-success=touch '{running}'"), cwd="/", start_new_session=True
        )
        if not self.await_file(running, process):
            code = process.wait()
            raise Failure(f"restart ended with {describe_status(code)}: {self.last_words()}")
        return Started(process, find_pid(process.pid, inner), inner)

    def paths(self) -> set[pathlib.Path]:
        return set(self.folder.rglob("*"))

    def remove_new(self, known: set[pathlib.Path]) -> None:
        """Takes away what the program made since then and does not have open; --track would do that."""
        for path in sorted(self.paths() - known, reverse=True):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()


# ---- runners ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Task:
    """Something to run: the body gets its run and returns words for the report, or raises Failure or Skip."""

    label: str
    body: typing.Callable[[Run], str]
    limit: float  # seconds
    where: str = "job"
    path: str = "quick"


def on_alarm(_signal: int, _frame: object) -> None:
    raise TimeOut


def run_task(task: Task, folder: pathlib.Path, limit: float, verdict: int) -> typing.NoReturn:
    """In the runner: does the task, leaves nothing of it, and writes the verdict."""
    become_subreaper()
    run = Run(folder, task.where, task.path)
    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        word, reason = "ok", task.body(run)
        if left := descendants_of(os.getpid()):
            word, reason = "FAIL", f"processes are left: {left}"
    except Skip as skip:
        word, reason = "skip", str(skip)
    except Failure as failure:
        word, reason = "FAIL", str(failure)
    except TimeOut:
        word, reason = "FAIL", f"no end after {limit:.0f} s: {run.step}"
    except Exception as error:  # an error of the driver is a failed run, not the end of the others
        word, reason = "FAIL", f"driver, {run.step}: {error!r}"
        run.note(traceback.format_exc())
    signal.setitimer(signal.ITIMER_REAL, 0)
    kill_descendants()
    os.write(verdict, f"{word} {reason}".encode())
    os._exit(0)


def start_task(task: Task, folder: pathlib.Path, limit: float) -> tuple[int, int]:
    """Forks the runner of a task; returns its pid and where its verdict comes from."""
    read_end, write_end = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        run_task(task, folder, limit, write_end)
    os.close(write_end)
    return pid, read_end


class Tally:
    """Runs tasks, some at a time, reports each by a line, and counts."""

    def __init__(self, top: pathlib.Path, options: argparse.Namespace) -> None:
        self.top = top
        self.options = options
        self.counts = {"ok": 0, "FAIL": 0, "skip": 0}
        self.running: dict[int, tuple[Task, pathlib.Path, int, float]] = {}
        self.poll = select.poll()

    def run(self, tasks: typing.Iterable[Task]) -> None:
        queue = list(enumerate(tasks))
        while queue or self.running:
            while queue and len(self.running) < self.options.jobs:
                number, task = queue.pop(0)
                folder = self.top / f"{number:03}-{re.sub('[^-.a-z0-9_]', '-', task.label)}"
                folder.mkdir()
                pid, verdict = start_task(task, folder, task.limit * self.options.slow)
                self.running[verdict] = (task, folder, pid, time.monotonic())
                self.poll.register(verdict, select.POLLIN)
            for verdict, _ in self.poll.poll():
                self.poll.unregister(verdict)
                self.report(verdict)

    def report(self, verdict: int) -> None:
        task, folder, pid, begin = self.running.pop(verdict)
        text = b"".join(iter(lambda: os.read(verdict, 65536), b"")).decode()
        os.close(verdict)
        os.waitpid(pid, 0)
        word, _, reason = text.partition(" ")
        if word not in self.counts:
            word, reason = "FAIL", "the runner died"
        self.counts[word] += 1
        # Shared memory that a victim has named after its working folder.
        (pathlib.Path("/dev/shm") / f"caesura-victim.{work_folder(folder).name}").unlink(missing_ok=True)
        line = f"{word} {task.label}" + (f": {reason}" if reason else "")
        if word == "FAIL":
            line += f" ({folder / 'log'})"
        if self.options.times:
            line = f"{time.monotonic() - begin:6.2f} s  {line}"
        print(line, flush=True)
        if word != "FAIL" and not self.options.keep:
            shutil.rmtree(folder, ignore_errors=True)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", metavar="UID", type=int, help="as this ordinary user (needs root)")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--slow", type=float, default=1.0, help="factor for all time limits")
    parser.add_argument("--times", action="store_true", help="show how long each run took")
    parser.add_argument("--keep", action="store_true", help="keep the folders of all runs")
    parser.add_argument("--list", action="store_true", help="only list the runs")


def become_user(uid: int) -> None:
    """Runs the script anew as that user."""
    arguments = list(sys.argv[1:])
    at = next(i for i, word in enumerate(arguments) if word.startswith("--user"))
    del arguments[at : at + (1 if "=" in arguments[at] else 2)]
    os.environ["TMPDIR"] = "/tmp"
    script = pathlib.Path(sys.argv[0]).resolve()
    identity = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]
    os.execvp("setpriv", ["setpriv", *identity, sys.executable, str(script), *arguments])


def run_all(tasks: list[Task], options: argparse.Namespace) -> int:
    """Exit status of the script."""
    if options.list:
        print(*(task.label for task in tasks), sep="\n")
        return 0
    if not tasks:
        print("no such run", file=sys.stderr)
        return 2
    tools = [SUPPORT / "quick_checkpoint", SUPPORT / "in_namespace", PREFIX / "libexec" / "caesura" / "cr-restore"]
    for tool in tools:
        if not tool.exists():
            print(f"{tool} is missing: run make all tests", file=sys.stderr)
            return 2
    top = pathlib.Path(tempfile.mkdtemp(prefix="caesura-state."))
    tally = Tally(top, options)
    tally.run(tasks)
    counts = tally.counts
    if not counts["FAIL"] and not options.keep:
        shutil.rmtree(top, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")
    return 1 if counts["FAIL"] or not counts["ok"] else 0
