"""`archdsl cost`: parameters and multiply-accumulates, beside the published ones; nothing is built."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from archdsl.cli.specs import Arch, Classes, Image, Override, load_spec, unit_of

if TYPE_CHECKING:
    from archdsl.graph.comparison import Compared
    from archdsl.graph.elaboration.files import Unit
    from archdsl.graph.listing import Listed


def cost(
    specs: Annotated[
        list[str], typer.Argument(metavar="SPECS...", help="Spec files, or names of shipped architectures.")
    ],
    arch: Arch = None,
    every: Annotated[bool, typer.Option("--all", help="Every architecture of each file.")] = False,
    by_class: Annotated[
        bool, typer.Option("--by-class", help="MACs by class of operator in the place of published figures.")
    ] = False,
    overrides: Override = None,
    image: Image = None,
    classes: Classes = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count parameters and multiply-accumulates of architectures, exactly and without PyTorch.

    Of a file, the architecture named like it is counted; all of them where none is. Among several files,
    those that only hold definitions are passed by. What is published of an architecture stands beside, where
    the file has figures (`mila.published.toml`) and nothing was changed.
    """
    from archdsl.cli.costs import Group, print_costs
    from archdsl.graph.comparison import compare_with_published
    from archdsl.graph.listing import Listed, Papers

    groups: list[Group] = []
    for spec in specs:
        unit, main = unit_of(spec)
        if arch is None and not unit.arches and len(specs) > 1:
            groups.append(Group(unit, ()))
            continue
        papers = Papers(unit)
        rows: list[Listed] = []
        for name in _names(unit, arch or (None if every else main)):
            loaded = load_spec(spec, name, overrides, image, classes)
            total = loaded.cost()
            figures = None if overrides or image or classes is not None else papers.figures(loaded.name)
            compared = None if figures is None else compare_with_published(loaded, total, figures)
            rows.append(Listed(loaded, total, compared))
        groups.append(Group(unit, tuple(rows)))
    if not any(group.rows for group in groups):
        load_spec(specs[0])
    if as_json:
        import json

        typer.echo(json.dumps([_row(listed) for group in groups for listed in group.rows], indent=2))
    else:
        print_costs(groups, by_class)


def _names(unit: Unit, chosen: str | None) -> tuple[str | None, ...]:
    """The arch chosen, else all of the file; where it has none, whoever loads it says so."""
    return (chosen,) if chosen is not None else tuple(unit.arches) or (None,)


def _row(listed: Listed) -> dict[str, object]:
    a, c = listed.architecture, listed.cost
    row: dict[str, object] = {
        "name": a.name,
        "image": list(a.image),
        "channels": a.channels,
        "classes": a.classes,
        "digest": a.digest(),
        "params": c.params,
        "macs": asdict(c.macs) | {"total": c.macs.total},
        "activation_bytes": c.activation_bytes,
        "stages": [
            {
                "name": row.path,
                "params": row.params,
                "macs": asdict(row.macs) | {"total": row.macs.total},
                "activation_bytes": row.activation_bytes,
            }
            for row in c.stages
        ],
    }
    if (published := listed.published) is not None:
        row["published"] = published.figures.model_dump(mode="json", exclude_defaults=True) | {
            key: _compared(compared)
            for key, compared in (("params", published.params), ("macs", published.macs))
            if compared is not None
        }
    return row


def _compared(compared: Compared) -> dict[str, object]:
    return asdict(compared)
