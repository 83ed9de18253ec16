"""An installation of Caesura whose programs only say what they were told; real are the plugin and slurm-job-state."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Optional

TOP = Path(__file__).resolve().parent.parent.parent
PLUGIN = Path("lib/slurm/spank_caesura.so")
JOB_STATE = Path("libexec/caesura/slurm-job-state")
MARK = "CR_RUN "

# As the real one: takes its own variables away, says whose job it is, and runs the program.
CR_RUN = """#!/usr/bin/python3
import json, os, sys
if sys.argv[1:] == ["--version"]:
    sys.exit(0)
print("CR_RUN " + json.dumps({"argv": sys.argv, "env": dict(os.environ), "uid": os.geteuid()}), flush=True)
program = os.environ["CAESURA_PROGRAM"]
for name in ("SCHEDULER", "PROGRAM", "SPEC", "KEY", "RESIDENT", "WARNING", "LIMIT"):
    del os.environ["CAESURA_" + name]
os.environ["CAESURA_JOB"] = "slurm:" + os.environ["SLURM_JOB_ID"]
os.execvp(program, [program, *sys.argv[1:]])
"""

CR_JOB = """#!/bin/bash
printf '%s\\n' "$*" >> "${0%/bin/*}/asked"
case $3 in
    bad*)
        echo "cr_job: there is no policy $3" >&2
        echo "cr_job: hint: these are there: default" >&2
        exit 208 ;;
    broken) echo "cr_job: no Java 17 or newer found" >&2; exit 211 ;;
    babble) echo "hello" ;;
    timer*) echo "resident=1 warning=0" ;;
    *) echo "resident=0 warning=90 later=1" ;;
esac
"""


@dataclass(frozen=True)
class Wrapped:
    """A task that became cr_run: how it was called, and its environment."""

    argv: list[str]
    env: dict[str, str]
    uid: int


class FakeTree:
    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="caesura-plugin-", dir=os.environ.get("CAESURA_TEST_FOLDER", "/tmp")))
        self.path.chmod(0o755)
        built = Path(os.environ.get("CAESURA_PREFIX", TOP / "build" / "prefix"))
        for part in (PLUGIN, JOB_STATE):
            (self.path / part).parent.mkdir(parents=True)
            shutil.copy(built / part, self.path / part)
        self.plugin = self.path / PLUGIN
        (self.path / "bin").mkdir()
        self.asked = self.path / "asked"
        self.asked.touch()
        self.asked.chmod(0o666)
        self.repair()

    def __enter__(self) -> FakeTree:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        (self.path / "bin").chmod(0o755)
        shutil.rmtree(self.path)

    def program(self, name: str, text: str, mode: int = 0o755) -> Path:
        path = self.path / "bin" / name
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    def repair(self) -> None:
        """Everything as it should be."""
        (self.path / "bin").chmod(0o755)
        self.cr_run = self.program("cr_run", CR_RUN)
        self.program("cr_job", CR_JOB)

    def questions(self) -> list[str]:
        """The command lines that cr_job got since the last call."""
        lines = self.asked.read_text(encoding="utf-8").splitlines()
        self.asked.write_text("", encoding="utf-8")
        return lines


def wrapped(text: str) -> list[Wrapped]:
    """What cr_run wrote, in the order of the runs."""
    return [Wrapped(**json.loads(line[len(MARK) :])) for line in text.splitlines() if line.startswith(MARK)]


def plain(text: str) -> list[str]:
    """What the jobs and the plugin wrote. srun may tell that it had to wait for the step before."""
    talk = (MARK, "srun: Job ", "srun: Step created")
    return [line for line in text.splitlines() if not line.startswith(talk)]
