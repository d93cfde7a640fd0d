"""`archdsl bench --device cuda --all`."""

from __future__ import annotations

from pathlib import Path

import typer

from archdsl.cli.messages import mistake


def on_device(device: str | None, everything: bool, quick: bool, out: Path | None) -> None:
    """Measures all there is on a CUDA device; see `archdsl.cli.bench.cuda`.

    Raises:
        DiagnosticError: E510 for another device, without `--all`, and where there is no CUDA device.
        typer.Exit: with status 1 where a kernel is wrong.
    """
    if device != "cuda" or not everything:
        raise mistake(
            "E510",
            "what is measured on a device is all of it, on a CUDA device",
            help="`archdsl bench --device cuda --all`; on the CPU: `archdsl bench ops`, `models`, `train`",
        )
    import torch

    if not torch.cuda.is_available():
        raise mistake(
            "E510",
            "there is no CUDA device",
            notes=(f"PyTorch {torch.__version__} sees none",),
            help="`archdsl bench ops`, `models` and `train` measure on the CPU",
        )
    from archdsl.cli.bench.cuda.report import show
    from archdsl.cli.bench.cuda.run import on_cuda

    run = on_cuda(quick, out)
    results = run.run()
    show(results)
    run.journal.finish(results)
    if results["wrong"]:
        raise typer.Exit(1)
