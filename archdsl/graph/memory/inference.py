"""What is alive at once while a model runs without gradients: a walk in the order in which it runs.

Counted is what torch allocates at float32 on a CPU of two cores, weights apart, with operators as `build`
fuses them: the images, what every operator makes beside its input, and what its callers hold meanwhile. A few
kilobytes of single operators are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from archdsl.features import Feature
from archdsl.graph.architecture import Architecture, Stage
from archdsl.graph.fusion import mixers, one_kernel, orders, routes
from archdsl.graph.node import Node, own_params
from archdsl.ops import INDEX_BYTES, LANES, VALUE_BYTES, Alive, behind, size


@dataclass(slots=True)
class Running:
    """What is alive while nodes run, each distinct node object computed once.

    The nodes have to stay alive while this is used.

    Args:
        images: how many run at once.
    """

    images: int = 1
    known: dict[int, Alive] = field(default_factory=dict)

    def of(self, node: Node) -> Alive:
        """Beside the input of the node, which its caller holds."""
        found = self.known.get(id(node))
        if found is None:
            found = self.known[id(node)] = self._run(node)
        return found

    def stage_of(self, stage: Stage) -> Alive:
        """Beside what enters the stage."""
        run = behind([self.of(block) for block in stage.blocks])
        if stage.within is not None:
            whole = self.many(stage.feature)
            run = stage.within.alive(whole, whole, [run])
        return run if stage.downsample is None else behind([self.of(stage.downsample), run])

    def sections(self, architecture: Architecture) -> list[tuple[int, Alive]]:
        """Stem, stages and head, each with the bytes it is given and what is alive beside them."""
        a = architecture
        found = [(self.given(a.stem.input), self.on_image(a.stem))]
        found += [(self.given(stage.input), self.stage_of(stage)) for stage in a.stages]
        if a.head is not None:
            found.append((self.given(a.head.input), self.of(a.head)))
        return found

    def given(self, x: Feature) -> int:
        """Bytes of a feature of all images."""
        return size(x) * self.images

    def on_image(self, node: Node) -> Alive:
        """The stem, whose first operators find channels first in memory."""
        return self._channels_first(node, True)[0]

    def _channels_first(self, node: Node, given: bool) -> tuple[Alive, bool]:
        """What is alive while a node runs, and whether its result has channels first if its input has."""
        if node.op.name == "chain":
            parts = []
            for part in node.parts:
                alive, given = self._channels_first(part, given)
                parts.append(alive)
            return behind(parts), given
        found = self.of(node)
        if not given:
            return found, False
        x, y = self.many(node.input), self.many(node.output)
        match node.op.channels_first:
            case "kept":
                return found, True
            case "read":
                turned = node.op.turned(x, y)
                first = size(replace(y, dim=-(-y.dim // LANES) * LANES)) if turned else found.result
                return Alive(max(found.peak - turned, first + found.result), found.result), False
        return Alive(found.peak + size(x), found.result), False

    def many(self, x: Feature) -> Feature:
        """The feature for all images."""
        return x if self.images == 1 else replace(x, windows=x.windows * self.images)

    def _run(self, node: Node) -> Alive:
        x, y = self.many(node.input), self.many(node.output)
        if one_kernel(node):
            paths = (
                INDEX_BYTES * x.tokens * len(orders(node))
                if any(o.path != "rows" for o in orders(node))
                else 0
            )
            return _mixer([way.parts or (way,) for way in routes(node)], y, paths)
        parts = [self.of(part) for part in node.parts]
        for at in reversed(mixers(node)):
            inner = node.parts[at : at + 3]
            parts[at : at + 3] = [_mixer([inner], self.many(inner[-1].output))]
        return node.op.alive(x, y, parts)


def _mixer(ways: Sequence[Sequence[Node]], y: Feature, paths: int = 0) -> Alive:
    """The operator that convolves and scans along each of some routes.

    It makes what the scans read where that is convolved, step sizes, B, C and what step sizes are made of; A;
    of several routes a copy of all weights.

    Args:
        ways: the operators of each route, the scan last.
        y: the result, for all images.
        paths: bytes of the routes' places.
    """
    out = size(y)
    made = paths
    for steps in ways:
        scan = steps[-1]
        convolved = out if len(steps) > 1 else 0
        made += convolved + scan.op.workspace(y, y)
        if len(ways) > 1:
            made += VALUE_BYTES * sum(own_params(step) for step in steps)
    return Alive(made + out, out)


def peak_bytes(architecture: Architecture, images: int = 1) -> int:
    """The most bytes alive at once while a model of the architecture runs, weights apart.

    Args:
        architecture: checked.
        images: how many run at once.
    """
    sections = Running(images).sections(architecture)
    return sections[0][0] + behind([made for _, made in sections]).peak
