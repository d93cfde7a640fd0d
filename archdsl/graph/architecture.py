"""The checked architecture: what a spec means once every name, value and shape is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archdsl.diagnostics import Diagnostic, Span
from archdsl.features import Feature, Word
from archdsl.graph.node import Node, Origin
from archdsl.ops import Op

if TYPE_CHECKING:
    import networkx

    from archdsl.graph.cost import Cost
    from archdsl.graph.roofline import Roofline

Values = tuple[tuple[str, str, Origin], ...]
"""Names with their values as text of the language and where each came from."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage: a change of map or width, then its blocks.

    Args:
        name: as written.
        input: what enters, before the downsample.
        feature: what the blocks receive and return, for the whole map.
        blocks: the blocks with repeats expanded; within windows their shapes are those of one window.
        downsample: what stands before the blocks, if anything.
        within: the operator `windowed` that cuts the stage once for all its blocks, or None.
        feature_norm: the norm of the maps taken from the stage, if any; the next stage receives what stands
            before it.
        settings: settings of the stage.
    """

    name: str
    input: Feature
    feature: Feature
    blocks: tuple[Node, ...]
    downsample: Node | None = None
    within: Op | None = None
    feature_norm: Node | None = None
    settings: Values = field(default=(), compare=False)
    span: Span | None = field(default=None, compare=False, repr=False)

    @property
    def threshold(self) -> int:
        """6 D for D channels: the tokens L from which on pairs of them cost more than their channels.

        Of the 24 D^2 L + 4 D L^2 operations of a transformer block the second part is L / 6D of the first
        (MambaOut, arXiv 2405.07992, equation 7). A sequence of more tokens is long; see `is_long`.
        """
        return 6 * self.feature.dim

    @property
    def is_long(self) -> bool:
        """Whether L > 6 D holds for the whole map, extra tokens included."""
        return self.feature.tokens > self.threshold


@dataclass(frozen=True, slots=True)
class Architecture:
    """A checked architecture. Immutable; everything it can tell is computed without torch.

    Args:
        name: of the arch or variant loaded.
        image: (height, width) in pixels.
        channels: of the image.
        classes: of the head; 0 for features only.
        stem: from the image to the first stage.
        stages: in order.
        head: from the last stage to the logits; None where `head = none`.
        init: the named recipe for initial weights.
        drop_path: the rate at the last block; it grows linearly from 0 at the first.
        parameters: of the arch.
        settings: of the arch.
        warnings: what the check found that is no error.
    """

    name: str
    image: tuple[int, int]
    channels: int
    classes: int
    stem: Node
    stages: tuple[Stage, ...]
    head: Node | None
    init: Word
    drop_path: float
    parameters: Values = field(default=(), compare=False)
    settings: Values = field(default=(), compare=False)
    warnings: tuple[Diagnostic, ...] = field(default=(), compare=False)

    def top(self) -> Iterator[tuple[str, Node]]:
        """Every top node with its path: `stem`, `stages.s1.downsample`, `stages.s1.blocks.0`, ..., `head`.

        All but `stages.<stage>.feature_norm` stand in the way from the image to the logits.
        """
        yield "stem", self.stem
        for stage in self.stages:
            if stage.downsample is not None:
                yield f"stages.{stage.name}.downsample", stage.downsample
            for index, block in enumerate(stage.blocks):
                yield f"stages.{stage.name}.blocks.{index}", block
            if stage.feature_norm is not None:
                yield f"stages.{stage.name}.feature_norm", stage.feature_norm
        if self.head is not None:
            yield "head", self.head

    def cost(self) -> Cost:
        """Parameters, multiply-accumulates and memory of one image."""
        from archdsl.graph.cost import cost

        return cost(self)

    def roofline(self, device: str, *, dtype: str = "float32", batch: int = 1) -> Roofline:
        """How long a device needs at least: a bound, see `archdsl.graph.roofline`.

        Args:
            device: `cpu-2core`, `a100`, `h100` or `h200`.
            dtype: `float32`, `tf32` or `bfloat16`.
            batch: images at once.

        Raises:
            DiagnosticError: E515 for a device, or a type, of which no rates are known.
            ValueError: for fewer than one image.
        """
        from archdsl.graph.roofline import roofline

        return roofline(self, device, dtype=dtype, batch=batch)

    def digest(self) -> str:
        """The canonical digest: equal digests mean equal functions; see `archdsl.graph.digest`."""
        from archdsl.graph.digest import digest

        return digest(self)

    def summary(self) -> str:
        """A table of the stages as plain text."""
        from archdsl.graph.views.summary import summary

        return summary(self)

    def to_source(self) -> str:
        """The canonical `.arch` text: primitives only, every value written out; same digest when loaded."""
        from archdsl.graph.views.source import to_source

        return to_source(self)

    def to_networkx(self) -> networkx.DiGraph[str]:
        """The flow of data, operators as nodes; see `archdsl.graph.views.digraph`. Imports networkx."""
        from archdsl.graph.views.digraph import to_networkx

        return to_networkx(self)

    def to_svg(self) -> str:
        """A picture of the stages as SVG."""
        from archdsl.graph.views.picture import to_svg

        return to_svg(self)
