#!/usr/bin/python3
"""System V shared memory and semaphores through checkpoints and restarts, in an IPC namespace of the test's own."""
from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import sys

import state
import test_state
from state import CODES, Failure, Run, Task

INSIDE = "CAESURA_TEST_IPC"
NEXT_ID = pathlib.Path("/proc/sys/kernel/shm_next_id")


def enter_namespace() -> None:
    """Runs the script anew where nobody else's objects are, and ours are gone when all has ended."""
    if INSIDE in os.environ:
        return
    os.environ[INSIDE] = "1"
    user = [] if os.geteuid() == 0 else ["--user", "--map-current-user"]
    os.execvp("unshare", ["unshare", *user, "--ipc", "--", sys.executable, *sys.argv])


def may_choose_numbers() -> bool:
    return os.access(NEXT_ID, os.W_OK)


def programs() -> list[test_state.Program]:
    found = [p for p in test_state.all_programs() if p.name.startswith("sysv_")]
    return [dataclasses.replace(p, modes=test_state.MODES) for p in found]


def clear() -> None:
    """What a killed program leaves behind: the next of the same key would find it."""
    for kind, option in (("shm", "-m"), ("sem", "-s"), ("msg", "-q")):
        for line in pathlib.Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]:
            os.spawnlp(os.P_WAIT, "ipcrm", "ipcrm", option, line.split()[1])


def task_of(case: test_state.Case) -> Task:
    task = test_state.task_of(case)

    def body(run: Run) -> str:
        clear()
        return task.body(run)

    return dataclasses.replace(task, body=body)


def refused(program: str, kind: str, *words: str) -> Task:
    def body(run: Run) -> str:
        clear()
        started = run.start(program, kind)
        code = run.checkpoint(started, run.outside / "context", kill=False)
        said = run.last_words()
        if code != CODES["EUNSUPPORTED"] or not all(word in said for word in words):
            raise Failure(f"the checkpoint ended with {state.describe_status(code)}: {said}")
        run.go()
        run.judge(started.process, "after the refusal")
        return said

    return Task(f"{program}_{kind}_refused", body, 20)


def number_taken(run: Run) -> str:
    """Where the old number is taken: said, and what was made is removed again."""
    clear()
    started = run.start("sysv_shm", "attached")
    context = run.outside / "context"
    run.must_checkpoint(started, context, kill=True)
    before = pathlib.Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    command = run.restart_command(context)
    code = run.spawn(["--pid-namespace=current" if "namespace" in str(word) else word for word in command]).wait()
    said = run.last_words()
    if code != (CODES["EBUSY"] if may_choose_numbers() else CODES["EPERM"]):
        raise Failure(f"the restart ended with {state.describe_status(code)}: {said}")
    after = pathlib.Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    if len(before) != 1 or len(after) != 1 or before[0].split()[:4] != after[0].split()[:4]:
        raise Failure(f"segments: {before} before, {after} after")
    return said


def current(run: Run) -> str:
    """Without a namespace of its own, where the number can be chosen."""
    clear()
    if not may_choose_numbers():
        raise state.Skip("this user may not choose numbers here")
    started = run.start("sysv_shm", "attached")
    context = run.outside / "context"
    run.must_checkpoint(started, context, kill=True)
    clear()
    again = run.restart(context, started.inner)
    run.go()
    run.judge(again.process, "after the restart")
    if pathlib.Path("/proc/sysvipc/shm").read_text().count("\n") != 1:
        raise Failure("a segment is left")
    return ""


def tasks() -> list[Task]:
    cases = [
        test_state.Case(program, mode, where, "quick")
        for where in ("job", "plain")
        for program in programs()
        for mode in test_state.MODES[1:]
    ]
    return [
        *(task_of(case) for case in cases),
        refused("sysv_shm", "unattached", "shared memory segment", "which no process of the scope has attached"),
        refused("sysv_shm", "outside", "shared memory segment", "outside of the scope too"),
        refused("sysv_sem", "queue", "message queue"),
        Task("number_taken", number_taken, 20, "plain"),
        Task("current", current, 20, "current"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("test", nargs="*", help="only these")
    state.add_options(parser)
    options = parser.parse_args()
    if options.user is not None:
        state.become_user(options.user)
    enter_namespace()
    options.jobs = 1  # they share a key
    return state.run_all([t for t in tasks() if not options.test or t.label in options.test], options)


if __name__ == "__main__":
    sys.exit(main())
