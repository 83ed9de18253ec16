#!/usr/bin/python3
"""Restarts contexts as if they came from another kernel: with a vdso whose code is not this kernel's."""
from __future__ import annotations

import argparse
import pathlib
import struct
import sys

import context_file
import state
from state import CODES, Failure, Run, Started, Task

PT_DYNAMIC, DT_STRTAB, DT_SYMTAB = 2, 5, 6
BREAKPOINT = 0xCC


def function_offsets(image: bytes) -> list[int]:
    """Where the functions of a vdso begin."""
    (program_headers,) = struct.unpack_from("<Q", image, 32)
    (count,) = struct.unpack_from("<H", image, 56)
    dynamic = {}
    for i in range(count):
        kind, _, offset = struct.unpack_from("<IIQ", image, program_headers + i * 56)
        while kind == PT_DYNAMIC and struct.unpack_from("<Q", image, offset)[0]:
            tag, value = struct.unpack_from("<QQ", image, offset)
            dynamic[tag] = value
            offset += 16
    symbols = range(dynamic[DT_SYMTAB] + 24, dynamic[DT_STRTAB], 24)
    entries = [struct.unpack_from("<IBBHQQ", image, at) for at in symbols]
    return sorted({value for _, info, _, section, value, _ in entries if info & 15 == 2 and section})


def with_other_vdso(data: bytes) -> bytes:
    """Every function of every vdso in it consists of breakpoints, so that none can be run by mistake."""
    found = 0
    for section in context_file.sections(data):
        if section.kind != "pages":
            continue
        (at,) = struct.unpack_from("<I", data, section.payload + 4)
        image = data[section.payload + at : section.payload + section.length]
        if not image.startswith(b"\x7fELF") or b"linux-vdso.so.1\0" not in image:
            continue
        copy = bytearray(data)
        functions = function_offsets(image)
        # Between functions there is nothing but code.
        for start, end in zip(functions, functions[1:] + [functions[-1] + 32]):
            for offset in range(start, end):
                copy[section.payload + at + offset] = BREAKPOINT
        data = context_file.with_checksums(bytes(copy), section)
        found += 1
    if not found:
        raise Failure("the context has no vdso")
    return data


def killed(run: Run, program: str, *arguments: str) -> tuple[Started, pathlib.Path]:
    started = run.start(program, *arguments)
    context = run.outside / "context"
    run.must_checkpoint(started, context, kill=True)
    return started, context


def generations(program: str, *arguments: str) -> Task:
    def body(run: Run) -> str:
        """From another kernel, from this one after that, and from another one again."""
        started = run.start(program, *arguments)
        for generation in range(4):
            context = run.outside / f"context.{generation}"
            run.must_checkpoint(started, context, kill=True)
            if generation % 2 == 0:
                context.write_bytes(with_other_vdso(context.read_bytes()))
            started = run.restart(context, started.inner)
        run.go()
        run.judge(started.process, "after four restarts")
        return ""

    return Task("_".join((program, *arguments)), body, 60)


def pattern(seed: int, size: int) -> bytes:
    """What fill() of victim.h writes."""

    def mix(x: int) -> int:
        for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            x = (x ^ x >> 33) * factor & (1 << 64) - 1
        return x ^ x >> 33

    return b"".join(struct.pack("<Q", mix(seed * 1000003 + at)) for at in range(size // 8))


def droppable(run: Run) -> str:
    """What getrandom() of the vdso keeps its state in: not in a context, or two restarts give the same numbers."""
    started, context = killed(run, "mem_droppable")
    if pattern(4711, 64) in context.read_bytes():
        raise Failure("the context holds droppable memory")
    started = run.restart(context, started.inner)
    run.go()
    run.judge(started.process, "after the restart")
    return ""


def interrupted(run: Run) -> str:
    """A handler that would go on in the middle of the old vdso: refused, and on the same kernel it does go on."""
    started, context = killed(run, "vdso_other", "handler")
    code = run.spawn(run.restart_command(context)).wait()
    words = run.last_words()
    if code != CODES["EUNSUPPORTED"] or "interrupted in the middle" not in words:
        raise Failure(f"the restart ended with {state.describe_status(code)}: {words}")
    return ""


def interrupted_same(run: Run) -> str:
    """What was interrupted elsewhere goes on, though a handler runs."""
    started, context = killed(run, "sig_nested")
    context.write_bytes(with_other_vdso(context.read_bytes()))
    started = run.restart(context, started.inner)
    run.go()
    run.judge(started.process, "after the restart")
    return ""


def tasks() -> list[Task]:
    programs = (("vdso",), ("threads",), ("mixed",), ("proc_place", "plain"), ("blocked", "nanosleep"), ("proc_ids",))
    return [
        *(generations(*words) for words in programs),
        Task("interrupted", interrupted, 20),
        Task("droppable", droppable, 20),
        Task("interrupted_elsewhere", interrupted_same, 20),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("test", nargs="*", help="only these")
    state.add_options(parser)
    options = parser.parse_args()
    if options.user is not None:
        state.become_user(options.user)
    return state.run_all([t for t in tasks() if not options.test or t.label in options.test], options)


if __name__ == "__main__":
    sys.exit(main())
