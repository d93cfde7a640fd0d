"""Whole models as `archdsl bench models` and `archdsl bench train` run them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
import typer
from torch import Tensor, nn

import archdsl
from archdsl.cli.bench.groups import Group, measured, medians, ratios, wrong
from archdsl.cli.bench.journal import Journal, Row
from archdsl.cli.bench.memory import most_bytes
from archdsl.cli.bench.peers import loop_kernel
from archdsl.cli.bench.timing import Plan, clock, in_turns
from archdsl.cli.machine import conditions
from archdsl.cli.messages import mistake
from archdsl.compiler import compile_model
from archdsl.compiler.passes import PASSES, UNFUSED
from archdsl.kernels.selective_scan import LADDER
from archdsl.nn.selective_scan import RunsScans

DEFAULT = ("mamba_r_tiny", "vim_tiny")
BATCHES = (1, 16)
OURS = "archdsl"
TIMM = "timm"
SEED = 0
"""Of weights and images."""
ALLOWED = 1e-3
"""Largest error of outputs, losses and norms of gradients; rounding adds up over the layers."""
_PASS = {False: "inference", True: "forward, backward and AdamW"}
TIMM_NAMES = {
    "vit_ti": "vit_tiny_patch16_224",
    "vit_s": "vit_small_patch16_224",
    "vit_b": "vit_base_patch16_224",
}
WHAT = (
    "medians in milliseconds of a batch, ways timed in turns, {clock}; `ratios` are times over that of "
    "`against`; all ways but timm have the same weights and were compared with the reference scan before; "
    "but for timm and `archdsl, unfused`, all have the same linear maps: they differ in the scan"
)
PACKAGES = ("torch", "numba", "numpy", "timm")
Results = dict[str, Any]


class Way(NamedTuple):
    """A way to run one model.

    Args:
        backend: the kernel of its scans.
        fuse: whether convolution, scan and gate are one operator.
        quick: whether linear maps are computed by our operator, or by PyTorch alone.
        what: in words.
    """

    backend: str
    fuse: bool
    quick: bool
    what: str


WAYS = {
    OURS: Way("auto", True, True, "as `archdsl.build` gives it"),
    "archdsl, unfused": Way(
        "auto", False, False, "fuse = False: the kernels of the scan, the rest by PyTorch"
    ),
    "reference scan": Way(
        "reference", False, True, "part by part, the scan by our reference in PyTorch, linear maps as ours"
    ),
    "torch loop": Way(
        loop_kernel.STEPS,
        False,
        True,
        "part by part, the scan by a loop over steps in PyTorch, its backward that of the loop in runs; "
        "linear maps as ours",
    ),
    "torch loop in runs": Way(
        loop_kernel.RUNS,
        False,
        True,
        "part by part, the scan by our fastest loop of PyTorch, linear maps as ours",
    ),
}
REFERENCE = "reference scan"


class Item(NamedTuple):
    """A group to measure."""

    model: str
    batch: int

    @property
    def key(self) -> str:
        """In the journal, and as shown."""
        return f"{self.model}, batch {self.batch}"


@dataclass(frozen=True, slots=True)
class Networks:
    """One run.

    Args:
        training: whether steps of training are timed, or inference.
        models: names of shipped architectures, or files.
        batches: sizes.
        image: side of the images, None for that of the architecture.
        threads: of torch.
        plan: how often.
        journal: where rows are kept.
        memory: whether the memory of a step is measured, in processes of their own.
    """

    training: bool
    models: tuple[str, ...]
    batches: tuple[int, ...]
    image: int | None
    threads: int
    plan: Plan
    journal: Journal
    memory: bool

    @classmethod
    def prepare(
        cls,
        training: bool,
        models: tuple[str, ...],
        batches: tuple[int, ...],
        image: int | None,
        threads: int,
        quick: bool,
        out: Path | None,
        memory: bool,
    ) -> Networks:
        """Sets the threads of torch, takes up a run that was broken off."""
        torch.set_num_threads(threads)
        plan = Plan(2, 0.5) if quick else Plan(7, 30.0)
        known = conditions(*PACKAGES)
        settings = {
            "command": "bench train" if training else "bench models", "models": models, "batches": batches,
            "image": image, "threads": threads, "memory": memory, "rounds": plan.rounds,
            "machine": known["machine"], "versions": known["versions"],
        }  # fmt: skip
        return cls(training, models, batches, image, threads, plan, Journal(settings, out), memory)

    def run(self) -> Results:
        """Measures what the journal does not hold yet."""
        items = [Item(*pair) for pair in product(self.models, self.batches)]
        rows: dict[Item, Row] = {}
        for number, item in enumerate(items, 1):
            typer.echo(f"[{number}/{len(items)}] {item.key}", err=True)
            rows[item] = self.journal.row(item.key, lambda i=item: self._measure(i))  # type: ignore[misc]
        by = "processor time of one thread" if self.threads == 1 else f"wall time of {self.threads} threads"
        return {
            "what": f"{_PASS[self.training]}: {WHAT.format(clock=by)}",
            **conditions(*PACKAGES),
            "threads": self.threads,
            "rounds": self.plan.rounds,
            "against": OURS,
            "ways": {name: way.what for name, way in WAYS.items()},
            "models": [
                {"model": i.model, "batch": i.batch, **row, "ratios": ratios(row, OURS)}
                for i, row in rows.items()
            ],
            "wrong": wrong({i.key: row for i, row in rows.items()}, WAYS.__contains__),
        }  # fmt: skip

    def _measure(self, item: Item) -> Row:
        group = Group()
        prepare = training if self.training else inference
        with with_loops():
            networks = {OURS: built(item.model, WAYS[OURS], self.image)}
            if has_scans(networks[OURS]):
                networks |= {n: built(item.model, w, self.image) for n, w in WAYS.items() if n != OURS}
            images, classes = batch_of(networks[OURS], item.batch)
            group.ways = {name: prepare(network, images, classes) for name, network in networks.items()}
            truth = group.ways.get(REFERENCE, group.ways[OURS])()
            truths = dict.fromkeys(group.ways, truth)
            peer = timm_model(item.model, images)
            if peer is not None:
                group.ways[TIMM] = prepare(peer, images, classes)
                truths[TIMM] = group.ways[TIMM]()
            timed = partial(in_turns, plan=self.plan, now=clock(self.threads))
            row = measured(group, truths.__getitem__, ALLOWED, timed)
        times = medians(row)
        row["images_per_second"] = {name: round(1e3 * item.batch / ms, 3) for name, ms in times.items()}
        if self.memory:
            memory = {n: peak(item, n, self.image, self.threads) for n in times if n != TIMM}
            row["peak_bytes"] = {name: most for name, (_, most) in memory.items()}
            row["bytes_before_the_step"] = {name: before for name, (before, _) in memory.items()}
        return row


def has_scans(network: nn.Module) -> bool:
    """Whether kernels of the scan do any of its work."""
    return any(isinstance(module, RunsScans) for module in network.modules())


@contextmanager
def with_loops() -> Iterator[None]:
    """With the loops of PyTorch on the ladder of the scan."""
    with LADDER.with_candidates(*loop_kernel.candidates()):
        yield


def built(model: str, way: Way, image: int | None, device: str = "cpu") -> nn.Module:
    """A model in one way; every way gets the same weights."""
    torch.manual_seed(SEED)
    architecture = archdsl.load(model) if image is None else archdsl.load(model, image=image)
    passes = PASSES if way.fuse else UNFUSED
    return compile_model(architecture, backend=way.backend, device=device, passes=passes, quick=way.quick)


def timm_model(model: str, images: Tensor) -> nn.Module | None:
    """The same architecture in timm, None where it has none; weights of its own."""
    import timm

    name = TIMM_NAMES.get(model, model)
    if not timm.is_model(name):
        return None
    if model not in TIMM_NAMES:
        return timm.create_model(name)
    return timm.create_model(name, img_size=images.shape[-1])


def batch_of(network: nn.Module, size: int) -> tuple[Tensor, Tensor]:
    """Images (size, channels, H, W) and classes."""
    architecture: Any = network.architecture
    draw = torch.Generator().manual_seed(SEED)
    images = torch.randn(size, architecture.channels, *architecture.image, generator=draw)
    return images, torch.arange(size) % architecture.classes


def inference(network: nn.Module, images: Tensor, classes: Tensor) -> Callable[[], tuple[Tensor, ...]]:
    """The output."""
    network.eval()

    def run() -> tuple[Tensor, ...]:
        with torch.inference_mode():
            return (network(images),)

    return run


def training(network: nn.Module, images: Tensor, classes: Tensor) -> Callable[[], tuple[Tensor, ...]]:
    """The loss and all gradients; then a step of AdamW that moves nothing, so that every run is the same.

    Dropped paths would differ from run to run: the modules that drop are in the mode of inference.
    """
    network.train()
    for module in network.modules():
        if type(module).__name__.lower().startswith("drop"):
            module.eval()
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.0)

    def run() -> tuple[Tensor, ...]:
        optimiser.zero_grad(set_to_none=True)
        loss = F.cross_entropy(network(images), classes)
        torch.autograd.backward(loss)
        gradients = torch.stack([p.grad.norm() for p in network.parameters() if p.grad is not None])
        optimiser.step()
        return loss.detach(), gradients

    return run


def peak(item: Item, way: str, image: int | None, threads: int) -> tuple[int, int]:
    """The most memory that a process has had before its first step of training and behind it, in bytes."""
    code = (
        "import sys, json; from archdsl.cli.bench.networks import one_step; "
        "print(one_step(*json.loads(sys.argv[1])))"
    )
    arguments = json.dumps([item.model, item.batch, way, image, threads])
    done = subprocess.run(
        [sys.executable, "-c", code, arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise mistake("E501", "a step of training in a process fails", notes=done.stderr.splitlines()[-5:])
    before, most = json.loads(done.stdout.splitlines()[-1])
    return before, most


def one_step(model: str, batch: int, way: str, image: int | None, threads: int) -> list[int]:
    """What `peak` measures, in the process of its own."""
    torch.set_num_threads(threads)
    with with_loops():
        network = built(model, WAYS[way], image)
        run = training(network, *batch_of(network, batch))
        before = most_bytes()
        run()
    return [before, most_bytes()]
