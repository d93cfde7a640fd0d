"""A picture of an architecture: its stages from left to right, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from archdsl.features import Feature
from archdsl.graph.architecture import Architecture, Stage
from archdsl.graph.node import Node, own_macs
from archdsl.graph.views.folding import Run, callee, fold
from archdsl.graph.views.picture_parts import (
    CARD_GAP,
    CLASS_TOKEN,
    KINDS,
    MAP_ZONE,
    REGISTER,
    STRIP_HEIGHT,
    Card,
    Scale,
    arrow,
    card_height,
    draw_card,
    draw_map,
    draw_repeat,
    draw_strip,
)
from archdsl.graph.views.summary import StageRow, elements, pipeline_text, short, stage_rows
from archdsl.graph.views.svg import FAINT, INK, Canvas, text_width

MARGIN = 28
PANEL = 208
PAD = 14
GAP = 34
HEADER = 34
FOOTER = 74
MAX_CARDS = 14


@dataclass(frozen=True, slots=True)
class _Panel:
    """The stem, a stage or the head, as it is painted."""

    row: StageRow
    feature: Feature
    entry: str
    runs: tuple[Run[Card], ...]
    windows: tuple[int, int] | None


def to_svg(architecture: Architecture) -> str:
    """The whole file; opens by itself, looks the same on every machine but for the font."""
    a = architecture
    rows = stage_rows(a)
    panels = _panels(a, rows)
    scale = Scale.of([p.feature for p in panels])
    body = max(_height(p.runs) for p in panels)
    footer = FOOTER if any(row.macs.scan for row in rows) else FOOTER - 18
    inner = HEADER + MAP_ZONE + body + 16 + STRIP_HEIGHT + footer
    width = 2 * MARGIN + len(panels) * PANEL + (len(panels) - 1) * GAP
    canvas = Canvas()
    facts = _facts(a, rows)
    top = _heading(canvas, a.name, facts, width)
    for index, panel in enumerate(panels):
        x = MARGIN + index * (PANEL + GAP)
        _draw_panel(canvas, panel, x, top, height=inner, body=body, scale=scale)
        if index:
            arrow(canvas, x - GAP + 6, x - 6, top + HEADER + MAP_ZONE / 2 - 8)
    height = _legend(canvas, panels, top + inner + 30, width) + 22
    return canvas.document(width, height, a.name, ", ".join(facts))


def _panels(a: Architecture, rows: Sequence[StageRow]) -> list[_Panel]:
    panels = [_Panel(rows[0], a.stem.output, "", _pipeline(a.stem), None)]
    for stage, row in zip(a.stages, rows[1:], strict=False):
        entry = "" if stage.downsample is None else " → ".join(elements(stage.downsample))
        panels.append(
            _Panel(
                row,
                stage.feature,
                entry,
                (*fold([_card(block) for block in stage.blocks]), *_of_maps(stage)),
                _sides(stage),
            )
        )
    if a.head is not None:
        panels.append(_Panel(rows[-1], a.head.output, "", _pipeline(a.head), None))
    return panels


def _sides(stage: Stage) -> tuple[int, int] | None:
    """Of the windows that the stage is cut into."""
    if stage.within is None or not stage.blocks:
        return None
    height, width = stage.blocks[0].input.grid
    return height, width


def _pipeline(node: Node) -> tuple[Run[Card], ...]:
    if node.op.name == "chain" and not node.calls:
        return tuple(run for part in node.parts for run in _pipeline(part))
    return (Run(1, (Card(callee(node), _given(node), "plain"),)),)


def _of_maps(stage: Stage) -> tuple[Run[Card], ...]:
    """The norm of the stage's feature maps."""
    if stage.feature_norm is None:
        return ()
    return (Run(1, (Card(pipeline_text(stage.feature_norm), "of feature maps", "plain"),)),)


def _card(node: Node) -> Card:
    residuals = [part for part in node.parts if part.op.name == "residual"]
    branches = [" → ".join(callee(p) for p in part.parts if p.op.name != "drop_path") for part in residuals]
    return Card(callee(node), _given(node), kind(node), tuple(f"+ {text}" for text in branches if text))


def _given(node: Node) -> str:
    """What was written in the call: `order = both`."""
    if not node.calls:
        return ""
    return ", ".join(f"{n} = {text}" for n, text, origin in node.calls[0].values if origin.kind == "given")


def kind(node: Node) -> str:
    """What a block mixes tokens with: a key of `KINDS`, by the costliest class that sees all tokens."""
    found = set()
    for inner in node.walk():
        macs = own_macs(inner)
        if macs.scan:
            found.add("scan")
        elif inner.op.name == "linear_attention":
            found.add("linear_attention")
        elif macs.attention:
            found.add("window_attention" if inner.input.windows > 1 else "attention")
        elif macs.conv:
            found.add("convolution")
    for name in ("scan", "linear_attention", "window_attention", "attention", "convolution"):
        if name in found:
            return name
    return "other"


def _shown(runs: Sequence[Run[Card]]) -> tuple[tuple[Run[Card], ...], int]:
    """The runs that are painted, and the number of blocks that are not."""
    cards = 0
    for index, run in enumerate(runs):
        cards += len(run.items)
        if cards > MAX_CARDS and index:
            left = sum(_blocks(r) for r in runs[index:])
            return tuple(runs[:index]), left
    return tuple(runs), 0


def _blocks(run: Run[Card]) -> int:
    return run.count * sum(_blocks(item) if isinstance(item, Run) else 1 for item in run.items)


def _flat(run: Run[Card]) -> list[tuple[int, Card]]:
    """The cards of a run with their own repeats; a group inside a group is one card."""
    if len(run.items) == 1 and isinstance(run.items[0], Card):
        return [(run.count, run.items[0])]
    out: list[tuple[int, Card]] = []
    for item in run.items:
        if isinstance(item, Card):
            out.append((1, item))
        elif len(item.items) == 1 and isinstance(item.items[0], Card):
            out.append((item.count, item.items[0]))
        else:
            names = [c.name for _, c in _flat(item)]
            out.append((item.count, Card(" + ".join(names), "", _flat(item)[0][1].kind)))
    return out


def _is_group(run: Run[Card]) -> bool:
    return run.count > 1 and not (len(run.items) == 1 and isinstance(run.items[0], Card))


def _height(runs: Sequence[Run[Card]]) -> float:
    shown, left = _shown(runs)
    height = 24.0 if left else 0.0
    for run in shown:
        height += sum(card_height(count, card) + CARD_GAP for count, card in _flat(run))
        height += 10 if _is_group(run) else 0
    return height


def _draw_panel(
    canvas: Canvas, panel: _Panel, x: float, y: float, *, height: float, body: float, scale: Scale
) -> None:
    canvas.rect(x, y, PANEL, height, fill="#f8f9fb", stroke="#dde3ea", radius=12)
    canvas.text(x + PAD, y + 25, panel.row.name, size=15, bold=True, width=PANEL - 2 * PAD)
    if panel.entry:
        used = text_width(panel.row.name, 15, True) + 10
        canvas.text(
            x + PANEL - PAD,
            y + 25,
            panel.entry,
            size=10.5,
            fill=FAINT,
            anchor="end",
            width=PANEL - 2 * PAD - used,
        )
    draw_map(canvas, panel.feature, x + PANEL / 2, y + HEADER, scale=scale, windows=panel.windows)
    at = y + HEADER + MAP_ZONE
    shown, left = _shown(panel.runs)
    for run in shown:
        at = _draw_run(canvas, run, x, at)
    if left:
        canvas.text(x + PANEL / 2, at + 14, f"and {left} more", size=11, fill=FAINT, anchor="middle")
    bottom = y + HEADER + MAP_ZONE + body + 16
    draw_strip(canvas, panel.feature, x + PAD, bottom, PANEL - 2 * PAD)
    _footer(canvas, panel.row, x, bottom + STRIP_HEIGHT + 16)


def _draw_run(canvas: Canvas, run: Run[Card], x: float, y: float) -> float:
    """Paints a run; returns where the next one begins."""
    group = _is_group(run)
    inset = 26 if group else 0
    start = y
    for count, card in _flat(run):
        draw_card(canvas, card, count, x + PAD, y, width=PANEL - 2 * PAD - inset)
        y += card_height(count, card) + CARD_GAP
    if group:
        draw_repeat(canvas, run.count, x + PANEL - PAD - inset + 5, start, y - CARD_GAP)
        y += 10
    return y


def _footer(canvas: Canvas, row: StageRow, x: float, y: float) -> None:
    values = [("params", short(row.params)), ("MACs", short(row.macs.total))]
    if row.macs.scan:
        values.append(("in scans", short(row.macs.scan)))
    canvas.path(f"M{x + PAD:.1f} {y - 15:.1f}h{PANEL - 2 * PAD}", stroke="#dde3ea")
    for line, (label, value) in enumerate(values):
        canvas.text(x + PAD, y + 4 + 18 * line, label, size=11, fill=FAINT)
        canvas.text(x + PANEL - PAD, y + 4 + 18 * line, value, size=12, anchor="end", bold=True)


def _facts(a: Architecture, rows: Sequence[StageRow]) -> list[str]:
    params = sum(r.params for r in rows)
    macs = sum(r.macs.total for r in rows)
    scan = sum(r.macs.scan for r in rows)
    height, width = a.image
    return [
        f"{height} × {width} × {a.channels} image",
        f"{a.classes} classes",
        f"{params:,} parameters",
        f"{short(macs)} multiply-accumulates" + (f" and {short(scan)} in scans" if scan else ""),
    ]


def _heading(canvas: Canvas, name: str, facts: Sequence[str], width: float) -> float:
    """The name and the facts, on as many lines as they need; returns where the panels begin."""
    canvas.text(MARGIN, 46, name, size=24, bold=True, width=width - 2 * MARGIN)
    lines = [facts[0]]
    for fact in facts[1:]:
        longer = f"{lines[-1]} · {fact}"
        if text_width(longer, 13) <= width - 2 * MARGIN:
            lines[-1] = longer
        else:
            lines.append(fact)
    y = 70.0
    for line in lines:
        canvas.text(MARGIN, y, line, size=13, fill=FAINT)
        y += 19
    return y + 3


def _legend(canvas: Canvas, panels: Sequence[_Panel], y: float, width: float) -> float:
    """What the colours mean, on as many lines as it needs; returns the lowest baseline."""
    used = {card.kind for p in panels for run in p.runs for _, card in _flat(run)}
    entries = [(k.colour, k.label, 10.0) for key, k in KINDS.items() if key in used and k.label]
    kinds = {e.kind for p in panels for e in p.feature.extras}
    if "registers" in kinds:
        entries.append((REGISTER, "register in the sequence", 4.0))
    if "class_token" in kinds:
        entries.append((CLASS_TOKEN, "class token in the sequence", 4.0))
    x = float(MARGIN)
    for colour, label, mark in entries:
        room = mark + 7 + text_width(label, 11.5)
        if x > MARGIN and x + room > width - MARGIN:
            x, y = float(MARGIN), y + 20
        canvas.rect(x, y - 10, mark, 12, fill=colour, radius=2)
        canvas.text(x + mark + 7, y, label, size=11.5, fill=INK)
        x += room + 16
    return y
