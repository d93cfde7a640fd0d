"""Training of image classifiers: one architecture, one task, one seed."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from statistics import median
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from archdsl.compiler import compile_model
from archdsl.tasks._base import Epoch, Progress, RunError
from archdsl.tasks._images import SPLITS
from archdsl.tasks._seeds import seeded
from archdsl.weights import save_weights
from archdsl.weights.files import written

if TYPE_CHECKING:
    from archdsl.graph.architecture import Architecture
    from archdsl.tasks._recipe import ImageClassification

FORMAT = 1
WARM_UP_SHARE = 0.01
SCORING_BATCH = 256


class Training:
    """A run of an `ImageClassification` task; see `archdsl.tasks.Run`.

    All that is random in an epoch comes from the seed and the epoch's number, so that an epoch does the same
    whether a run came to it or was restored before it. It runs on CUDA where there is a device.

    Args:
        task: the recipe and the data.
        architecture: with a head that gives `task.classes` logits.
        seed: of the initial weights, the order of images, their changes and what is dropped.

    Raises:
        RunError: where the data can't be read, the architecture does not fit them, or memory is short.
    """

    def __init__(self, task: ImageClassification, architecture: Architecture, seed: int) -> None:
        if architecture.head is None or architecture.classes != task.classes:
            have = "no head" if architecture.head is None else f"{architecture.classes} classes"
            raise RunError(
                "data", f"{architecture.name} has {have}, the task `{task.name}` has {task.classes} classes"
            )
        self.task = task
        self.architecture = architecture
        self.seed = seed
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._rows: list[Epoch] = []
        _fits(architecture, self._device)
        with _room(), seeded(seed, "weights"), _deterministic():
            self._images = task.load(architecture)
            self._model = compile_model(architecture, device="cpu").to(self._device)
        self._steps = math.ceil(self._images.count("train") / task.batch)
        self._optimizer = self._new_optimizer()
        self._schedule = self._new_schedule()

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self._rows)

    @property
    def curve(self) -> tuple[Epoch, ...]:
        """For every epoch `train_loss`, `lr` at its end, and the scores on the validation split."""
        return tuple(self._rows)

    def advance(self, epoch: int, progress: Progress | None = None) -> None:
        """See `Run.advance`.

        Raises:
            ValueError: for more epochs than the task has.
        """
        if epoch > self.task.epochs:
            raise ValueError(f"the task ends after {self.task.epochs} epochs, {epoch} were asked for")
        while self.epoch < epoch:
            with _room(), seeded(self.seed, "epoch", self.epoch), _deterministic():
                loss = self._train(self.epoch, progress)
                scores = self._scored("validation")
            lr = self._optimizer.param_groups[0]["lr"]
            self._rows.append(Epoch(self.epoch + 1, {"train_loss": loss, "lr": lr, **scores}))

    def scores(self, split: str = "validation") -> dict[str, float]:
        """`accuracy` (a share) and `loss` (cross entropy, nats) on a split.

        Raises:
            ValueError: for an unknown split.
            RunError: see `Run.advance`.
        """
        if split not in SPLITS:
            raise ValueError(f"there is no split {split!r}: one of {', '.join(SPLITS)}")
        if split == "validation" and self._rows:
            last = self._rows[-1].values
            return {name: last[name] for name in self.task.scores}
        with _room(), _deterministic():
            return self._scored(split)

    def measure(self, name: str, batch: int) -> float:
        """See `Run.measure`: the median of repeated passes, after two to warm up.

        Raises:
            ValueError: for an unknown measure.
        """
        if name not in ("latency", "throughput"):
            raise ValueError(f"there is no measure {name!r}: latency or throughput")
        height, width = self.architecture.image
        self._model.eval()
        with _room(), torch.inference_mode():
            images = torch.zeros(batch, self.architecture.channels, height, width, device=self._device)
            for _ in range(2):
                self._pass(images)
            seconds: list[float] = []
            began = time.perf_counter()
            while len(seconds) < 5 or (time.perf_counter() - began < 0.3 and len(seconds) < 50):
                seconds.append(self._pass(images))
        latency = median(seconds)
        return latency if name == "latency" else batch / latency

    def save(self, path: Path) -> None:
        """See `Run.save`.

        Raises:
            DiagnosticError: E508 where it can't be written.
        """
        state = {
            "format": FORMAT,
            "of": self._identity(),
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "curve": [(row.epoch, dict(row.values)) for row in self._rows],
        }
        with written(path) as temporary:
            torch.save(state, temporary)

    def restore(self, path: Path) -> None:
        """See `Run.restore`."""
        try:
            state: Any = torch.load(path, map_location="cpu", weights_only=True)
            known = isinstance(state, dict) and state.get("format") == FORMAT
        except (OSError, RuntimeError, EOFError, UnpicklingError, BadZipFile, ValueError, KeyError) as error:
            raise RunError("data", f"the checkpoint {path} can't be read: {_first_line(error)}") from error
        if not known or state.get("of") != self._identity():
            raise RunError("data", f"the checkpoint {path} is of another run")
        with _room():
            self._model.load_state_dict(state["model"])
            self._optimizer.load_state_dict(state["optimizer"])
        self._rows = [Epoch(epoch, values) for epoch, values in state["curve"]]

    def save_weights(self, path: Path) -> None:
        """See `Run.save_weights`."""
        save_weights(self._model, path)

    def _identity(self) -> str:
        """Of everything that decides what this run computes."""
        text = "\n".join([self.task.text(), str(self.seed), self.architecture.to_source()])
        return hashlib.sha256(text.encode()).hexdigest()

    def _new_optimizer(self) -> torch.optim.Optimizer:
        from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]

        task = self.task
        optimizer: torch.optim.Optimizer = create_optimizer_v2(
            self._model, task.optimizer, lr=task.lr, weight_decay=task.weight_decay
        )
        return optimizer

    def _new_schedule(self) -> Any:
        from timm.scheduler.scheduler_factory import create_scheduler_v2

        task = self.task
        schedule, _ = create_scheduler_v2(
            self._optimizer,
            task.schedule,
            num_epochs=task.epochs,
            warmup_epochs=task.warmup,  # type: ignore[arg-type]
            warmup_lr=task.lr * WARM_UP_SHARE,
            decay_rate=1.0,
            step_on_epochs=False,
            updates_per_epoch=self._steps,
        )
        return schedule

    def _train(self, epoch: int, progress: Progress | None) -> float:
        """One epoch; returns the mean loss of its steps."""
        task, model = self.task, self._model
        mixup, parameters = self._mixup(), list(model.parameters())
        model.train()
        total, step = 0.0, epoch * self._steps
        for index, batch in enumerate(self._images.train(self.seed, epoch, task.batch)):
            self._schedule.step_update(step + index)
            images, labels = (tensor.to(self._device) for tensor in batch)
            self._optimizer.zero_grad()
            if mixup is None or len(labels) % 2:
                loss = cross_entropy(model(images), labels, label_smoothing=task.smoothing)
            else:
                mixed, shares = mixup(images.clone(), labels)
                loss = cross_entropy(model(mixed), shares)
            value = loss.item()
            if not math.isfinite(value):
                raise RunError("nan", f"the loss is {value} in epoch {epoch + 1}, step {index + 1}")
            torch.autograd.backward(loss)
            if task.clip is not None:
                torch.nn.utils.clip_grad_norm_(parameters, task.clip)
            self._optimizer.step()
            total += value
            if progress is not None:
                progress(epoch + (index + 1) / self._steps)
        return total / self._steps

    def _mixup(self) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None:
        """timm's mixup, or None; a last batch with an odd number of images goes without."""
        task = self.task
        if not task.mixup:
            return None
        from timm.data.mixup import Mixup

        return Mixup(  # type: ignore[no-untyped-call]
            task.mixup, label_smoothing=task.smoothing, num_classes=task.classes
        )

    @torch.inference_mode()
    def _scored(self, split: str) -> dict[str, float]:
        self._model.eval()
        right, loss, count = 0, 0.0, 0
        for batch in self._images.plain(split, SCORING_BATCH):
            images, labels = (tensor.to(self._device) for tensor in batch)
            logits = self._model(images).float()
            right += int((logits.argmax(dim=1) == labels).sum())
            loss += float(cross_entropy(logits, labels, reduction="sum"))
            count += len(labels)
        if not math.isfinite(loss):
            raise RunError("nan", f"the loss on the {split} split is {loss}")
        return {"accuracy": right / count, "loss": loss / count}

    def _pass(self, images: Tensor) -> float:
        """Seconds of one forward pass."""
        began = time.perf_counter()
        self._model(images)
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began


def _fits(architecture: Architecture, device: torch.device) -> None:
    """Refuses a model of which the device can't hold weights, gradients and two moments."""
    if device.type == "cuda":
        have = torch.cuda.mem_get_info(device)[1]
    else:
        have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 1 << 62
    need = 16 * architecture.cost().params
    if need > have:
        raise RunError(
            "memory",
            f"training {architecture.name} takes {need >> 30} GiB for its weights alone, "
            f"this machine has {have >> 30} GiB",
        )


@contextmanager
def _room() -> Iterator[None]:
    """Tells a lack of memory as a RunError."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise RunError("memory", f"memory ran out: {_first_line(error)}") from error
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        raise RunError("memory", f"memory ran out: {_first_line(error)}") from error


@contextmanager
def _deterministic() -> Iterator[None]:
    """Runs with algorithms that give the same every time; a warning where torch has none."""
    before = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
