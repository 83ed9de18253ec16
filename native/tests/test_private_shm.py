#!/usr/bin/python3
"""A /dev/shm that is the job's own: everything in it comes back, and nothing of it is in the host's."""
from __future__ import annotations

import argparse
import os
import pathlib
import sys

import state
from state import CODES, Failure, Run, Started, Task

SHM = pathlib.Path("/dev/shm")


def ours(run: Run) -> list[pathlib.Path]:
    return list(SHM.glob(f"{run.folder.name}*"))


def checkpoint(run: Run, number: int, started: Started) -> pathlib.Path:
    context = run.outside / f"context.{number}"
    run.must_checkpoint(started, context, kill=True)
    return context


def twice(run: Run) -> str:
    started = run.start("shm_private", environment={"IN_NAMESPACE_SHM": "1"})
    for number in range(2):
        if found := ours(run):
            raise Failure(f"the host has {found}")
        started = run.restart(checkpoint(run, number, started), started.inner)
    run.go()
    run.judge(started.process, "after two restarts")
    if found := ours(run):
        raise Failure(f"the host has {found}")
    return ""


def current(run: Run) -> str:
    """In the host's /dev/shm they have no business."""
    started = run.start("shm_private", environment={"IN_NAMESPACE_SHM": "1"})
    command = run.restart_command(checkpoint(run, 0, started))
    code = run.spawn(["--pid-namespace=current" if "namespace" in str(word) else word for word in command]).wait()
    if code != CODES["ENAMESPACE"] or "/dev/shm" not in run.last_words():
        raise Failure(f"the restart ended with {state.describe_status(code)}: {run.last_words()}")
    return run.last_words()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("test", nargs="*", help="only these")
    state.add_options(parser)
    options = parser.parse_args()
    if options.user is not None:
        state.become_user(options.user)
    tasks = [Task("twice", twice, 20), Task("current", current, 20)]
    return state.run_all([t for t in tasks if not options.test or t.label in options.test], options)


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
