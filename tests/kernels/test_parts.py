"""Kernels made of parts: the same results as without, in one compiled function."""

from __future__ import annotations

import pytest

from archdsl.kernels.jit import kernel
from archdsl.kernels.parts import merged, part

FACTOR = 10


@part
def scale(numbers, i, total):
    """Both names are the caller's too, `i` for another value."""
    factor = FACTOR * i
    return total + numbers[i] * factor


@part
def twice(numbers, i):
    total = 0
    for _ in range(2):
        total = scale(numbers, i, total)
    numbers[i] = total
    return total, i


@part
def clear(numbers, first):
    for i in range(first, len(numbers)):
        numbers[i] = 0


def plain(numbers, factor):
    i = 1
    total, other = twice(numbers, i + 1)
    if factor > 2:
        total = scale(numbers, i, total)
    else:
        clear(numbers, factor)
    return total, i, other, factor


def within(numbers):
    return 1 + scale(numbers, 0, 0)


@part
def early(numbers):
    if numbers[0]:
        return 1
    return 2


def calls_early(numbers):
    found = early(numbers)
    numbers[0] = found


def too_few(numbers):
    clear(numbers)


@pytest.mark.parametrize("factor", [1, 3])
def test_parts_are_put_in(factor: int) -> None:
    mine, theirs = [3, 4, 5, 6], [3, 4, 5, 6]
    alone = merged(plain)
    assert alone(mine, factor) == plain(theirs, factor)
    assert mine == theirs
    assert not {"twice", "scale", "clear"} & set(alone.__code__.co_names)


def test_a_kernel_puts_them_in() -> None:
    import numpy as np

    numbers = np.array([3, 4, 5, 6])
    assert kernel(plain)(numbers, 1) == (200, 1, 2, 1)
    assert numbers.tolist() == [3, 0, 0, 0]


def test_a_function_without_parts_stays_what_it_is() -> None:
    assert merged(test_parts_are_put_in) is test_parts_are_put_in


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (within, "the part `scale` is used within an expression"),
        (calls_early, "the part `early` returns before its end"),
        (too_few, "the part `clear` takes 2 arguments by place"),
    ],
)
def test_other_uses_are_refused(function: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        merged(function)  # type: ignore[arg-type]
