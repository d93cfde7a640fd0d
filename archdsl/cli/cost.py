"""`archdsl cost`: parameters, multiply-accumulates, memory and bounds of time; nothing is built."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from archdsl.cli.messages import mistake
from archdsl.cli.specs import Arch, Classes, Image, Override, load_spec, unit_of

if TYPE_CHECKING:
    from archdsl.cli.part_costs import Run
    from archdsl.graph.architecture import Stage
    from archdsl.graph.comparison import Compared
    from archdsl.graph.cost import Cost, CostRow
    from archdsl.graph.elaboration.files import Unit
    from archdsl.graph.listing import Listed
    from archdsl.graph.roofline import Bound


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
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            metavar="NAME",
            help="Tell how long a device needs at least: cpu-2core, a100, h100, h200.",
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", metavar="TYPE", help="With --device: float32 (default), tf32, bfloat16."),
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", metavar="N", help="With --device: images at once, 1 by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count parameters, multiply-accumulates and memory of architectures, without PyTorch.

    Of a file, the architecture named like it is counted; all of them where none is. Among several files,
    those that only hold definitions are passed by. What is published of an architecture stands beside, where
    the file has figures (`mila.published.toml`) and nothing was changed.
    """
    from archdsl.cli.costs import Group, print_costs
    from archdsl.graph.comparison import compare_with_published
    from archdsl.graph.listing import Listed, Papers

    run = _run(device, dtype, batch)
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

        typer.echo(json.dumps([_row(listed, run) for group in groups for listed in group.rows], indent=2))
    else:
        print_costs(groups, by_class, run)


def _names(unit: Unit, chosen: str | None) -> tuple[str | None, ...]:
    """The arch chosen, else all of the file; where it has none, whoever loads it says so."""
    return (chosen,) if chosen is not None else tuple(unit.arches) or (None,)


def _run(device: str | None, dtype: str | None, batch: int | None) -> Run | None:
    """What a bound is asked for.

    Raises:
        DiagnosticError: E510 for options that say nothing without a device and for no images, E515 for a
            device of which no rates are known.
    """
    from archdsl.cli.part_costs import Run
    from archdsl.graph.devices import find_device

    if device is None:
        for name, given in (("--dtype", dtype), ("--batch", batch)):
            if given is not None:
                raise mistake("E510", f"{name} says how a device runs", help="add `--device h200` or another")
        return None
    if batch is not None and batch < 1:
        raise mistake("E510", f"a batch holds at least 1 image, not {batch}", help="use --batch 1 or more")
    find_device(device, dtype or "float32")
    return Run(device, dtype or "float32", batch or 1)


def _row(listed: Listed, run: Run | None) -> dict[str, object]:
    from archdsl.graph.memory.keeping import checkpointed
    from archdsl.graph.memory.training import Tracing

    a, c = listed.architecture, listed.cost
    again = checkpointed(a, Tracing())
    stages = {stage.name: stage for stage in a.stages}
    row: dict[str, object] = {
        "name": a.name,
        "image": list(a.image),
        "channels": a.channels,
        "classes": a.classes,
        "digest": a.digest(),
        **_counts(c),
        "checkpointed": {"kept_bytes": again.kept.of(1), "peak_bytes": again.peak(1)},
        "stages": [{"name": row.path, **_counts(row), **_sequence(stages.get(row.path))} for row in c.stages],
    }
    if run is not None:
        found = run.bound(a)
        row["roofline"] = asdict(run) | {
            **_bound(found.total),
            "stages": [{"name": bound.path, **_bound(bound)} for bound in found.stages],
            "blocks": [{"name": bound.path, **_bound(bound)} for bound in found.rows],
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


def _counts(c: Cost | CostRow) -> dict[str, object]:
    return {
        "params": c.params,
        "macs": asdict(c.macs) | {"total": c.macs.total},
        "activation_bytes": c.activation_bytes,
        "activation_bytes_fixed": c.saved.fixed,
        "peak_bytes": c.peak_bytes,
        "weight_bytes": {name: c.kept.size(name) for name in ("float32", "bfloat16")},
    }


def _sequence(stage: Stage | None) -> dict[str, object]:
    """L and D of a stage, and whether L > 6 D."""
    if stage is None:
        return {}
    return {
        "tokens": stage.feature.tokens,
        "dim": stage.feature.dim,
        "threshold": stage.threshold,
        "long": stage.is_long,
    }


def _bound(bound: Bound) -> dict[str, object]:
    from archdsl.graph.roofline import LIMITS

    times = {limit: getattr(bound, limit) for limit in LIMITS}
    return {"seconds": bound.seconds, "limit": bound.limit, "seconds_by_limit": times}
