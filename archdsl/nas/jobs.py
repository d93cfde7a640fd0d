"""What goes between a driver and whoever evaluates: plain data, JSON as it is, no pickles."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Job:
    """One evaluation: an architecture trained from some seeds, reported at some epochs.

    Args:
        id: unique in the study and good for a folder's name: `trial-17`, `claim-0-1-left`, `winner`.
        arch: canonical `.arch` text, image and classes included.
        task: text of the task, `digits(epochs = 20, lr = 0.001)`.
        seeds: one run each; a report holds means over them.
        rungs: epochs at which it reports, rising; after the last report it is over.
        measures: metrics and batches to be measured beside the scores, `("latency", 64)`.
        split: what the last report's scores are taken on; all others are taken on `validation`.
        folder: absolute, where its checkpoints lie (`seed-0.ckpt`, ...).
        seconds: time limit, None for none.
        memory: limit in bytes for the process that evaluates, None for none.
    """

    id: str
    arch: str
    task: str
    seeds: tuple[int, ...]
    rungs: tuple[int, ...]
    measures: tuple[tuple[str, int], ...]
    folder: str
    split: str = "validation"
    seconds: float | None = None
    memory: int | None = None

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """The inverse of `to_json`."""
        d: dict[str, Any] = json.loads(text)
        return cls(
            d["id"], d["arch"], d["task"], tuple(d["seeds"]), tuple(d["rungs"]),
            tuple((str(m), int(b)) for m, b in d["measures"]), d["folder"], d["split"],
            d["seconds"], d["memory"],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """What was found at a rung.

    Args:
        epoch: the rung.
        values: means over the seeds by name: scores, and measures as `Objective.text` writes them.
        seeds: the scores of every seed, in the order of `Job.seeds`.
        curve: the mean learning curve since the last report: rows of `epoch` and further values.
        seconds: time spent on this rung by whoever evaluated.
    """

    epoch: int
    values: dict[str, float]
    seeds: list[dict[str, float]] = field(default_factory=list)
    curve: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> Report:
        """The inverse of `to_dict`."""
        return cls(int(d["epoch"]), d["values"], d["seeds"], d["curve"], float(d["seconds"]))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job has no value.

    Args:
        kind: `nan`, `exception`, `memory`, `time`, `data`, or `killed` (its process died more than once).
        message: one line for users.
        detail: a traceback for the log, or nothing.
    """

    kind: str
    message: str
    detail: str = ""
