"""Results of a measurement, written as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import typer

WIDE = Path(__file__).with_name("wide.search")
"""A search to measure with, of about 10^9 points."""


def write(results: Mapping[str, object], out: Path | None) -> None:
    """Writes results to a file, where one is given, and says so."""
    if out is None:
        return
    from archdsl.weights.files import write_text

    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, json.dumps(results, indent=2) + "\n")
    typer.echo(f"wrote {out}")
