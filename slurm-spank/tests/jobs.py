"""Jobs that write numbered lines, and what their files must say after whatever happened to them.

A job counts in its memory and writes each number with a token that it chose at its start, so a job that was begun anew
cannot pass for one that went on. It ends when the test says so: no test depends on how fast anything is.
"""

from __future__ import annotations

import os
import random
import re
import unittest
from pathlib import Path
from typing import Mapping, Optional, Sequence, Union

from cluster import LIMIT_S, Cluster, ClusterError, wait
from processes import Process

# In the words of bash, so that the job has children (sleep) and a script that bash keeps open.
COUNTER = """#!/bin/bash
token=$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
number=0
echo "begin $token"
while [ ! -e "$1" ]; do
    number=$((number + 1))
    echo "$number $token"
    sleep 0.1
done
echo "end $token"
exit "${2:-0}"
"""
# Others' lines: what Slurm itself writes into the output of a job that it ends.
SLURMS_OWN = re.compile(r"^slurmstepd(-\S+)?: error: \*\*\* (JOB|STEP) ")
OURS = re.compile(r"^(caesura|hint|cr_restart|cr_run): ")
CONTEXT = re.compile(r"^\d{6}$")
HALF = re.compile(r"^\.\d{6}\.tmp$")


class Counter:
    """A job of the script above (or one that does the same), and its file. It is cancelled when its test is over."""

    def __init__(
        self,
        test: unittest.TestCase,
        cluster: Cluster,
        *options: str,
        script: str = COUNTER,
        arguments: Sequence[str] = ("0",),
        env: Optional[Mapping[str, str]] = None,
        suffix: str = "",
    ) -> None:
        self.cluster = cluster
        self.mark = f"{random.randrange(1 << 48):012x}"
        self.end_file = cluster.work / f"end-{self.mark}"
        self.path = cluster.work / f"lines-{self.mark}"
        self.script = cluster.write(f"counter {self.mark}", script)
        self.id: Union[int, str] = self.submit([f"--output={self.path}{suffix}", *options], arguments, env)
        test.addCleanup(self.cancel)

    def submit(self, options: Sequence[str], arguments: Sequence[str], env: Optional[Mapping[str, str]]) -> int:
        words = (str(self.end_file), *arguments)
        return self.cluster.sbatch(self.script, *options, arguments=words, env=env)

    def cancel(self) -> None:
        if self.cluster.is_up:
            self.cluster.admin("scancel", str(self.id), check=False)

    # ---- while it runs -----------------------------------------------------------------------------------------------

    def text(self) -> list[str]:
        try:
            return self.path.read_text(encoding="utf-8").split("\n")[:-1]
        except FileNotFoundError:
            return []

    def foreign(self) -> list[str]:
        """Lines that are not the job's own and not Slurm's: ours."""
        return [line for line in self.text() if OURS.match(line)]

    def count(self) -> int:
        """The last number that was written."""
        numbers = [int(line.split()[0]) for line in self.text() if line[:1].isdigit()]
        return numbers[-1] if numbers else 0

    def wait_beyond(self, number: int, limit: float = LIMIT_S) -> int:
        def reached() -> bool:
            state = self.cluster.state(self.id)
            if state in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"):
                raise ClusterError(f"job {self.id} is {state} at {self.count()}:\n" + "\n".join(self.text()[-12:]))
            return self.count() > number

        try:
            wait(f"line {number + 1} of job {self.id}", reached, limit)
        except ClusterError as error:
            shown = self.cluster.scontrol("show", "job", str(self.id))
            raise ClusterError(f"{error}; its last lines:\n" + "\n".join(self.text()[-12:]) + f"\n{shown}") from error
        return self.count()

    def wait_running(self, lines: int = 5) -> int:
        """Until it runs, and has written some lines."""
        return self.wait_beyond(lines - 1)

    def wait_restarted(self, times: int, beyond: int) -> None:
        """Until Slurm has started it again, and it has written more than it had."""
        wait(f"start {times + 1} of job {self.id}", lambda: self.cluster.restarts(self.id) >= times)
        self.cluster.wait_for(self.id, "RUNNING")
        # The run before went on writing until it was stopped; what counts is a line of this one.
        self.wait_beyond(max(beyond, self.count()))

    # ---- the store ---------------------------------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        return self.cluster.user.home / ".local/state/caesura" / self.cluster.name / str(self.id)

    def contexts(self) -> list[int]:
        """Sequence numbers of the committed contexts, the newest first."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        return sorted((int(name) for name in names if CONTEXT.match(name)), reverse=True)

    def unfinished(self) -> list[str]:
        try:
            return [name for name in os.listdir(self.folder) if HALF.match(name)]
        except FileNotFoundError:
            return []

    def wait_context(self, sequence: int = 1) -> int:
        """Until there is a context of at least that number; returns the newest."""

        def there() -> int:
            contexts = self.contexts()
            return contexts[0] if contexts and contexts[0] >= sequence else 0

        try:
            return wait(f"context {sequence} in {self.folder}", there)
        except ClusterError as error:
            raise ClusterError(f"{error}; the job says:\n" + "\n".join(self.text()[-12:])) from error

    def context_file(self, sequence: int) -> Path:
        folder = self.folder / f"{sequence:06d}"
        return next(path for path in folder.iterdir() if path.name.startswith("context."))

    # ---- its processes -----------------------------------------------------------------------------------------------

    def processes(self, node: str) -> list[Process]:
        """Those of ours and of the job on a node that have the name of its script or its folder in their arguments."""
        marks = (self.mark, f"/{self.cluster.name}/{self.id}/")
        found = [(one, " ".join(one.arguments())) for one in self.cluster.processes_of(node)]
        return [one for one, words in found if any(mark in words for mark in marks)]

    def named(self, node: str, name: str) -> list[Process]:
        return [one for one in self.processes(node) if os.path.basename(one.executable()) == name]

    # ---- the end -----------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Has the job end by itself."""
        self.end_file.touch(mode=0o644)

    def finish(self, *, foreign: Sequence[str] = (), state: str = "COMPLETED", kept: bool = False) -> None:
        """Ends the job and checks all that it wrote, and that its contexts are gone, or `kept`."""
        folder = self.folder
        self.end()
        self.cluster.wait_for(self.id, state)
        self.verify(foreign=foreign)
        if folder.exists() != kept:
            raise AssertionError(f"{folder} is there" if not kept else f"{folder} is gone")

    def verify(self, *, foreign: Sequence[str] = (), ended: bool = True) -> None:
        """Every line once, in order, of one token; of ours only what matches `foreign`, each pattern at least once."""
        lines = self.text()
        shown = "\n".join([*lines[:5], "...", *lines[-20:]])
        ours = [line for line in lines if OURS.match(line)]
        own = [line for line in lines if not OURS.match(line) and not SLURMS_OWN.match(line)]
        begin = own[0].split() if own else []
        if len(begin) != 2 or begin[0] != "begin":
            raise AssertionError(f"does not begin with its token:\n{shown}")
        token = begin[1]
        expected = [f"begin {token}"]
        expected += [f"{number} {token}" for number in range(1, len(own) - (1 if ended else 0))]
        expected += [f"end {token}"] if ended else []
        for place, (line, right) in enumerate(zip(own, expected)):
            if line != right:
                raise AssertionError(f"line {place + 1} is '{line}' and should be '{right}':\n{shown}")
        if len(own) != len(expected) or len(own) < 3:
            raise AssertionError(f"{len(own)} lines:\n{shown}")
        unexpected = [line for line in ours if not any(re.search(pattern, line) for pattern in foreign)]
        if unexpected:
            raise AssertionError("unexpected words of ours:\n" + "\n".join(unexpected))
        for pattern in foreign:
            if not any(re.search(pattern, line) for line in ours):
                raise AssertionError(f"nothing says '{pattern}':\n{shown}")


class Task(Counter):
    """One task of an array whose script appends its number to the name of its end file."""

    def __init__(self, test: unittest.TestCase, array: Counter, number: int) -> None:
        self.cluster, self.mark, self.script = array.cluster, array.mark, array.script
        self.id = f"{array.id}_{number}"
        self.path = array.path.with_name(f"{array.path.name}.{number}")
        self.end_file = array.end_file.with_name(f"{array.end_file.name}.{number}")
        test.addCleanup(self.cancel)

    @property
    def folder(self) -> Path:
        """Slurm has a number of its own for each task, which its supervisor knows it by."""
        return super().folder.with_name(self.cluster.job(self.id)["JobId"])


def urgent(cluster: Cluster, *options: str) -> int:
    """A job that everything else has to make room for. It ends at once."""
    return cluster.sbatch("date +%s.%N", "-p", "high", *options)
