#!/usr/bin/python3
"""Checkpoints victim programs, kills and restarts them, and lets them compare what they see with what they remember.

Each program (native/tests/programs) runs once per mode:
  none      without any checkpoint
  continue  a checkpoint, and it goes on
  restart   a checkpoint, SIGKILL, a restart
  twice     the same two times: a checkpoint of what was restarted
  later     a checkpoint, it goes on to its end, a restart from the older context
in one of these places:
  job       in a pid namespace with an init from the beginning, restarted in a new one
  plain     without one, restarted in a new one
  current   without one, restarted without one (root)
and by one of these paths:
  quick     libcapture and cr-restore directly
  commands  cr_checkpoint and cr_restart

Options in the first comment of a program ("Driver:"): scope=SCOPE, modes=LIST, limit=SECONDS, repeat=N checkpoints in
mode continue, expect=refuse (the checkpoint must be refused, the program unharmed) or expect=either, either=CASES (the
same for some cases), again=yes (a checkpoint may fail with EAGAIN, and is then asked for again).
"""
from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import os
import pathlib
import re
import sys

import state
from state import Failure, Run, Started, Task

MODES = ("none", "continue", "restart", "twice", "later")
ATTEMPTS = 20


@dataclasses.dataclass(frozen=True)
class Program:
    name: str
    case: str
    scope: str = "tree"
    modes: tuple[str, ...] = MODES
    limit: float = 20
    repeat: int = 1
    expect: str = "success"
    again: bool = False

    @property
    def label(self) -> str:
        return f"{self.name}:{self.case}" if self.case else self.name


@dataclasses.dataclass(frozen=True)
class Case:
    program: Program
    mode: str
    where: str
    path: str

    @property
    def label(self) -> str:
        place = "" if self.where == "job" else f" {self.where}"
        return f"{self.program.label} {self.mode}{place}{'' if self.path == 'quick' else ' commands'}"


# ---- which cases -----------------------------------------------------------------------------------------------------


def read_program(source: pathlib.Path) -> list[Program]:
    """A program's cases, from its first comment."""
    comment = source.read_text().partition("*/")[0]
    cases = " ".join(re.findall(r"^ \* Cases: (.*)$", comment, re.M)).split() or [""]
    options = dict(word.split("=", 1) for word in " ".join(re.findall(r"^ \* Driver: (.*)$", comment, re.M)).split())
    either = options.pop("either", "").split(",")
    known: dict[str, object] = {}
    for key, value in options.items():
        if key == "modes":
            known[key] = tuple(value.split(","))
        elif key in ("limit", "repeat"):
            known[key] = int(value)
        elif key == "again":
            known[key] = value == "yes"
        elif key in ("scope", "expect"):
            known[key] = value
        else:
            raise SystemExit(f"{source}: unknown option {key}")
    programs = [Program(source.stem, case, **known) for case in cases]  # type: ignore[arg-type]
    return [dataclasses.replace(p, expect="either") if p.case in either and p.case else p for p in programs]


def all_programs() -> list[Program]:
    return [program for source in sorted(state.SOURCES.glob("*.c")) for program in read_program(source)]


# A program of each kind, for the slower path and the other places.
SAMPLE = (
    "mem_heap mem_shared:pieces mem_file:shared cpu_vector:avx blocked:futex blocked:epoll_wait threads sig_pending "
    "fd_file fd_pipe:processes fd_unix:stream fd_locks:posix proc_ids proc_zombie ring"
).split()


def applies(case: Case) -> bool:
    program = case.program
    if case.mode not in program.modes and case.mode != "none":
        return False
    if program.expect == "refuse" and case.mode not in ("none", "continue", "restart"):
        return False
    # A job's scope is its namespace, and by hand only the engine finds it.
    return program.scope != "job" or (case.where == "job" and case.path == "quick")


def default_cases(programs: list[Program]) -> list[Case]:
    """All programs by the quick path; some of each kind in the other places and by the commands."""
    cases = [Case(p, mode, "job", "quick") for p in programs for mode in MODES if mode != "none"]
    sample = [p for p in programs if p.label in SAMPLE]
    cases += [Case(p, mode, "plain", "quick") for p in sample for mode in ("restart", "twice")]
    if os.geteuid() == 0:
        cases += [Case(p, mode, "current", "quick") for p in sample for mode in ("restart", "twice")]
    cases += [Case(p, "restart", "job", "commands") for p in sample[::3]]
    cases += [Case(p, "twice", "plain", "commands") for p in sample[:1]]
    return [case for case in cases if applies(case)]


def chosen_cases(options: argparse.Namespace) -> list[Case]:
    programs = all_programs()
    if options.program:
        programs = [
            p for p in programs if any(fnmatch.fnmatch(n, w) for n in (p.name, p.label) for w in options.program)
        ]
    if not (options.mode or options.where or options.path):
        return default_cases(programs)
    cases = [
        Case(p, mode, where, path)
        for path in (options.path or ["quick"])
        for where in (options.where or ["job"])
        for p in programs
        for mode in (options.mode or MODES[1:])
    ]
    return [case for case in cases if applies(case)]


# ---- a case ----------------------------------------------------------------------------------------------------------


class CaseRun:
    """One program in one mode."""

    def __init__(self, case: Case, run: Run) -> None:
        self.case = case
        self.run = run
        self.generation = 0
        self.tries = 0

    def do(self) -> str:
        """Words for the line of the case; raises Failure or Skip."""
        program = self.case.program
        started = self.run.start(program.name, *([program.case] if program.case else []))
        if program.expect != "success" and self.case.mode != "none":
            refused = self.refusal(started)
            if refused:
                return refused
        result = getattr(self, "mode_" + self.case.mode)(started)
        self.run.reap_all()
        words = [result] if result else []
        words += [f"{self.tries} times EAGAIN"] if self.tries else []
        return ", ".join(words)

    def refusal(self, started: Started) -> str:
        """A checkpoint that may or must be refused; what was refused has to go on as if nothing had been."""
        code = self.run.checkpoint(started, self.run.outside / "try", kill=False, scope=self.case.program.scope)
        if code == 0:
            if self.case.program.expect == "refuse":
                raise Failure("the checkpoint was not refused")
            return ""
        words = self.run.last_words()
        if code not in state.REFUSALS:
            raise Failure(f"refused with {state.describe_status(code)}: {words}")
        self.finish(started, "after the refusal")
        return f"refused: {words}"

    def finish(self, started: Started, when: str) -> None:
        self.run.go()
        self.run.judge(started.process, when)

    def checkpoint(self, started: Started, kill: bool) -> pathlib.Path:
        """A checkpoint that has to succeed; the number of attempts is limited where EAGAIN is an answer."""
        self.generation += 1
        scope = self.case.program.scope
        for attempt in range(ATTEMPTS if self.case.program.again else 1):
            context = self.run.outside / f"context.{self.generation}.{attempt}"
            code = self.run.checkpoint(started, context, kill, scope)
            if code != state.CODES["EAGAIN"]:
                break
            self.tries += 1
        if code != 0:
            raise Failure(f"checkpoint ended with {state.describe_status(code)}: {self.run.last_words()}")
        if kill:
            self.run.await_death(started)
        return context

    def mode_none(self, started: Started) -> str:
        self.finish(started, "without a checkpoint")
        return ""

    def mode_continue(self, started: Started) -> str:
        for _ in range(self.case.program.repeat):
            self.checkpoint(started, kill=False)
        tracer = state.status_of(started.root).get("TracerPid", "0")
        if tracer != "0":
            raise Failure(f"the program is still traced by {tracer}")
        self.finish(started, "after the checkpoint")
        return ""

    def mode_restart(self, started: Started) -> str:
        context = self.checkpoint(started, kill=True)
        again = self.run.restart(context, started.inner)
        self.finish(again, "after the restart")
        return ""

    def mode_twice(self, started: Started) -> str:
        for _ in range(2):
            context = self.checkpoint(started, kill=True)
            started = self.run.restart(context, started.inner)
        self.finish(started, "after the second restart")
        return ""

    def mode_later(self, started: Started) -> str:
        known = self.run.paths()
        context = self.checkpoint(started, kill=False)
        self.finish(started, "after the checkpoint")
        self.run.reap_all()
        self.run.remove_new(known)
        again = self.run.restart(context, started.inner)
        self.finish(again, "after the restart from the older context")
        return ""


def task_of(case: Case) -> Task:
    return Task(case.label, lambda run: CaseRun(case, run).do(), case.program.limit, case.where, case.path)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("program", nargs="*", help="only these: NAME or NAME:CASE, with * and ?")
    parser.add_argument("--mode", action="append", choices=MODES, help="only this mode (repeatable)")
    parser.add_argument("--where", action="append", choices=("job", "plain", "current"), help="only this place")
    parser.add_argument("--path", action="append", choices=("quick", "commands"), help="only this path")
    state.add_options(parser)
    return parser.parse_args()


def main() -> int:
    options = parse()
    if options.user is not None:
        state.become_user(options.user)
    return state.run_all([task_of(case) for case in chosen_cases(options)], options)


if __name__ == "__main__":
    sys.exit(main())
