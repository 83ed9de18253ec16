"""Tests that are functions of a run: how a file lists them, and how those are found that were asked for."""
from __future__ import annotations

import fnmatch
import typing

from state import Failure, Run, Task

Body = typing.Callable[[Run], typing.Optional[str]]
Test = typing.TypeVar("Test", bound=Body)


class Tests:
    """The tests of a file, in its order."""

    def __init__(self, limit: float) -> None:
        self.tasks: list[Task] = []
        self.limit = limit

    def __call__(
        self, limit: float | None = None, where: str = "job", path: str = "quick"
    ) -> typing.Callable[[Test], Test]:
        def add(function: Test) -> Test:
            self.tasks.append(Task(function.__name__, body_of(function), limit or self.limit, where, path))
            return function

        return add


def body_of(function: Body) -> typing.Callable[[Run], str]:
    def body(run: Run) -> str:
        return function(run) or ""

    return body


def expect(condition: bool, what: str) -> None:
    if not condition:
        raise Failure(what)


def chosen(tasks: typing.Iterable[Task], words: typing.Sequence[str]) -> list[Task]:
    """Those whose names match one of the words, which may have * and ?; all without any."""
    return [task for task in tasks if not words or any(fnmatch.fnmatch(task.label, word) for word in words)]
