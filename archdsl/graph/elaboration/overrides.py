"""Paths to places: where the values of variants and overrides go."""

from __future__ import annotations

from collections.abc import Iterable

from archdsl.diagnostics import did_you_mean
from archdsl.graph.elaboration.frames import ARCH_SLOTS, STAGE_SLOTS, Frame, StageFrame, put, put_parameter
from archdsl.graph.elaboration.report import Report, SpecError, mistake
from archdsl.graph.elaboration.scopes import Cell, Scope
from archdsl.graph.elaboration.variants import Given
from archdsl.lang import tree as t


def apply(frame: Frame, report: Report) -> None:
    """Puts the values of a plan in their places, later ones over earlier ones."""
    for given in frame.plan.given:
        with report.guard():
            _apply(frame, given)


def _apply(frame: Frame, given: Given) -> None:
    first, *rest = given.path.steps
    stage = frame.stage(first.name)
    if not rest and first.index is None:
        cell = frame.body.names.get(first.name)
        if cell is not None and cell.kind == "parameter":
            put_parameter(frame.body, first.name, given)
        elif cell is not None and cell.kind == "let":
            raise _let(given, first)
        elif stage is not None:
            raise unknown_path(
                given,
                first,
                f"`{first.name}` is a stage",
                help=f"name a setting of it: `{first.name}.blocks`",
            )
        else:
            put(frame.body, first.name, given, first.span, "arch", frame.scope)
        return
    if stage is None or first.index is not None:
        names = [s.tree.name for s in frame.stages]
        what = f"`{first.name}` has no elements to set" if first.index is not None else "no such stage"
        raise unknown_path(
            given, first, what, help=did_you_mean(first.name, names, f"name one of: {', '.join(names)}")
        )
    apply_in_stage(stage, given)


def apply_in_stage(stage: StageFrame, given: Given) -> None:
    """Puts a value in its place in a stage.

    Raises:
        SpecError: E211 where there is no such place.
    """
    _, *steps = given.path.steps
    name, index = steps[0].name, steps[0].index
    cell = stage.body.names.get(name)
    if cell is not None and cell.kind == "let":
        raise _let(given, steps[0])
    if index is None and len(steps) == 1:
        if name == "blocks":
            stage.edits.clear()
        put(stage.body, name, given, steps[0].span, "stage", stage.scope)
        return
    if name != "blocks" or index is None or len(steps) > 2 or steps[-1].index not in (None, index):
        raise unknown_path(
            given, steps[-1], "no such place",
            help=f"paths in a stage: {stage.tree.name}.heads, {stage.tree.name}.blocks, "
            f"{stage.tree.name}.blocks[0], {stage.tree.name}.blocks[0].state",
        )  # fmt: skip
    units = (given.writer, *(u for u in stage.scope.units if u is not given.writer))
    position = cell.position if cell is not None and cell.position >= 0 else stage.scope.position
    scope = Scope(units, stage.body, position, open=True)
    parameter = steps[1].name if len(steps) == 2 else None
    edit = Cell(parameter or name, "parameter", "given", given.expr, scope, name_span=steps[-1].span)
    stage.edits.append((index, parameter, given, edit))


def _let(given: Given, step: t.PathStep) -> SpecError:
    return unknown_path(
        given,
        step,
        f"`{step.name}` is a let",
        help="a `let` is never a path; make it a parameter or a setting",
    )


def unknown_path(given: Given, step: t.PathStep, label: str, *, help: str) -> SpecError:
    """E211 at a step of a path."""
    return mistake("E211", f"unknown path `{given.path}`", step.span, label, help=help)


def untaken(cell: Cell, owner: str, stage: bool, near: Iterable[str], parameters: Iterable[str]) -> SpecError:
    """A setting that nobody takes: E206 where its arch was written, E211 where a path put it.

    Args:
        cell: the setting.
        owner: its arch or stage.
        stage: whether that is a stage.
        near: names that would be taken here.
        parameters: of the arch.
    """
    slots = STAGE_SLOTS if stage else ARCH_SLOTS
    wanted = sorted(set(near))
    others = [name for name in (*slots, *wanted, *parameters) if name != cell.name]
    step = did_you_mean(cell.name, others, _would_take(wanted))
    if not cell.override:
        return mistake(
            "E206", f"nobody takes the setting `{cell.name}`", cell.name_span,
            f"no call in `{owner}` has a parameter of that name", help=step,
        )  # fmt: skip
    path = f"{owner}.{cell.name}" if stage else cell.name
    return mistake(
        "E211", f"unknown path `{path}`", cell.name_span, f"`{owner}` has no `{cell.name}`", help=step
    )


def _would_take(names: list[str]) -> str:
    if not names:
        return "remove it"
    return f"calls here would take: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
