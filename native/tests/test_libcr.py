#!/usr/bin/python3
"""Programs that take part in their own checkpoints: the rules of libcr's interface, one test for each.

A program (native/tests/libcr/programs) writes what happens to a log, line by line; the tests compare it with what
docs/libcr.md promises. Checkpoints and restarts are real ones.
"""
from __future__ import annotations

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import libcr_requests
import state
from cases import Tests, chosen, expect
from libcr_cases import PROGRAMS, await_events, await_file, await_line, checkpoint, events, good
from state import CODES, PREFIX, SUPPORT, Run, Started

CR_ETEMPFAIL, CR_EPERMFAIL, CR_EOMITTED = 2354, 2355, 2358

test = Tests(limit=20)


# ---- a program with callbacks ----------------------------------------------------------------------------------------


def start(run: Run, case: str, program: str = "callbacks", environment: dict[str, str] | None = None) -> Started:
    return run.start(str(PROGRAMS / program), case, environment=environment)


def finish(run: Run, started: Started, when: str) -> None:
    run.go()
    run.judge(started.process, when)
    run.reap_all()


def pids_of(context: pathlib.Path) -> list[int]:
    """The processes in a context."""
    said = subprocess.run([PREFIX / "bin" / "cr_info", "--json", context], capture_output=True, check=True)
    return [process["pid"] for process in json.loads(said.stdout)["processes"]]


def go_on(run: Run, case: str, want: list[str], lines: int | None = None, program: str = "callbacks") -> None:
    """A checkpoint after which the program goes on, its end, and then a restart from that context."""
    started = start(run, case, program)
    good(run, started)
    seen = await_events(run, len(want) if lines is None else lines)
    expect(seen == want, f"going on: {seen}, not {want}")
    finish(run, started, "after the checkpoint")
    restart(run, started, [line.replace("=0", "=1") for line in want])


def restart(run: Run, started: Started, want: list[str], *options: str, context: str = "context") -> None:
    (run.folder / "go").unlink()
    again = run.restart(run.outside / context, started.inner)
    seen = await_events(run, len(want))
    expect(seen == want, f"restarted: {seen}, not {want}")
    finish(run, again, "after the restart")


# ---- the order of callbacks ------------------------------------------------------------------------------------------


def check_order(seen: list[str], result: int) -> None:
    """Thread context before signal context, in each thread the last one first, and back in the opposite order."""
    thread = ["+T2", "+T1"]
    expect(seen[:2] == thread, f"thread-context callbacks do not come first: {seen}")
    main = [line for line in seen if line[1:3] in ("S1", "S2")]
    helper = [line for line in seen if line[1:3] in ("T1", "T2")]
    other = [line for line in seen if line[1:3] == "S3"]
    expect(main == ["+S2", "+S1", f"-S1={result}", f"-S2={result}"], f"first thread: {main}")
    expect(helper == ["+T2", "+T1", f"-T1={result}", f"-T2={result}"], f"helper: {helper}")
    expect(other == ["+S3", f"-S3={result}"], f"other thread: {other}")
    before = [line[0] for line in seen]
    expect(before == ["+"] * 5 + ["-"] * 5, f"the context was written before all were ready: {seen}")


@test()
def order(run: Run) -> None:
    started = start(run, "order")
    good(run, started)
    check_order(await_events(run, 10), 0)
    finish(run, started, "after the checkpoint")
    (run.folder / "go").unlink()
    again = run.restart(run.outside / "context", started.inner)
    check_order(await_events(run, 10), 1)
    finish(run, again, "after the restart")


@test(limit=40, path="commands")
def order_by_commands(run: Run) -> None:
    order(run)


@test()
def order_static(run: Run) -> None:
    started = start(run, "order", "callbacks_static")
    good(run, started)
    check_order(await_events(run, 10), 0)
    finish(run, started, "after the checkpoint")
    (run.folder / "go").unlink()
    again = run.restart(run.outside / "context", started.inner)
    check_order(await_events(run, 10), 1)
    finish(run, again, "after the restart")


@test()
def twice(run: Run) -> None:
    started = start(run, "order")
    for name in ("first", "second"):
        good(run, started, name)
    check_order(await_events(run, 20)[:10], 0)
    check_order(await_events(run, 20)[10:], 0)
    expect(checkpoint(run, started, "third", kill=True) == 0, run.last_words())
    run.await_death(started)
    again = run.restart(run.outside / "third", started.inner)
    expect(len(await_events(run, 30)) == 30, "events of the third")
    good(run, again, "fourth")
    check_order(await_events(run, 40)[30:], 0)
    finish(run, again, "after the fourth")


@test()
def implied_ready(run: Run) -> None:
    go_on(run, "implied", ["silent T1", "silent S2", "+S1", "-S1=0"])


@test()
def hooks(run: Run) -> None:
    for first, result in ((0, 0), (3, 1)):
        if not result:
            started = start(run, "hooks")
            good(run, started)
        else:
            (run.folder / "go").unlink()
            started = run.restart(run.outside / "context", started.inner)
        seen = await_events(run, 7)
        want = ["+T", "+S", f"-S={result}", f"-T={result}", f"hook {first}", f"hook {first + 1}", f"hook {first + 2}"]
        expect(sorted(seen) == sorted(want), f"{seen}, not {want}")
        expect(seen.index(f"-S={result}") < seen.index(f"hook {first}"), f"the hook came too early: {seen}")
        expect(seen.index(f"-T={result}") < seen.index(f"hook {first + 1}"), f"the hook came too early: {seen}")
        finish(run, started, "at the end")


@test()
def hold(run: Run) -> None:
    go_on_words(run, "hold", "held", "held")


@test()
def hold_none(run: Run) -> None:
    go_on_words(run, "hold_none", "ran", "ran")


@test()
def hold_restart(run: Run) -> None:
    go_on_words(run, "hold_restart", "ran", "held")


def go_on_words(run: Run, case: str, going_on: str, restarted: str) -> None:
    started = start(run, case)
    good(run, started)
    expect(await_events(run, 1) == [f"continue {going_on}"], f"{events(run)}")
    finish(run, started, "after the checkpoint")
    restart(run, started, [f"restart {restarted}"])


# ---- callbacks that refuse -------------------------------------------------------------------------------------------


@test()
def omit(run: Run) -> None:
    started = start(run, "omit")
    context = good(run, started)
    seen = await_events(run, 3)
    expect(sorted(seen) == sorted(["+parent", "-parent=0", f"refused {-CR_EOMITTED}"]), f"{seen}")
    expect(pids_of(context) == [started.inner], f"processes in the context: {pids_of(context)}")
    finish(run, started, "after the checkpoint")
    (run.folder / "go").unlink()
    again = run.restart(context, started.inner)
    run.go()
    expect("no child" in await_events(run, 3), "the restarted parent has the child that left itself out")
    run.judge(again.process, "after the restart")


@test()
def omit_all(run: Run) -> None:
    started = start(run, "omit_thread")
    expect(checkpoint(run, started) == CODES["ESRCH"], run.last_words())
    seen = await_events(run, 1)
    expect(seen == [f"refused {-CR_EOMITTED}"], f"callbacks that had not begun are skipped: {seen}")
    expect(not (run.outside / "context").exists(), "a context of nothing")
    finish(run, started, "after the refusal")


def refused(run: Run, case: str, status: int, code: int) -> None:
    started = start(run, case)
    expect(checkpoint(run, started) == status, f"not {status}: {run.last_words()}")
    await_line(run, f"refused {-code}")
    finish(run, started, "after the refusal")
    parent = [line for line in events(run) if "parent" in line]
    expect(parent in ([], ["+parent", f"-parent={-code}"]), f"the other process: {parent}")


@test()
def temporary_failure(run: Run) -> None:
    refused(run, "temp", CODES["ETEMPFAIL"], CR_ETEMPFAIL)


@test()
def temporary_failure_with_code(run: Run) -> None:
    refused(run, "temp_code", 77, 77)


@test()
def temporary_failure_in_thread(run: Run) -> None:
    started = start(run, "temp_thread")
    expect(checkpoint(run, started) == CODES["ETEMPFAIL"], run.last_words())
    seen = await_events(run, 1)
    expect(seen == [f"refused {-CR_ETEMPFAIL}"], f"{seen}")
    # It may change its mind: nothing is left of the request.
    expect(checkpoint(run, started, "again") == CODES["ETEMPFAIL"], run.last_words())
    finish(run, started, "after the refusals")


def killed(run: Run, case: str, status: int) -> None:
    started = start(run, case)
    expect(checkpoint(run, started) == status, f"not {status}: {run.last_words()}")
    run.await_death(started)


@test()
def permanent_failure(run: Run) -> None:
    killed(run, "perm", CODES["EPERMFAIL"])


@test()
def permanent_failure_with_code(run: Run) -> None:
    killed(run, "perm_code", 78)


@test()
def result_not_zero(run: Run) -> None:
    killed(run, "not_zero", CODES["EPERMFAIL"])


@test(limit=60, path="commands")
def codes_of_commands(run: Run) -> None:
    started = start(run, "temp_code")
    code = checkpoint(run, started)
    expect(code == 77, f"{code}: {run.last_words()}")
    finish(run, started, "after the refusal")


# ---- waiting, and no end of it ---------------------------------------------------------------------------------------


@test()
def critical_section(run: Run) -> None:
    started = start(run, "critical")
    good(run, started)
    seen = await_events(run, 5)
    expect(seen == ["pending", "inner left", "+T", "-T=0", "left"], f"{seen}")
    finish(run, started, "after the checkpoint")


@test()
def section_without_callbacks(run: Run) -> None:
    started = start(run, "section")
    context = good(run, started)
    seen = await_events(run, 2)
    expect(seen == ["leaving", "entered"], f"{seen}")
    finish(run, started, "after the checkpoint")
    (run.folder / "go").unlink()
    again = run.restart(context, started.inner)
    expect(await_events(run, 2) == ["leaving", "entered"], f"{events(run)}")
    finish(run, again, "after the restart")


def limited(run: Run, started: Started, ms: int) -> int:
    command = [SUPPORT / "quick_checkpoint", f"--timeout={ms}", started.root, run.outside / "context"]
    return run.spawn(command).wait()


@test()
def section_for_ever(run: Run) -> None:
    started = start(run, "section_for_ever")
    expect(limited(run, started, 500) == CODES["ETIMEDOUT"], run.last_words())
    expect("critical section" in run.last_words(), run.last_words())
    finish(run, started, "after the refusal")


def hang(run: Run, context: str) -> None:
    started = start(run, f"hang_{context}")
    expect(limited(run, started, 500) == CODES["ETIMEDOUT"], run.last_words())
    expect(f"{context}-context callbacks" in run.last_words(), run.last_words())
    expect(events(run) == ["hanging callback"], f"{events(run)}")
    # It is still in its callback, so nobody else can begin.
    expect(limited(run, started, 200) == CODES["ETIMEDOUT"], run.last_words())
    (run.folder / "enough").touch()
    seen = await_events(run, 2)
    expect(seen[1] in (f"late {-110}", f"late {-CR_ETEMPFAIL}"), f"{seen}")
    good(run, started)
    expect(await_events(run, 4)[2:] == ["hanging callback", "late 0"], f"{events(run)}")
    finish(run, started, "after the checkpoint")


@test()
def hanging_thread_callback(run: Run) -> None:
    hang(run, "thread")


@test()
def hanging_signal_callback(run: Run) -> None:
    hang(run, "signal")


def lose_checkpointer(run: Run, context: str) -> None:
    started = start(run, f"hang_{context}")
    checkpointer = run.spawn([SUPPORT / "quick_checkpoint", started.root, run.outside / "lost"])
    await_file(run, "mark.hanging")
    checkpointer.kill()
    checkpointer.wait()
    (run.folder / "enough").touch()
    begin = time.monotonic()
    await_file(run, "mark.late")
    expect(events(run)[1] == f"late {-CR_ETEMPFAIL}", f"{events(run)}")
    expect(time.monotonic() - begin < 25, "it waited too long for its lost checkpointer")
    good(run, started)
    expect(await_events(run, 4)[3] == "late 0", f"{events(run)}")
    finish(run, started, "after the next checkpoint")


@test(limit=60)
def lost_checkpointer_thread(run: Run) -> None:
    lose_checkpointer(run, "thread")


@test(limit=60)
def lost_checkpointer_signal(run: Run) -> None:
    lose_checkpointer(run, "signal")


@test(limit=90)
def checkpointer_killed_anywhere(run: Run) -> None:
    """-9 at many moments of the rounds: the program goes on, and a later checkpoint works."""
    started = start(run, "order")
    for number in range(12):
        checkpointer = run.spawn([SUPPORT / "quick_checkpoint", started.root, run.outside / f"lost.{number}"])
        time.sleep(0.0007 * number)
        checkpointer.kill()
        checkpointer.wait()
        code = checkpoint(run, started, f"context.{number}")
        expect(code in (0, CODES["ETIMEDOUT"]), f"{code}: {run.last_words()}")
    good(run, started, "last")
    finish(run, started, "after all checkpoints")


@test(limit=60)
def nonsense_in_the_block(run: Run) -> None:
    """Whatever a program writes into its control block, the checkpointer comes to an end and the program lives."""
    for kind in ("wild", "sane"):
        started = run.start(str(PROGRAMS / "hostile"), kind, "1" if kind == "wild" else "7")
        codes = []
        for number in range(6):
            begin = time.monotonic()
            command = [SUPPORT / "quick_checkpoint", "--timeout=400", "--scope=pid", started.root]
            codes.append(run.spawn([*command, run.outside / f"{kind}.{number}"]).wait())
            expect(codes[-1] >= 0, f"the checkpointer died of signal {-codes[-1]}")
            expect(time.monotonic() - begin < 5, "it did not come to an end")
            if codes[-1] == CODES["EPERMFAIL"]:
                break
        run.note(f"{kind}: {codes}")
        if CODES["EPERMFAIL"] in codes or state.status_of(started.root) == {}:
            started.process.wait()  # it wished to be killed
        else:
            finish(run, started, "after the nonsense")
        (run.folder / "go").unlink(missing_ok=True)
        (run.folder / "ready").unlink()


# ---- signals ---------------------------------------------------------------------------------------------------------


@test()
def masked_and_handled(run: Run) -> None:
    started = start(run, "signum")
    good(run, started)
    seen = await_events(run, 4)
    expect(sorted(seen) == sorted(["+S", "+masked", "-S=0", "-masked=0"]), f"{seen}")
    finish(run, started, "after the checkpoint")
    (run.folder / "go").unlink()
    again = run.restart(run.outside / "context", started.inner)
    seen = await_events(run, 4)
    expect(sorted(seen) == sorted(["+S", "+masked", "-S=1", "-masked=1"]), f"{seen}")
    finish(run, again, "after the restart")


@test()
def ignored(run: Run) -> None:
    started = start(run, "signum_ignored")
    good(run, started)
    expect(len(await_events(run, 4)) == 4, f"{events(run)}")
    finish(run, started, "after the checkpoint")


def signalled(run: Run, started: Started, name: str, number: int) -> int:
    context = run.outside / name
    return run.spawn([SUPPORT / "quick_checkpoint", f"--signal={number}", started.root, context]).wait()


@test()
def signal_after_callbacks(run: Run) -> None:
    started = start(run, "signal")
    expect(signalled(run, started, "context", signal.SIGTERM) == 0, run.last_words())
    seen = await_events(run, 2)
    expect(seen[0].startswith("continue") and seen[1] == "signal 15", f"{seen}")
    finish(run, started, "after the signal")


@test()
def kill_after_callbacks(run: Run) -> None:
    started = start(run, "signal")
    expect(signalled(run, started, "context", signal.SIGKILL) == 0, run.last_words())
    run.await_death(started)
    expect(events(run)[0].startswith("continue"), "it was killed before its callbacks were through")
    # The same with the signal of a restart.
    command = run.restart_command(run.outside / "context", f"--signal={int(signal.SIGTERM)}")
    process = run.spawn(command, cwd="/", start_new_session=True)
    seen = await_events(run, 2)
    expect(seen[0].startswith("restart") and seen[1] == "signal 15", f"{seen}")
    run.go()
    run.judge(process, "after the restart")


@test()
def kill_of_a_hanging_callback(run: Run) -> None:
    """A callback that never ends after the checkpoint does not keep a job from being killed."""
    started = start(run, "", "endless")
    context = run.outside / "context"
    command = [SUPPORT / "quick_checkpoint", "--timeout=1000", "--signal=9", started.root, context]
    expect(run.spawn(command).wait() == 0, run.last_words())
    run.await_death(started)


@test()
def stopped_program(run: Run) -> None:
    started = start(run, "order")
    os.kill(started.root, signal.SIGSTOP)
    expect(checkpoint(run, started) == CODES["EAGAIN"], run.last_words())
    os.kill(started.root, signal.SIGCONT)
    good(run, started, "again")
    finish(run, started, "after the checkpoint")


# ---- the rest of the interface ---------------------------------------------------------------------------------------


@test()
def info(run: Run) -> None:
    go_on_info(run, "to context by somebody for me scope 3 signal 0", "from context by somebody")


@test(limit=40, path="commands")
def info_by_commands(run: Run) -> None:
    go_on_info(run, "to context by somebody for me scope 3 signal 0", "from context by somebody")


def go_on_info(run: Run, to: str, source: str) -> None:
    started = start(run, "info")
    good(run, started)
    expect(await_events(run, 1) == [to], f"{events(run)}")
    finish(run, started, "after the checkpoint")
    restart(run, started, [to, source])


@test()
def replace(run: Run) -> None:
    started = start(run, "replace")
    good(run, started)
    expect(await_events(run, 3) == ["+once", "+new", "-new=0"], f"{events(run)}")
    good(run, started, "second")
    expect(await_events(run, 7)[3:] == ["+second", "+new", "-new=0", "-second=0"], f"{events(run)}")
    finish(run, started, "after the checkpoints")


@test()
def forward(run: Run) -> None:
    started = start(run, "forward")
    context = good(run, started, scope="pid")
    seen = await_events(run, 4)
    expect(sorted(seen) == sorted(["+forwarder", "+companion", "-forwarder=0", "-companion=0"]), f"{seen}")
    expect([line[0] for line in seen] == ["+", "+", "-", "-"], f"they were not taken together: {seen}")
    expect(len(pids_of(context)) == 2, f"{pids_of(context)}")
    finish(run, started, "after the checkpoint")
    (run.folder / "go").unlink()
    again = run.restart(context, started.inner)
    seen = await_events(run, 4)
    expect(sorted(seen) == sorted(["+forwarder", "+companion", "-forwarder=1", "-companion=1"]), f"{seen}")
    finish(run, again, "after the restart")


@test()
def forked_child(run: Run) -> None:
    started = start(run, "fork")
    good(run, started)
    seen = await_events(run, 4)
    expect(sorted(seen) == sorted(["+thread", "+parent", "-parent=0", "-thread=0"]), f"{seen}")
    finish(run, started, "after the checkpoint")


@test(where="current")
def new_pids(run: Run) -> None:
    """With other pids the thread for callbacks has another number; the next checkpoint needs it."""
    started = start(run, "order")
    expect(checkpoint(run, started, kill=True) == 0, run.last_words())
    run.await_death(started)
    running = run.outside / "running"
    options = ["--no-restore-pid", f"--run-on-success=touch '{running}'"]
    process = run.spawn(run.restart_command(run.outside / "context", *options), cwd="/", start_new_session=True)
    expect(run.await_file(running, process), f"restart: {run.last_words()}")
    check_order(await_events(run, 10), 1)
    again = Started(process, state.children_of(process.pid)[0], started.inner)
    expect(again.root != started.root, "it has the old pid")
    good(run, again, "second")
    check_order(await_events(run, 20)[10:], 0)
    finish(run, again, "after the second checkpoint")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("test", nargs="*", help="only these, with * and ?")
    state.add_options(parser)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_options(parser)
    options = parser.parse_args()
    if options.user is not None:
        state.become_user(options.user)
    tasks = chosen([*test.tasks, *libcr_requests.test.tasks], options.test)
    return state.run_all(tasks, options)


if __name__ == "__main__":
    sys.exit(main())
