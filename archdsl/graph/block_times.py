"""Tables of block times: what every distinct block takes on a device, measured once, and their sums.

A block is a top node of an architecture (its stem, a downsample, a block of a stage, its head), or what cuts
a stage into windows and puts it together again. The time of an architecture is predicted as the sum over
its blocks. `archdsl bench blocks` measures them; nothing here imports torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from archdsl.diagnostics import Diagnostic, DiagnosticError
from archdsl.features import Feature
from archdsl.graph.architecture import Architecture, Stage
from archdsl.graph.canonical import Canonical
from archdsl.graph.digest import VERSION
from archdsl.graph.node import Node

MAX_BYTES = 64 * 2**20
"""Of a file."""


class BlockTime(BaseModel):
    """What one block takes.

    Args:
        seconds: of one pass, the median.
        samples: passes behind it.
        block: its name, for people.
        input: what it receives, for people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    samples: Annotated[int, Field(ge=1)]
    block: str
    input: str


class BlockTimes(BaseModel):
    """Block times of one device and one set of versions; times of others are never mixed in.

    Args:
        device: `cpu` or `cuda`.
        name: of the processor or the GPU.
        threads: of PyTorch, on a CPU.
        versions: of packages, by name.
        blocks: by key, see `block_key`.
    """

    model_config = ConfigDict(extra="forbid")

    format: Literal["archdsl block times 1"] = "archdsl block times 1"
    device: str
    name: str
    threads: int
    versions: dict[str, str | None]
    blocks: dict[str, BlockTime] = {}

    def same_machine(self, other: BlockTimes) -> bool:
        """Whether times of both may stand in one table."""
        return self.model_copy(update={"blocks": {}}) == other.model_copy(update={"blocks": {}})


@dataclass(frozen=True, slots=True)
class Block:
    """A block of an architecture.

    Args:
        path: `stem`, `stages.s1.blocks.0`, `stages.s1.within`, `head`.
        key: see `block_key`.
        name: for people.
        input: what it receives.
    """

    path: str
    key: str
    name: str
    input: Feature


@dataclass(frozen=True, slots=True)
class Prediction:
    """A predicted time.

    Args:
        seconds: the sum over the blocks that are in the table.
        missing: the blocks that are not.
    """

    seconds: float
    missing: tuple[Block, ...]


def block_key(form: object, x: Feature, batch: int, dtype: str) -> str:
    """What tells a block's time from others: 32 hexadecimal digits.

    Args:
        form: of its node, as in the digest: equal ones compute the same.
        x: what it receives, size of the map and number of windows included.
        batch: images at once.
        dtype: `float32`, `bfloat16`.
    """
    shape = [x.dim, x.grid, x.extras, x.windows]
    text = json.dumps([VERSION, form, shape, batch, dtype], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def blocks_of(
    architecture: Architecture, batch: int, dtype: str, form: Canonical | None = None
) -> Iterator[Block]:
    """The blocks between images and logits, in order; equal ones as often as they run.

    Args:
        architecture: checked.
        batch: images at once.
        dtype: of weights and images.
        form: where several architectures have nodes in common.
    """
    form = form or Canonical()

    def block(path: str, node: Node) -> Block:
        return Block(path, block_key(form.top(node), node.input, batch, dtype), _name(node), node.input)

    yield block("stem", architecture.stem)
    for stage in architecture.stages:
        at = f"stages.{stage.name}"
        if stage.downsample is not None:
            yield block(f"{at}.downsample", stage.downsample)
        if stage.within is not None:
            yield _windows(f"{at}.within", stage, batch, dtype, form)
        for index, node in enumerate(stage.blocks):
            yield block(f"{at}.blocks.{index}", node)
    if architecture.head is not None:
        yield block("head", architecture.head)


def _windows(path: str, stage: Stage, batch: int, dtype: str, form: Canonical) -> Block:
    if stage.within is None:
        raise LookupError(f"{stage.name} has no windows")
    key = block_key(form.within(stage.within, stage.feature), stage.feature, batch, dtype)
    return Block(path, key, "windows", stage.feature)


def _name(node: Node) -> str:
    return node.calls[0].callee if node.calls else node.name


def predict(
    architecture: Architecture,
    times: BlockTimes,
    batch: int = 1,
    dtype: str = "float32",
    form: Canonical | None = None,
) -> Prediction:
    """The sum of the times of all blocks.

    Args:
        architecture: checked.
        times: of a device.
        batch: images at once.
        dtype: of weights and images.
        form: where several architectures have nodes in common.
    """
    seconds = 0.0
    missing: dict[str, Block] = {}
    for block in blocks_of(architecture, batch, dtype, form):
        found = times.blocks.get(block.key)
        if found is None:
            missing.setdefault(block.key, block)
        else:
            seconds += found.seconds
    return Prediction(seconds, tuple(missing.values()))


def read_block_times(path: str | Path) -> BlockTimes:
    """A table that `archdsl bench blocks` wrote.

    Raises:
        DiagnosticError: E514 where it can't be read or is none.
    """
    file = Path(path)
    try:
        if file.stat().st_size > MAX_BYTES:
            raise _no_table(file, f"it has more than {MAX_BYTES // 2**20} MB")
        return BlockTimes.model_validate_json(file.read_bytes())
    except OSError as error:
        raise _no_table(file, error.strerror or str(error)) from error
    except ValidationError as error:
        first, *_ = error.errors(include_url=False)
        place = ".".join(map(str, first["loc"]))
        raise _no_table(file, f"{place}: {first['msg']}" if place else first["msg"]) from error


def _no_table(file: Path, why: str) -> DiagnosticError:
    return DiagnosticError(
        Diagnostic(
            "E514",
            f"{file} is no table of block times",
            notes=(why,),
            help="measure one: `archdsl bench blocks SPEC --table FILE`",
        )
    )
