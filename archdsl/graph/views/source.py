"""The canonical text of an architecture: primitives only, every value written out.

It loads to an architecture with the same digest. Definitions are gone, distinct blocks have one each; stages,
slots and blocks stand in the order in which they compute.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from archdsl.features import Order, Word
from archdsl.graph.architecture import Architecture, Stage
from archdsl.graph.node import Node
from archdsl.graph.views.folding import callee, fold, fold_text
from archdsl.ops import Op, names, unique
from archdsl.ops.drop_path import DropPath

WIDTH = 110
INDENT = "  "
AMBIENT = frozenset({"drop_path"})
"""Ambient values that are written once, as a setting of the arch or of a stage."""


def to_source(architecture: Architecture) -> str:
    """The whole text, with a newline at its end."""
    blocks = _Blocks()
    stages = [_stage(stage, blocks, architecture.drop_path) for stage in architecture.stages]
    a = architecture
    height, width = a.image
    settings = [
        f"image = {height}" if height == width else f"image = [{height}, {width}]",
        f"channels = {a.channels}",
        f"classes = {a.classes}",
        f"init = {value_text(a.init)}",
        f"drop_path = {value_text(a.drop_path)}",
        "",
        *_fitted("stem = ", " -> ", _items(a.stem)),
    ]
    head = ["head = none"] if a.head is None else _fitted("head = ", " -> ", _items(a.head))
    lines = [*settings, *(line for stage in stages for line in ("", *stage)), "", *head]
    body = "\n".join(f"{INDENT}{line}" if line else "" for line in lines)
    definitions = "".join(f"{definition}\n\n" for definition in blocks.definitions)
    return f"{definitions}arch {a.name} {{\n{body}\n}}\n"


class _Blocks:
    """The definitions of blocks, one for each way a block computes and trains."""

    def __init__(self) -> None:
        self.definitions: list[str] = []
        self._by_text: dict[str, str] = {}
        self._by_node: dict[int, str] = {}
        self._taken = sorted(names())

    def name(self, stage: Stage, node: Node) -> str:
        known = self._by_node.get(id(node))
        if known is None:
            body = "\n".join(f"{INDENT}{line}" for line in _block_lines(node))
            text = f"{stage.name}\n{body}"
            known = self._by_text.get(text)
            if known is None:
                name, prefix = callee(node), f"{stage.name}_"
                self._taken.append(name if name.startswith(prefix) else prefix + name)
                known = unique(self._taken)[-1]
                self._by_text[text] = known
                self.definitions.append(f"block {known} {{\n{body}\n}}")
            self._by_node[id(node)] = known
        return known


def _stage(stage: Stage, blocks: _Blocks, drop_path: float) -> list[str]:
    inside = [f"dim = {stage.feature.dim}"]
    inside += [f"drop_path = {value_text(rate)}" for rate in sorted(_rates(stage) - {drop_path})[:1]]
    down = "downsample = "
    if stage.downsample is None:
        inside.append(f"{down}none")
    else:
        inside += _fitted(down, " -> ", _items(stage.downsample))
    if stage.within is not None:
        inside.append(f"within = windows({', '.join(_fields(stage.within))})")
    runs = fold([blocks.name(stage, node) for node in stage.blocks])
    inside += _fitted("blocks = ", " + ", [fold_text([run]) for run in runs])
    if stage.feature_norm is not None:
        inside += _fitted("feature_norm = ", " -> ", _items(stage.feature_norm))
    return [f"stage {stage.name} {{", *(f"{INDENT}{line}" for line in inside), "}"]


def _rates(stage: Stage) -> set[float]:
    """The rates that the stage's blocks take from the arch or, where it sets one, from the stage."""
    nodes = (node for block in stage.blocks for node in block.walk())
    return {n.op.drop_path for n in nodes if isinstance(n.op, DropPath) and n.op.rate is None}


def _block_lines(node: Node) -> Iterator[str]:
    """Lines of a block's body; a block called in it gives its own, since `residual` begins a line."""
    if node.op.name == "chain" and not node.share:
        for part in node.parts:
            if any(inside.op.name == "residual" for inside in _elements(part)):
                yield from _block_lines(part)
            else:
                yield from _fitted("", " -> ", _items(part))
    elif node.op.name == "residual":
        yield from _fitted("residual ", " -> ", [t for p in node.parts for t in _items(p)])
    else:
        yield from _fitted("", " -> ", _items(node))


def _elements(node: Node) -> Iterator[Node]:
    """The elements of a pipeline that a node is, chains inside it undone."""
    if node.op.name == "chain" and not node.share:
        for part in node.parts:
            yield from _elements(part)
    else:
        yield node


def _fitted(start: str, joint: str, items: list[str]) -> list[str]:
    """Items behind one another, on one line or on a line each."""
    line = start + (joint.join(items) if items else "none")
    if len(line) + 3 * len(INDENT) <= WIDTH or len(items) < 2:
        return [line]
    return [f"{start}{items[0]}", *(f"{INDENT}{joint.strip()} {item}" for item in items[1:])]


def _items(node: Node) -> list[str]:
    """The elements of a pipeline that a node is."""
    return [_call(element) for element in _elements(node)]


def _pipeline(nodes: Iterable[Node]) -> str:
    items = [t for node in nodes for t in _items(node)]
    return " -> ".join(items) if items else "none"


def _call(node: Node) -> str:
    return f"{node.op.name}({', '.join([*_parts(node), *_fields(node.op)])})"


def _parts(node: Node) -> Iterator[str]:
    """The networks given to a combinator, as arguments."""
    if node.op.sequence:
        yield _pipeline(node.parts)
        return
    declared = node.op.parts
    if not node.parts:
        return
    if declared[0].variadic:
        for part in node.parts:
            yield _pipeline([part])
    elif len(declared) == 1:
        yield f"{declared[0].name} = {_pipeline([node.parts[0]])}"
    else:
        for parameter, part in zip(declared, node.parts, strict=True):
            yield f"{parameter.name} = {_pipeline([part])}"


def _fields(op: Op) -> Iterator[str]:
    for name in type(op).model_fields:
        value = getattr(op, name)
        if name in op.ambient and (value is None or name in AMBIENT):
            continue
        yield f"{name} = {value_text(value)}"


def value_text(value: object) -> str:
    """A resolved value as text of the language.

    Raises:
        TypeError: for a value that the language cannot write.
    """
    match value:
        case bool():
            return "on" if value else "off"
        case None:
            return "none"
        case int():
            return str(value)
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
        case str():
            return value
        case Order():
            return value.text
        case Word():
            inside = [value_text(v) for v in value.args]
            inside += [f"{k} = {value_text(v)}" for k, v in value.kwargs]
            return f"{value.name}({', '.join(inside)})" if inside else value.name
        case tuple() | list():
            return f"[{', '.join(value_text(v) for v in value)}]"
        case Fraction():
            whole = value.denominator == 1
            return str(value.numerator) if whole else f"{value.numerator} / {value.denominator}"
    raise TypeError(f"no text of the language for {value!r}")
