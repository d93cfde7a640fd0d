"""`archdsl bench space`: how fast candidates of a search are counted and drawn, beside other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from archdsl.cli.bench.ops import Quick
from archdsl.cli.bench.results import WIDE


def space(
    search: Annotated[
        str | None, typer.Argument(metavar="[SEARCH]", help="A search; one of 10^9 points by default.")
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", min=10, max=10_000_000, help="Candidates behind each rate.")
    ] = 20_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of what is drawn.")] = 0,
    quick: Quick = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the results as JSON.")
    ] = None,
) -> None:
    """How many candidates of a search are counted and drawn in a second, on one core.

    Counted: parameters, multiply-accumulates, the digest, `require`. Drawn: evenly among the different
    architectures that compile and meet `require`, none of them twice. NePS and PyGlove draw from the same
    choices; what they draw is judged by the same rules. fvcore counts the same candidates by tracing them.
    """
    from archdsl.cli.bench.results import write
    from archdsl.cli.bench.space_runs import measured

    results: dict[str, Any] = measured(search or WIDE, 500 if quick else samples, seed)
    for line in told(results):
        typer.echo(line)
    write(results, out)
    if results["drawn"]["wrong"]:
        raise typer.Exit(1)


def told(results: dict[str, Any]) -> list[str]:
    """The results in lines."""
    size, drawn = results["space"], results["drawn"]
    different = f"{size['distinct']:,} different architectures"
    looked_at = f"{drawn['wrong']} of {drawn['looked_at']:,} looked at again wrong"
    lines = [
        f"{size['points']:,} points, {size['compiling']:,} compile, {different}; {size['seconds']:.2f} s",
        f"counted: {results['counted']['per_second']:,.0f} candidates/s",
        f"drawn: {drawn['per_second']:,.0f} valid, different candidates/s; {looked_at}",
    ]
    for name, row in results["peers"].items():
        if "missing" in row:
            lines.append(f"{name}: {row['missing']}")
        elif "repeated" in row:
            lines.append(
                f"{name}: {row['per_second']:,.0f} candidates/s, "
                f"{row['refused']:.1%} do not compile or meet `require`, {row['repeated']:.1%} repeat others"
            )
        else:
            lines.append(f"{name}: {row['per_second']:,.1f} candidates/s counted")
    return lines
