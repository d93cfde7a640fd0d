"""How PyTorch lays tensors out: when a view serves, and in which order results lie in memory.

Strides are told in elements; the rules are those of ATen (TensorUtils.cpp `computeStride`, TensorIterator.cpp
`reorder_dimensions`, MemoryFormat.h `is_channels_last_strides_2d`).
"""

from __future__ import annotations

from collections.abc import Sequence

Numbers = tuple[int, ...]


def contiguous(shape: Numbers) -> Numbers:
    """Strides of a tensor whose last dimension varies fastest.

    >>> contiguous((2, 3, 4))
    (12, 4, 1)
    """
    out = []
    step = 1
    for size in reversed(shape):
        out.append(step)
        step *= max(size, 1)
    return tuple(reversed(out))


def is_contiguous(shape: Numbers, strides: Numbers) -> bool:
    """Whether the last dimension varies fastest, with nothing between; dimensions of size 1 say nothing."""
    step = 1
    for size, stride in zip(shape[::-1], strides[::-1], strict=True):
        if size != 1:
            if stride != step:
                return False
            step *= size
    return True


def viewed(shape: Numbers, strides: Numbers, to: Numbers) -> Numbers | None:
    """Strides of the same memory seen in another shape; None where that takes a copy.

    >>> viewed((2, 3, 4), (12, 4, 1), (6, 4))
    (4, 1)
    >>> viewed((2, 3, 4), (12, 1, 3), (6, 4)) is None
    True
    """
    out = [0] * len(to)
    at = len(to) - 1
    step = strides[-1] if strides else 1
    inside = wanted = 1
    for d in range(len(shape) - 1, -1, -1):
        inside *= shape[d]
        if d == 0 or (shape[d - 1] != 1 and strides[d - 1] != inside * step):
            while at >= 0 and (wanted < inside or to[at] == 1):
                out[at] = wanted * step
                wanted *= to[at]
                at -= 1
            if wanted != inside:
                return None
            if d > 0:
                step = strides[d - 1]
                inside = wanted = 1
    return tuple(out) if at == -1 else None


def is_channels_last(shape: Numbers, strides: Numbers) -> bool:
    """Whether a map (B, C, H, W) counts as one whose channels vary fastest."""
    if strides[1] == 0:
        return False
    least = 0
    for d in (1, 3, 2, 0):
        if strides[d] < least or (d == 0 and least == strides[1]):
            return False
        least = strides[d] * max(shape[d], 1)
    return True


def channels_last(shape: Numbers) -> Numbers:
    """Strides of a map (B, C, H, W) whose channels vary fastest."""
    _, c, h, w = shape
    return (h * w * c, 1, w * c, c)


def pointwise(shape: Numbers, operands: Sequence[tuple[Numbers, Numbers]]) -> Numbers:
    """Strides of the result of an operator on elements.

    Args:
        shape: of the result, broadcast.
        operands: shape and strides of each.
    """
    if all(own == shape and is_contiguous(own, strides) for own, strides in operands):
        return contiguous(shape)
    spread = [_spread(shape, own, strides) for own, strides in operands]
    order = list(range(len(shape) - 1, -1, -1))
    for i in range(1, len(order)):
        later = i
        for earlier in range(i - 1, -1, -1):
            turn = _turn(order[earlier], order[later], shape, spread)
            if turn > 0:
                order[earlier], order[later] = order[later], order[earlier]
                later = earlier
            elif turn < 0:
                break
    out = [0] * len(shape)
    step = 1
    for d in order:
        out[d] = step
        step *= shape[d]
    return tuple(out)


def _spread(shape: Numbers, own: Numbers, strides: Numbers) -> Numbers:
    """Strides of an operand along the dimensions of the result, 0 where it is repeated."""
    missing = len(shape) - len(own)
    along = (0 if a == 1 and n != 1 else s for a, s, n in zip(own, strides, shape[missing:], strict=True))
    return (0,) * missing + tuple(along)


def _turn(a: int, b: int, shape: Numbers, operands: Sequence[Numbers]) -> int:
    """1 where dimension `a` varies more slowly than `b`, -1 where faster, 0 where nothing tells."""
    for strides in operands:
        if strides[a] == 0 or strides[b] == 0:
            continue
        if strides[a] != strides[b]:
            return -1 if strides[a] < strides[b] else 1
        if shape[a] > shape[b]:
            return 1
    return 0
