"""The measurements of `archdsl bench blocks`."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import torch
import typer
from rich.progress import track

from archdsl.cli.bench.block_sources import Sources
from archdsl.cli.bench.in_place import Marks, Passes, by_block, images_for, model_for, whole
from archdsl.cli.machine import conditions
from archdsl.cli.messages import mistake
from archdsl.cli.tables import console
from archdsl.graph.architecture import Architecture
from archdsl.graph.block_times import (
    Block,
    BlockTime,
    BlockTimes,
    blocks_of,
    predict,
    read_block_times,
)
from archdsl.weights.files import write_text

CONTEXTS = 3
"""Architectures in which a block is measured, where so many of those looked at have it."""
NOTHING_NEW = 60
"""Architectures in a row without a block to be measured, after which no more are drawn."""
BAND = 0.15
"""Of the multiply-accumulates in the middle, to either side."""
PACKAGES = ("torch", "numba", "triton")


@dataclass(frozen=True, slots=True)
class Checked:
    """An architecture, predicted and measured.

    Args:
        digest, params, macs: of it.
        predicted, measured: seconds.
        band: whether it was drawn for its multiply-accumulates.
    """

    digest: str
    params: int
    macs: int
    predicted: float
    measured: float
    band: bool


@dataclass(slots=True)
class Runs:
    """Measurements on one device, kept in one table.

    Args:
        times: the table.
        table: its file.
        dtype: of weights and images.
        batch: images at once.
        passes: how often a model is run.
    """

    times: BlockTimes
    table: Path
    dtype: str
    batch: int
    passes: Passes
    _spare: list[Architecture] = field(default_factory=list)
    _samples: dict[str, list[list[float]]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def prepare(cls, device: str, dtype: str, batch: int, threads: int, quick: bool, table: Path) -> Runs:
        """Takes up the table, where there is one.

        Raises:
            DiagnosticError: E510 without the device, E514 where the table is another's.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise mistake(
                "E510", "there is no CUDA device", notes=(f"PyTorch {torch.__version__} sees none",)
            )
        torch.set_num_threads(threads)
        known = conditions(*PACKAGES)
        machine, versions = known["machine"], known["versions"]
        assert isinstance(machine, dict)
        assert isinstance(versions, dict)
        name = torch.cuda.get_device_name() if device == "cuda" else machine["processor"]
        times = BlockTimes(device=device, name=name, threads=threads, versions=versions)
        if table.exists():
            found = read_block_times(table)
            if not found.same_machine(times):
                raise mistake(
                    "E514", f"{table} was measured on another device, or with other versions",
                    notes=(f"it is of {_about(found)}", f"this is {_about(times)}"),
                    help="name another file, or remove this one",
                )  # fmt: skip
            times = found
        return cls(times, table, dtype, batch, Passes(3, 0.0) if quick else Passes())

    def measure(self, sources: Sources) -> None:
        """Measures blocks that the table lacks, until further architectures bring none."""
        before = len(self.times.blocks)
        all_known = frozenset(self.times.blocks)
        idle = 0
        architectures = chain(sources.known, sources.drawn or ())
        told = track(architectures, "measuring blocks", console=console(to_stderr=True), transient=True)
        for number, architecture in enumerate(told, 1):
            blocks = list(blocks_of(architecture, self.batch, self.dtype))
            wanted = any(b.key not in all_known and len(self._samples[b.key]) < CONTEXTS for b in blocks)
            idle = 0 if wanted else idle + 1
            if wanted:
                self._one(architecture, blocks)
                continue
            if number > len(sources.known):
                self._spare.append(architecture)
                if idle >= NOTHING_NEW:
                    break
        added = len(self.times.blocks) - before
        typer.echo(f"{self.table}: {len(self.times.blocks):,} blocks, {added:,} of them new")

    def _one(self, architecture: Architecture, blocks: list[Block]) -> None:
        dtype: torch.dtype = getattr(torch, self.dtype)
        device = self.times.device
        model = model_for(architecture, dtype, device)
        images = images_for(architecture, self.batch, dtype, device)
        rows = by_block(model, images, Marks(device, self.times.threads), self.passes)
        found: dict[str, list[float]] = defaultdict(list)
        for number, block in enumerate(blocks):
            found[block.key] += (row[number] for row in rows)
        for block in blocks:
            if block.key in found and (block.key not in self.times.blocks or block.key in self._samples):
                samples = self._samples[block.key]
                samples.append(found.pop(block.key))
                self.times.blocks[block.key] = BlockTime(
                    seconds=statistics.median(map(statistics.median, samples)),
                    samples=sum(map(len, samples)),
                    block=block.name,
                    input=f"{block.input}",
                )
        self.table.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.table, self.times.model_dump_json(indent=1) + "\n", sync=False)

    def check(self, sources: Sources, number: int) -> dict[str, object]:
        """Predicts and measures architectures that were not drawn before: some of all, some of like cost."""
        if sources.drawn is None:
            raise LookupError("nothing to draw from")
        told_on = console(to_stderr=True)
        others = chain(self._spare, sources.drawn)
        drawn = track(islice(others, number), "checking", total=number, console=told_on, transient=True)
        rows = [row for a in drawn if (row := self._checked(a, False)) is not None]
        if len(rows) < 2:
            raise mistake("E510", "the search has no further architectures to check the table with")
        middle = statistics.median(row.macs for row in rows)
        near = islice(self._near(others, middle), number)
        told = track(near, "checking those of like cost", total=number, console=told_on, transient=True)
        rows += (row for a in told if (row := self._checked(a, True)) is not None)
        return {
            "what": "seconds of a pass, predicted as the sum of block times and measured, of architectures "
            "drawn at random; `band`: drawn among those within 15 % of the median of multiply-accumulates",
            **conditions(*PACKAGES),
            "device": self.times.name,
            "threads": self.times.threads,
            "batch": self.batch,
            "dtype": self.dtype,
            "blocks": len(self.times.blocks),
            "middle": middle,
            "rows": [
                {
                    "digest": row.digest, "params": row.params, "macs": row.macs, "band": row.band,
                    "predicted": round(row.predicted, 7), "measured": round(row.measured, 7),
                }
                for row in rows
            ],
        }  # fmt: skip

    def _near(self, drawn: Iterator[Architecture], middle: float) -> Iterator[Architecture]:
        return (a for a in drawn if abs(a.cost().macs.total / middle - 1) <= BAND)

    def _checked(self, architecture: Architecture, band: bool) -> Checked | None:
        """None where the table lacks a block."""
        prediction = predict(architecture, self.times, self.batch, self.dtype)
        if prediction.missing:
            return None
        dtype: torch.dtype = getattr(torch, self.dtype)
        device = self.times.device
        model = model_for(architecture, dtype, device)
        images = images_for(architecture, self.batch, dtype, device)
        measured = whole(model, images, Marks(device, self.times.threads), self.passes)
        cost = architecture.cost()
        return Checked(
            architecture.digest(), cost.params, cost.macs.total, prediction.seconds, measured, band
        )


def _about(times: BlockTimes) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in times.versions.items())
    return f"{times.name}, {times.threads} threads, {versions}"
