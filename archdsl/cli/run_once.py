"""`archdsl run-once`: one row of a search, done again."""

from __future__ import annotations

import json
import os
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from archdsl.cli.messages import mistake
from archdsl.cli.specs import Arch, Image, Override, Spec
from archdsl.cli.trained import Seed, Seeds, TaskText, Threads, carried_out, loaded, seeds_of


def run_once(
    spec: Spec,
    task: TaskText,
    arch: Arch = None,
    overrides: Override = None,
    image: Image = None,
    seed: Seed = None,
    seeds: Seeds = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs", metavar="N", min=1, help="Stop after so many epochs of the task, as a stopped trial."
        ),
    ] = None,
    test: Annotated[
        bool, typer.Option("--test", help="Score the test images, not the validation images.")
    ] = False,
    threads: Threads = 1,
    gpu: Annotated[
        bool, typer.Option("--gpu", help="Train on the GPU, as trials of a search with --gpus do.")
    ] = False,
) -> None:
    """Train one architecture exactly as a trial of a search and print its scores as JSON.

    Spec, task, seeds and epochs are those of a row of `trials.csv`; on the same machine the scores are the
    same to the last bit.
    """
    if not gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from archdsl.nas.jobs import Job
    from archdsl.tasks import read_task

    chosen = read_task(task)
    architecture = loaded(chosen, spec, arch, overrides, image)
    last = chosen.epochs if epochs is None else epochs
    if last > chosen.epochs:
        raise mistake(
            "E510", f"--epochs {last}: the task ends after {chosen.epochs}", help="give the task more epochs"
        )
    split = "test" if test else "validation"
    numbers = seeds_of(seed, seeds)
    with TemporaryDirectory(prefix="archdsl-") as folder:
        job = Job("run-once", architecture.to_source(), chosen.text(), numbers, (last,), (), folder, split)
        (report,) = carried_out(job, threads)
    print(
        json.dumps(
            {
                "arch": architecture.name,
                "digest": architecture.digest(),
                "task": chosen.text(),
                "split": split,
                "epochs": last,
                "scores": report.values,
                "seeds": [{"seed": n, **scores} for n, scores in zip(numbers, report.seeds, strict=True)],
                "seconds": round(report.seconds, 2),
            },
            indent=2,
        )
    )
    told = ", ".join(f"{name} {value:.6g}" for name, value in report.values.items())
    typer.echo(f"{architecture.name} after {last} epochs, {split}: {told}", err=True)
