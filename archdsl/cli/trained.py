"""What `train` and `run-once` share: their options, and one evaluation carried out as a trial's is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from statistics import mean, stdev
from typing import TYPE_CHECKING, Annotated

import typer

from archdsl.cli.messages import mistake
from archdsl.cli.specs import load_spec

if TYPE_CHECKING:
    from archdsl.graph.architecture import Architecture
    from archdsl.nas.jobs import Job, Report
    from archdsl.tasks import Task

TaskText = Annotated[
    str,
    typer.Option(
        "--task", metavar="TASK", help="What to train on: digits, or 'digits(epochs = 20, lr = 1e-3)'."
    ),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", min=0, max=2**32 - 1, help="Train once, from this seed (0)."),
]
Seeds = Annotated[
    int | None,
    typer.Option("--seeds", metavar="N", min=1, max=1000, help="Train from each of the seeds 0 .. N - 1."),
]
Threads = Annotated[
    int, typer.Option("--threads", metavar="N", min=1, max=1024, help="Threads of PyTorch; a trial has one.")
]


_NEXT = {
    "nan": "make `lr` smaller, or set `clip`",
    "memory": "make `batch` or the architecture smaller",
    "data": "check the path and the files it leads to",
}


def seeds_of(seed: int | None, seeds: int | None) -> tuple[int, ...]:
    """The seeds that the two options mean.

    Raises:
        DiagnosticError: E510 where both are given.
    """
    if seed is not None and seeds is not None:
        raise mistake("E510", "--seed and --seeds are both given", help="leave one out")
    return (seed or 0,) if seeds is None else tuple(range(seeds))


def check_backend() -> None:
    """Refuses an ARCHDSL_BACKEND that is no kernel's name before any work is done.

    Raises:
        KernelError: for such a name.
    """
    if os.environ.get("ARCHDSL_BACKEND", "auto") not in ("", "auto"):
        from archdsl.kernels import ladder

        ladder.check_backend()


def loaded(
    task: Task, spec: str, arch: str | None, overrides: Sequence[str] | None, image: str | None
) -> Architecture:
    """The architecture with the classes and channels of the task.

    Raises:
        DiagnosticError: for what is wrong with the options or the spec, and where there is no head to train.
    """
    check_backend()
    task.prepare()
    architecture = load_spec(spec, arch, overrides, image, task.classes, task.channels)
    if architecture.head is None:
        raise mistake("E510", f"{architecture.name} has no head to train", help="--set 'head=...'")
    return architecture


def carried_out(job: Job, threads: int, progress: Callable[[float], None] | None = None) -> Iterator[Report]:
    """The reports of a job, as they are made.

    Raises:
        DiagnosticError: E418 where data can't be read, E419 where the training can't go on, E512 where the
            kernel that ARCHDSL_BACKEND names does not serve.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    import torch

    from archdsl.nas.evaluation import Evaluation, EvaluationError

    torch.set_num_threads(threads)
    try:
        yield from Evaluation(job, progress).reports()
    except EvaluationError as error:
        failure = error.failure
    else:
        return
    kernel = failure.message.removeprefix("KernelError: ")
    if kernel != failure.message:
        raise mistake("E512", kernel, help="`archdsl doctor` tells what serves here")
    if failure.kind == "exception":
        raise RuntimeError(failure.detail or failure.message)
    code = "E418" if failure.kind == "data" else "E419"
    raise mistake(code, failure.message.removeprefix(f"{code}: "), help=_NEXT[failure.kind])


def percent(values: Sequence[float]) -> str:
    """Shares as text: `98.61 %`, with every one behind it where there are several."""
    text = f"{100 * mean(values):.2f} %"
    if len(values) == 1:
        return text
    each = ", ".join(f"{100 * v:.2f}" for v in values)
    return f"{text} +- {100 * stdev(values):.2f} over {len(values)} seeds ({each})"
