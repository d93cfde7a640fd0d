"""The measurements of `archdsl bench --device cuda --all`, in their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import typer

from archdsl.cli.bench import ours
from archdsl.cli.bench.cuda import mixers, models, peers
from archdsl.cli.bench.cuda.roofline import Device, known, least_seconds
from archdsl.cli.bench.cuda.timing import Sample, rounds
from archdsl.cli.bench.groups import ALLOWED, Group, Outputs, measured, medians, ratios, wrong
from archdsl.cli.bench.journal import Journal, Row
from archdsl.cli.bench.peers.peer import Ready
from archdsl.cli.bench.problems import Shape, problem
from archdsl.cli.bench.timing import Plan, Timed
from archdsl.cli.machine import conditions
from archdsl.kernels.ladder import LADDERS

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
TIMED_DTYPES = ("float32", "bfloat16")
PASSES = {"forward": "forward", "both": "forward + backward"}
SHAPES = (
    Shape(128, 384, 16, 197),
    Shape(64, 384, 16, 1024),
    Shape(8, 384, 16, 4096),
    Shape(64, 384, 1, 3136),
)
QUICK_SHAPES = (Shape(8, 384, 16, 197),)
MODELS = ("mamba_r_base", "mambavision_t")
PACKAGES = ("torch", "triton", "numba", "mamba-ssm", "causal-conv1d", "timm")
OURS = "archdsl"
WHAT = (
    "a CUDA device: every kernel compared with the reference in float64 first; then medians in milliseconds "
    "of ways timed in turns by CUDA events, the device's cache overwritten before each call; `ratios` are "
    "times over that of `archdsl`; (b, d, n, l): images, channels, states, steps"
)
Results = dict[str, Any]


class Item(NamedTuple):
    """What one row is about; what does not apply is empty.

    Args:
        kind: `proof`, `scan`, `both directions`, `mixer` or `model`.
        name: of the operator and kernel, or of the model.
        dtype: of the numbers.
        which: the pass.
        shape: of the scan.
        layout: the memory order.
    """

    kind: str
    name: str = ""
    dtype: str = ""
    which: str = ""
    shape: tuple[int, ...] = ()
    layout: str = ""

    @property
    def key(self) -> str:
        """In the journal, and as shown."""
        size = " x ".join(map(str, self.shape))
        return ", ".join(part for part in (*self[:4], size, self.layout) if part)


@dataclass(frozen=True, slots=True)
class DeviceRun:
    """One run.

    Args:
        device: type of the device.
        about: what is known of it: name, driver, memory.
        roof: its peak rates, None where they are not known.
        shapes: of the scans.
        models: names of architectures.
        batch: images in a batch of a model.
        image: their side, None for that of the architecture.
        plan: how often.
        sample: seconds of one call.
        journal: where rows are kept.
    """

    device: str
    about: Mapping[str, object]
    roof: Device | None
    shapes: tuple[Shape, ...]
    models: tuple[str, ...]
    batch: int
    image: int | None
    plan: Plan
    sample: Sample = field(repr=False)
    journal: Journal

    def items(self) -> list[Item]:
        """All rows: proofs first."""
        found = [
            Item("proof", f"{ladder.operator}: {candidate.name}", dtype, layout=layout)
            for ladder in LADDERS
            for candidate in ladder.candidates[:-1]
            if not candidate.devices or self.device in candidate.devices
            for dtype in DTYPES
            for layout in ours.LAYOUTS
        ]
        timed = [(d, w, tuple(s)) for d in TIMED_DTYPES for w in PASSES for s in self.shapes]
        for kind in ("scan", "both directions", "mixer"):
            found += [Item(kind, "", *rest) for rest in timed]
        return found + [Item("model", m, "bfloat16", w) for m in self.models for w in models.PASSES]

    def run(self) -> Results:
        """Measures what the journal does not hold yet."""
        items = self.items()
        rows: dict[Item, Row] = {}
        for number, item in enumerate(items, 1):
            typer.echo(f"[{number}/{len(items)}] {item.key}", err=True)
            rows[item] = self.journal.row(item.key, partial(self._measure, item))
        timed = {i: r for i, r in rows.items() if i.kind != "proof"}
        failed = [f"{i.key}: {r['wrong']}" for i, r in rows.items() if r.get("wrong")]
        return {
            "what": WHAT,
            **conditions(*PACKAGES),
            "device": dict(self.about),
            "roof": None if self.roof is None else self.roof._asdict(),
            "rounds": self.plan.rounds,
            "proofs": [{"kernel": i.name, "dtype": i.dtype, "layout": i.layout, **r}
                       for i, r in rows.items() if i.kind == "proof"],
            "timed": [self._told(i, r) for i, r in timed.items()],
            "wrong": failed + wrong({i.key: r for i, r in timed.items()}, lambda name: name.startswith(OURS)),
        }  # fmt: skip

    def _told(self, item: Item, row: Row) -> Row:
        """The row as it stands in the file, with the share of the roofline for scans."""
        head: Row = {"kind": item.kind, "name": item.name, "dtype": item.dtype, "pass": item.which}
        told = {**head, "shape": list(item.shape), **row, "ratios": ratios(row, OURS)}
        if item.kind == "scan" and self.roof is not None:
            size = DTYPES[item.dtype].itemsize
            least = least_seconds(Shape(*item.shape), size, item.which, self.roof)
            told["share_of_roofline"] = {
                n: float(f"{1e3 * least / ms:.4g}") for n, ms in medians(row).items()
            }
        return told

    def _measure(self, item: Item) -> Row:
        match item.kind:
            case "proof":
                return self._proof(item)
            case "model":
                measure = partial(models.measure, item.name, item.which, self.batch, self.image, self.device)
                return measure(partial(rounds, plan=self.plan, sample=self.sample))
        truth, group = {"scan": self._scan, "both directions": self._both, "mixer": self._mixer}[item.kind](
            item
        )
        return measured(group, lambda name: truth, ALLOWED[item.dtype], self._timed)

    def _kernels(self, dtype: torch.dtype) -> list[str]:
        """Names of the kernels of the scan that serve on the device."""
        return [name for name, reason in ours.candidates(dtype, self.device).items() if not reason]

    def _timed(self, ways: Mapping[str, Callable[[], Outputs]]) -> Mapping[str, Timed]:
        return rounds(ways, self.plan, self.sample)

    def _proof(self, item: Item) -> Row:
        operator, _, name = item.name.partition(": ")
        ladder = next(ladder for ladder in LADDERS if ladder.operator == operator)
        candidate = next(c for c in ladder.candidates if c.name == name)
        call = ladder.typical(self.device, DTYPES[item.dtype], item.layout)
        reason = ladder.obstacle(candidate, call)
        if reason is not None:
            return {"not_here": reason}
        proof = ladder.test(candidate, call)
        return {"wrong": proof.reason or "", "right": proof.reason is None}

    def _scan(self, item: Item) -> tuple[Outputs, Group]:
        x = problem(Shape(*item.shape), DTYPES[item.dtype], self.device)
        group = Group()
        for backend in ("auto", *(n for n in self._kernels(x.u.dtype) if n != ours.REFERENCE)):
            for layout in ours.LAYOUTS:
                parts = [
                    "archdsl",
                    *([backend] if backend != "auto" else []),
                    *(["bdl"] if layout == "bdl" else []),
                ]
                group.ways[", ".join(parts)] = _pass(ours.ready(x, layout, backend), item.which)
        _add(group, peers.FN, lambda: peers.scan(x), item.which)
        return _pass(ours.exact(x), item.which)(), group

    def _both(self, item: Item) -> tuple[Outputs, Group]:
        shape, dtype = Shape(*item.shape), DTYPES[item.dtype]
        x = ours.BothWays(*(problem(shape, dtype, self.device, seed) for seed in (0, 1)))
        wide = ours.BothWays(x.there.to(torch.float64), x.back.to(torch.float64))
        group = Group()
        for name in ours.WAYS:
            shown = OURS if name == "both, one call" else f"archdsl, {name.removeprefix('both, ')}"
            group.ways[shown] = _pass(ours.ready_both_ways(x, name, "auto"), item.which)
        _add(group, peers.FLIPS, lambda: ours.ready_steps_last(x, peers.flipped), item.which)
        return _pass(ours.ready_both_ways(wide, "both, two calls", ours.REFERENCE), item.which)(), group

    def _mixer(self, item: Item) -> tuple[Outputs, Group]:
        x = mixers.mixer(Shape(*item.shape), DTYPES[item.dtype], self.device)
        wide = mixers.Mixer(*(v.double() for v in x))
        group = Group({OURS: _pass(mixers.ours(x), item.which)})
        _add(group, peers.INNER, lambda: mixers.theirs(x), item.which)
        return _pass(mixers.ours(wide, ours.REFERENCE), item.which)(), group


def _add(group: Group, name: str, prepare: Callable[[], Ready], which: str) -> None:
    """One of mamba-ssm's ways, where it is here."""
    reason = peers.missing()
    if reason:
        group.absent[name] = reason
    else:
        group.ways[name] = _pass(prepare(), which)


def _pass(ready: Ready, which: str) -> Callable[[], Outputs]:
    return (lambda: (ready.forward(),)) if which == "forward" else ready.both


def on_cuda(quick: bool, out: Path | None) -> DeviceRun:
    """The run on the current CUDA device."""
    from archdsl.cli.bench.cuda.timing import Events

    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    about: dict[str, object] = {
        "name": properties.name,
        "memory_bytes": properties.total_memory,
        "multiprocessors": properties.multi_processor_count,
        "capability": f"{properties.major}.{properties.minor}",
        "cuda": torch.version.cuda,
        "driver": models.driver(),
    }
    shapes, names = (QUICK_SHAPES, ()) if quick else (SHAPES, MODELS)
    plan = Plan(5 if quick else 21)
    known_now = conditions(*PACKAGES)
    settings = {
        "command": "bench cuda", "device": about, "shapes": shapes, "models": names, "rounds": plan.rounds,
        "versions": known_now["versions"],
    }  # fmt: skip
    roof = known(properties.name)
    return DeviceRun("cuda", about, roof, shapes, names, 128, None, plan, Events(), Journal(settings, out))
