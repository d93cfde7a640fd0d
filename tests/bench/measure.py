"""Measures what people wait for: `make bench`. Medians; nothing is asserted."""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
SPECS = sorted((ROOT / "specs").rglob("*.arch"))
MODELS = ("mamba_r_tiny", "mambaout_femto", "mambaout_tiny", "hybrid")


def median_ms(work: Callable[[int], object], times: int, warm: int = 1) -> float:
    """Median wall time of `work(i)` in milliseconds."""
    taken = []
    for i in range(-warm, times):
        start = time.perf_counter()
        work(i)
        if i >= 0:
            taken.append(1000 * (time.perf_counter() - start))
    return statistics.median(taken)


def show(what: str, ms: float) -> None:
    """One line of the report, as soon as it is known."""
    print(f"{what:<58} {ms:>10.1f} ms", flush=True)


def commands() -> None:
    """Whole processes, from start to finish."""
    archdsl = [sys.executable, "-m", "archdsl"]
    for what, arguments in {
        "python -c pass": None,
        "archdsl check specs/*.arch": ["check", *map(str, sorted((ROOT / "specs").glob("*.arch")))],
        "archdsl cost mamba_r_tiny": ["cost", "mamba_r_tiny"],
        "archdsl fmt --check specs/*.arch": ["fmt", "--check", *map(str, (ROOT / "specs").glob("*.arch"))],
    }.items():
        command = [sys.executable, "-c", "pass"] if arguments is None else archdsl + arguments

        def call(_: int, command: list[str] = command) -> None:
            subprocess.run(command, check=True, capture_output=True)

        show(what, median_ms(call, 5))


def checks() -> None:
    """Parse and check of one spec in a process that has everything loaded; the text is new every time."""
    import archdsl

    with TemporaryDirectory() as folder:
        for spec in SPECS:
            text = spec.read_text(encoding="utf-8")
            copy = Path(folder) / spec.name

            def call(i: int, text: str = text, copy: Path = copy) -> None:
                copy.write_text(f"{text}# {i}\n")
                archdsl.check(copy)

            show(f"check of {spec.relative_to(ROOT)}", median_ms(call, 20))


def models() -> None:
    """Build, and one image through the model."""
    import torch

    import archdsl

    torch.set_num_threads(2)
    for name in MODELS:
        show(f"build of {name}", median_ms(lambda _, name=name: archdsl.build(name), 3))  # type: ignore[misc]
        model = archdsl.build(name).eval()
        image = torch.randn(1, 3, *model.architecture.image)
        with torch.inference_mode():
            show(
                f"one image through {name}",
                median_ms(lambda _, model=model, image=image: model(image), 5),  # type: ignore[misc]
            )


if __name__ == "__main__":
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    commands()
    checks()
    models()
