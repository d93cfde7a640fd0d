"""`archdsl bench`: measurements, with the machine and the versions they were made on."""

from __future__ import annotations

import typer

from archdsl.cli.bench.check import check
from archdsl.cli.bench.models import models, train
from archdsl.cli.bench.ops import ops
from archdsl.cli.bench.sampler import sampler
from archdsl.cli.bench.search import search

app = typer.Typer(add_completion=False)
app.command()(check)
app.command()(search)
app.command()(sampler)
app.command()(ops)
app.command()(models)
app.command()(train)


@app.callback(invoke_without_command=True)
def bench(context: typer.Context) -> None:
    """Measure on this machine."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
