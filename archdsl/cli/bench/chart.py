"""The picture of `archdsl bench sampler`: the best score so far against the epochs spent, and the tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from archdsl.graph.views.svg import FAINT, Canvas, number

WIDTH, HEIGHT = 760, 420
LEFT, TOP, RIGHT, BOTTOM = 64, 64, 560, 360
TESTS = (620, 700)
"""Where the tests of the one and the other stand."""
COLOURS = ("#1f77b4", "#d1741f")
GRID = "#e4e7eb"


@dataclass(frozen=True, slots=True)
class Line:
    """One search.

    Args:
        who: which kind it is of; there are two.
        course: rising steps of epochs and scores.
        end: epochs spent in all.
        test: the score of its winner.
    """

    who: str
    course: Sequence[tuple[int, float]]
    end: int
    test: float


def draw(search: str, score: str, lines: Sequence[Line]) -> str:
    """The picture as SVG text, complete in itself.

    It shows the range of what was reached in the end; what lies lower is drawn on its lower edge.
    """
    kinds = list(dict.fromkeys(line.who for line in lines))
    ends = [line.course[-1][1] for line in lines if line.course] + [line.test for line in lines]
    low, high, step = _range(2 * min(ends) - max(ends), max(ends))
    last = max(line.end for line in lines)
    canvas = Canvas()

    def x(epochs: float) -> float:
        return LEFT + (RIGHT - LEFT) * epochs / last

    def y(value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * max(0.0, value - low) / (high - low)

    canvas.text(
        LEFT, 26, f"{search}: the search as it is, and random search at equal cost", size=15, bold=True
    )
    for place, (kind, colour) in enumerate(zip(kinds, COLOURS, strict=False)):
        canvas.rect(LEFT + 120 * place, 40, 12, 4, fill=colour)
        canvas.text(LEFT + 18 + 120 * place, 46, kind)
    for index in range(round((high - low) / step) + 1):
        value = low + index * step
        canvas.path(f"M{LEFT} {number(y(value))}H{TESTS[1] + 30}", stroke=GRID)
        canvas.text(LEFT - 8, y(value) + 4, f"{value:.3f}", size=11, fill=FAINT, anchor="end")
    for share in (0, 0.25, 0.5, 0.75, 1):
        canvas.text(
            x(share * last), BOTTOM + 18, f"{share * last:,.0f}", size=11, fill=FAINT, anchor="middle"
        )
    canvas.text((LEFT + RIGHT) / 2, BOTTOM + 40, "epochs trained", anchor="middle")
    canvas.text(LEFT, TOP - 4, f"best validation {score} so far", size=11, fill=FAINT)
    canvas.text(sum(TESTS) / 2, BOTTOM + 40, f"test {score} of the winner", anchor="middle")
    for line in lines:
        which = kinds.index(line.who)
        if line.course:
            first, *_ = line.course
            steps = [f"M{number(x(first[0]))} {number(y(first[1]))}"]
            steps += [f"H{number(x(epochs))}V{number(y(value))}" for epochs, value in line.course[1:]]
            canvas.path("".join(steps) + f"H{number(x(line.end))}", stroke=COLOURS[which], line=1.6)
        canvas.rect(TESTS[which] - 4, y(line.test) - 4, 8, 8, fill=COLOURS[which], radius=4)
    for which, name in enumerate(kinds):
        canvas.text(TESTS[which], BOTTOM + 18, name, size=11, fill=FAINT, anchor="middle")
        tests = [line.test for line in lines if line.who == name]
        mean = number(y(sum(tests) / len(tests)))
        canvas.path(f"M{TESTS[which] - 16} {mean}h32", stroke=COLOURS[which], line=2)
    about = f"Best validation {score} against epochs for {len(lines)} searches; bars are means of the tests."
    return canvas.document(WIDTH, HEIGHT, f"{search} against random search", about)


def _range(low: float, high: float) -> tuple[float, float, float]:
    """A round range around the values, with its step."""
    spread = max(high - low, 1e-3)
    step = 10 ** math.floor(math.log10(spread))
    step = next(s for s in (step / 5, step / 2, step, 2 * step) if spread / s <= 8)
    return math.floor(low / step) * step, math.ceil(high / step + 1e-9) * step, step
