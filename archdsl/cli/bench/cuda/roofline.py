"""The least time that a fused scan can take on a device: by memory, special functions and arithmetic."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import NamedTuple

from archdsl.cli.bench.problems import Shape


class Device(NamedTuple):
    """Peak rates of a device, a second: bytes, fused multiply-adds of float32, special functions."""

    name: str
    bandwidth: float
    multiply_adds: float
    special_functions: float


class Work(NamedTuple):
    """What a pass over a sequence takes at least.

    Args:
        sequences: (b, l, d) tensors that are read or written once.
        projections: (b, l, n) tensors that are.
        per_state, per_element: fused multiply-adds for each number of the state at each step, and for each
            channel at each step.
        special: special functions for each channel at each step, beside the exponential of each state.
    """

    sequences: int
    projections: int
    per_state: int
    per_element: int
    special: int


WORK = {
    # Reads u, delta, z, B, C; writes y. The exponentials of softplus and of the gate.
    "forward": Work(4, 2, 4, 8, 2),
    # Reads u, delta, z, dy, y before the gate, B, C; writes du, ddelta, dz, dB, dC; states computed again.
    "backward": Work(8, 4, 13, 17, 3),
}


class Bounds(NamedTuple):
    """Seconds that each resource needs at least."""

    memory: float
    special: float
    arithmetic: float

    @property
    def seconds(self) -> float:
        """The largest: no kernel of this form is faster."""
        return max(self)

    @property
    def by(self) -> str:
        """Which one that is."""
        return self._fields[self.index(self.seconds)]


def known(name: str) -> Device | None:
    """The device of the data file whose name is part of the driver's name for it."""
    text = files("archdsl.cli.bench.cuda").joinpath("devices.toml").read_text(encoding="utf-8")
    for entry in tomllib.loads(text)["device"]:
        if entry["name"] in name.replace(" ", "-"):
            return Device(**entry)
    return None


def bounds(shape: Shape, item_bytes: int, which: str, device: Device) -> Bounds:
    """The bounds of one pass (`forward`, `backward`) with numbers of so many bytes."""
    work = WORK[which]
    elements = shape.batch * shape.length * shape.channels
    projected = shape.batch * shape.length * shape.state
    moved = item_bytes * (work.sequences * elements + work.projections * projected)
    return Bounds(
        moved / device.bandwidth,
        (shape.states + work.special * elements) / device.special_functions,
        (work.per_state * shape.states + work.per_element * elements) / device.multiply_adds,
    )


def least_seconds(shape: Shape, item_bytes: int, which: str, device: Device) -> float:
    """The bound of `forward`, or of `both`: forward and backward."""
    passes = ("forward",) if which == "forward" else ("forward", "backward")
    return sum(bounds(shape, item_bytes, p, device).seconds for p in passes)
