"""libcr's own requests, and the ways to come by libcr; test_libcr.py runs these too."""
from __future__ import annotations

import subprocess

import state
from cases import Tests, expect
from libcr_cases import PROGRAMS, events
from state import CODES, PREFIX, SUPPORT, Run

test = Tests(limit=60)


def play(run: Run, case: str, want: list[str]) -> state.Started:
    """Runs a case to where it is ready, which says that its requests are answered."""
    started = run.start(str(PROGRAMS / "requests"), case, str(run.outside / "context"))
    expect(events(run) == want, f"{events(run)}, not {want}")
    return started


def end(run: Run, started: state.Started, when: str) -> None:
    run.go()
    run.judge(started.process, when)
    run.reap_all()


def again(run: Run, started: state.Started, want: list[str]) -> None:
    """Restarts from the context that the program had made of itself."""
    (run.folder / "go").unlink()
    (run.folder / "ready").unlink()
    restarted = run.restart(run.outside / "context", started.inner)
    run.step = "waiting for the restarted program to be ready"
    expect(run.await_file(run.folder / "ready", restarted.process), "the restarted program ended early")
    expect(events(run) == want, f"restarted: {events(run)}, not {want}")
    end(run, restarted, "after the restart")


@test()
def request_of_oneself(run: Run) -> None:
    started = play(run, "self", ["+S", "-S=0", "taken 1"])
    size = (run.outside / "context").stat().st_size
    end(run, started, "after the checkpoint")
    again(run, started, ["+S", "-S=1", "restarted"])
    expect((run.outside / "context").stat().st_size == size, "the restart has cut its own context off")


@test()
def old_request(run: Run) -> None:
    started = play(run, "old", ["+S", "-S=0", "back"])
    end(run, started, "after the checkpoint")
    again(run, started, ["+S", "-S=1", "back"])


@test()
def old_request_without_a_name(run: Run) -> None:
    started = run.start(str(PROGRAMS / "requests"), "old", "")
    expect(events(run) == ["+S", "-S=0", "back"], f"{events(run)}")
    (run.folder / f"context.{started.inner}").rename(run.outside / "context")
    end(run, started, "after the checkpoint")


@test()
def request_of_another(run: Run) -> None:
    end(run, play(run, "other", ["done"]), "at the end")


@test()
def prohibited_self(run: Run) -> None:
    end(run, play(run, "prohibited", ["forward 0", "done"]), "at the end")


@test(where="plain")
def requested_restart(run: Run) -> None:
    end(run, play(run, "restart", ["restarted"]), "at the end")


# ---- ways to come by libcr -------------------------------------------------------------------------------------------


@test()
def interface(run: Run) -> None:
    end(run, run.start(str(PROGRAMS / "api")), "at the end")


def checkpoint_and_restart(run: Run, program: str, *arguments: str) -> None:
    started = run.start(str(PROGRAMS / program), *arguments)
    run.must_checkpoint(started, run.outside / "context", kill=False)
    while events(run) != ["0"]:
        run.step = "waiting for the callback"
    end(run, started, "after the checkpoint")
    (run.folder / "go").unlink()
    restarted = run.restart(run.outside / "context", started.inner)
    while events(run) != ["1"]:
        run.step = "waiting for the restarted callback"
    end(run, restarted, "after the restart")


@test()
def cplusplus(run: Run) -> None:
    checkpoint_and_restart(run, "cxx")


@test()
def loaded_later(run: Run) -> None:
    checkpoint_and_restart(run, "loaded", str(PREFIX / "lib" / "libcr.so.0"))


@test()
def marks_export_nothing(run: Run) -> None:
    for name in ("libcr_run", "libcr_omit"):
        command = ["nm", "-D", "--defined-only", str(PREFIX / "lib" / f"{name}.so.0")]
        symbols = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[2::3]
        expect(symbols == [f"{name[3:]}_link_me"], f"{name}: {symbols}")


def requires_libcr(run: Run, environment: dict[str, str]) -> int:
    started = run.start("blocked", "futex", environment=environment)
    command: list[object] = [SUPPORT / "quick_checkpoint", "--require-libcr", started.root, run.outside / "context"]
    if run.path == "commands":
        command = [PREFIX / "bin" / "cr_checkpoint", "--require-libcr", "-f", run.outside / "context", started.root]
    code = run.spawn(command).wait()
    end(run, started, "after the checkpoint")
    return code


@test()
def require_libcr_without(run: Run) -> None:
    expect(requires_libcr(run, {}) == CODES["ENOSUPPORT"], run.last_words())


@test(path="commands")
def require_libcr_without_by_command(run: Run) -> None:
    expect(requires_libcr(run, {}) == CODES["ENOSUPPORT"], run.last_words())


@test()
def require_libcr_with(run: Run) -> None:
    expect(requires_libcr(run, {"LD_PRELOAD": str(PREFIX / "lib" / "libcr_run.so.0")}) == 0, run.last_words())


@test()
def libcr_omit(run: Run) -> None:
    started = run.start("blocked", "futex", environment={"LD_PRELOAD": str(PREFIX / "lib" / "libcr_omit.so.0")})
    code = run.checkpoint(started, run.outside / "context", kill=False, scope="pid")
    expect(code == CODES["ESRCH"], f"{code}: {run.last_words()}")
    end(run, started, "after the refusal")
