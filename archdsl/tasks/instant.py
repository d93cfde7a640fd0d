"""A task that does nothing, at once: what a search over it takes is what the search itself costs.

`archdsl bench search` measures with it, and a search can be rehearsed on it. No torch.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from archdsl.tasks._base import Epoch, Progress, Run, RunError, Task

if TYPE_CHECKING:
    from archdsl.graph.architecture import Architecture


class Instant(Task):
    """Nothing is learned; an accuracy is drawn from the architecture's digest, the seed and the epoch."""

    name: ClassVar[str] = "instant"

    epochs: int = 1

    @property
    def classes(self) -> int:
        """Ten, as for the digits."""
        return 10

    @property
    def channels(self) -> int:
        """One, as for the digits."""
        return 1

    def start(self, architecture: Architecture, seed: int) -> Run:
        """A run that has not begun."""
        return InstantRun(architecture.digest(), seed)


@dataclass(slots=True)
class InstantRun:
    """A run of it. Its checkpoints say when it began, which is what a benchmark of starting up reads.

    Args:
        digest: of the architecture.
        seed: of the run.
        epoch: done so far.
        began: in seconds since 1970.
    """

    digest: str
    seed: int
    epoch: int = 0
    began: float = 0.0

    def __post_init__(self) -> None:
        self.began = time.time()

    @property
    def curve(self) -> tuple[Epoch, ...]:
        """Nothing but the accuracy."""
        return tuple(
            Epoch(e, {"accuracy": self._accuracy(e, "validation")}) for e in range(1, self.epoch + 1)
        )

    def advance(self, epoch: int, progress: Progress | None = None) -> None:
        """Counts."""
        self.epoch = max(self.epoch, epoch)
        if progress is not None:
            progress(float(self.epoch))

    def scores(self, split: str = "validation") -> dict[str, float]:
        """The accuracy that was drawn."""
        return {"accuracy": self._accuracy(self.epoch, split)}

    def measure(self, name: str, batch: int) -> float:
        """Nothing can be measured.

        Raises:
            RunError: always.
        """
        raise RunError("exception", f"`instant` builds no model, so that it has no {name}")

    def save(self, path: Path) -> None:
        """Writes a line of JSON."""
        whole = path.with_name(f".{path.name}.tmp")
        whole.write_text(json.dumps({"digest": self.digest, "epoch": self.epoch, "began": self.began}) + "\n")
        whole.replace(path)

    def restore(self, path: Path) -> None:
        """Goes on from there.

        Raises:
            RunError: where the file is of something else.
        """
        try:
            saved: Mapping[str, object] = json.loads(path.read_text(encoding="utf-8"))
            digest, epoch, began = saved["digest"], saved["epoch"], saved["began"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError("data", f"{path.name} is no checkpoint of this task") from error
        if digest != self.digest or not isinstance(epoch, int) or not isinstance(began, float):
            raise RunError("data", f"{path.name} is a checkpoint of something else")
        self.epoch, self.began = epoch, began

    def save_weights(self, path: Path) -> None:
        """Writes a file of no weights."""
        from safetensors.numpy import save_file

        save_file({}, path)

    def _accuracy(self, epoch: int, split: str) -> float:
        text = f"{self.digest} {self.seed} {epoch} {split}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) / 2**32
