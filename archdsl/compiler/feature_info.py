"""Which feature maps a model offers, as timm tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod

from archdsl.graph.architecture import Architecture
from archdsl.graph.node import Node


@dataclass(frozen=True, slots=True)
class FeaturePoint:
    """A place in a model where a feature map can be taken.

    Args:
        module: path of the module that returns it.
        num_chs: channels.
        reduction: pixels of the image for one place of the map, along a side.
    """

    module: str
    num_chs: int
    reduction: int


class FeatureInfo:
    """The feature maps of a model in order, and those that were asked for; named as in timm.

    Args:
        points: all maps there are.
        out_indices: those that are taken.
    """

    def __init__(self, points: Sequence[FeaturePoint], out_indices: Sequence[int] | None = None) -> None:
        self.info = tuple(points)
        self.out_indices = tuple(range(len(self.info))) if out_indices is None else tuple(out_indices)

    def __len__(self) -> int:
        return len(self.info)

    def __getitem__(self, index: int) -> dict[str, object]:
        return asdict(self.info[index])

    def channels(self) -> list[int]:
        """Channels of the maps taken."""
        return [self.info[i].num_chs for i in self.out_indices]

    def reduction(self) -> list[int]:
        """Pixels for one place along a side, of the maps taken."""
        return [self.info[i].reduction for i in self.out_indices]

    def module_name(self) -> list[str]:
        """Paths of the modules that return the maps taken."""
        return [self.info[i].module for i in self.out_indices]

    def get_dicts(self) -> list[dict[str, object]]:
        """The maps taken, each as a mapping of `module`, `num_chs` and `reduction`."""
        return [asdict(self.info[i]) for i in self.out_indices]


def per_block(architecture: Architecture) -> bool:
    """Whether maps are counted by block: in an arch of one stage; else by stage."""
    return len(architecture.stages) == 1


def feature_points(architecture: Architecture, names: Sequence[str]) -> tuple[FeaturePoint, ...]:
    """Where maps can be taken: behind every stage, or behind every block of an arch of one stage.

    Args:
        architecture: of the model.
        names: under which the model holds its stages.
    """
    points = []
    reduction = _reduction(architecture.stem)
    for name, stage in zip(names, architecture.stages, strict=True):
        reduction *= 1 if stage.downsample is None else _reduction(stage.downsample)
        path = f"stages.{name}"
        if per_block(architecture):
            modules = [f"{path}.blocks.{i}" for i in range(len(stage.blocks))]
        else:
            modules = [path]
        points += [FeaturePoint(module, stage.feature.dim, reduction) for module in modules]
    return tuple(points)


def _reduction(node: Node) -> int:
    """Places of a node's input for one place of its output, along a side."""
    if node.op.name == "chain" or node.op.sequence:
        return prod(map(_reduction, node.parts))
    return _reduction(node.parts[0]) if node.parts else node.op.reduction(node.input, node.output)


def take_indices(count: int, indices: int | Sequence[int] | None) -> tuple[int, ...]:
    """Indices of `count` maps: the last n for a number, all for None; negative ones count from the end.

    Raises:
        ValueError: for an index or a number out of range.
    """
    if indices is None:
        return tuple(range(count))
    if isinstance(indices, int):
        if not 0 < indices <= count:
            raise ValueError(f"asked for the last {indices} of {count} feature maps")
        return tuple(range(count - indices, count))
    out = []
    for index in indices:
        if not -count <= index < count:
            raise ValueError(f"feature map {index} does not exist: there are {count}, counted from 0")
        out.append(index % count)
    return tuple(out)
