"""`archdsl bench models` and `archdsl bench train`: whole models in several ways."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archdsl.cli.bench.ops import Out, Quick, Svg, Threads
from archdsl.cli.messages import mistake

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[MODEL]...", help="Shipped architectures; mamba_r_tiny and vim_tiny by default."),
]
Batches = Annotated[
    list[int] | None, typer.Option("--batch", min=1, max=4096, help="Images in a batch; can be repeated.")
]
Side = Annotated[
    int | None, typer.Option("--image", min=16, max=4096, help="Height and width of the images.")
]

QUICK_IMAGE = 64


def models(
    names: Names = None,
    batches: Batches = None,
    image: Side = None,
    threads: Threads = 1,
    quick: Quick = False,
    out: Out = None,
    svg: Svg = None,
) -> None:
    """How fast models are, inference, in images a second.

    As they are built; without the fused operator; with the scan by the reference and by a tuned loop, both
    in PyTorch; and the same architecture in timm where it has it. All in the same run, in turns.
    """
    _run(False, names, batches, image, threads, quick, out, svg)


def train(
    names: Names = None,
    batches: Batches = None,
    image: Side = None,
    threads: Threads = 1,
    memory: Annotated[
        bool, typer.Option("--memory/--no-memory", help="Run processes for the memory.")
    ] = True,
    quick: Quick = False,
    out: Out = None,
    svg: Svg = None,
) -> None:
    """How long a step of training takes: forward, backward, AdamW; in the ways of `archdsl bench models`.

    With the most memory that a process with one such step has.
    """
    _run(True, names, batches, image, threads, quick, out, svg, memory)


def _run(
    training: bool,
    names: list[str] | None,
    batches: list[int] | None,
    image: int | None,
    threads: int,
    quick: bool,
    out: Path | None,
    svg: Path | None,
    memory: bool = False,
) -> None:
    import archdsl

    if quick:
        image = image or QUICK_IMAGE
    for name in names or ():
        loaded = archdsl.load(name) if image is None else archdsl.load(name, image=image)
        if loaded.channels != 3:
            raise mistake("E510", f"{name} takes {loaded.channels} channels, images here have 3")
    from archdsl.cli.bench import network_report as report
    from archdsl.cli.bench.networks import BATCHES, DEFAULT, Networks

    chosen = tuple(names or (DEFAULT[:1] if quick else DEFAULT))
    sizes = tuple(batches or (BATCHES[:1] if quick else BATCHES))
    run = Networks.prepare(training, chosen, sizes, image, threads, quick, out, memory)
    results = run.run()
    report.show(results)
    run.journal.finish(results)
    if svg is not None:
        report.save(report.picture(results, training), svg)
    if results["wrong"]:
        raise typer.Exit(1)
