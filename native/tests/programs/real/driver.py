#!/usr/bin/python3
"""Interrupts a real program and compares what it leaves with an uninterrupted run, bit by bit.

    driver.py --list
    driver.py [--keep] [--folder FOLDER] PROGRAM

Three runs of the same work: uninterrupted; checkpointed, killed and restarted three times; checkpointed once, gone on,
killed with SIGKILL and restarted. The moments are given by the program's own progress, never by time. The commands are
those of $CAESURA_PREFIX/bin. Exit status 0 if all is equal, 1 with the whole story on stdout if not.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable

from programs import PROGRAMS, Program

LONG_ENOUGH_S = 4.0
TRIES = 3
RUN_LIMIT_S = 90.0
COMMAND_LIMIT_S = 60.0
END_LIMIT_S = 20.0
POLL_S = 0.002
PR_SET_CHILD_SUBREAPER = 36


class Failed(Exception):
    """The claim does not hold; the text says where."""


class TooShort(Exception):
    """The program was done before it could be interrupted: nothing is shown, more work is needed."""


def story(text: str) -> None:
    print(f"{time.monotonic() - STARTED:7.2f}s  {text}", flush=True)


STARTED = time.monotonic()


def children(pid: int) -> list[int]:
    """Direct children of all threads of a process; none if it is gone."""
    found: list[int] = []
    try:
        lists = [Path(f"/proc/{pid}/task/{thread}/children") for thread in os.listdir(f"/proc/{pid}/task")]
    except (FileNotFoundError, ProcessLookupError):
        return found
    for of_thread in lists:
        try:
            found += [int(word) for word in of_thread.read_text(encoding="ascii").split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def descendants(pid: int) -> list[int]:
    found = children(pid)
    for child in found:
        found += children(child)
    return found


def innermost_pid(pid: int) -> int:
    """The pid that a process has in its own namespace; 0 if it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[-1]) for line in status.splitlines() if line.startswith("NSpid:")), 0)


def yield_to_commands(process: subprocess.Popen[bytes]) -> None:
    """Lets the commands win against the session of a process, where the kernel schedules by session (autogroup).

    With both at the same weight some kernels let the group of the commands wait for seconds, and the program comes to
    its end meanwhile. This is a property of the group, not of its processes: nothing of it is in a context.
    """
    group = Path(f"/proc/{process.pid}/autogroup")
    limit = time.monotonic() + END_LIMIT_S
    while process.poll() is None and group.exists():
        try:
            group.write_text("19", encoding="ascii")
            return
        # The kernel grants a user one change in a tenth of a second, and none during an exec or after the end.
        except (BlockingIOError, PermissionError):
            if time.monotonic() > limit:
                raise
            time.sleep(0.05)


def kill_all() -> None:
    """SIGKILL for all that this driver is an ancestor of, until nothing is left. The kernel's own list of children."""
    limit = time.monotonic() + END_LIMIT_S
    while True:
        for pid in descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if not reap():
            return
        if time.monotonic() > limit:
            raise Failed(f"still there after SIGKILL: {descendants(os.getpid())}")
        time.sleep(POLL_S)


def reap() -> bool:
    """Reaps what has ended; False if no child is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def wait_until_empty() -> None:
    """After a checkpoint with --kill: everything of the program has to end by itself."""
    limit = time.monotonic() + END_LIMIT_S
    while reap():
        if time.monotonic() > limit:
            raise Failed(f"not killed by the checkpoint's --kill: {descendants(os.getpid())}")
        time.sleep(POLL_S)


class Run:
    """One run of a program, with all its restarts, in a folder of its own."""

    def __init__(self, program: Program, scale: int, folder: Path, commands: Path) -> None:
        self.program = program
        self.scale = scale
        self.folder = folder
        self.commands = commands
        self.total = 0
        #: Progress at the last checkpoint that was restarted: what was done then need not be done again.
        self.floor = 0
        self.taken_at = 0
        self.root = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.logs: list[Path] = []
        folder.mkdir()
        program.prepare(folder, scale)

    def start(self) -> None:
        stdin = self.folder / self.program.stdin if self.program.stdin else Path(os.devnull)
        environment = {**os.environ, **self.program.environment}
        with open(stdin, "rb") as source, open(self.folder / "stdout", "wb") as out:
            with open(self.folder / "stderr", "wb") as err:
                self.process = subprocess.Popen(
                    self.program.command(self.scale),
                    cwd=self.folder,
                    env=environment,
                    stdin=source,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,
                )
        self.root = self.process.pid
        yield_to_commands(self.process)

    def progress(self) -> int:
        return self.program.progress(self.folder)

    def wait_for(self, what: str, reached: Callable[[], bool]) -> None:
        """Waits while the program runs. Its end before that is a failure: the interruption would not be one."""
        assert self.process is not None
        limit = time.monotonic() + RUN_LIMIT_S
        while not reached():
            self.check_floor()
            if self.process.poll() is not None:
                raise Failed(f"ended with status {self.process.returncode} before {what}")
            if time.monotonic() > limit:
                raise Failed(f"{what}: not reached in {RUN_LIMIT_S:.0f} s; progress {self.progress()} of {self.total}")
            time.sleep(POLL_S)

    def check_floor(self) -> None:
        """A program begun anew would in the end leave the same results; it has to go on where it was."""
        if self.progress() < self.floor:
            raise Failed(f"fell back to progress {self.progress()}, behind the {self.floor} of its checkpoint")

    def wait_for_progress(self, goal: int) -> None:
        self.wait_for(f"progress {goal} of {self.total}", lambda: self.progress() >= goal)

    def finish(self) -> None:
        assert self.process is not None
        limit = time.monotonic() + RUN_LIMIT_S
        while self.process.poll() is None:
            self.check_floor()
            if time.monotonic() > limit:
                raise Failed(f"no end in {RUN_LIMIT_S:.0f} s; progress {self.progress()} of {self.total}")
            time.sleep(POLL_S)
        if self.process.returncode != 0:
            raise Failed(f"ended with status {self.process.returncode}")
        if reap():
            raise Failed(f"left processes behind: {descendants(os.getpid())}")

    def current_pid(self) -> int:
        """Where the program's first process is now, as seen from here: itself, or below cr_restart."""
        assert self.process is not None
        if self.process.pid == self.root:
            return self.root
        return next((pid for pid in descendants(self.process.pid) if innermost_pid(pid) == self.root), 0)

    def checkpoint(self, context: Path, *options: str) -> None:
        pid = self.current_pid()
        before = self.progress()
        log = context.with_name(context.name + ".checkpoint.log")
        self.logs.append(log)
        command = [str(self.commands / "cr_checkpoint"), "--tree", "-f", str(context), *options, str(pid)]
        began = time.monotonic()
        with open(log, "wb") as out:
            status = subprocess.run(
                command, cwd=self.folder.parent, stdout=out, stderr=out, timeout=COMMAND_LIMIT_S, check=False
            ).returncode
        after = self.progress()
        self.taken_at = before
        story(
            f"{' '.join(command[1:])}: status {status} in {time.monotonic() - began:.2f} s,"
            f" progress {before}..{after} of {self.total}"
        )
        if after >= self.total:
            raise TooShort("it was done before the checkpoint took it")
        if status != 0:
            raise Failed(f"cr_checkpoint: status {status}")

    def restart(self, context: Path) -> None:
        log = context.with_name(context.name + ".restart.log")
        # Until cr_restart says that the processes run, files may be half rolled back and pids half taken.
        running = context.with_name(context.name + ".running")
        self.logs.append(log)
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                [str(self.commands / "cr_restart"), f"--run-on-success=touch '{running}'", str(context)],
                cwd=self.folder.parent,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.floor = 0
        self.wait_for("cr_restart said that the processes run", running.exists)
        self.wait_for("the first process is seen with its pid", lambda: self.current_pid() != 0)
        yield_to_commands(self.process)
        self.floor = self.taken_at
        story(f"restarted: process {self.root} of the context is {self.current_pid()} below {self.process.pid}")

    def compare(self, other: Run) -> None:
        for name in ("stdout", "stderr", *self.program.results):
            mine, wanted = (run.folder / name for run in (self, other))
            if not wanted.exists():
                raise Failed(f"{name} is missing in the uninterrupted run")
            if not mine.exists():
                raise Failed(f"{name} is missing")
            if mine.read_bytes() != wanted.read_bytes():
                raise Failed(difference(name, mine.read_bytes(), wanted.read_bytes()))
        story(f"{self.folder.name}: stdout, stderr and {len(self.program.results)} more files are equal")

    def show_logs(self) -> None:
        for log in [*self.logs, self.folder / "stderr"]:
            if log.exists():
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-6000:]}", flush=True)


def difference(name: str, mine: bytes, wanted: bytes) -> str:
    at = next((i for i, (a, b) in enumerate(zip(mine, wanted)) if a != b), min(len(mine), len(wanted)))
    return (
        f"{name} differs from byte {at} on ({len(mine)} bytes for {len(wanted)}):"
        f" {mine[at : at + 60]!r} for {wanted[at : at + 60]!r}"
    )


def uninterrupted(program: Program, work: Path, commands: Path, scale: int, long_enough_s: float) -> Run:
    """Raises the work until it takes long enough to be hit in the middle on this machine."""
    while True:
        run = Run(program, scale, work / f"uninterrupted-{scale}", commands)
        began = time.monotonic()
        run.start()
        run.finish()
        took = time.monotonic() - began
        run.total = run.progress()
        story(f"uninterrupted, scale {scale}: {took:.2f} s, progress {run.total}")
        if took >= long_enough_s:
            return run
        scale = max(scale + 1, math.ceil(scale * 1.2 * long_enough_s / max(took, 0.1)))


def interrupted(run: Run) -> None:
    """Three checkpoints with --kill, each followed by a restart."""
    run.start()
    for number in (1, 2, 3):
        run.wait_for_progress(run.total * number // 6)
        context = run.folder.parent / f"context.{number}"
        run.checkpoint(context, "--kill")
        wait_until_empty()
        run.restart(context)
    run.finish()


def crashed(run: Run) -> None:
    """One checkpoint after which the program goes on, then a crash that it does not see coming."""
    run.start()
    run.wait_for_progress(run.total // 4)
    context = run.folder.parent / "context.crash"
    run.checkpoint(context, *(f"--track={run.folder / path}" for path in run.program.track))
    here = run.progress()
    run.wait_for_progress(here + max(1, run.total // 8))
    kill_all()
    story(f"SIGKILL at progress {run.progress()}, at least {max(1, run.total // 8)} after the checkpoint")
    run.restart(context)
    run.finish()


def interrupt_in_all_ways(program: Program, work: Path, commands: Path, runs: list[Run]) -> None:
    """Under load the commands take longer, and so the work has to: each try that was too short doubles it."""
    scale, long_enough_s = 1, LONG_ENOUGH_S
    for number in range(1, TRIES + 1):
        folder = work / f"try-{number}"
        folder.mkdir()
        first = uninterrupted(program, folder, commands, scale, long_enough_s)
        try:
            for way in (interrupted, crashed):
                run = Run(program, first.scale, folder / way.__name__, commands)
                run.total = first.total
                runs.append(run)
                story(f"== {way.__name__}")
                way(run)
                run.compare(first)
            return
        except TooShort as short:
            story(f"too short: {short}")
            kill_all()
            scale, long_enough_s = first.scale * 2, long_enough_s * 2
    raise Failed(f"the commands take longer than the program, even at scale {scale}")


def judge(program: Program, work: Path, commands: Path) -> bool:
    runs: list[Run] = []
    try:
        interrupt_in_all_ways(program, work, commands, runs)
        return True
    except (Failed, subprocess.SubprocessError, OSError) as failure:
        story(f"FAILED: {program.name}: {runs[-1].folder.name if runs else 'uninterrupted'}: {failure}")
        for run in runs[-1:]:
            run.show_logs()
        return False
    finally:
        kill_all()


def main() -> int:
    parser = argparse.ArgumentParser(description="Interrupts a real program and compares what it leaves.")
    parser.add_argument("--list", action="store_true", help="print the names of the programs")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all runs")
    parser.add_argument("--folder", help="where to run, instead of a temporary folder")
    parser.add_argument("program", nargs="?", choices=sorted(PROGRAMS))
    options = parser.parse_args()
    if options.list:
        print("\n".join(PROGRAMS))
        return 0
    if not options.program:
        parser.error("name a program")
    prefix = os.environ.get("CAESURA_PREFIX")
    if not prefix:
        parser.error("CAESURA_PREFIX is not set: the installed tree whose commands are to be tested")
    commands = Path(prefix).resolve() / "bin"
    # What loses its parent becomes ours, so that we see the end of everything.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    work = Path(options.folder or tempfile.mkdtemp(prefix="caesura-real-"))
    try:
        return 0 if judge(PROGRAMS[options.program](), work, commands) else 1
    finally:
        if options.keep or options.folder:
            story(f"kept: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
