"""`archdsl cost`: parameters and multiply-accumulates, without building anything."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from archdsl.cli.specs import Arch, Classes, Image, Override, arches_of, load_spec

if TYPE_CHECKING:
    from archdsl.graph.architecture import Architecture
    from archdsl.graph.cost import Cost


def cost(
    specs: Annotated[
        list[str], typer.Argument(metavar="SPECS...", help="Spec files, or names of shipped architectures.")
    ],
    arch: Arch = None,
    every: Annotated[bool, typer.Option("--all", help="Every architecture of each file.")] = False,
    overrides: Override = None,
    image: Image = None,
    classes: Classes = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count parameters and multiply-accumulates of architectures, exactly and without PyTorch."""
    loaded = [
        load_spec(spec, name, overrides, image, classes)
        for spec in specs
        for name in (arches_of(spec) if every else (arch,))
    ]
    costs = [(a, a.cost()) for a in loaded]
    if as_json:
        import json

        typer.echo(json.dumps([_row(a, c) for a, c in costs], indent=2))
        return
    _print(costs)


def _print(costs: list[tuple[Architecture, Cost]]) -> None:
    from rich import box
    from rich.table import Table

    from archdsl.cli.tables import console, stage_table
    from archdsl.graph.views.summary import UNITS, short, size_text, stage_rows

    out = console()
    if len(costs) == 1:
        a, total = costs[0]
        size = f"{a.image[0]} x {a.image[1]} image, {a.classes} classes"
        out.print(f"[bold]{a.name}[/]  {total.params:,} parameters, {size}")
        out.print(stage_table(stage_rows(a, total), total, out.width))
        out.print(f"activations of one image: {size_text(total.activation_bytes)} at float32", style="dim")
    else:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
        table.add_column("arch", style="cyan", no_wrap=True)
        for heading in ("image", "params", "MACs", "linear", "conv", "attention", "scan MACs", "activations"):
            table.add_column(heading, justify="right", no_wrap=True)
        for a, c in costs:
            classes = (c.macs.total, c.macs.linear, c.macs.conv, c.macs.attention, c.macs.scan)
            table.add_row(
                a.name,
                f"{a.image[0]} x {a.image[1]}",
                f"{c.params:,}",
                *(short(n) if n else "-" for n in classes),
                size_text(c.activation_bytes),
            )
        out.print(table)
    out.print(UNITS, style="dim")


def _row(a: Architecture, c: Cost) -> dict[str, object]:
    return {
        "name": a.name,
        "image": list(a.image),
        "channels": a.channels,
        "classes": a.classes,
        "digest": a.digest(),
        "params": c.params,
        "macs": asdict(c.macs) | {"total": c.macs.total},
        "activation_bytes": c.activation_bytes,
        "stages": [
            {
                "name": row.path,
                "params": row.params,
                "macs": asdict(row.macs) | {"total": row.macs.total},
                "activation_bytes": row.activation_bytes,
            }
            for row in c.stages
        ],
    }
