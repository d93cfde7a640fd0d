"""The table of stages, as rows and as plain text."""

from __future__ import annotations

from dataclasses import dataclass

from archdsl.features import Feature
from archdsl.graph.architecture import Architecture, Stage
from archdsl.graph.cost import Cost, cost
from archdsl.graph.node import Node
from archdsl.graph.views.folding import callee, fold, fold_text
from archdsl.ops import Macs

UNITS = "MACs are multiply-accumulates (papers often print them as FLOPs); scans are counted apart"


@dataclass(frozen=True, slots=True)
class StageRow:
    """One line of the table: the stem, a stage or the head.

    Args:
        name: `stem`, the stage's, `head`.
        blocks: `4 x scan + 4 x window_attn`, or the operators of a stem or head.
        output: what it returns for one image.
        params: trainable parameters.
        macs: multiply-accumulates by class.
        activation_bytes: as in `Cost`.
    """

    name: str
    blocks: str
    output: Feature
    params: int
    macs: Macs
    activation_bytes: int


def stage_rows(architecture: Architecture, total: Cost | None = None) -> tuple[StageRow, ...]:
    """The rows, without the totals.

    Args:
        architecture: as checked.
        total: its cost, where that is known already.
    """
    total = cost(architecture) if total is None else total
    described: list[tuple[str, Feature]] = [(pipeline_text(architecture.stem), architecture.stem.output)]
    described += [(blocks_text(stage), stage.feature) for stage in architecture.stages]
    if architecture.head is not None:
        described.append((pipeline_text(architecture.head), architecture.head.output))
    return tuple(
        StageRow(row.path, blocks, output, row.params, row.macs, row.activation_bytes)
        for row, (blocks, output) in zip(total.stages, described, strict=True)
    )


def blocks_text(stage: Stage) -> str:
    """The blocks of a stage with repeats folded: `4 x (scan + 2 x window_attn)`.

    The norm of its feature maps stands behind them: `2 x conv; maps: layer_norm`.
    """
    blocks = fold_text(fold([callee(block) for block in stage.blocks]))
    if stage.feature_norm is None:
        return blocks
    maps = f"maps: {pipeline_text(stage.feature_norm)}"
    return f"{blocks}; {maps}" if blocks else maps


def pipeline_text(node: Node) -> str:
    """A stem or head: `patch_embed -> position -> registers`."""
    return " -> ".join(elements(node)) or "none"


def elements(node: Node) -> tuple[str, ...]:
    """Names of the parts of a pipeline, as written."""
    if node.op.name == "chain" and not node.calls:
        return tuple(name for part in node.parts for name in elements(part))
    return (callee(node),)


def grid_text(x: Feature) -> str:
    """`14 x 14`, `12` for a list of tokens, `-` for a vector."""
    return " x ".join(map(str, x.grid)) or "-"


def short(number: float) -> str:
    """A count in three or four digits: `9.264 M`, `1.25 G`, `960`."""
    for limit, suffix in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " K")):
        if number >= limit:
            scaled = number / limit
            digits = 3 if scaled < 10 else 2 if scaled < 100 else 1
            return f"{scaled:.{digits}f}{suffix}"
    return str(int(number))


def size_text(size: int) -> str:
    """Bytes: `12.3 MiB`."""
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = min(max(size.bit_length() - 1, 0) // 10, len(units) - 1)
    return f"{size / 1024**power:.1f} {units[power]}" if power else f"{size} B"


def summary(architecture: Architecture) -> str:
    """A plain table of stages with totals, for one image; a newline at its end."""
    a = architecture
    total = cost(a)
    table = [("stage", "blocks", "grid", "dim", "tokens", "params", "MACs", "scan MACs")]
    for row in stage_rows(a, total):
        x = row.output
        table.append(
            (row.name, row.blocks, grid_text(x), str(x.dim), str(x.tokens),
             f"{row.params:,}", short(row.macs.total), short(row.macs.scan))
        )  # fmt: skip
    macs = total.macs
    table.append(("total", "", "", "", "", f"{total.params:,}", short(macs.total), short(macs.scan)))
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    rule = "  ".join("-" * w for w in widths)
    lines = []
    for line in table:
        cells = zip(line, widths, strict=True)
        aligned = [cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(cells)]
        lines.append("  ".join(aligned).rstrip())
    height, width = a.image
    out = [
        f"{a.name}: {height} x {width} image, {a.channels} channels, {a.classes} classes",
        lines[0],
        rule,
        *lines[1:-1],
        rule,
        lines[-1],
        f"{UNITS}; activations of one image: {size_text(total.activation_bytes)} at float32",
    ]
    return "\n".join(out) + "\n"
