"""What a program of native/tests/libcr/programs writes to its log, and its checkpoints."""
from __future__ import annotations

import pathlib
import time

from cases import expect
from state import BUILD, Run, Started

PROGRAMS = BUILD / "tests" / "libcr" / "programs"


def events(run: Run) -> list[str]:
    return (run.folder / "events").read_text().splitlines()


def await_file(run: Run, name: str) -> None:
    run.step = f"waiting for {name}"
    while not (run.folder / name).exists():
        time.sleep(0.002)


def await_events(run: Run, count: int) -> list[str]:
    run.step = f"waiting for {count} events"
    while len(events(run)) < count:
        time.sleep(0.002)
    return events(run)


def await_line(run: Run, line: str) -> None:
    run.step = f"waiting for {line}"
    while line not in events(run):
        time.sleep(0.002)


def checkpoint(run: Run, started: Started, name: str = "context", kill: bool = False, scope: str = "tree") -> int:
    return run.checkpoint(started, run.outside / name, kill, scope)


def good(run: Run, started: Started, name: str = "context", scope: str = "tree") -> pathlib.Path:
    code = checkpoint(run, started, name, scope=scope)
    expect(code == 0, f"checkpoint ended with {code}: {run.last_words()}")
    return run.outside / name
