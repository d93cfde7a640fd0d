"""`archdsl doctor`: what is installed, which kernels proved themselves here, and what would help."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from archdsl.cli.doctor.report import Report

PATIENCE = 2.0
"""Seconds between two lines that tell what is done."""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also try kernels on sequences in (batch, channels, length) order.")
    ] = False,
) -> None:
    """Look at what is installed and try every kernel on every device in every type.

    A kernel is compared with plain PyTorch, forward and backward, on small inputs. The status is 0 where
    every operator has a kernel that serves, 1 where one has none.
    """
    from archdsl.cli.doctor.packages import PACKAGES, State, hushed, look_at
    from archdsl.cli.doctor.report import Report
    from archdsl.cli.machine import conditions

    with _progress() as say:
        packages = []
        for wanted in PACKAGES:
            say(f"looking at {wanted.name}")
            packages.append(look_at(wanted))
        found = Report(conditions(), packages)
        torch = next(p for p in packages if p.wanted.name == "torch")
        if torch.state is State.IMPORTS:
            with hushed():
                _kernels(found, ("bld", "bdl") if everything else ("bld",), say)
    if as_json:
        print(json.dumps(found.as_json(), indent=2))
    else:
        found.show()
    if not found.well:
        raise typer.Exit(1)


def _kernels(found: Report, layouts: tuple[str, ...], say: Callable[[str], None]) -> None:
    say("loading PyTorch")
    from archdsl.cli.doctor import kernels

    found.named = kernels.asked_for()
    found.devices = kernels.devices()
    found.operators = kernels.operators()
    found.elsewhere = kernels.elsewhere()
    found.cache, found.not_kept = kernels.kept_in()
    for row in kernels.examine(layouts, say):
        if isinstance(row, kernels.Unserved):
            found.unserved.append(row)
        else:
            found.tried.append(row)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """What is told comes as a spinner on a terminal, elsewhere as a line every two seconds."""
    from archdsl.cli.tables import console

    screen = console(to_stderr=True)
    if screen.is_terminal:
        with screen.status("") as status:
            yield status.update
        return
    told = time.monotonic()

    def say(what: str) -> None:
        nonlocal told
        if time.monotonic() - told > PATIENCE:
            told = time.monotonic()
            screen.print(f"{what} ...", markup=False)

    yield say
