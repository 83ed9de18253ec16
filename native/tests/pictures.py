"""What can be seen of processes and files from outside, to tell what a checkpoint or restart has left behind."""
from __future__ import annotations

import hashlib
import os
import pathlib
import re
import time

import state
from state import Failure, Run, Started


def picture(root: int, whole_tree: bool = True) -> dict[str, object]:
    """What a checkpoint could leave behind in a tree: maps, threads, descriptors, masks, stops, tracers."""
    seen: dict[str, object] = {}
    for pid in [root, *(state.descendants_of(root) if whole_tree else [])]:
        try:
            seen.update(picture_of(pid))
        except (FileNotFoundError, ProcessLookupError, PermissionError) as error:
            seen[f"{pid} changed while it was looked at"] = str(error)
    return seen


def picture_of(pid: int) -> dict[str, object]:
    place = pathlib.Path(f"/proc/{pid}")
    seen: dict[str, object] = {f"{pid} maps": (place / "maps").read_text()}
    seen[f"{pid} descriptors"] = {fd: os.readlink(place / "fd" / fd) for fd in sorted(os.listdir(place / "fd"))}
    for task in sorted(os.listdir(place / "task")):
        status = state.status_of(int(task))
        seen[f"{pid} thread {task} mask"] = status.get("SigBlk")
        seen[f"{pid} thread {task} tracer"] = status.get("TracerPid")
        seen[f"{pid} thread {task} stopped"] = status.get("State", "-")[0] in "tT"
    return seen


def differences(before: dict[str, object], after: dict[str, object]) -> list[str]:
    return [
        f"{key}: {before.get(key)!r:.300} became {after.get(key)!r:.300}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]


def check_unharmed(started: Started, before: dict[str, object], when: str, whole_tree: bool = True) -> None:
    """The program gets a moment: a handler of its own may be running, and what heals itself may be under way."""
    end = time.monotonic() + 5
    while found := differences(before, picture(started.root, whole_tree)):
        if time.monotonic() > end:
            raise Failure(f"{when}: " + "; ".join(found))
        time.sleep(0.005)


def steady_picture(started: Started) -> dict[str, object]:
    """A picture while no handler runs."""
    last = picture(started.root)
    while last != (now := picture(started.root)) or any(
        value not in ("0000000000000000", "0000000000002000") for key, value in now.items() if key.endswith("mask")
    ):
        last = now
    return last


def files_of(folder: pathlib.Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()
    } | {str(path): "folder" for path in folder.rglob("*") if path.is_dir()}


def said(run: Run, mark: int) -> str:
    """What was written to the log since mark, without our own notes."""
    text = (run.outside / "log").read_bytes()[mark:].decode(errors="replace")
    return "\n".join(line for line in text.splitlines() if not re.match(r"\[\d+\.\d+\]", line))


def log_mark(run: Run) -> int:
    return (run.outside / "log").stat().st_size
