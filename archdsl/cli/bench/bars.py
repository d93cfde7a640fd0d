"""Bars of times side by side, on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from archdsl.graph.views.svg import FAINT, Canvas, number, text_width

WIDTH = 860
LEFT = 190
RIGHT = 700
TOP = 64
BAR = 15
GAP = 5
BETWEEN = 34
OURS = "#1f77b4"
THEIRS = "#b9c2cc"
GRID = "#e4e7eb"


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars with a common heading.

    Args:
        title: the heading.
        values: by name, above 0, in the order of drawing.
        against: the name of the bar that others are shown as multiples of.
        ours: names of bars in our colour.
    """

    title: str
    values: Mapping[str, float]
    against: str
    ours: Sequence[str]


def draw(title: str, unit: str, panels: Sequence[Panel], about: str) -> str:
    """The picture as SVG text: a panel below another, one scale for all.

    Args:
        title: of the whole.
        unit: of the values.
        panels: those without values are left out.
        about: what it shows, for those who can't see it.
    """
    shown = [p for p in panels if p.values]
    values = [v for p in shown for v in p.values.values()] or [1.0]
    low = math.floor(math.log10(min(values)))
    high = max(low + 1, math.ceil(math.log10(max(values)) + 0.15))
    canvas = Canvas()

    def x(value: float) -> float:
        return LEFT + (RIGHT - LEFT) * (math.log10(value) - low) / (high - low)

    canvas.text(16, 28, title, size=15, bold=True)
    top = TOP
    for panel in shown:
        canvas.text(16, top, panel.title, size=12, bold=True)
        top += 10
        bottom = top + len(panel.values) * (BAR + GAP)
        for power in range(low, high + 1):
            at = number(x(10**power))
            canvas.path(f"M{at} {number(top - 2)}V{number(bottom)}", stroke=GRID)
        base = panel.values.get(panel.against)
        for name, value in panel.values.items():
            mine = name in panel.ours
            canvas.text(LEFT - 8, top + BAR - 3, name, size=11, anchor="end", width=LEFT - 24)
            canvas.rect(LEFT, top, max(1.0, x(value) - LEFT), BAR, fill=OURS if mine else THEIRS, radius=2)
            label = f"{value:,.0f} {unit}" if value >= 1000 else f"{value:.3g} {unit}"
            canvas.text(x(value) + 6, top + BAR - 3, label, size=11)
            if base and name != panel.against:
                times = f"{value / base:.3g}x"
                canvas.text(x(value) + 12 + text_width(label, 11), top + BAR - 3, times, size=11, fill=FAINT)
            top += BAR + GAP
        top = bottom + BETWEEN
    for power in range(low, high + 1):
        canvas.text(
            x(10**power), top - BETWEEN + 16, f"{10.0**power:g}", size=11, fill=FAINT, anchor="middle"
        )
    canvas.text((LEFT + RIGHT) / 2, top + 2, f"{unit}, logarithmic; shorter is faster", anchor="middle")
    return canvas.document(WIDTH, top + 20, title, about)
