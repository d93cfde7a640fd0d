"""Paths to places: where the values of variants and overrides go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from archdsl.diagnostics import did_you_mean
from archdsl.graph.frames import ARCH_SLOTS, STAGE_SLOTS, Frame, StageFrame, put, put_parameter
from archdsl.graph.report import Report, SpecError, mistake
from archdsl.graph.scopes import Cell, Scope
from archdsl.graph.variants import Given
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
            raise _let(given, first.name)
        elif stage is not None:
            raise unknown_path(
                given, f"`{first.name}` is a stage, no value", f"name a setting of it: `{first.name}.blocks`"
            )
        else:
            put(frame.body, first.name, given, "arch", frame.scope)
        return
    if stage is None or first.index is not None:
        names = [s.tree.name for s in frame.stages]
        raise mistake(
            "E211", f"`{frame.plan.arch.name}` has no `{_first(first)}`", given.path.span,
            f"expected a stage ({', '.join(names)}), a parameter or a setting",
            help=did_you_mean(first.name, names, _example(names)),
        )  # fmt: skip
    _apply_in_stage(stage, rest, given)


def _example(stages: list[str]) -> str:
    return f"write a path such as `{stages[0]}.blocks`" if stages else "name a parameter or a setting"


def _first(step: t.PathStep) -> str:
    return step.name if step.index is None else f"{step.name}[{step.index}]"


def _apply_in_stage(stage: StageFrame, steps: list[t.PathStep], given: Given) -> None:
    name, index = steps[0].name, steps[0].index
    cell = stage.body.names.get(name)
    if cell is not None and cell.kind == "let":
        raise _let(given, name)
    if index is None and len(steps) == 1:
        if name == "blocks":
            stage.edits.clear()
        put(stage.body, name, given, "stage", stage.scope)
        return
    deeper = steps[1:]
    if name != "blocks" or index is None or len(deeper) > 1 or any(s.index is not None for s in deeper):
        here = stage.tree.name
        raise unknown_path(
            given, "leads to no value",
            f"paths here are `{here}.heads`, `{here}.blocks` and `{here}.blocks[0].state`",
        )  # fmt: skip
    units = (given.writer, *(u for u in stage.scope.units if u is not given.writer))
    position = cell.position if cell is not None and cell.position >= 0 else stage.scope.position
    scope = Scope(units, stage.body, position, open=True)
    parameter = steps[1].name if len(steps) == 2 else None
    edit = Cell(parameter or name, "parameter", "given", given.expr, scope, name_span=steps[-1].span)
    stage.edits.append((index, parameter, given, edit))


def _let(given: Given, name: str) -> SpecError:
    return unknown_path(
        given, f"`{name}` is a let", "a `let` is never a path; make it a parameter or a setting"
    )


def unknown_path(given: Given, label: str, step: str) -> SpecError:
    """E211 at a path."""
    return mistake("E211", f"unknown path `{given.path}`", given.path.span, label, help=step)


def untaken(cell: Cell, owner: str, stage: bool, near: Iterable[str], parameters: Sequence[str]) -> SpecError:
    """A setting that nobody takes: E206 where its arch was written, E211 where a path put it.

    Args:
        cell: the setting.
        owner: its arch or stage.
        stage: whether that is a stage.
        near: names that would be taken here.
        parameters: of the arch.
    """
    place = "stage" if stage else "arch"
    slots = STAGE_SLOTS if stage else ARCH_SLOTS
    wanted = sorted(set(near))
    step = did_you_mean(cell.name, (*slots, *wanted, *parameters), _would_take(wanted))
    if not cell.override:
        return mistake(
            "E206", f"nothing takes the setting `{cell.name}`", cell.name_span,
            f"no call in this {place} leaves out a parameter of that name", help=step,
        )  # fmt: skip
    expected = "a setting" if stage else "a parameter, a slot or a setting"
    return mistake(
        "E211", f"`{owner}` has no `{cell.name}`", cell.name_span,
        f"expected {expected} that a call in this {place} takes", help=step,
    )  # fmt: skip


def _would_take(names: list[str]) -> str:
    if not names:
        return "remove it"
    return f"calls here would take {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
