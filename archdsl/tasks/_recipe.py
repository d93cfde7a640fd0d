"""How image classifiers are trained: the fields that all such tasks share. No torch."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from archdsl.ops._types import Count, Rate, Real
from archdsl.tasks._base import Task

if TYPE_CHECKING:
    from archdsl.graph.architecture import Architecture
    from archdsl.tasks._base import Run
    from archdsl.tasks._images import Images

MAX_EPOCHS = 10_000
MAX_BATCH = 65_536

Optimizer = Literal["adamw", "sgd", "nadamw", "lamb", "lion", "adan", "rmsprop"]
Schedule = Literal["cosine", "tanh", "poly", "constant"]


class ImageClassification(Task):
    """Images to classes: a recipe of timm's optimizers and schedules, cross entropy, accuracy.

    AdamW, weight decay 0.05, label smoothing 0.1 and a cosine to zero are DeiT's (Touvron et al. 2021,
    table 9); gradients are clipped at norm 1 as in Swin's recipe (Liu et al. 2021, appendix A2). Batch,
    learning rate and one epoch of warm-up are for small models on few images.

    Args:
        epochs: passes over the training images.
        batch: images a step.
        lr: the learning rate behind the warm-up; it is not scaled with the batch.
        optimizer: timm's name; sgd has Nesterov's momentum of 0.9.
        weight_decay: of matrices and kernels; vectors, norms and biases have none.
        schedule: timm's name; the learning rate changes with every step.
        warmup: epochs over which the learning rate rises from a hundredth of `lr`.
        smoothing: of the labels.
        mixup: parameter of the beta distribution from which timm's mixup draws; 0 for none.
        clip: largest norm of a gradient; `none` for any.
    """

    scores: ClassVar[tuple[str, ...]] = ("accuracy", "loss")

    epochs: Annotated[Count, Field(le=MAX_EPOCHS)] = 20
    batch: Annotated[Count, Field(le=MAX_BATCH)] = 64
    lr: Annotated[Real, Field(gt=0, le=100)] = 1e-3
    optimizer: Optimizer = "adamw"
    weight_decay: Annotated[Real, Field(ge=0, le=100)] = 0.05
    schedule: Schedule = "cosine"
    warmup: Annotated[Real, Field(ge=0, le=MAX_EPOCHS)] = 1.0
    smoothing: Rate = 0.1
    mixup: Annotated[Real, Field(ge=0, le=100)] = 0.0
    clip: Annotated[Real, Field(gt=0, le=1e6)] | None = 1.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.warmup > self.epochs:
            raise ValueError(f"a warm-up of {self.warmup:g} epochs is longer than {self.epochs} epochs")
        if self.mixup and self.batch % 2:
            raise ValueError(f"mixup takes images in pairs, and {self.batch} in a batch is odd")
        return self

    @abstractmethod
    def load(self, architecture: Architecture) -> Images:
        """The images, in the size and with the channels that the architecture takes.

        Raises:
            RunError: `data`, where they can't be read.
        """

    def start(self, architecture: Architecture, seed: int) -> Run:
        """A run that has not begun; see `Task.start`."""
        from archdsl.tasks.training import Training

        return Training(self, architecture, seed)
