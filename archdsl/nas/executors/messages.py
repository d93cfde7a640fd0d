"""What a driver and its workers tell each other: a line of JSON each, over two pipes.

The driver sends a job, then an answer to every report; the worker says when it is ready, how far it is, what
it found or why it failed, and when it is done.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from archdsl.nas.jobs import Failure, Job, Report


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has imported what it needs and waits for a job: its first, or another."""


@dataclass(frozen=True, slots=True)
class Progress:
    """So many epochs are done."""

    epoch: float


@dataclass(frozen=True, slots=True)
class Answer:
    """To a report: whether to go on."""

    go_on: bool


Message = Ready | Progress | Report | Failure | Job | Answer


def to_line(message: Message) -> bytes:
    """One line, newline included."""
    match message:
        case Ready():
            content: dict[str, Any] = {"ready": True}
        case Progress(epoch):
            content = {"progress": epoch}
        case Report():
            content = {"report": message.to_dict()}
        case Failure(kind, text, detail):
            content = {"failure": [kind, text, detail]}
        case Job():
            content = {"job": message.to_json()}
        case Answer(go_on):
            content = {"answer": go_on}
    return json.dumps(content).encode() + b"\n"


def from_line(line: bytes) -> Message:
    """The inverse of `to_line`.

    Raises:
        ValueError: where the line is no message.
    """
    match json.loads(line):
        case {"ready": True}:
            return Ready()
        case {"progress": int(epoch) | float(epoch)}:
            return Progress(epoch)
        case {"report": dict(report)}:
            return Report.from_dict(report)
        case {"failure": [str(kind), str(text), str(detail)]}:
            return Failure(kind, text, detail)
        case {"job": str(job)}:
            return Job.from_json(job)
        case {"answer": bool(go_on)}:
            return Answer(go_on)
    raise ValueError(f"no message: {line[:80]!r}")
