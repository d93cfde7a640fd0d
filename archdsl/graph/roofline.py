"""How long a device needs at least for an architecture: a bound, no prediction.

For every operator the longest of four times, its units working at their peak rates side by side:

    products of matrices            2 * MACs / rate in the type asked for
    scans, depthwise convolutions   2 * MACs / rate of float32
    memory                          bytes of input, output and weights / bandwidth
    exponentials                    values of exp, log, tanh, erf / their rate

and the sum of that over the operators, which run one behind the other. What one kernel computes is one
operator. Launches, caches and kernels that miss their peaks are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from archdsl.graph.architecture import Architecture
from archdsl.graph.devices import Device, find_device
from archdsl.graph.fusion import mixers, one_kernel
from archdsl.graph.memory.weights import DTYPES
from archdsl.graph.node import Node, own_params

LIMITS = ("matrix", "vector", "memory", "exponentials")
"""What an operator can wait for."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Seconds that a part takes at least.

    Args:
        path: as in `archdsl.graph.cost.CostRow`.
        matrix, vector, memory, exponentials: seconds of the operators that wait for that.
    """

    path: str
    matrix: float = 0.0
    vector: float = 0.0
    memory: float = 0.0
    exponentials: float = 0.0

    @property
    def seconds(self) -> float:
        """Of all its operators."""
        return self.matrix + self.vector + self.memory + self.exponentials

    @property
    def limit(self) -> str:
        """What most of the time is spent on, one of `LIMITS`."""
        return max(LIMITS, key=lambda limit: float(getattr(self, limit)))


@dataclass(frozen=True, slots=True)
class Roofline:
    """Bounds of an architecture on a device.

    Args:
        device: its short name.
        dtype, batch: of the run.
        total: of the whole, for all images of the batch.
        rows: one for every top node that a forward pass runs, in the order of `Architecture.top`.
        stages: `stem`, every stage, `head`.
    """

    device: str
    dtype: str
    batch: int
    total: Bound
    rows: tuple[Bound, ...]
    stages: tuple[Bound, ...]


def roofline(architecture: Architecture, device: str, *, dtype: str = "float32", batch: int = 1) -> Roofline:
    """The bounds of a forward pass.

    Args:
        architecture: checked.
        device: the short name of one of `archdsl.graph.devices.devices`.
        dtype: of weights and activations; `tf32`: float32, rounded in products of matrices.
        batch: images at once.

    Raises:
        DiagnosticError: E515 for a device, or a type, of which no rates are known.
        ValueError: for fewer than one image.
    """
    if batch < 1:
        raise ValueError(f"a batch holds at least 1 image, not {batch}")
    times = _Times(find_device(device, dtype), dtype, batch)
    rows: list[Bound] = []
    stages: dict[str, list[Bound]] = {}
    for path, node in architecture.top():
        first, *rest = path.split(".")
        if rest[1:] == ["feature_norm"]:
            continue
        rows.append(_sum(path, [times.of(node)]))
        stages.setdefault(rest[0] if rest else first, []).append(rows[-1])
    for stage in architecture.stages:
        if stage.within is not None:
            x = stage.feature
            moved = times.bound(0, 0, 0, stage.within.moved(x, x, ()), 0)
            stages.setdefault(stage.name, []).append(moved)
    found = tuple(_sum(name, bounds) for name, bounds in stages.items())
    return Roofline(device, dtype, batch, _sum("", found), tuple(rows), found)


@dataclass(slots=True)
class _Work:
    """What one operator does for a batch, and the bytes of its weights."""

    matrix: int = 0
    vector: int = 0
    exponentials: int = 0
    weights: int = 0


@dataclass(slots=True)
class _Times:
    """Bounds of nodes, each distinct node object computed once."""

    device: Device
    dtype: str
    batch: int
    known: dict[int, Bound] = field(default_factory=dict)

    def of(self, node: Node) -> Bound:
        """With all that stands inside it."""
        found = self.known.get(id(node))
        if found is None:
            found = self.known[id(node)] = self._of(node)
        return found

    def bound(self, matrix: int, vector: int, exponentials: int, moved: int, weights: int) -> Bound:
        """Of one operator that moves so many numbers for an image, beside the bytes of its weights."""
        d = self.device
        times = {
            "matrix": 2 * matrix / d.matrix[self.dtype].rate,
            "vector": 2 * vector / d.vector.rate,
            "memory": (DTYPES[self.dtype] * moved * self.batch + weights) / d.bandwidth.rate,
            "exponentials": exponentials / d.exponentials.rate,
        }
        longest = max(times, key=lambda limit: times[limit])
        return Bound("", **{longest: times[longest]})

    def _of(self, node: Node) -> Bound:
        if one_kernel(node):
            return self._one([node])
        bounds = []
        fused = mixers(node)
        at = 0
        while at < len(node.parts):
            count = 3 if at in fused else 1
            run = node.parts[at : at + count]
            bounds.append(self._one(run) if count > 1 else self.of(run[0]))
            at += count
        own = _Work()
        self._add(own, node)
        moved = node.op.moved(node.input, node.output, [part.output for part in node.parts])
        bounds.append(
            self.bound(own.matrix, own.vector, own.exponentials, moved * node.input.windows, own.weights)
        )
        return _sum("", bounds)

    def _one(self, nodes: Sequence[Node]) -> Bound:
        """Nodes behind each other, or one with its parts, that one kernel computes."""
        work = _Work()
        for node in nodes:
            for inner in node.walk():
                self._add(work, inner)
        x, y = nodes[0].input, nodes[-1].output
        moved = (x.tokens * x.dim + y.tokens * y.dim) * x.windows
        return self.bound(work.matrix, work.vector, work.exponentials, moved, work.weights)

    def _add(self, work: _Work, node: Node) -> None:
        op, x, y = node.op, node.input, node.output
        times = x.windows * self.batch
        macs, by_channel = op.macs(x, y), op.by_channel(x, y)
        work.vector += by_channel * times
        work.matrix += (macs.total + macs.scan - by_channel) * times
        work.exponentials += op.exponentials(x, y) * times
        work.weights += DTYPES[self.dtype] * own_params(node)


def _sum(path: str, bounds: Iterable[Bound]) -> Bound:
    bounds = tuple(bounds)
    return Bound(path, *(sum(float(getattr(b, limit)) for b in bounds) for limit in LIMITS))
