"""`archdsl bench blocks`: what every distinct block takes on a device, and how well the sums predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archdsl.cli.bench.ops import Quick, Svg, Threads
from archdsl.cli.bench.results import WIDE
from archdsl.cli.messages import mistake

DTYPES = ("float32", "bfloat16", "float16")
DEVICES = ("cpu", "cuda")


def blocks(
    table: Annotated[
        Path,
        typer.Option("--table", metavar="FILE", help="The table; blocks that it has are not measured again."),
    ],
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SOURCE]...", help="Specs and searches; one of 10^9 points by default."),
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="cpu|cuda", help="Where they run.")] = "cpu",
    dtype: Annotated[str, typer.Option("--dtype", help="float32, bfloat16 or float16.")] = "float32",
    batch: Annotated[int, typer.Option("--batch", min=1, max=4096, help="Images at once.")] = 1,
    threads: Threads = 1,
    check: Annotated[
        int,
        typer.Option(
            "--check",
            min=0,
            max=10_000,
            help="Predict and measure so many other architectures, and again as many of like MACs.",
        ),
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of what is drawn.")] = 0,
    quick: Quick = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the check as JSON.")
    ] = None,
    svg: Svg = None,
) -> None:
    """Measure what every distinct block takes on a device, for `latency(table = ...)`.

    Blocks are timed where they stand, in whole passes of architectures that have them: of a search so many
    are drawn that further ones bring nothing new. The table is written after each of them, so that a run
    broken off goes on from there. It holds for one device and one set of versions.
    """
    if device not in DEVICES:
        raise mistake("E510", f"--device takes {' or '.join(DEVICES)}, not {device!r}")
    if dtype not in DTYPES:
        raise mistake("E510", f"--dtype takes {', '.join(DTYPES)}, not {dtype!r}")
    from archdsl.cli.bench.block_runs import Runs
    from archdsl.cli.bench.block_sources import sources_of

    found = sources_of(sources or [str(WIDE)], seed)
    if check and found.drawn is None:
        raise mistake(
            "E510", "--check draws architectures, and no search is given", help="name a `.search` file"
        )
    runs = Runs.prepare(device, dtype, batch, threads, quick, table)
    runs.measure(found)
    if check:
        from archdsl.cli.bench import block_report as report

        results = runs.check(found, check)
        report.show(results)
        report.save(results, out, svg)
