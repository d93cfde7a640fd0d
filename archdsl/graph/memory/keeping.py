"""What training keeps of a whole architecture: part by part, in sum, and with checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from archdsl.graph.architecture import Architecture
from archdsl.graph.memory.training import Saved, Tracing, image_layout
from archdsl.graph.node import Node
from archdsl.ops.windowed import Windowed


class Bytes(NamedTuple):
    """Bytes that depend on the number of images.

    Args:
        each: for each image.
        fixed: beside, however many images there are.
    """

    each: int = 0
    fixed: int = 0

    def of(self, images: int) -> int:
        """For that many images at once; of one image alone some copies fall away, so that it may be less."""
        return self.each * images + self.fixed

    def plus(self, other: Bytes) -> Bytes:
        """The sum."""
        return Bytes(self.each + other.each, self.fixed + other.fixed)


NOTHING = Bytes()


class Step(NamedTuple):
    """A top node on the way through an architecture, or a change between a map and its windows.

    Args:
        node: None for such a change.
        block: whether it is a block of a stage.
        saved: what it keeps; None for a node that the forward does not run, a `feature_norm`.
    """

    node: Node | None
    block: bool
    saved: Saved | None


def steps(architecture: Architecture, tracing: Tracing) -> Iterator[Step]:
    """All top nodes in the order of `Architecture.top`, and what stands between."""
    saved = tracing.of(architecture.stem, image_layout(architecture.stem.input))
    yield Step(architecture.stem, False, saved)
    first = True
    for stage in architecture.stages:
        if stage.downsample is not None:
            saved = tracing.of(stage.downsample, saved.layout)
            yield Step(stage.downsample, False, saved)
        within, whole = stage.within, stage.feature
        assert within is None or isinstance(within, Windowed)
        if within is not None:
            saved = tracing.windows(within, whole, saved.layout)
            yield Step(None, False, saved)
        for block in stage.blocks:
            saved = tracing.of(block, saved.layout, first)
            first = False
            yield Step(block, True, saved)
        if within is not None:
            saved = tracing.whole(within, whole, within.inside(whole), saved.layout)
            yield Step(None, False, saved)
        if stage.feature_norm is not None:
            yield Step(stage.feature_norm, False, None)
    if architecture.head is not None:
        yield Step(architecture.head, False, tracing.of(architecture.head, saved.layout))


def saved_by_top(architecture: Architecture, tracing: Tracing) -> list[Bytes]:
    """What every node of `Architecture.top` keeps, beyond what those before it do.

    Memory that two of them keep counts with the first: what leaves one, with the one that makes it where that
    needs it itself, else with the one that receives it.
    """
    out = []
    loose = _image_bytes(architecture)
    for node, _, saved in steps(architecture, tracing):
        if saved is None:
            out.append(NOTHING)
            continue
        each, loose = saved.behind(loose)
        if node is not None:
            out.append(Bytes(each, saved.fixed))
    return out


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """What training keeps where every block is a checkpoint, and computed again in the backward.

    Args:
        kept: between forward and backward: what stands outside of blocks, and the input of every block.
        moments: at every block, when the backward has computed it again: what is kept up to the block, and
            all inside it. What stands behind it is free by then.
    """

    kept: Bytes
    moments: tuple[Bytes, ...]

    def peak(self, images: int) -> int:
        """The most that is kept at once; gradients on their way are not counted."""
        return max(self.kept.of(images), *(m.of(images) for m in self.moments), 0)


def checkpointed(architecture: Architecture, tracing: Tracing) -> Checkpointed:
    """With a checkpoint at every block, as `Model.set_grad_checkpointing` puts them."""
    total, loose = NOTHING, _image_bytes(architecture)
    moments = []
    for _, block, saved in steps(architecture, tracing):
        if saved is None:
            continue
        if not block:
            each, loose = saved.behind(loose)
            total = total.plus(Bytes(each, saved.fixed))
            continue
        total = total.plus(Bytes(loose))
        again = saved.inside + (saved.size if saved.output else 0)
        moments.append(total.plus(Bytes(again, saved.fixed)))
        loose = 0 if saved.same else saved.size
    return Checkpointed(total, tuple(moments))


def _image_bytes(architecture: Architecture) -> int:
    x = architecture.stem.input
    return 4 * x.tokens * x.dim
