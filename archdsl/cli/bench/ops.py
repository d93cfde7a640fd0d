"""`archdsl bench ops`: our scans beside those of others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archdsl.cli.messages import mistake

if TYPE_CHECKING:
    from archdsl.cli.bench.problems import Shape

Quick = Annotated[
    bool, typer.Option("--quick", help="Small, few samples: under a minute, only to see it run.")
]
Threads = Annotated[
    int, typer.Option("--threads", min=1, max=1024, help="1: processor time is taken; more: wall time.")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write JSON; a run broken off goes on from FILE.part."),
]
Svg = Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Draw the results.")]


def ops(
    shapes: Annotated[
        list[str] | None,
        typer.Option("--shape", metavar="B,D,N,L", help="Images, channels, states, steps; can be repeated."),
    ] = None,
    threads: Threads = 1,
    quick: Quick = False,
    mamba_ssm: Annotated[
        Path | None,
        typer.Option("--mamba-ssm", metavar="FILE", help="Its source distribution, for its reference."),
    ] = None,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Let pip download mamba_ssm's source distribution for this run.")
    ] = False,
    starts: Annotated[
        bool, typer.Option("--starts/--no-starts", help="Time first calls of processes.")
    ] = True,
    out: Out = None,
    svg: Svg = None,
) -> None:
    """How fast the selective scan is: every kernel of ours, and the scans of others, in the same run.

    Forward and forward + backward, float32 and bfloat16, one direction and both. Every result is compared
    with the reference in float64 before anything is timed. All ways are timed in turns; medians. Others that
    are not installed are listed with the command that would bring them.
    """
    wanted = tuple(_shape(text) for text in shapes or ())
    if mamba_ssm is not None and not mamba_ssm.is_file():
        raise mistake("E501", f"there is no file {mamba_ssm}", help="check the path given to --mamba-ssm")
    from archdsl.cli.bench import scan_report as report
    from archdsl.cli.bench.scans import Scans

    scans = Scans.prepare(wanted, threads, quick, mamba_ssm, fetch, starts, out)
    results = scans.run()
    report.show(results)
    scans.journal.finish(results)
    if svg is not None:
        report.save(report.picture(results), svg)
    if results["wrong"]:
        raise typer.Exit(1)


def _shape(text: str) -> Shape:
    from archdsl.cli.bench.problems import Shape

    try:
        sizes = [int(word) for word in text.split(",")]
    except ValueError:
        sizes = []
    if len(sizes) != 4 or min(sizes) < 1:
        raise mistake(
            "E510", f"--shape is four numbers above 0, not {text!r}", help="for example 4,384,16,197"
        )
    return Shape(*sizes)
