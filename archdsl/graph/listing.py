"""Architectures of one file, each counted, beside what is published of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from archdsl.graph.architecture import Architecture
from archdsl.graph.comparison import Comparison
from archdsl.graph.cost import Cost
from archdsl.graph.elaboration.files import Unit
from archdsl.graph.published import Figures, Published, read_published
from archdsl.lang import tree as t

_SENTENCE = re.compile(r".+?[.?!](?=\s|$)")


@dataclass(frozen=True, slots=True)
class Listed:
    """An architecture with its cost.

    Args:
        architecture: checked.
        cost: of one image.
        published: its published figures beside the cost; None where there are none.
    """

    architecture: Architecture
    cost: Cost
    published: Comparison | None = None


@dataclass(slots=True)
class Papers:
    """What is published of the architectures in sight of a file; each file of figures is read once.

    Args:
        unit: the file.
    """

    unit: Unit
    _read: dict[Path, Published] = field(default_factory=dict)

    def figures(self, arch: str) -> Figures | None:
        """The published figures of an architecture, or of one that is only another name for it; else None.

        Raises:
            DiagnosticError: as `read_published`.
        """
        found = self.unit.arch(arch)
        if found is None or found[1].path is None:
            return None
        unit, path = found[1], found[1].path
        if path not in self._read:
            shown = Path(unit.source.name)
            self._read[path] = read_published(shown if shown.resolve() == path else path, tuple(unit.arches))
        published = self._read[path]
        if arch in published.rows:
            return published.of(arch)
        same = [name for name in published.rows if _meant(unit, name) == _meant(unit, arch)]
        return published.of(same[0]) if same else None


def _meant(unit: Unit, arch: str) -> str:
    """The architecture that a variant without arguments is another name for: `arch mila_t = mila()`."""
    seen: set[str] = set()
    while arch not in seen:
        seen.add(arch)
        tree = unit.arches.get(arch)
        call = tree.call if isinstance(tree, t.VariantDef) else None
        callee = call.callee if isinstance(call, t.Call) and not call.arguments else call
        if isinstance(callee, t.Name):
            arch = callee.id
    return arch


def about(unit: Unit) -> str:
    """The first sentence of the comment that a file begins with; '' where it begins with none."""
    lines: list[str] = []
    for line in unit.source.text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("#").strip())
    text = " ".join(lines)
    sentence = _SENTENCE.match(text)
    return sentence[0].rstrip(".") if sentence else text


def numbered(rows: Iterable[Listed]) -> dict[str, int]:
    """The notes on published figures, each once, with their numbers from 1 in the order of the rows."""
    notes = dict.fromkeys(row.published.note for row in rows if row.published and row.published.note)
    return {note: number for number, note in enumerate(notes, 1)}
