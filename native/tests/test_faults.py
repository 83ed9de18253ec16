#!/usr/bin/python3
"""What goes wrong in a checkpoint or a restart ends with its own exit code, with a message, and without damage.

After a failed checkpoint the program runs on as if there had been none; after a failed restart there is no process and
no changed file. Each test prints one line.
"""
from __future__ import annotations

import argparse
import ctypes
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import typing

import context_file
import state
from cases import Tests, chosen, expect
from pictures import check_unharmed, differences, files_of, log_mark, said, steady_picture
from state import CODES, PREFIX, SUPPORT, Failure, Run, Skip, Started, Task

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
STRANGER = 4343  # a uid that owns nothing
KILLS = 150  # how many of the system calls of a checkpoint are tried, at even distances; all with --every

test = Tests(limit=20)
every = False


def command(run: Run, arguments: list[object], codes: typing.Collection[int], *words: str) -> str:
    """Runs a command that has to fail with one of the codes and to say these words (regular expressions)."""
    mark = log_mark(run)
    code = run.spawn(arguments).wait()
    text = said(run, mark)
    expect(code in codes, f"{state.describe_status(code)}, not {sorted(codes)}: {text[-500:]}")
    for word in words:
        expect(re.search(word, text) is not None, f"nothing about {word!r} in: {text[-500:]}")
    return text


def quick(target: object, context: object, *options: str) -> list[object]:
    return [SUPPORT / "quick_checkpoint", *options, target, context]


def finish(run: Run, started: Started, when: str) -> None:
    run.go()
    run.judge(started.process, when)
    run.reap_all()


# ---- checkpoints that fail -------------------------------------------------------------------------------------------


@test()
def no_such_pid(run: Run) -> str:
    gone = subprocess.Popen(["true"])
    gone.wait()
    command(run, quick(gone.pid, run.outside / "context"), [CODES["ESRCH"]], str(gone.pid))
    command(run, [PREFIX / "bin" / "cr_checkpoint", "-f", run.outside / "context", gone.pid], [CODES["ESRCH"]])
    expect(not (run.outside / "context").exists(), "there is a context")
    return ""


@test()
def not_permitted(run: Run) -> str:
    if os.geteuid() != 0:
        raise Skip("needs root, to be two users")
    started = run.start("mixed")
    before = steady_picture(started)
    stranger = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups", "--"]
    command(run, [*stranger, *quick(started.root, "/dev/null/x")], [CODES["EPERM"]], str(started.root))
    check_unharmed(started, before, "after the refusal")
    finish(run, started, "after the refusal")
    return ""


def block_in_write(run: Run, started: Started) -> tuple[subprocess.Popen[bytes], int]:
    """A checkpoint into a pipe that nobody reads: when the pipe is full, the scope stays frozen."""
    read_end, write_end = os.pipe()
    process = run.spawn(quick(started.root, "-"), stdout=write_end)
    os.close(write_end)
    poll = select.poll()
    poll.register(read_end, select.POLLIN)
    poll.poll()
    while state.status_of(started.root).get("State", "-")[0] != "t":
        time.sleep(0.001)
    return process, read_end


def drain(fd: int) -> None:
    while os.read(fd, 1 << 20):
        pass
    os.close(fd)


@test()
def dies_while_frozen(run: Run) -> str:
    """A child of the tree is killed; its parent has to see that, and nothing else."""
    started = run.start("mixed")
    (child,) = state.children_of(started.root)
    before = steady_picture(started)
    mark = log_mark(run)
    process, fd = block_in_write(run, started)
    os.kill(child, signal.SIGKILL)
    drain(fd)
    code = process.wait()
    expect(code == CODES["ESRCH"], f"the checkpoint ended with {code}: {said(run, mark)[-500:]}")
    expect(str(child) in said(run, mark), f"nothing about {child} in: {said(run, mark)[-500:]}")
    mine = {key: value for key, value in before.items() if key.startswith(f"{started.root} ")}
    check_unharmed(started, mine, "after the death", whole_tree=False)
    run.go()
    code = started.process.wait()
    expect(code == 1 and "ended with 0x9" in "".join(run.words("err")), f"the program: {state.describe_status(code)}")
    run.reap_all()
    return ""


@test()
def root_dies_while_frozen(run: Run) -> str:
    started = run.start("mem_heap")
    process, fd = block_in_write(run, started)
    os.kill(started.root, signal.SIGKILL)
    drain(fd)
    code = process.wait()
    run.await_death(started)
    # The context may have been complete in the pipe already.
    expect(code in (0, CODES["ESRCH"]), f"the checkpoint ended with {code}: {run.last_words()}")
    return ""


@test()
def two_at_once(run: Run) -> str:
    """BLCR's EBUSY for the second, also for cr_checkpoint; the first is complete all the same."""
    started = run.start("mixed")
    first, read_end = block_in_write(run, started)
    busy = [CODES["EBUSY"]]
    command(run, quick(started.root, run.outside / "second"), busy, "another checkpoint", str(first.pid))
    command(run, [PREFIX / "bin" / "cr_checkpoint", "-f", run.outside / "second", started.root], busy)
    expect(not (run.outside / "second").exists(), "there is a second context")
    drain(read_end)
    expect(first.wait() == 0, f"the first checkpoint ended with {first.returncode}")
    finish(run, started, "after both")
    return ""


@test()
def requester_gone(run: Run) -> str:
    """The reader of a streamed context goes away."""
    started = run.start("mem_heap")
    before = steady_picture(started)
    process, fd = block_in_write(run, started)
    os.close(fd)
    code = process.wait()
    # Like any program that writes to a pipe without a reader.
    expect(code in (-signal.SIGPIPE, CODES["EIO"], 32), f"the checkpoint ended with {code}: {run.last_words()}")
    check_unharmed(started, before, "after the end of the reader")
    finish(run, started, "after the end of the reader")
    return f"the checkpoint ended with {state.describe_status(code)}"


def unsupported(kind: str) -> typing.Callable[[Run], str]:
    def body(run: Run) -> str:
        started = run.start("unsupported", kind)
        before = steady_picture(started)
        pid = f"(process|pid) ({started.root}|{started.inner})"
        for options in (("--timeout=5000",), ("--check",)):
            arguments = quick(started.root, run.outside / "context", *options)
            command(run, arguments, [CODES["EUNSUPPORTED"]], pid, r"\b7\b")
        expect(not (run.outside / "context").exists(), "there is a context")
        check_unharmed(started, before, "after the refusal")
        finish(run, started, "after the refusal")
        return ""

    return body


@test()
def outside_pipe(run: Run) -> str:
    """A pipe that leads out of the scope becomes standard input of the restarter, and that is said."""
    started = run.start("unsupported", "outside_pipe")
    mark = log_mark(run)
    run.must_checkpoint(started, run.outside / "context", kill=False)
    text = said(run, mark)
    expect(re.search(rf"{started.inner}\b.*\b7\b.*pipe", text) is not None, f"no warning in: {text}")
    finish(run, started, "after the checkpoint")
    return ""


def small_file_system(run: Run, options: str) -> pathlib.Path:
    """A tmpfs that only this runner and what it starts can see."""
    uid, gid = os.geteuid(), os.getegid()
    if state.libc.unshare(CLONE_NEWNS | (CLONE_NEWUSER if uid else 0)) != 0:
        raise Skip(f"no mount namespace: {os.strerror(ctypes.get_errno())}")
    if uid:
        pathlib.Path("/proc/self/setgroups").write_text("deny")
        pathlib.Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        pathlib.Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    small = run.outside / "small"
    small.mkdir()
    if state.libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        raise Skip(f"mounts cannot be private: {os.strerror(ctypes.get_errno())}")
    if state.libc.mount(b"small", bytes(small), b"tmpfs", 0, options.encode()) != 0:
        raise Skip(f"no tmpfs with {options}: {os.strerror(ctypes.get_errno())}")
    return small


def full(run: Run, options: str, code: int) -> str:
    """The first context fits, a second one beside it does not."""
    small = small_file_system(run, options)
    started = run.start("mixed")
    before = steady_picture(started)
    run.must_checkpoint(started, small / "context", kill=False)
    old = files_of(small)
    command(run, quick(started.root, small / "second"), [code])
    expect(files_of(small) == old, f"the folder holds {sorted(files_of(small))}")
    for policy in ("--atomic", "--backup"):
        arguments = [PREFIX / "bin" / "cr_checkpoint", policy, "-f", small / "context", started.root]
        command(run, arguments, [code])
        expect(files_of(small) == old, f"{policy}: the folder holds {sorted(files_of(small))}")
    check_unharmed(started, before, "after the file system was full")
    finish(run, started, "after the file system was full")
    return ""


@test(40)
def disk_full(run: Run) -> str:
    return full(run, "size=12m", CODES["ENOSPC"])


@test()
def quota(run: Run) -> str:
    """Few file systems of a test machine have quotas, so the error comes from strace, after some of the writes."""
    if not shutil.which("strace"):
        raise Skip("no strace")
    started = run.start("mixed")
    before = steady_picture(started)
    context = run.outside / "context"
    inject = "inject=write,writev,pwrite64,pwritev,pwritev2,fallocate:error=EDQUOT:when=4+"
    strace = ["strace", "-f", "-o", run.outside / "strace", "-P", context, "-e", inject]
    command(run, [*strace, *quick(started.root, context)], [CODES["EDQUOT"]])
    expect(not context.exists(), "half a context is left")
    check_unharmed(started, before, "after the quota was used up")
    finish(run, started, "after the quota was used up")
    return ""


@test(150)
def killed_at_every_call(run: Run) -> str:
    """SIGKILL at the beginning of one system call of the checkpoint after the other."""
    started = run.start("mixed")
    before = steady_picture(started)
    context = run.outside / "context"
    counted = subprocess.run(
        [str(word) for word in (SUPPORT / "kill_at", 0, *quick(started.root, context))], capture_output=True, check=True
    )
    ended = re.search(rb"ended 0 after (\d+) calls", counted.stdout)
    if not ended:
        raise Failure(f"the checkpoint itself: {counted.stdout!r} {counted.stderr[-500:]!r}")
    calls = int(ended[1])
    context.unlink()
    numbers = range(1, calls + 1) if every or calls <= KILLS else sorted({1 + i * calls // KILLS for i in range(KILLS)})
    for number in numbers:
        run.step = f"kill at call {number} of {calls}"
        run.spawn([SUPPORT / "kill_at", number, *quick(started.root, context)]).wait()
        check_unharmed(started, before, run.step)
        context.unlink(missing_ok=True)
    run.must_checkpoint(started, context, kill=False)
    finish(run, started, "after the kills")
    return f"{len(numbers)} of {calls} calls"


@test(150)
def commands_killed(run: Run) -> str:
    """SIGKILL at many moments to cr_checkpoint or to its engine."""
    started = run.start("mixed")
    before = steady_picture(started)
    context = run.outside / "context"
    arguments: list[object] = [PREFIX / "bin" / "cr_checkpoint", "-f", context, started.root]
    begin = time.monotonic()
    expect(run.spawn(arguments).wait() == 0, f"the checkpoint itself: {run.last_words()}")
    whole = time.monotonic() - begin
    moments = 10
    for moment in range(moments):
        run.step = f"kill at moment {moment}"
        process = run.spawn(arguments)
        # The moment is what is tested; there is nothing to wait for.
        time.sleep(whole * moment / moments)
        engines = state.children_of(process.pid)
        pidfds = [os.pidfd_open(pid) for pid in engines]
        try:
            os.kill(engines[0] if moment % 2 and engines else process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        for pidfd in pidfds:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            expect(bool(poll.poll(15000)), f"{run.step}: the engine goes on")
            os.close(pidfd)
        check_unharmed(started, before, run.step)
        command(run, [PREFIX / "bin" / "cr_info", context], [0])
    finish(run, started, "after the kills")
    return f"{moments} moments of {whole:.2f} s"


# ---- restarts that fail ----------------------------------------------------------------------------------------------


def killed(run: Run, program: str, *arguments: str) -> tuple[Started, pathlib.Path]:
    started = run.start(program, *arguments)
    context = run.outside / "context"
    run.must_checkpoint(started, context, kill=True)
    return started, context


def must_fail(run: Run, context: pathlib.Path, codes: typing.Collection[int], *words: str) -> None:
    """A restart that fails leaves no process and changes no file."""
    before = files_of(run.folder)
    text = command(run, run.restart_command(context), codes, *words)
    expect(bool(text.strip()), "no message")
    left = state.descendants_of(os.getpid())
    expect(not left, f"processes are left: {left}")
    found = differences(dict(before), dict(files_of(run.folder)))
    expect(not found, f"files have changed: {found}")


def must_succeed(run: Run, context: pathlib.Path, started: Started) -> None:
    again = run.restart(context, started.inner)
    finish(run, again, "after the restart")


def damaged(run: Run, data: bytes, name: str, codes: typing.Collection[int], *words: str) -> None:
    path = run.outside / "damaged"
    path.write_bytes(data)
    path.chmod(0o600)
    run.step = name
    try:
        must_fail(run, path, codes, *words)
    except Failure as failure:
        raise Failure(f"{name}: {failure}") from failure


@test(60)
def truncated(run: Run) -> str:
    started, context = killed(run, "fd_locks", "posix")
    data = context.read_bytes()
    borders = [s.at for s in context_file.sections(data)]
    lengths = {0, 1, 63, 64, 65, len(data) - 1, len(data) // 2, len(data) // 3}
    lengths |= {border + more for border in borders[:20] + borders[-5:] for more in (0, 1, 31, 33)}
    for length in sorted(n for n in lengths if n < len(data)):
        codes = [CODES["ETRUNCATED"]] if length >= 64 else [CODES["ETRUNCATED"], CODES["EFORMAT"]]
        damaged(run, data[:length], f"{length} of {len(data)} bytes", codes)
    must_succeed(run, context, started)
    return f"{len(lengths)} lengths"


@test(60)
def flipped_bits(run: Run) -> str:
    started, context = killed(run, "fd_locks", "posix")
    data = context.read_bytes()
    bad = [CODES["ECORRUPT"]]
    places = 0
    for at in range(0, context_file.HEADER.size, 3):
        codes = [*bad, CODES["EFORMAT"]] if at < 8 else bad
        damaged(run, context_file.flipped(data, at, at % 8), f"byte {at} of the header", codes)
        places += 1
    seen: dict[str, int] = {}
    for section in context_file.sections(data):
        seen[section.kind] = seen.get(section.kind, 0) + 1
        if seen[section.kind] > 2:
            continue
        inside = [section.payload, section.payload + section.length // 2, section.payload + section.length - 1]
        for at in [*range(section.at, section.payload, 5), *(inside if section.length else [])]:
            damaged(run, context_file.flipped(data, at, at % 8), f"{section.kind}, byte {at - section.at}", bad)
            places += 1
    damaged(run, data + b"more", "bytes after the end", bad + [CODES["EFORMAT"]])
    must_succeed(run, context, started)
    return f"{places} places in {', '.join(sorted(seen))}"


@test()
def wrong_version(run: Run) -> str:
    started, context = killed(run, "proc_ids")
    data = context.read_bytes()
    damaged(run, context_file.with_header(data, context_file.VERSION_AT, 77), "version 77", [CODES["EFORMAT"]], "77")
    damaged(run, b"#!/bin/sh\necho not a context\n" * 100, "a script", [CODES["EFORMAT"]])
    must_succeed(run, context, started)
    return ""


@test()
def other_architecture(run: Run) -> str:
    started, context = killed(run, "proc_ids")
    data = context_file.with_header(context.read_bytes(), context_file.MACHINE_AT, 183)  # EM_AARCH64
    damaged(run, data, "an ARM machine", [CODES["EBADARCH"]])
    must_succeed(run, context, started)
    return ""


@test()
def missing_processor_feature(run: Run) -> str:
    started, context = killed(run, "proc_ids")
    data = context_file.with_processor_features(context.read_bytes(), 1 << 62)
    damaged(run, data, "a feature of no processor", [CODES["ECPU"]])
    must_succeed(run, context, started)
    return ""


def change_build_id(path: pathlib.Path) -> None:
    """Another file in its place that differs in the build id only."""
    data = bytearray(path.read_bytes())
    at = data.find(b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0")
    expect(at >= 0, f"{path} has no build id")
    data[at + 20] ^= 0xFF
    new = path.with_suffix(".new")
    new.write_bytes(data)
    new.chmod(0o755)
    new.rename(path)


def own_copy(run: Run) -> tuple[Started, pathlib.Path, pathlib.Path, pathlib.Path]:
    """A victim with an executable and a C library of its own, killed after its checkpoint."""
    library = re.search(r"libc\.so\.6 => (\S+)", subprocess.check_output(["ldd", state.PROGRAMS / "mixed"], text=True))
    if not library:
        raise Skip("no C library to copy")
    program = run.outside / "program"
    own_library = run.outside / "lib" / "libc.so.6"
    own_library.parent.mkdir()
    shutil.copy(state.PROGRAMS / "mixed", program)
    shutil.copy(library[1], own_library)
    started = run.start(str(program), environment={"LD_LIBRARY_PATH": str(own_library.parent)})
    expect(str(own_library) in pathlib.Path(f"/proc/{started.root}/maps").read_text(), "the library is another one")
    context = run.outside / "context"
    run.must_checkpoint(started, context, kill=True)
    return started, context, program, own_library


@test()
def changed_executable(run: Run) -> str:
    started, context, program, _ = own_copy(run)
    kept = program.with_suffix(".kept")
    os.link(program, kept)
    change_build_id(program)
    must_fail(run, context, [CODES["EFILECHANGED"]], str(program))
    kept.replace(program)
    must_succeed(run, context, started)
    return ""


@test()
def changed_library(run: Run) -> str:
    started, context, _, library = own_copy(run)
    kept = library.with_suffix(".kept")
    os.link(library, kept)
    change_build_id(library)
    must_fail(run, context, [CODES["EFILECHANGED"]], str(library))
    kept.replace(library)
    must_succeed(run, context, started)
    return ""


@test()
def missing_file(run: Run) -> str:
    started, context, program, library = own_copy(run)
    for path in (program, library):
        away = path.with_suffix(".away")
        path.rename(away)
        must_fail(run, context, [CODES["ENOENT"]], str(path))
        away.rename(path)
    must_fail(run, run.outside / "no context", [CODES["ENOENT"]], "no context")
    must_succeed(run, context, started)
    return ""


@test()
def missing_data_file(run: Run) -> str:
    """A file that was open is part of the context."""
    started, context = killed(run, "fd_many")
    (run.folder / "file7").unlink()
    must_succeed(run, context, started)
    return ""


@test()
def pid_taken(run: Run) -> str:
    if os.geteuid() != 0:
        raise Skip("needs root, to restart without a namespace")
    run.where = "current"
    started, context = killed(run, "proc_ids")
    read_end, write_end = os.pipe()
    last_pid = pathlib.Path("/proc/sys/kernel/ns_last_pid")
    now = last_pid.read_text()
    last_pid.write_text(str(started.inner - 1))
    pid = os.fork()
    if pid == 0:
        os.close(write_end)
        os.read(read_end, 1)
        os._exit(0)
    # What we start from here on must not take the next ones.
    last_pid.write_text(now)
    if pid != started.inner:
        os.close(write_end)
        os.waitpid(pid, 0)
        raise Skip(f"somebody else got pid {started.inner}")
    before = files_of(run.folder)
    command(run, run.restart_command(context), [CODES["EBUSY"]], str(started.inner))
    expect(state.descendants_of(os.getpid()) == [pid], "processes are left")
    expect(files_of(run.folder) == before, "files have changed")
    os.close(write_end)
    os.waitpid(pid, 0)
    must_succeed(run, context, started)
    return ""


@test()
def untrusted(run: Run) -> str:
    started, context = killed(run, "proc_ids")
    run.path = "commands"
    for mode in (0o620, 0o602):
        context.chmod(mode)
        must_fail(run, context, [CODES["EUNTRUSTED"]], str(context))
    context.chmod(0o400)
    must_succeed(run, context, started)
    return ""


@test()
def not_readable(run: Run) -> str:
    if os.geteuid() != 0:
        raise Skip("needs root, to be two users")
    started, context = killed(run, "proc_ids")
    for folder in (run.outside, run.outside.parent):
        folder.chmod(0o755)
    stranger = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups", "--"]
    command(run, [*stranger, *run.restart_command(context)], [CODES["EACCES"]], str(context))
    must_succeed(run, context, started)
    return ""


@test(60)
def commands_refuse(run: Run) -> str:
    """The same codes come out of cr_restart."""
    started, context = killed(run, "proc_ids")
    data = context.read_bytes()
    run.path = "commands"
    damaged(run, data[: len(data) // 2], "half of it", [CODES["ETRUNCATED"]])
    damaged(run, context_file.flipped(data, len(data) - 200), "a flipped bit", [CODES["ECORRUPT"]])
    damaged(run, context_file.with_header(data, context_file.VERSION_AT, 77), "version 77", [CODES["EFORMAT"]])
    must_succeed(run, context, started)
    return ""


# ---- main ------------------------------------------------------------------------------------------------------------


def tasks() -> list[Task]:
    found = list(test.tasks)
    kinds = re.search(r"^ \* Cases: (.*)$", (state.SOURCES / "unsupported.c").read_text(), re.M)
    for kind in kinds[1].split() if kinds else []:
        found.append(Task(f"unsupported_{kind}", unsupported(kind), 20))
    return found


def main() -> int:
    global every
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("test", nargs="*", help="only these, with * and ?")
    parser.add_argument("--every", action="store_true", help="kill at every system call (takes many minutes)")
    state.add_options(parser)
    options = parser.parse_args()
    if options.user is not None:
        state.become_user(options.user)
    every = options.every
    if every:
        options.slow *= 60
    return state.run_all(chosen(tasks(), options.test), options)


if __name__ == "__main__":
    sys.exit(main())
