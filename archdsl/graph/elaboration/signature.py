"""What definitions and operators take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, get_args

from pydantic.fields import FieldInfo

from archdsl.diagnostics import Source
from archdsl.features import Order
from archdsl.graph.elaboration.files import Definition
from archdsl.graph.elaboration.names import Callee
from archdsl.graph.elaboration.scopes import AMBIENT
from archdsl.lang import parse_expression
from archdsl.lang import tree as t
from archdsl.ops import Op, PartParameter
from archdsl.ops._types import SHORT_ORDERS, choices, describe

ORDER_WORDS = (*SHORT_ORDERS, "rows", "columns", "snake", "local", "reverse")


@dataclass(frozen=True, slots=True)
class Formal:
    """One parameter.

    Args:
        name: its name.
        required: nothing stands in where a call leaves it out.
        default: the text that stands in, for definitions and parts of operators.
        shown: the default as text, for operators.
        part: takes a network.
        variadic: takes every positional argument.
        ambient: reaches every depth without being passed.
        choices: the words it takes.
        orders: takes scan orders.
    """

    name: str
    required: bool = False
    default: t.Expr | None = None
    shown: str = ""
    part: bool = False
    variadic: bool = False
    ambient: bool = False
    choices: tuple[str, ...] = ()
    orders: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters of a callee in positional order."""

    name: str
    formals: tuple[Formal, ...]
    by_name: dict[str, Formal] = field(compare=False, repr=False)

    def parts(self) -> Iterator[Formal]:
        """Those that take networks."""
        return (f for f in self.formals if f.part)


def signature_of(callee: Callee) -> Signature:
    """The parameters of a definition or an operator."""
    return _defined(callee) if isinstance(callee, Definition) else of_operator(callee)


@lru_cache(maxsize=4096)
def _defined(definition: Definition) -> Signature:
    formals = tuple(
        Formal(p.name, p.default is None, p.default, ambient=p.name in AMBIENT)
        for p in definition.tree.parameters
    )
    return Signature(definition.name, formals, {f.name: f for f in formals})


@lru_cache(maxsize=1024)
def of_operator(op: type[Op], *, parts: bool = True) -> Signature:
    """The parameters of an operator: parts without a default, fields, parts with a default.

    Args:
        op: the operator.
        parts: whether its networks belong to it; not for `windows(...)` around a stage.
    """
    formals: list[Formal] = []
    if parts:
        formals += [_part(p) for p in op.parts if p.default is None]
    formals += [_field(op, name, info) for name, info in op.model_fields.items()]
    if parts:
        formals += [_part(p) for p in op.parts if p.default is not None]
    return Signature(op.name if parts else "windows", tuple(formals), {f.name: f for f in formals})


def _part(p: PartParameter) -> Formal:
    default = None if p.default is None else parse_expression(Source(f"<{p.name}>", p.default))
    return Formal(p.name, p.default is None and not p.variadic, default, part=True, variadic=p.variadic)


def _field(op: type[Op], name: str, info: FieldInfo) -> Formal:
    annotation: Any = info.annotation
    words = choices(annotation)
    for extra in info.metadata:
        words = words or choices(extra)
    return Formal(
        name,
        info.is_required(),
        shown="" if info.is_required() else shown(info.get_default(call_default_factory=True)),
        ambient=name in op.ambient,
        choices=words,
        orders=_has_orders(annotation),
    )


def shown(value: object) -> str:
    """A Python value of an operator's field as text of the language."""
    if isinstance(value, Order):
        return value.text
    if isinstance(value, tuple | list):
        for word, orders in SHORT_ORDERS.items():
            if value == orders:
                return word
        items = [shown(v) for v in value]
        return items[0] if len(items) == 1 and isinstance(value[0], Order) else f"[{', '.join(items)}]"
    return value if isinstance(value, str) else describe(value)


def _has_orders(annotation: Any) -> bool:
    if annotation is Order:
        return True
    args = () if isinstance(annotation, type) and not get_args(annotation) else get_args(annotation)
    return any(_has_orders(a) for a in args if a is not Literal and not isinstance(a, str))
