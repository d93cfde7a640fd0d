"""Tasks as text: `digits(epochs = 20, lr = 1e-3)` to a task, changes of its fields, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Any, cast, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from archdsl.diagnostics import Diagnostic, DiagnosticError, Source, Span, closest, did_you_mean
from archdsl.features import Word
from archdsl.lang import parse_expression
from archdsl.lang import tree as t
from archdsl.lang.to_text import quoted
from archdsl.ops._types import choices, describe

if TYPE_CHECKING:
    from archdsl.graph.elaboration.scopes import Scope
    from archdsl.tasks._base import Task

_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}


def read_task(task: t.Expr | str, scope: Scope | None = None) -> Task:
    """The task that a value of the language means: the name of a task, or its call with named arguments.

    Args:
        task: parsed, or its text.
        scope: what its arguments can see, such as the lets of a search; without it they are plain values.

    Raises:
        DiagnosticError: E1 mistakes of a text; E404 for each thing that is wrong with the task, at its place;
            mistakes of the values themselves.
    """
    from archdsl.tasks import BUILTIN, find, names

    expr = parse_expression(Source("<task>", task)) if isinstance(task, str) else task
    while isinstance(expr, t.Parens):
        expr = expr.inner
    callee = expr.callee if isinstance(expr, t.Call) else expr
    if not isinstance(callee, t.Name):
        raise DiagnosticError(
            Diagnostic(
                "E404", "a task is a name with arguments", expr.span, "this names no task",
                help=f"write one of: {', '.join(f'{n}(epochs = 20)' for n in BUILTIN)}",
            )
        )  # fmt: skip
    found = find(callee.id)
    if found is None:
        raise DiagnosticError(
            Diagnostic(
                "E404", f"there is no task `{callee.id}`", callee.span,
                f"expected one of: {', '.join(BUILTIN)}, or one that an installed package brings",
                help=did_you_mean(callee.id, names(), f"write `{BUILTIN[0]}(epochs = 20)`"),
            )
        )  # fmt: skip
    arguments = expr.arguments if isinstance(expr, t.Call) else ()
    return _Reader(found, scope).read(arguments, callee.span)


def changed(task: Task, changes: Mapping[str, object]) -> Task:
    """The task with other values for some fields; see `Task.changed`."""
    reader = _Reader(type(task), None)
    values = dict(vars(task))
    spans: dict[str, Span] = {}
    for name, value in changes.items():
        if isinstance(value, str | t.Node):
            expr = parse_expression(Source(f"<train.{name}>", value)) if isinstance(value, str) else value
            reader.take(name, cast(t.Expr, expr), expr.span, values, spans)
        else:
            shown = describe(value)
            span = Span(Source(f"<train.{name}>", shown), 1, 1, 1, len(shown) + 1)
            if reader.known(name, span):
                values[name], spans[name] = _python(value), span
    return reader.made(values, spans, None)


def to_text(task: Task) -> str:
    """The task as text of the language; see `Task.text`."""
    values = vars(task)
    written = [
        f"{name} = {_text(values[name], words)}"
        for name, default, words in _fields(type(task))
        if name == "epochs" or values[name] != default
    ]
    return f"{task.name}({', '.join(written)})"


@cache
def _fields(task: type[Task]) -> tuple[tuple[str, object, bool], ...]:
    """Every field with its default, and whether it takes words."""
    return tuple(
        (name, field.get_default(call_default_factory=True), bool(_words(field)))
        for name, field in task.model_fields.items()
    )


def default_text(task: type[Task], name: str) -> str:
    """The default of a field as text of the language; nothing where it has none."""
    field = task.model_fields[name]
    return "" if field.is_required() else _text(field.get_default(), bool(_words(field)))


class _Reader:
    """Arguments of one task; keeps everything that is wrong with them."""

    def __init__(self, task: type[Task], scope: Scope | None) -> None:
        self.task = task
        self.scope = scope
        self.wrong: list[Diagnostic] = []

    def read(self, arguments: Iterable[t.Argument], call: Span) -> Task:
        values: dict[str, object] = {}
        spans: dict[str, Span] = {}
        for argument in arguments:
            if argument.path is None:
                self.nameless(argument.value)
                continue
            name = str(argument.path)
            if name in spans:
                line, column = spans[name].line, spans[name].column
                self.wrong.append(
                    Diagnostic(
                        "E404", f"`{name}` is given twice to `{self.task.name}`", argument.path.span,
                        f"given before in line {line}, column {column}", help="leave one out",
                    )
                )  # fmt: skip
                continue
            self.take(name, argument.value, argument.path.span, values, spans)
        return self.made(values, spans, call)

    def nameless(self, value: t.Expr) -> None:
        """A positional argument: fields have no order that anyone knows by heart."""
        fields = self.task.model_fields
        name = value.id if isinstance(value, t.Name) else ""
        near = closest(name, fields) if name else None
        first = near or "epochs"
        self.wrong.append(
            Diagnostic(
                "E404", f"the arguments of `{self.task.name}` have names", value.span,
                "a value without a name", help=f"write `{first} = ...`; it takes {', '.join(fields)}",
            )
        )  # fmt: skip

    def known(self, name: str, span: Span) -> bool:
        """Whether the task has that field."""
        fields = self.task.model_fields
        if name in fields:
            return True
        self.wrong.append(
            Diagnostic(
                "E404", f"`{self.task.name}` has no argument `{name}`", span,
                f"expected one of: {', '.join(fields)}",
                help=did_you_mean(name, fields, "name one of them, or leave it out"),
            )
        )  # fmt: skip
        return False

    def take(
        self, name: str, expr: t.Expr, at: Span, values: dict[str, object], spans: dict[str, Span]
    ) -> None:
        """Evaluates one argument."""
        if not self.known(name, at):
            return
        spans[name] = expr.span
        try:
            value = _value(expr, self.scope)
            values[name] = value if self.strange(name, value) else _python(value)
        except DiagnosticError as error:
            self.wrong += error.diagnostics
            values.pop(name, None)

    def strange(self, name: str, value: object) -> bool:
        """Whether it is a word for a field that takes neither words nor texts."""
        if not isinstance(value, Word):
            return False
        field = self.task.model_fields[name]
        takes = {field.annotation, *get_args(field.annotation)}
        return not _words(field) and str not in takes

    def made(self, values: dict[str, object], spans: dict[str, Span], call: Span | None) -> Task:
        """The task, or everything that is wrong."""
        try:
            task = self.task.model_validate(values, strict=True)
        except ValidationError as error:
            told: set[object] = {d.span for d in self.wrong}
            for e in error.errors():
                name = str(e["loc"][0]) if e["loc"] else ""
                span = spans.get(name, call)
                if span is None or span not in told:
                    told.add(span)
                    self.wrong.append(self.refused(name, e, span))
        if self.wrong:
            raise DiagnosticError(*self.wrong)
        return task

    def refused(self, name: str, error: Any, span: Span | None) -> Diagnostic:
        """What pydantic found wrong with a value."""
        field = self.task.model_fields.get(name)
        if field is None:
            return Diagnostic(
                "E404", f"`{self.task.name}` refuses its arguments", span, _said(error), help="change one"
            )
        if error["type"] == "missing":
            return Diagnostic(
                "E404", f"`{self.task.name}` needs `{name}`", span, f"`{name}` not given",
                help=f"write `{self.task.name}({name} = ...)`",
            )  # fmt: skip
        words = _words(field)
        found = _shown(error["input"])
        if error["type"] in _BOUNDS:
            key, relation = _BOUNDS[error["type"]]
            return Diagnostic(
                "E404", f"`{name}` is out of range", span, f"found {found}",
                help=f"it is {relation} {describe(error['ctx'][key])}",
            )  # fmt: skip
        if words and error["type"] != "value_error":
            return Diagnostic(
                "E404", f"`{name}` has no choice {found}", span, f"expected one of: {', '.join(words)}",
                help=did_you_mean(str(error["input"]), words, "choose one of them"),
            )  # fmt: skip
        text = default_text(self.task, name)
        default = f"; the default is {text}" if text else ""
        return Diagnostic(
            "E404", f"wrong value for `{name}` of `{self.task.name}`", span, _said(error),
            help=f"give `{name}` another value{default}",
        )  # fmt: skip


def _value(expr: t.Expr, scope: Scope | None) -> object:
    """A plain value; anything longer is evaluated as in an arch."""
    while isinstance(expr, t.Parens):
        expr = expr.inner
    match expr:
        case t.Number(value=value):
            return value
        case t.Unary(operand=t.Number(value=value)):
            return -value
        case t.String(value=value) | t.Constant(value=value):
            return value
        case t.Name(id=name) if scope is None or scope.find(name) is None:
            return Word(name)
    from archdsl.graph.elaboration.evaluate import evaluate
    from archdsl.graph.elaboration.files import prelude
    from archdsl.graph.elaboration.report import SpecError
    from archdsl.graph.elaboration.scopes import Scope as Sight

    try:
        return evaluate(expr, scope or Sight((prelude(),)))
    except SpecError as error:
        raise DiagnosticError(*error.diagnostics) from None


def _python(value: object) -> object:
    """A value of the language as pydantic takes it: whole numbers are ints, words are texts."""
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else float(value)
    if isinstance(value, Word) and not value.args and not value.kwargs:
        return value.name
    if isinstance(value, tuple | list):
        return tuple(_python(v) for v in value)
    return value


def _words(field: FieldInfo) -> tuple[str, ...]:
    """The words that a field takes."""
    words = choices(field.annotation)
    for extra in field.metadata:
        words = words or choices(extra)
    return words


def _text(value: object, words: bool = False) -> str:
    """A field as text of the language; a str as a bare word where the field takes words."""
    if value is None or isinstance(value, bool):
        return "none" if value is None else "on" if value else "off"
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError(f"{value} is no number of the language")
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_text(v, words) for v in value) + "]"
    if isinstance(value, str):
        return value if words else quoted(value)
    return str(value)


def _shown(value: object) -> str:
    return f"`{value}`" if isinstance(value, str) else describe(value)


def _said(error: Any) -> str:
    text: str = error["msg"].removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
