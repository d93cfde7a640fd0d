"""What opens a stage: all of it that does not depend on its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from archdsl.diagnostics import DiagnosticError
from archdsl.features import Feature
from archdsl.graph.elaboration.build import Builder
from archdsl.graph.elaboration.frames import StageFrame
from archdsl.graph.elaboration.openings import Opened
from archdsl.graph.elaboration.scopes import Scope
from archdsl.graph.sections import Section
from archdsl.lang import tree as t
from archdsl.ops import Op


@dataclass(frozen=True, slots=True, eq=False)
class Opening:
    """A stage before its blocks.

    Args:
        stage: its name.
        input: what enters.
        output: what leaves.
        inner: what every block receives and returns.
        downsample: what stands before the blocks, if anything.
        within: the operator that cuts the stage into windows, if any.
        feature_norm: the norm of the maps taken behind it, if any.
        inside: for `archdsl.graph.walk.Walk`.
    """

    stage: str
    input: Feature
    output: Feature
    inner: Feature
    downsample: Section | None
    within: Op | None
    feature_norm: Section | None
    inside: Inside = field(repr=False)


@dataclass(slots=True, eq=False)
class Inside:
    """Where the blocks behind an opening are built, and those that were.

    Args:
        stage: its cells.
        opened: what stands before the blocks.
        builder: builds them.
        scope: what a value of `blocks` sees.
        blocks: those that were built, by their text.
        seen: those that were asked for, by the identity of their text, which is kept alive.
        wrong: what could not be built, with what has to stay alive for it.
    """

    stage: StageFrame
    opened: Opened
    builder: Builder
    scope: Scope
    blocks: dict[object, Section] = field(default_factory=dict)
    seen: dict[int, tuple[t.Expr, Section]] = field(default_factory=dict)
    wrong: dict[object, tuple[object, DiagnosticError]] = field(default_factory=dict)


Walked = Sequence[tuple[Opening, Sequence[Section]]]
"""The stages of an architecture, in order: what opens each, and its blocks."""
