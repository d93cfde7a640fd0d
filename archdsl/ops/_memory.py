"""What is alive while an operator runs without gradients, in bytes at float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from archdsl.features import Feature, segments

VALUE_BYTES = 4
"""Of a number in float32."""
INDEX_BYTES = 8
"""Of an index."""


class Alive(NamedTuple):
    """Bytes that an operator makes beside its input, which its caller holds while it runs.

    Args:
        peak: the most at once.
        result: what is left when it returns: its output, or 0 where that is a view of the input.
    """

    peak: int
    result: int


def size(x: Feature) -> int:
    """Bytes of all windows of a feature."""
    return VALUE_BYTES * x.tokens * x.dim * x.windows


def behind(parts: Sequence[Alive]) -> Alive:
    """Parts one behind the other, each receiving what the one before it returned."""
    peak = held = 0
    for part in parts:
        peak = max(peak, held + part.peak)
        held = part.result or held
    return Alive(peak, held)


def beside(parts: Sequence[Alive]) -> Alive:
    """Parts run one after the other on what is given, all their results kept."""
    peak = held = 0
    for part in parts:
        peak = max(peak, held + part.peak)
        held += part.result
    return Alive(peak, held)


def apart(x: Feature) -> int:
    """Bytes copied to part patches and extra tokens: of each kind that stands in more than one run."""
    if not x.extras:
        return 0
    runs = [segment.extra for segment in segments(x.patches, x.extras)]
    tokens = x.patches if runs.count(-1) > 1 else 0
    tokens += sum(extra.count for i, extra in enumerate(x.extras) if runs.count(i) > 1)
    return VALUE_BYTES * tokens * x.dim * x.windows


def on_map(x: Feature) -> int:
    """Bytes copied to bring patches that stand in one run, beside extra tokens, onto a map of their own."""
    if not x.extras or x.windows == 1 or apart(x):
        return 0
    return VALUE_BYTES * x.patches * x.dim * x.windows


def filters(x: Feature, y: Feature, side: int, taps: int, grouped: bool = False) -> int:
    """Bytes that a convolution of maps takes beside its input and output, as torch convolves on the CPU.

    oneDNN reads a copy of the weights in an order of its own, made from one with channels last. Few places of
    one image go through a product of matrices, for which all that the kernel sees is laid out side by side.

    Args:
        x, y: input and output.
        side: of the kernel.
        taps: inputs of one output number.
        grouped: whether every channel has kernels of its own.
    """
    first = turned(y, side, taps, grouped)
    if x.windows == 1 and not grouped and side <= 3 and x.patches * x.dim <= SMALL:
        return first + (VALUE_BYTES * taps * y.patches if side > 1 else 0)
    return first + VALUE_BYTES * taps * -(-y.dim // LANES) * LANES


def turned(y: Feature, side: int, taps: int, grouped: bool = False) -> int:
    """Bytes of its weights with channels last, made where the map has channels last; see `filters`."""
    return VALUE_BYTES * taps * y.dim if side > 1 and not grouped else 0


LANES = 16
"""Channels that stand together in weights that oneDNN reads, and in what it makes of channels first."""
SMALL = 20_480
"""Numbers of a map that torch convolves without oneDNN where it is the only one and the kernel is small."""
