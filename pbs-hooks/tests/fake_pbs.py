"""Stands for the module that PBS gives to hooks, as far as caesura.py uses it; docs/pbs.md has what it cannot tell."""

from __future__ import annotations

import importlib.util
import pathlib
import sys
import types
from typing import Any

QUEUEJOB, MODIFYJOB, EXECJOB_LAUNCH, EXECJOB_PRETERM = 1, 2, 4, 8
EXECJOB_EPILOGUE, EXECJOB_END, EXECJOB_ABORT, EXECHOST_PERIODIC = 16, 32, 64, 128


class UnsetAttributeNameError(Exception):
    """What PBS raises for an attribute that is not set, in some events."""


class UnsetResourceNameError(Exception):
    """The same for a resource."""


class Rejected(SystemExit):
    """reject() and accept() leave the hook this way, as in PBS."""


class Resources(dict[str, Any]):
    """A resource that nobody asked for is None, as in PBS."""

    def __missing__(self, key: str) -> None:
        return None


class Job:
    """A job with the attributes given; the others are None."""

    def __init__(self, **attributes: Any) -> None:
        self.id = "7.server"
        self.Resource_List = Resources()
        self.Variable_List: dict[str, str] = {}
        self.reruns = 0
        self.is_first = True
        self.__dict__.update(attributes)

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)
        return None

    def rerun(self) -> None:
        self.reruns += 1

    def in_ms_mom(self) -> bool:
        return self.is_first


class Event:
    """An event; what the hook made of it is in accepted and rejected."""

    def __init__(self, kind: int, job: Job | None = None, **attributes: Any) -> None:
        self.type = kind
        self.job = job
        self.requestor = "nobody-here"
        self.rejected: str | None = None
        self.accepted = False
        self.env: dict[str, str] = {}
        self.__dict__.update(attributes)

    def accept(self) -> None:
        self.accepted = True
        raise Rejected(0)

    def reject(self, message: str) -> None:
        self.rejected = message
        raise Rejected(0)


def load(event: Event | None = None, config: str | None = None) -> Any:
    """caesura.py with a module pbs that hands out this event."""
    module: Any = types.ModuleType("pbs")
    for name, value in globals().items():
        if name.isupper() or name.startswith("Unset"):
            setattr(module, name, value)
    module.logged = []
    module.EVENT_ERROR = module.EVENT_JOB = 0
    module.logmsg = lambda level, text: module.logged.append(text)
    module.event = lambda: event
    module.checkpoint = str
    module.hold_types = str
    module.hook_config_filename = config
    sys.modules["pbs"] = module
    return load_file("caesura.py", "caesura")


def load_file(name: str, module_name: str) -> Any:
    """A file of pbs-hooks as a module."""
    path = pathlib.Path(__file__).parent.parent / name
    loader = importlib.machinery.SourceFileLoader(module_name, str(path))
    spec = importlib.util.spec_from_loader(module_name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module
