"""Processes as /proc has them: who descends from whom, and signals that never hit another one with the same pid."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

GONE = (FileNotFoundError, ProcessLookupError)
KILL_LIMIT_S = 60.0
POLL_S = 0.02


def fields_of(pid: int) -> Optional[list[str]]:
    """The fields of /proc/PID/stat from the state on; None if the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except GONE:
        return None
    return text.rsplit(")", 1)[1].split()


def state_of(pid: int) -> str:
    """The letter of the state, "" if the process is gone."""
    fields = fields_of(pid)
    return fields[0] if fields else ""


def alive(pid: int) -> bool:
    """A zombie has ended; who reaps it, and when, is not our business."""
    return state_of(pid) not in ("", "Z", "X")


@dataclass(frozen=True)
class Process:
    """A pid together with the time of its start, which no later process of that pid has."""

    pid: int
    started: str

    @staticmethod
    def of(pid: int) -> Optional[Process]:
        fields = fields_of(pid)
        return Process(pid, fields[19]) if fields else None

    def alive(self) -> bool:
        fields = fields_of(self.pid)
        return fields is not None and fields[19] == self.started and fields[0] not in ("Z", "X")

    def signal(self, number: signal.Signals) -> None:
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.alive():
                signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(descriptor)

    def executable(self) -> str:
        try:
            return os.readlink(f"/proc/{self.pid}/exe")
        except OSError:
            return ""

    def arguments(self) -> list[str]:
        try:
            text = Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except GONE:
            return []
        return [os.fsdecode(word) for word in text.split(b"\0")[:-1]]

    def __str__(self) -> str:
        return f"{self.pid} ({' '.join(self.arguments()) or self.executable() or state_of(self.pid)})"


def children(pid: int) -> list[int]:
    """Children of all threads, the eldest first."""
    found: list[int] = []
    try:
        lists = [Path(f"/proc/{pid}/task/{thread}/children") for thread in os.listdir(f"/proc/{pid}/task")]
    except GONE:
        return found
    for of_thread in lists:
        try:
            found += [int(word) for word in of_thread.read_text(encoding="ascii").split()]
        except GONE:
            continue
    return found


def descendants(pid: int) -> list[Process]:
    """All below pid, in the order of the tree's levels; the process itself is not among them."""
    found: list[Process] = []
    level = children(pid)
    while level:
        found += [process for process in map(Process.of, level) if process is not None]
        level = [grandchild for child in level for grandchild in children(child)]
    return found


def kill_all(keeper: int) -> None:
    """SIGKILL for all below a keeper, again until nothing is left: one that forks meanwhile does not escape."""
    end = time.monotonic() + KILL_LIMIT_S
    while True:
        left = [process for process in descendants(keeper) if process.alive()]
        if not left:
            return
        for process in left:
            process.signal(signal.SIGKILL)
        if time.monotonic() > end:
            raise TimeoutError("still there after SIGKILL: " + ", ".join(map(str, left)))
        time.sleep(POLL_S)
