#!/usr/bin/python3
"""Standard streams that are files which the user of the processes may not open, as when root started them with one."""
from __future__ import annotations

import argparse
import os
import pathlib
import sys

import state
from state import CODES, Failure, Run, Started, Task

USER = 1012


def start(run: Run, log: pathlib.Path) -> tuple[Started, list[object]]:
    """The program of an ordinary user, whose standard output only root can open."""
    for folder in (run.outside.parent, run.outside, run.folder):
        folder.chmod(0o755)
    os.chown(run.folder, USER, USER)
    become: list[object] = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--"]
    with open(log, "wb") as out, open(run.outside / "err", "ab") as err:
        log.chmod(0o600)
        command = [*become, state.PROGRAMS / "fd_streams"]
        process = run.spawn(command, cwd=run.folder, stdout=out, stderr=err, start_new_session=True)
    if not run.await_file(run.folder / "ready", process):
        raise Failure(f"the program ended before it was ready: {run.words('err')}")
    return Started(process, process.pid, process.pid), become


def killed(run: Run, log: pathlib.Path) -> tuple[Started, list[object], pathlib.Path]:
    started, become = start(run, log)
    context = run.folder / "context"
    code = run.spawn([*become, state.SUPPORT / "quick_checkpoint", "--signal=9", started.root, context]).wait()
    if code != 0:
        raise Failure(f"the checkpoint ended with {state.describe_status(code)}: {run.last_words()}")
    said = " ".join(run.words("log"))
    if f"process {started.root} holds descriptor 1, {log}, which this user cannot open" not in said:
        raise Failure(f"no warning of the standard output: {said}")
    run.await_death(started)
    return started, become, context


def same_file(run: Run) -> str:
    """cr_restart has the same file there: it is used, and nothing is written over."""
    log = run.outside / "output"
    started, become, context = killed(run, log)
    with open(log, "ab") as out:
        out.write(b"between\n")
        out.flush()
        with open(run.outside / "err", "ab") as err:
            process = run.spawn([*become, *run.restart_command(context)], cwd=run.folder, stdout=out, stderr=err)
    run.go()
    run.judge(process, "after the restart")
    text = log.read_text()
    if text != "before\nbetween\nafter\n":
        raise Failure(f"the output is {text!r}")
    if "cr_restart's own standard stream" not in " ".join(run.words("err")):
        raise Failure("no note of the standard output")
    return ""


def other_file(run: Run) -> str:
    """It has another one: refused by name, and nothing is left."""
    log = run.outside / "output"
    (run.outside / "err").touch()
    os.chown(run.outside / "err", USER, USER)
    started, become, context = killed(run, log)
    other = run.outside / "other"
    with open(other, "wb") as out:
        code = run.spawn([*become, *run.restart_command(context)], cwd=run.folder, stdout=out).wait()
    said = run.last_words()
    if code != CODES["EACCES"] or str(log) not in said:
        raise Failure(f"the restart ended with {state.describe_status(code)}: {said}")
    if log.read_text() != "before\n" or other.read_text():
        raise Failure("a file has changed")
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("test", nargs="*", help="only these")
    state.add_options(parser)
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("only root can start programs with files that their user may not open")
        return state.SKIPPED
    tasks = [Task("same_file", same_file, 20, "plain"), Task("other_file", other_file, 20, "plain")]
    return state.run_all([t for t in tasks if not options.test or t.label in options.test], options)


if __name__ == "__main__":
    sys.exit(main())
