"""A run without a model: its scores follow from the architecture's digest, the seed and the epoch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from archdsl.graph.architecture import Architecture
from archdsl.tasks import Epoch, Progress, RunError


def chance(*parts: object) -> float:
    """A number in 0 .. 1 that looks random and depends on nothing but the parts."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


class ArithmeticRun:
    """Learns by a formula: accuracy rises with the epochs to a value of its own.

    Args:
        architecture: what is judged.
        seed: of the run.
        pull: a number that shifts where accuracy ends, such as a varied learning rate.
        each: called before an epoch with its number; may sleep or fail.
    """

    def __init__(
        self, architecture: Architecture, seed: int, pull: float, each: Callable[[int, Progress | None], None]
    ) -> None:
        self.architecture, self.seed, self.pull, self.each = architecture, seed, pull, each
        self.identity = hashlib.sha256(f"{architecture.digest()} {seed} {pull!r}".encode()).hexdigest()
        self.rows: list[Epoch] = []

    @property
    def epoch(self) -> int:
        return len(self.rows)

    @property
    def curve(self) -> tuple[Epoch, ...]:
        return tuple(self.rows)

    def advance(self, epoch: int, progress: Progress | None = None) -> None:
        while self.epoch < epoch:
            number = self.epoch + 1
            self.each(number, progress)
            self.rows.append(Epoch(number, {"train_loss": 2.0 / number, "accuracy": self._accuracy(number)}))
            if progress is not None:
                progress(float(number))

    def _accuracy(self, epoch: int) -> float:
        last = 0.5 + 0.4 * chance(self.architecture.digest(), self.pull) + 0.05 * chance(self.identity)
        return last * (1 - 0.5**epoch)

    def scores(self, split: str = "validation") -> dict[str, float]:
        return {"accuracy": self._accuracy(self.epoch) - (0.01 if split == "test" else 0.0)}

    def measure(self, name: str, batch: int) -> float:
        seconds = batch * self.architecture.cost().params * 1e-12
        return seconds if name == "latency" else batch / seconds

    def save(self, path: Path) -> None:
        state = {"of": self.identity, "rows": [[r.epoch, dict(r.values)] for r in self.rows]}
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(state), encoding="utf-8")
        temporary.replace(path)

    def restore(self, path: Path) -> None:
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            of, rows = state["of"], [Epoch(int(e), dict(v)) for e, v in state["rows"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError("data", f"{path} is not whole") from error
        if of != self.identity:
            raise RunError("data", f"{path} is of another run")
        self.rows = rows

    def save_weights(self, path: Path) -> None:
        """An empty safetensors file: eight bytes of length, then a header without tensors."""
        path.write_bytes((2).to_bytes(8, "little") + b"{}")
