"""What a task is: the data an architecture is judged on, and how it is trained there.

Declared here without torch, so that a search driver can read a task, compare it and write it down; the
modules that train are imported when a run is started.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from archdsl.graph.architecture import Architecture

Progress = Callable[[float], None]
"""Called now and then while a run advances, with the epochs done so far, fractions included."""


class RunError(Exception):
    """A run can't go on, and running it again would not help. Its text is the reason, for users.

    Args:
        kind: `nan`, `memory`, `data` or `exception`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[type[RunError], tuple[str, str]]:
        return type(self), (self.kind, str(self))


@dataclass(frozen=True, slots=True)
class Epoch:
    """One row of a learning curve; further values by name, such as `train_loss` and `lr`."""

    epoch: int
    values: Mapping[str, float]


class Run(Protocol):
    """One architecture trained on one task from one seed. Deterministic: what it does depends on these alone,
    not on where it was interrupted and restored."""

    @property
    def epoch(self) -> int:
        """Epochs done."""
        ...

    @property
    def curve(self) -> tuple[Epoch, ...]:
        """A row for every epoch done."""
        ...

    def advance(self, epoch: int, progress: Progress | None = None) -> None:
        """Trains until so many epochs are done.

        Raises:
            RunError: where the loss is not finite, memory ran out, data can't be read.
        """
        ...

    def scores(self, split: str = "validation") -> dict[str, float]:
        """Names of `Task.scores` with their values, on the `validation` or the `test` split."""
        ...

    def measure(self, name: str, batch: int) -> float:
        """`latency` (seconds for a batch) or `throughput` (images a second), of inference on this device."""
        ...

    def save(self, path: Path) -> None:
        """Writes everything needed to go on, as one file, whole or not at all."""
        ...

    def restore(self, path: Path) -> None:
        """Goes on from what `save` wrote.

        Raises:
            RunError: where the file is not whole or of something else.
        """
        ...

    def save_weights(self, path: Path) -> None:
        """Writes the model's weights as safetensors, as `archdsl build --weights` reads them."""
        ...


class Task(BaseModel):
    """A task; subclasses add what their data and training need, as fields with defaults.

    The class of a task is found by its `name`: the file of that name in this package, or an entry point of
    the group `archdsl.tasks`. A `.search` file writes its fields as arguments,
    `digits(epochs = 20, lr = 1e-3)`; `train.lr in 1e-4 .. 3e-3 log` varies one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: ClassVar[str]
    """As written in a search."""
    scores: ClassVar[tuple[str, ...]] = ("accuracy",)
    """What `Run.scores` gives, best known first; each can be an objective."""

    epochs: int = 20

    @property
    def classes(self) -> int:
        """Length of the logits it needs."""
        raise NotImplementedError(f"the task `{self.name}` does not say how many classes it has")

    @property
    def channels(self) -> int:
        """Channels of its images."""
        return 3

    @property
    def images(self) -> tuple[int, int, int] | None:
        """How many images train, validate and test, where that is known without loading them."""
        return None

    def prepare(self) -> None:
        """Looks whether the data are there, before anything is trained on them; without torch.

        Raises:
            DiagnosticError: E506 for a package that is missing, E418 for data that can't be read.
        """

    def baselines(self) -> Mapping[str, float]:
        """Accuracy of simple methods on the same test images, by name; empty where there are none."""
        return {}

    def text(self) -> str:
        """The task as the language writes it: `epochs`, and the fields that differ from their defaults.
        Reading it gives an equal task; equal tasks have equal texts."""
        from archdsl.tasks.reading import to_text

        return to_text(self)

    def changed(self, changes: Mapping[str, object]) -> Task:
        """The task with other values for some fields: plain Python values, expressions of the language, or
        their text (a str).

        Raises:
            DiagnosticError: E404 for fields and values it does not take.
        """
        from archdsl.tasks.reading import changed

        return changed(self, changes)

    def start(self, architecture: Architecture, seed: int) -> Run:
        """A run that has not begun. Imports torch.

        Raises:
            RunError: where the data can't be read or the model does not fit the memory.
        """
        raise NotImplementedError(f"the task `{self.name}` can't be run")
