"""What loading a checkpoint did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A tensor whose checkpoint holds another shape or kind of numbers.

    Args:
        name: in the model.
        key: in the checkpoint.
        expected, found: shapes; the same where `reason` says what else differs.
        reason: what is wrong in words, where the shapes don't say it.
        pieces: how many of the model's tensors the one of the checkpoint holds, where it is more than one.
    """

    name: str
    key: str
    expected: tuple[int, ...]
    found: tuple[int, ...]
    reason: str = ""
    pieces: int = 1

    def __str__(self) -> str:
        if self.reason:
            return f"{self.name}: {self.reason}"
        ours, theirs = f"model {_shape(self.expected)}", _shape(self.found)
        if self.pieces > 1:
            return f"{self.name}: {ours}, as one of {self.pieces} in the checkpoint's {self.key}, {theirs}"
        return f"{self.name}: {ours}, checkpoint {theirs}"


@dataclass(frozen=True, slots=True)
class WeightsReport:
    """What came from where.

    Args:
        layout: name of the layout recognised.
        title: the layout in words.
        loaded: tensors of the model that were written.
        resized: position embeddings among them that were resized, with both grids.
        missing: tensors of the model that the checkpoint lacks.
        unexpected: keys of the checkpoint that the model has no place for.
        mismatched: tensors that don't fit.
        not_finite: tensors among the loaded ones that hold infinity or not-a-number in the model's type.
    """

    layout: str
    title: str
    loaded: tuple[str, ...]
    resized: tuple[tuple[str, tuple[int, int], tuple[int, int]], ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[Mismatch, ...] = ()
    not_finite: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every tensor of both sides was used."""
        return not (self.missing or self.unexpected or self.mismatched)

    def __str__(self) -> str:
        total = len(self.loaded) + len(self.missing) + len(self.mismatched)
        out = [f"{self.title}: {len(self.loaded)} of {total} tensors loaded"]
        out += [
            f"  {name} resized from {_shape(old)} to {_shape(new)} places" for name, old, new in self.resized
        ]
        if not self.complete:
            out.append("  the model keeps its own values where the checkpoint does not fit:")
            out += problems(self)
        out += _listed("warning: infinite or not a number", self.not_finite)
        return "\n".join(out)


def problems(report: WeightsReport) -> list[str]:
    """Lines on what did not fit, the first few of each kind."""
    out: list[str] = []
    for title, items in (
        ("of another shape", [str(m) for m in report.mismatched if not m.reason]),
        ("of another kind", [str(m) for m in report.mismatched if m.reason]),
        ("not in the checkpoint", list(report.missing)),
        ("without a place in the model", list(report.unexpected)),
    ):
        out += _listed(title, items)
    return out


def _listed(title: str, items: Sequence[str]) -> list[str]:
    """A line for each of the first few, and how many more there are."""
    out = [f"  {title}: {item}" for item in items[:_SHOWN]]
    return out if len(items) <= _SHOWN else [*out, f"  {title}: {len(items) - _SHOWN} more"]


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"
