"""What a variation of a base counts, put together from stretches that many variations have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from archdsl.diagnostics import Diagnostic, DiagnosticError
from archdsl.features import Feature
from archdsl.graph.architecture import Architecture
from archdsl.graph.variation import Base, Change
from archdsl.graph.walk import BLOCKS, MAX_BLOCKS, MAX_NODES, MAX_PARAMETERS, Opening, Section, Walk
from archdsl.lang import to_text
from archdsl.lang import tree as t
from archdsl.nas.forms import terms
from archdsl.nas.trial_key import trial_key
from archdsl.tasks import Task

KEPT = 20_000
"""Mistakes, walks, openings and texts that are remembered, of each so many."""

SHORT = 4
"""Terms of a sum that is remembered as a whole: longer ones are seldom met again."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What can be told of an architecture without building all of it.

    Args:
        params: exact.
        macs: exact, for one image.
        training: tells its `archdsl.graph.digest.training_digest`.
    """

    params: int
    macs: int
    training: Callable[[], str]


@dataclass(slots=True, eq=False)
class BuiltOnce:
    """See `archdsl.nas.space.Built`.

    Args:
        base: what is varied.
        places: with their values.
        counted: what that counts.
        task: that trains it.
        seeds: of its runs.
    """

    base: Base
    places: Sequence[Change]
    counted: Counted
    task: Task
    seeds: Sequence[int]
    _key: str = ""
    _architecture: Architecture | None = None

    @property
    def key(self) -> str:
        """Of what is trained and how."""
        if not self._key:
            self._key = trial_key(self.counted.training(), self.task, self.seeds)
        return self._key

    @property
    def architecture(self) -> Architecture:
        """Checked."""
        if self._architecture is None:
            self._architecture = self.base.at(self.places)
        return self._architecture


class _OddError(Exception):
    """Raised for a variation that can't be put together from stretches."""


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The blocks of a stage, with what they count together with all else in the stage."""

    sections: Sequence[Section]
    count: int
    params: int
    macs: int
    operators: int

    @classmethod
    def of(cls, opening: Opening, sections: Sequence[Section]) -> _Blocks:
        around = [s for s in (opening.downsample, opening.feature_norm) if s is not None]
        count = params = macs = operators = 0
        for section in sections:
            count += len(section.nodes)
        for section in (*sections, *around):
            params += section.params
            macs += section.macs.total
            operators += section.operators
        return cls(sections, count, params, macs, operators)


_TIGHT = (t.Name, t.Call, t.Constant, t.Parens, t.Repeat, t.Index)
"""What needs no parentheses in a sum."""


@dataclass(slots=True)
class Assembly:
    """Counts variations of a base.

    Args:
        base: what is varied.
    """

    base: Base
    _reason: str | None = field(init=False)
    _stages: dict[int, tuple[t.Path, str | None]] = field(default_factory=dict)
    _texts: dict[int, tuple[t.Expr, str]] = field(default_factory=dict)
    _walks: dict[tuple[str | None, ...], Walk] = field(default_factory=dict)
    _openings: dict[object, Opening] = field(default_factory=dict)
    _blocks: dict[tuple[Opening, int], tuple[t.Expr, _Blocks]] = field(default_factory=dict)
    _wrong: dict[tuple[str, ...], tuple[Diagnostic, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._reason = self.base.factors()

    def count(self, places: Sequence[Change], all_mistakes: bool = True) -> Counted:
        """What the architecture with these values in its places counts.

        Args:
            places: with their values.
            all_mistakes: whether all that is wrong is to be told, or the first mistake from the stem on will
                do, which is found much faster.

        Raises:
            DiagnosticError: with what does not fit.
        """
        if self._reason is None:
            try:
                return self._walked(places)
            except DiagnosticError:
                if not all_mistakes:
                    raise
            except _OddError:
                pass
        key = tuple(f"{path} = {self.text(value)}" for path, value in places)
        wrong = self._wrong.get(key)
        if wrong is None:
            try:
                whole = self.base.count(self.base.at(places))
                return Counted(whole.cost.params, whole.cost.macs.total, lambda: whole.training)
            except DiagnosticError as error:
                _make_room(self._wrong)
                wrong = self._wrong[key] = error.diagnostics
        raise DiagnosticError(*wrong)

    def text(self, value: t.Expr) -> str:
        """The canonical text of a value."""
        known = self._texts.get(id(value))
        if known is not None:
            return known[1]
        parts = terms(value)
        if len(parts) > 1 and all(isinstance(part, _TIGHT) for part in parts):
            text = " + ".join(map(self.text, parts))
        else:
            text = to_text(value)
        if len(parts) <= SHORT:
            _make_room(self._texts)
            self._texts[id(value)] = value, text
        return text

    def _walked(self, places: Sequence[Change]) -> Counted:
        above: list[Change] = []
        inside: dict[str, list[Change]] = {}
        for change in places:
            stage = self._stage(change[0])
            (above if stage is None else inside.setdefault(stage, [])).append(change)
        walk = self._walk(above)
        x = walk.start
        stages: list[tuple[Opening, Sequence[Section]]] = []
        params, macs, operators = walk.stem.params, walk.stem.macs.total, walk.stem.operators
        for stage in walk.stages:
            opening, blocks = self._in(walk, stage, inside.get(stage, ()), x)
            params += blocks.params
            macs += blocks.macs
            operators += blocks.operators
            stages.append((opening, blocks.sections))
            x = opening.output
        head = walk.head(x)
        params += head.params
        macs += head.macs.total
        if params > MAX_PARAMETERS or operators + head.operators > MAX_NODES:
            raise _OddError
        return Counted(params, macs, partial(walk.training_digest, stages, head))

    def _in(self, walk: Walk, stage: str, changes: Sequence[Change], x: Feature) -> tuple[Opening, _Blocks]:
        """What opens a stage, and its blocks."""
        lines: list[Change] = []
        edits: list[Change] = []
        for change in changes:
            (edits if change[0].steps[1].name == BLOCKS else lines).append(change)
        opening = self._opening(walk, stage, lines, x)
        if len(edits) != 1 or _place(edits[0][0], 2) is None:
            return opening, _Blocks.of(opening, walk.written_blocks(stage, changes, opening))
        value = edits[0][1]
        known = self._blocks.get((opening, id(value)))
        if known is not None:
            return opening, known[1]
        parts = terms(value)
        found = _Blocks.of(opening, [walk.block(stage, lines, opening, part) for part in parts])
        if len(parts) > 1 and (not found.sections[0].nodes or found.count > MAX_BLOCKS):
            raise _OddError  # a sum that begins with nothing may be none of blocks
        if len(parts) <= SHORT:
            _make_room(self._blocks)
            self._blocks[opening, id(value)] = value, found
        return opening, found

    def _opening(self, walk: Walk, stage: str, lines: Sequence[Change], x: Feature) -> Opening:
        key: list[object] = [walk, stage, x]
        for path, value in lines:
            text = self.text(value)
            if BLOCKS in text:
                raise _OddError
            key += (_place(path, 2), text)
        found = self._openings.get(tuple(key))
        if found is None:
            found = walk.opening(stage, lines, x)
            _make_room(self._openings)
            self._openings[tuple(key)] = found
        return found

    def _walk(self, changes: Sequence[Change]) -> Walk:
        key = tuple(part for path, value in changes for part in (_place(path, 1), self.text(value)))
        found = self._walks.get(key)
        if found is None:
            if None in key:
                raise _OddError
            found = self.base.walk(changes)
            _make_room(self._walks)
            self._walks[key] = found
        return found

    def _stage(self, path: t.Path) -> str | None:
        """See `Base.stage_of`."""
        known = self._stages.get(id(path))
        if known is None:
            _make_room(self._stages)
            known = self._stages[id(path)] = path, self.base.stage_of(path)
        return known[1]


def _place(path: t.Path, steps: int) -> str | None:
    """The last name of a path of so many steps without an index; None for others."""
    last = path.steps[-1]
    return last.name if len(path.steps) == steps and last.index is None else None


def _make_room(kept: dict[Any, Any]) -> None:
    """Forgets everything where too much is remembered."""
    if len(kept) >= KEPT:
        kept.clear()
