"""What an operator declares: parameters, shape rule, exact costs and source. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict

from archdsl.features import Feature
from archdsl.ops._memory import Alive, beside, size
from archdsl.tape import Flow, Part, fresh, keep

Infer = Callable[[Feature], Feature]
"""A part of a combinator, seen by its shape rule: call it with what it receives, get what it returns."""


@dataclass(frozen=True, slots=True)
class Macs:
    """Multiply-accumulates of one image, by class of operator.

    `linear`, `conv` and `attention` (all products of two activations) are what PyTorch's FLOP counter sees,
    halved. `scan` is the scans' documented formula, kept apart.
    """

    linear: int = 0
    conv: int = 0
    attention: int = 0
    scan: int = 0

    @property
    def total(self) -> int:
        """Everything but the scans."""
        return self.linear + self.conv + self.attention

    def __add__(self, other: Macs) -> Macs:
        return Macs(
            self.linear + other.linear,
            self.conv + other.conv,
            self.attention + other.attention,
            self.scan + other.scan,
        )

    def __mul__(self, times: int) -> Macs:
        return Macs(self.linear * times, self.conv * times, self.attention * times, self.scan * times)


class ShapeError(Exception):
    """Raised by a shape rule; becomes a diagnostic that points at the argument or the call.

    Args:
        code: an E3 code.
        message: one line, what is wrong.
        label: what stands at the caret ("12 does not divide 14").
        parameter: the parameter whose argument is at fault, if one is.
        notes, help: as in a diagnostic.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        label: str = "",
        parameter: str | None = None,
        notes: Sequence[str] = (),
        help: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.label = label
        self.parameter = parameter
        self.notes = tuple(notes)
        self.help = help


@dataclass(frozen=True, slots=True)
class PartParameter:
    """A parameter of an operator that takes a network: `inner` of `routed(inner, order, merge)`.

    Args:
        name: its name in calls.
        default: text of the language taken where the call gives none and no setting of that name exists
            (None: it has to be given).
        variadic: takes every positional argument (`split(a, b, merge = add)`).
    """

    name: str
    default: str | None = None
    variadic: bool = False


class Op(BaseModel):
    """A primitive or a combinator: one subclass, one file, one name of the language.

    The fields are the parameters, in positional order; parts without a default come before them, parts with a
    default after them. Field types come from `archdsl.ops._types`.
    A subclass overrides `infer`, and what it has of `params`, `macs`, `arguments`, `resolved`, `vanishes`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    source: ClassVar[str]
    """The paper and equation, or the definition in PyTorch, that this operator follows."""
    module: ClassVar[str]
    """Where its module is: `package.file:Class`; imported only when something is built."""
    parts: ClassVar[tuple[PartParameter, ...]] = ()
    sequence: ClassVar[bool] = False
    """The one part is a chain that runs inside (residual, partial): its elements become the node's parts."""
    ambient: ClassVar[frozenset[str]] = frozenset()
    """Fields that reach every depth without being passed: of `dim`, `eps`, `drop_path`, `layer_scale`."""
    training_only: ClassVar[frozenset[str]] = frozenset()
    """Fields that do not change the function computed (left out of the digest)."""
    hollow: ClassVar[bool] = False
    """Whether it does nothing where nothing stands inside (left out of the digest then)."""
    mixes_tokens: ClassVar[bool] = False
    """Whether every token can reach every other one, or every later one: attention and scans, no convolution.
    Such operators need tokens to be worth a comparison."""

    channels_first: ClassVar[Literal["copied", "kept", "read"]] = "copied"
    """What becomes of tokens with channels first in memory, as an image has them: they are copied into the
    usual order before; read and returned so; or read, and the result is copied."""

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The shape that comes out for the shape `x` that goes in; calls every part it uses.

        A part that is called several times is built several times, with weights of its own each time.
        Raises ShapeError where `x` does not fit.
        """
        raise NotImplementedError

    def resolved(self, x: Feature) -> Self:
        """The same operator with what depended on its input written out (`same`, computed defaults)."""
        return self

    def params(self, x: Feature, y: Feature) -> int:
        """Trainable parameters of the operator itself, parts not counted."""
        return 0

    def macs(self, x: Feature, y: Feature) -> Macs:
        """Multiply-accumulates of the operator itself for one window or image, parts not counted."""
        return Macs()

    def scan9(self, x: Feature, y: Feature) -> int:
        """What papers print for the scan in the operator itself, for one window or image; 0 without a scan.

        9 * tokens * E * S + tokens * E for E channels with a state of S numbers: the convention of Mamba's
        relatives, among them VMamba. `Macs.scan` is the exact count.
        """
        return 0

    def norms(self, x: Feature, y: Feature) -> int:
        """What papers that measure with fvcore print for a norm, for one window or image; 0 for others.

        5 for each number of a layer norm, 2 for each of a batch norm. `Macs` counts none.
        """
        return 0

    def by_channel(self, x: Feature, y: Feature) -> int:
        """Multiply-accumulates of `macs` that are no products of matrices: scans, depthwise convolutions."""
        return self.macs(x, y).scan

    def exponentials(self, x: Feature, y: Feature) -> int:
        """Values of exp, log, tanh and erf in one window or image, parts not counted."""
        return 0

    def moved(self, x: Feature, y: Feature, parts: Sequence[Feature]) -> int:
        """Numbers read and written at least for one window of `x`, parts and weights not counted.

        By default the input is read and the output written; what is made in between never leaves the chip.

        Args:
            x, y: input and output.
            parts: what each of the parts returns.
        """
        return x.tokens * x.dim + y.tokens * y.dim

    def workspace(self, x: Feature, y: Feature) -> int:
        """Bytes alive at float32 beside input and output at the operator's worst moment, parts not counted.

        For all windows of `x`, those of several images where it is run on several.
        """
        return 0

    def turned(self, x: Feature, y: Feature) -> int:
        """Bytes of the workspace that are not needed where channels come first in memory."""
        return 0

    def alive(self, x: Feature, y: Feature, parts: Sequence[Alive]) -> Alive:
        """What is alive at float32 while the operator runs without gradients, its input not counted.

        By default the parts run on the input one after the other, all their results are kept, and the output
        is made from them. A combinator that holds less or more says so.

        Args:
            x, y: input and output, with the windows of all images that run at once.
            parts: what is alive while each of the parts runs.
        """
        inside, out = beside(parts), size(y)
        return Alive(max(inside.peak, inside.result + out + self.workspace(x, y)), out)

    def buffers(self, x: Feature, y: Feature) -> tuple[int, int]:
        """Numbers that the module keeps beside its parameters: in the type of the weights, and whole ones."""
        return 0, 0

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """The module's forward without numbers: what it returns, and what it keeps for the backward.

        Written with the functions of `archdsl.tape`, which keep what those of PyTorch keep. An operator that
        does not say counts as one that keeps its input and its output, and whose parts each get an input of
        their own.

        Args:
            s: what goes in.
            y: the shape that comes out.
            parts: what stands inside, in order of use.
        """
        keep(s.x)
        for part in parts:
            part(part.entering(s.x))
        output = fresh((s.x.shape[0], y.tokens, y.dim), s.x, gradient=True)
        keep(output)
        return Flow(output, y.grid, y.extras, s.regions)

    def reduction(self, x: Feature, y: Feature) -> int:
        """Places of `x` for one place of `y` along a side; 1 where the operator keeps the map."""
        return max(1, round(x.grid[0] / y.grid[0])) if x.is_map and y.is_map else 1

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """Keyword arguments of the module's constructor: plain Python values. Parts are given as `parts`."""
        return {}

    def vanishes(self, x: Feature) -> bool:
        """Whether the operator does nothing with these settings and is left out (`layer_scale = off`)."""
        return False

    def canonical(self, x: Feature) -> Self:
        """The same operator with what makes no difference for `x` at fixed values; the digest looks at it.

        Unlike `resolved` it is no part of the architecture: what was written stays visible there.
        """
        return self

    def transparent(self, x: Feature, parts: int) -> bool:
        """Whether it does what its parts do one behind the other, and nothing more.

        The digest sees the parts alone then. They get the tensor that it gets, in the same places.

        Args:
            parts: how many were built.
        """
        return False

    def part_names(self, written: tuple[str, ...]) -> tuple[str, ...]:
        """Names of the parts that were built, from the names as written; made unique by whoever asks."""
        return written


def unique(names: Sequence[str]) -> tuple[str, ...]:
    """The names with `_2`, `_3` ... behind those that stood before, numbers that are taken left out.

    >>> unique(["norm", "conv2d", "conv2d"])
    ('norm', 'conv2d', 'conv2d_2')
    >>> unique(["conv2d", "conv2d_2", "conv2d"])
    ('conv2d', 'conv2d_2', 'conv2d_3')
    """
    count: dict[str, int] = {}
    out: dict[str, None] = {}
    for name in names:
        free = name
        while free in out:
            count[name] = count.get(name, 1) + 1
            free = f"{name}_{count[name]}"
        out[free] = None
    return tuple(out)
