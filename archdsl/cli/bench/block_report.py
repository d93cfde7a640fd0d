"""What `archdsl bench blocks --check` found, in words and as a picture."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer

from archdsl.cli.bench.results import write
from archdsl.graph.views.svg import FAINT, Canvas, number
from archdsl.weights.files import write_text

SIDE = 440
LEFT, TOP = 76, 84
COLOURS = {False: "#1f77b4", True: "#d1741f"}
NAMES = {False: "all", True: "of like MACs"}
GRID = "#e4e7eb"


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """How well the predictions hold: the median error, and rank correlations, those of the MACs beside."""
    out: dict[str, object] = {}
    for band in (False, True):
        those = [row for row in rows if row["band"] is band]
        if len(those) < 2:
            continue
        predicted, measured, macs = ([row[n] for row in those] for n in ("predicted", "measured", "macs"))
        errors = [abs(p / m - 1) for p, m in zip(predicted, measured, strict=True)]
        out[NAMES[band]] = {
            "architectures": len(those),
            "median_error": round(statistics.median(errors), 4),
            "largest_error": round(max(errors), 4),
            "spearman": round(spearman(predicted, measured), 4),
            "spearman_of_macs": round(spearman(macs, measured), 4),
        }
    return out


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's rank correlation; equal values share the mean of their ranks. NaN where all are equal."""
    with np.errstate(invalid="ignore"):
        return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    _, place, times = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(times)
    return (last - (times - 1) / 2)[place]


def show(results: dict[str, object]) -> None:
    """Prints the summary and adds it to the results."""
    rows: Any = results["rows"]
    results["summary"] = found = summary(rows)
    for name, one in found.items():
        assert isinstance(one, dict)
        typer.echo(
            f"{one['architectures']} architectures, {name}: median error {one['median_error']:.1%}, "
            f"at most {one['largest_error']:.1%}; Spearman {one['spearman']:.3f}, "
            f"by MACs alone {one['spearman_of_macs']:.3f}"
        )


def save(results: Mapping[str, object], out: Path | None, svg: Path | None) -> None:
    """Writes the results and the picture, where files are given."""
    write(results, out)
    if svg is not None:
        svg.parent.mkdir(parents=True, exist_ok=True)
        write_text(svg, picture(results))
        typer.echo(f"wrote {svg}")


def picture(results: Mapping[str, Any]) -> str:
    """Measured against predicted times, as SVG text complete in itself."""
    rows = results["rows"]
    values = [1e3 * row[name] for row in rows for name in ("predicted", "measured")]
    low, high = math.log10(min(values)) - 0.03, math.log10(max(values)) + 0.03
    canvas = Canvas()

    def at(value: float) -> float:
        return SIDE * (math.log10(value) - low) / (high - low)

    canvas.text(16, 28, "Sums of block times against measured passes", size=15, bold=True)
    canvas.text(16, 48, f"{results['device']}, batch {results['batch']}, {results['dtype']}", fill=FAINT)
    for tick in _ticks(10**low, 10**high):
        x, y = LEFT + at(tick), TOP + SIDE - at(tick)
        canvas.path(f"M{number(x)} {TOP}V{TOP + SIDE}M{LEFT} {number(y)}H{LEFT + SIDE}", stroke=GRID)
        canvas.text(x, TOP + SIDE + 18, f"{tick:g}", size=11, fill=FAINT, anchor="middle")
        canvas.text(LEFT - 8, y + 4, f"{tick:g}", size=11, fill=FAINT, anchor="end")
    canvas.path(f"M{LEFT} {TOP + SIDE}L{LEFT + SIDE} {TOP}", stroke=FAINT)
    for row in sorted(rows, key=lambda row: row["band"]):
        x = LEFT + at(1e3 * row["predicted"]) - 3.5
        y = TOP + SIDE - at(1e3 * row["measured"]) - 3.5
        canvas.rect(x, y, 7, 7, fill=COLOURS[row["band"]], radius=3.5)
    canvas.text(LEFT + SIDE / 2, TOP + SIDE + 42, "predicted, ms", anchor="middle")
    canvas.text(LEFT, TOP - 6, "measured, ms", size=11, fill=FAINT)
    told = results["summary"]
    for place, band in enumerate(COLOURS):
        if NAMES[band] not in told:
            continue
        one = told[NAMES[band]]
        y = TOP + 24 + 62 * place
        canvas.rect(LEFT + SIDE + 20, y - 9, 10, 10, fill=COLOURS[band], radius=5)
        canvas.text(LEFT + SIDE + 38, y, f"{one['architectures']} {NAMES[band]}", bold=True)
        canvas.text(LEFT + SIDE + 38, y + 17, f"median error {one['median_error']:.1%}")
        canvas.text(
            LEFT + SIDE + 38, y + 34, f"Spearman {one['spearman']:.3f} (MACs {one['spearman_of_macs']:.3f})"
        )
    about = f"{len(rows)} architectures, predicted and measured times of a pass on logarithmic scales."
    return canvas.document(LEFT + SIDE + 220, TOP + SIDE + 60, "Predicted and measured latency", about)


def _ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, ... between the ends."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [n * 10**d for d in decades for n in (1, 2, 5) if low <= n * 10**d <= high]
