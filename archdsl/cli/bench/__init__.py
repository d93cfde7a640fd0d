"""`archdsl bench`: measurements, with the machine and the versions they were made on."""

from __future__ import annotations

from typing import Annotated

import typer

from archdsl.cli.bench.blocks import blocks
from archdsl.cli.bench.check import check
from archdsl.cli.bench.device import on_device
from archdsl.cli.bench.models import models, train
from archdsl.cli.bench.ops import Out, Quick, ops
from archdsl.cli.bench.sampler import sampler
from archdsl.cli.bench.search import search
from archdsl.cli.bench.space import space

app = typer.Typer(add_completion=False)
app.command()(check)
app.command()(search)
app.command()(space)
app.command()(sampler)
app.command()(ops)
app.command()(models)
app.command()(train)
app.command()(blocks)


@app.callback(invoke_without_command=True)
def bench(
    context: typer.Context,
    device: Annotated[
        str | None, typer.Option("--device", metavar="cuda", help="Measure on a CUDA device; with --all.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All kernels, scans, mixers and models on that device.")
    ] = False,
    quick: Quick = False,
    out: Out = None,
) -> None:
    """Measure on this machine: one of the commands, or `--device cuda --all`.

    The latter is one command that goes on where it was broken off: every kernel is compared with the
    reference in float64, forward and backward, before anything is timed.
    """
    if context.invoked_subcommand is not None:
        return
    if device is None and not everything:
        typer.echo(context.get_help())
    else:
        on_device(device, everything, quick, out)
