"""What a search evaluates architectures on: data sets, training, latency.

A task is found by name: a file of this package, or an entry point of the group `archdsl.tasks` that points
at a `Task` subclass. Importing this package imports no torch.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points

from archdsl.tasks._base import Epoch, Progress, Run, RunError, Task
from archdsl.tasks.reading import read_task

__all__ = ["Epoch", "Progress", "Run", "RunError", "Task", "find", "names", "read_task"]

GROUP = "archdsl.tasks"
BUILTIN = ("digits", "imagefolder", "instant")


@lru_cache(maxsize=1)
def _foreign() -> frozenset[str]:
    return frozenset(e.name for e in entry_points(group=GROUP))


def names() -> frozenset[str]:
    """Names of all tasks, installed extensions included."""
    return frozenset(BUILTIN) | _foreign()


@lru_cache(maxsize=64)
def find(name: str) -> type[Task] | None:
    """The task of that name, or None."""
    if name in BUILTIN:
        for value in vars(import_module(f"{__name__}.{name}")).values():
            if isinstance(value, type) and issubclass(value, Task) and getattr(value, "name", None) == name:
                return value
    for entry in entry_points(group=GROUP, name=name):
        loaded = entry.load()
        if isinstance(loaded, type) and issubclass(loaded, Task):
            return loaded
    return None
