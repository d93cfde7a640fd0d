"""What may stand where: pipelines take mixers and operators, stages take blocks."""

from __future__ import annotations

from enum import Enum

from archdsl.diagnostics import Span
from archdsl.features import Word
from archdsl.graph.elaboration.evaluate import WINDOWS, unknown_word, written
from archdsl.graph.elaboration.files import Definition
from archdsl.graph.elaboration.names import Callee, at_file_level, unknown
from archdsl.graph.elaboration.report import SpecError, mistake
from archdsl.graph.elaboration.scopes import Blocks, Scope, Value
from archdsl.lang import tree as t
from archdsl.ops._types import describe
from archdsl.ops.residual import Residual


class Place(Enum):
    """Where a text stands: in a pipeline, in `blocks`, or on a line of a block, which takes both."""

    PIPELINE = "pipeline"
    BLOCK = "block"
    EITHER = "either"


def refuse_kind(callee: Callee, call: t.Name | t.Call, place: Place) -> None:
    """E216 for a block in a pipeline, and for anything but blocks and `residual(...)` in `blocks`."""
    name = call if isinstance(call, t.Name) else call.callee
    block = isinstance(callee, Definition) and callee.is_block
    if block and place is Place.PIPELINE:
        raise mistake(
            "E216", f"`{name.id}` is a block, not a part of a pipeline", name.span,
            "expected a mixer or an operator",
            help="blocks stand in `blocks = ...` of a stage, or on a line of their own in a block",
        )  # fmt: skip
    if not block and callee is not Residual and place is Place.BLOCK:
        what = "a mixer" if isinstance(callee, Definition) else "an operator"
        raise misplaced(what, name.span, name.id)


def misplaced(what: str, span: Span, name: str = "") -> SpecError:
    """E216 for something else than a block where a block is expected."""
    subject = f"`{name}` is {what}, not a block" if name else f"{what} is no block"
    return mistake(
        "E216", subject, span, "expected a block",
        help=f"write `block my_block {{ residual norm -> {name or '...'} -> drop_path }}`",
    )  # fmt: skip


def not_a_network(value: Value, expr: t.Expr, scope: Scope) -> SpecError:
    """The right mistake for a value where a network is expected."""
    at, there = written(expr, scope)
    if isinstance(value, Word):
        if value.name == WINDOWS:
            return mistake(
                "E205", "`windows` cuts a whole stage", at.span, "no part of a pipeline",
                help="write `within = windows(...)` in the stage, or `windowed(inner, ...)` here",
            )  # fmt: skip
        if isinstance(at, t.Name) and at_file_level(there, at.id) is not None:
            return unknown(there, at.id, at.span, callee=True)
        return unknown_word(value, expr, scope)
    if isinstance(value, Blocks):
        return mistake(
            "E216", "`+` joins blocks of a stage", at.span, "parts of a pipeline are expected",
            help="join parts of a pipeline with `->`",
        )  # fmt: skip
    step = "for no part at all write `none`" if value is False else "put a mixer, a block or an operator here"
    return mistake("E205", "expected a network", at.span, f"found {describe(value)}", help=step)
