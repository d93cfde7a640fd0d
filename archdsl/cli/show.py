"""`archdsl show`: an architecture as a tree with the origin of every value, a picture, or canonical text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archdsl.cli.messages import mistake
from archdsl.cli.specs import Arch, Classes, Image, Override, Spec, load_spec
from archdsl.features import Feature
from archdsl.graph.architecture import Architecture, Stage, Values
from archdsl.graph.node import BoundCall, Node, Origin
from archdsl.graph.views.folding import Run, fold
from archdsl.graph.views.source import value_text
from archdsl.graph.views.summary import grid_text

if TYPE_CHECKING:
    from rich.tree import Tree

MAX_PAD = 32
"""Longer values are not lined up with."""
ORIGINS = {
    "given": "given",
    "stage": "stage setting",
    "arch": "arch setting",
    "default": "default",
    "ambient": "ambient",
}


def show(
    spec: Spec,
    arch: Arch = None,
    overrides: Override = None,
    image: Image = None,
    classes: Classes = None,
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Write a picture.")] = None,
    source: Annotated[
        bool,
        typer.Option("--source", help="Print the canonical text: primitives only, every value written out."),
    ] = False,
    point: Annotated[
        str | None,
        typer.Option(
            "--point",
            metavar="JSON",
            help="Show a point of a search, written as in the table of its trials; SPEC is the search.",
        ),
    ] = None,
) -> None:
    """Show an architecture as a tree: stages, blocks, operators, and where every value came from."""
    if point is None:
        loaded = load_spec(spec, arch, overrides, image, classes)
    elif any(given is not None for given in (arch, overrides, image, classes)):
        raise mistake(
            "E510", "a point is shown as its search has it", help="leave the other options out, or `--point`"
        )
    else:
        loaded = _at_point(spec, point)
    if svg is not None:
        from archdsl.weights.files import write_text

        write_text(svg, loaded.to_svg())
        typer.echo(f"wrote {svg}")
    if source:
        typer.echo(loaded.to_source(), nl=False)
    if svg is None and not source:
        from archdsl.cli.tables import console

        console().print(_tree(loaded))


def _at_point(search: str, line: str) -> Architecture:
    """What a point of a search stands for, whatever the search requires."""
    from archdsl.nas.points import from_line
    from archdsl.nas.read import read_search
    from archdsl.nas.space import Candidate

    plan = read_search(search)
    try:
        found = plan.candidates.at(from_line(line, plan.space))
    except ValueError as error:
        raise mistake(
            "E510", str(error), help="copy it from the column `point` of the search's trials.csv"
        ) from None
    if isinstance(found, Candidate):
        return found.architecture
    return plan.candidates.with_changes(found.changes).architecture


def _tree(a: Architecture) -> Tree:
    from rich.tree import Tree

    height, width = a.image
    title = f"[bold]{a.name}[/]  {height} x {width} image, {a.channels} channels, {a.classes} classes"
    root = Tree(title, guide_style="dim")
    if a.parameters:
        _add_values(root.add("parameters"), a.parameters)
    if a.settings:
        _add_values(root.add("settings"), a.settings)
    _add_node(root, a.stem, "stem")
    for stage in a.stages:
        _add_stage(root, stage)
    if a.head is not None:
        _add_node(root, a.head, "head")
    return root


def _add_stage(root: Tree, stage: Stage) -> None:
    from rich.text import Text

    x = stage.feature
    branch = root.add(
        f"[bold cyan]stage {stage.name}[/]  [dim]{grid_text(x)}, dim {x.dim}, {x.tokens} tokens[/]"
    )
    if stage.settings:
        _add_values(branch.add("settings"), stage.settings)
    if stage.downsample is not None:
        _add_node(branch, stage.downsample, "downsample")
    if stage.within is not None:
        fields = ", ".join(
            f"{n} = {value_text(getattr(stage.within, n))}" for n in type(stage.within).model_fields
        )
        branch.add(Text(f"within windows({fields})"))
    for run in fold(stage.blocks):
        _add_run(branch, run)
    if stage.feature_norm is not None:
        _add_node(branch, stage.feature_norm, "feature_norm")


def _add_run(branch: Tree, run: Run[Node]) -> None:
    if len(run.items) == 1 and isinstance(run.items[0], Node):
        times = f"[bold]{run.count} x[/] " if run.count > 1 else ""
        _add_node(branch, run.items[0], times=times)
        return
    group = branch.add(f"[bold]{run.count} x[/]")
    for item in run.items:
        _add_run(group, item if isinstance(item, Run) else Run(1, (item,)))


def _add_node(branch: Tree, node: Node, role: str = "", times: str = "") -> None:
    """A node with its values, then its parts; a chain that nobody called by name is its parts."""
    names = [call.callee for call in node.calls]
    if node.op.name != "chain" and (not names or names[-1] != node.op.name):
        names.append(node.op.name)
    if not (names or role):
        for part in node.parts:
            _add_node(branch, part)
        return
    x, y = node.input, node.output
    shape = f"  [dim]-> {_shape(y)}[/]" if (x.grid, x.dim, x.extras) != (y.grid, y.dim, y.extras) else ""
    before = f"{role}: " if role and names else role
    inner = branch.add(f"{before}{times}[green]{' > '.join(names)}[/]{shape}")
    _add_values(inner, _values(node))
    if node.op.sequence:
        for part in node.parts:
            _add_node(inner, part)
        return
    shown: list[tuple[str, Node]] = []
    for name, part in zip(node.names(), node.parts, strict=True):
        like = next((other for other, seen in shown if _alike(seen, part)), None)
        if like is not None:
            inner.add(f"{name}: [dim]like {like}{', the same weights' if part.share else ''}[/]")
        else:
            _add_node(inner, part, name if len(node.parts) > 1 else "")
            shown.append((name, part))


def _alike(a: Node, b: Node) -> bool:
    """Whether two nodes are the same network, whatever the places they stand at."""
    same = a.op == b.op and len(a.parts) == len(b.parts)
    return same and all(_alike(p, q) for p, q in zip(a.parts, b.parts, strict=True))


def _shape(x: Feature) -> str:
    extras = "".join(f" + {e.count} {e.kind}" for e in x.extras)
    return f"{grid_text(x) if x.grid else 'vector'}{extras}, dim {x.dim}"


def _values(node: Node) -> Values:
    """The values of all calls that led to a node, then what the operator resolved by itself."""
    found: dict[str, tuple[str, str, Origin]] = {}
    for call in node.calls:
        found.update(_of_call(call))
    op = node.op
    if op.name != "chain":
        own = _of_call(node.calls[-1]) if node.calls and node.calls[-1].callee == op.name else {}
        for name in type(op).model_fields:
            value = getattr(op, name)
            if value is None and name in op.ambient:
                found.pop(name, None)
                continue
            found[name] = (name, value_text(value), own[name][2] if name in own else Origin("default"))
    return tuple(found.values())


def _of_call(call: BoundCall) -> dict[str, tuple[str, str, Origin]]:
    return {name: (name, text, origin) for name, text, origin in call.values}


def _add_values(branch: Tree, values: Sequence[tuple[str, str, Origin]]) -> None:
    from rich.text import Text

    if not values:
        return
    names = max(len(name) for name, _, _ in values)
    texts = max((len(text) for _, text, _ in values if len(text) <= MAX_PAD), default=0)
    for name, text, origin in values:
        line = Text()
        line.append(name.ljust(names), style="blue")
        line.append(f" = {text.ljust(texts)}  ")
        line.append(_origin(origin), style="dim")
        branch.add(line)


def _origin(origin: Origin) -> str:
    """`given, mamba_r.arch:12`; a default that stands in no file is that of an operator."""
    said = ORIGINS.get(origin.kind, origin.kind)
    if origin.span is None or (origin.kind == "default" and origin.span.source.name.startswith("<")):
        return said
    return f"{said}, {Path(origin.span.source.name).name}:{origin.span.line}"
