"""The shapes of the picture: maps as boxes, blocks as cards, sequences as strips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from archdsl.features import Extra, Feature, segments
from archdsl.graph.views.svg import FAINT, INK, Canvas

REGISTER = "#d6336c"
CLASS_TOKEN = "#f08c00"
MAP_ZONE = 172
MAP_SIDE = 96
MAP_DEPTH = 30
CARD_GAP = 8
LINE = 14
STRIP_HEIGHT = 54


@dataclass(frozen=True, slots=True)
class Kind:
    """How blocks of a kind look; a kind without a label is not in the legend."""

    label: str
    colour: str
    tint: str


KINDS = {
    "scan": Kind("scan", "#3b5bdb", "#e7ecff"),
    "convolution": Kind("convolution", "#c2760c", "#fdf1dc"),
    "window_attention": Kind("attention in windows", "#1f8a5b", "#e0f5ea"),
    "attention": Kind("attention", "#b02a45", "#fde8ec"),
    "linear_attention": Kind("linear attention", "#7a4bb8", "#f1e8fb"),
    "other": Kind("other", "#55606e", "#eceff3"),
    "plain": Kind("", "#8a96a5", "#ffffff"),
}
"""Blocks by what they mix tokens with."""


@dataclass(frozen=True, slots=True)
class Card:
    """A block: its name, the arguments written in its call, its kind, its residual branches in words."""

    name: str
    arguments: str
    kind: str
    branches: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """What stands under the name."""
        return ((self.arguments,) if self.arguments else ()) + self.branches


@dataclass(frozen=True, slots=True)
class Scale:
    """The largest map and width of a picture, to which the others are drawn in proportion."""

    side: int
    dim: int

    @classmethod
    def of(cls, features: Sequence[Feature]) -> Scale:
        """That of the features shown."""
        maps = [x for x in features if x.is_map]
        return cls(max((max(x.grid) for x in maps), default=1), max((x.dim for x in maps), default=1))

    def length(self, places: int) -> float:
        """Pixels of a side; small maps are drawn larger than in proportion, to be seen."""
        return max(12.0, float(MAP_SIDE * (places / self.side) ** 0.6))

    def depth(self, dim: int) -> float:
        """Pixels of the depth of a box."""
        return float(5 + (MAP_DEPTH - 5) * min(1.0, dim / self.dim))


def draw_map(
    canvas: Canvas, x: Feature, centre: float, top: float, *, scale: Scale, windows: tuple[int, int] | None
) -> None:
    """A box whose face is the map and whose depth is the width, with its measures below."""
    middle = top + (MAP_ZONE - 40) / 2
    if x.is_map:
        rows, columns = x.grid
        _box(canvas, x, centre, middle, scale=scale, windows=windows)
        size = f"{rows} × {columns}"
    else:
        length = 18.0 if not x.grid else 120.0
        canvas.rect(centre - length / 2, middle - 9, length, 18, fill="#dfe6ee", stroke="#8a96a5", radius=3)
        size = "vector" if not x.grid else f"{x.grid[0]} tokens"
    canvas.text(centre, top + MAP_ZONE - 28, size, size=13, anchor="middle", bold=True)
    canvas.text(centre, top + MAP_ZONE - 13, f"dim {x.dim}", size=11, fill=FAINT, anchor="middle")


def _box(
    canvas: Canvas, x: Feature, centre: float, middle: float, *, scale: Scale, windows: tuple[int, int] | None
) -> None:
    rows, columns = x.grid
    height, width, depth = scale.length(rows), scale.length(columns), scale.depth(x.dim)
    shift = depth * 0.62
    left, top = centre - (width + shift) / 2, middle - (height - shift) / 2
    right, bottom = left + width, top + height
    edge = "#7b8aa0"
    canvas.path(
        f"M{left:.1f} {top:.1f}l{shift:.1f} {-shift:.1f}h{width:.1f}l{-shift:.1f} {shift:.1f}z",
        fill="#eef2f7",
        stroke=edge,
    )
    canvas.path(
        f"M{right:.1f} {top:.1f}l{shift:.1f} {-shift:.1f}v{height:.1f}l{-shift:.1f} {shift:.1f}z",
        fill="#c9d3df",
        stroke=edge,
    )
    canvas.rect(left, top, width, height, fill="#dfe6ee", stroke=edge)
    step = ceil(4 / min(width / columns, height / rows))
    face = (left, top, right, bottom)
    canvas.path(_lines(face, x.grid, (step, step)), stroke="#b9c5d3", line=0.6)
    if windows is not None:
        canvas.path(_lines(face, x.grid, windows), stroke="#3d4b5c", line=1.1)


def _lines(face: tuple[float, float, float, float], cells: tuple[int, ...], step: tuple[int, int]) -> str:
    """Lines between the cells of a face, one every so many cells down and across, as path data."""
    left, top, right, bottom = face
    rows, columns = cells
    across = [left + (right - left) * c / columns for c in range(step[1], columns, step[1])]
    down = [top + (bottom - top) * r / rows for r in range(step[0], rows, step[0])]
    return "".join(
        [f"M{x:.1f} {top:.1f}V{bottom:.1f}" for x in across]
        + [f"M{left:.1f} {y:.1f}H{right:.1f}" for y in down]
    )


def card_height(count: int, card: Card) -> float:
    """Pixels, the sheets of a repeated block included."""
    return 28 + LINE * len(card.lines) + (5 if count > 1 else 0)


def draw_card(canvas: Canvas, card: Card, count: int, x: float, y: float, *, width: float) -> None:
    """A block; a repeated one as a stack of sheets with its count in front of the name."""
    kind = KINDS[card.kind]
    height = card_height(1, card)
    if count > 1:
        width -= 5
        for step in (5, 2.5):
            canvas.rect(x + step, y + step, width, height, fill=kind.tint, stroke=kind.colour, radius=6)
    canvas.rect(x, y, width, height, fill=kind.tint, stroke=kind.colour, radius=6, line=1.2)
    room = width - 18
    colour = INK if card.kind == "plain" else kind.colour
    name = f"{count} × {card.name}" if count > 1 else card.name
    canvas.text(x + 10, y + 18.5, name, size=12.5, bold=card.kind != "plain", fill=colour, width=room)
    for index, line in enumerate(card.lines):
        canvas.text(x + 10, y + 33 + LINE * index, line, size=10.5, fill=FAINT, width=room)


def draw_repeat(canvas: Canvas, count: int, x: float, top: float, bottom: float) -> None:
    """A bracket beside a group of blocks, with the number of its repeats."""
    canvas.path(f"M{x:.1f} {top + 2:.1f}h5v{bottom - top - 4:.1f}h-5", stroke=FAINT, line=1.4)
    canvas.text(x + 9, (top + bottom) / 2 + 4, f"×{count}", size=12, bold=True, fill=FAINT)


def draw_strip(canvas: Canvas, x: Feature, left: float, top: float, width: float) -> None:
    """The sequence as a strip from its first token to its last, the extra tokens marked where they stand."""
    total = x.tokens
    canvas.rect(left, top, width, 12, fill="#e3e9f0", radius=2)
    at = 0
    for extra, start, stop in segments(x.patches, x.extras):
        count = stop - start
        if extra >= 0:
            colour = REGISTER if x.extras[extra].kind == "registers" else CLASS_TOKEN
            for index in range(count):
                place = left + (width - 3) * (at + index) / max(1, total - 1)
                canvas.rect(place, top - 3, 3, 18, fill=colour, radius=1)
        at += count
    patches = f"{x.patches:,} {'patches' if x.is_map else 'tokens'}" if x.grid else "one vector"
    canvas.text(left, top + 30, patches, size=11, fill=FAINT, width=width)
    canvas.text(left, top + 46, " + ".join(map(_counted, x.extras)), size=11, fill=FAINT, width=width)


def _counted(extra: Extra) -> str:
    noun = {"registers": "register", "class_token": "class token"}.get(extra.kind, extra.kind)
    return f"{extra.count} {noun}{'s' if extra.count > 1 else ''}"


def arrow(canvas: Canvas, start: float, end: float, y: float) -> None:
    """An arrow to the right."""
    canvas.path(f"M{start:.1f} {y:.1f}H{end - 4:.1f}", stroke=FAINT, line=1.5)
    canvas.path(f"M{end - 8:.1f} {y - 4.5:.1f}L{end:.1f} {y:.1f}L{end - 8:.1f} {y + 4.5:.1f}z", fill=FAINT)
