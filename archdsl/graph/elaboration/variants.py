"""Variants: an architecture under a new name, with values put into the one it calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from archdsl.diagnostics import Span, did_you_mean
from archdsl.graph.elaboration.evaluate import unwrap
from archdsl.graph.elaboration.files import Unit
from archdsl.graph.elaboration.names import callee_of
from archdsl.graph.elaboration.report import SpecError, mistake
from archdsl.graph.elaboration.scopes import Scope
from archdsl.lang import tree as t

MAX_DEPTH = 100


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """A value for a path, in a variant or from outside.

    Args:
        path: a parameter, a slot, or a path such as `s3.heads`.
        expr: the value's text.
        writer: the file whose definitions that text sees.
    """

    path: t.Path
    expr: t.Expr
    writer: Unit


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is to be elaborated.

    Args:
        name: of the architecture or variant.
        arch: the body it leads to.
        unit: the file of that body.
        given: values in the order in which they are put; later ones win.
        span: the name where it is defined.
        keys: for every stage, and for the arch under "", what tells this plan from others that are built
            with the same memory: all values given there and above, blocks left out. Empty where there is
            none.
    """

    name: str
    arch: t.ArchDef
    unit: Unit
    given: tuple[Given, ...]
    span: Span
    keys: Mapping[str, object] = field(default_factory=dict)


def plan_of(unit: Unit, name: str) -> Plan:
    """The plan of an architecture of a file, through all variants that lead to it.

    Raises:
        SpecError: E201 for an unknown architecture, E204, E207, E208 and E218.
    """
    found = unit.arch(name)
    if found is None:
        raise LookupError(name)
    first, where = found
    layers: list[tuple[t.Call, Unit]] = []
    chain = [first]
    place = {id(first): 0}
    current = first
    while isinstance(current, t.VariantDef):
        call = unwrap(current.call)
        callee = call.callee if isinstance(call, t.Call) else call
        if not isinstance(callee, t.Name):
            raise mistake(
                "E216", "a variant calls an architecture", call.span, help="write `arch b = a(...)`"
            )
        target = where.arch(callee.id, callee.span)
        if target is None:
            raise _unknown(where, callee)
        if isinstance(call, t.Call):
            layers.append((call, where))
        if (start := place.get(id(target[0]))) is not None:
            raise _circle(chain[start:])
        if len(chain) > MAX_DEPTH:
            raise mistake(
                "E218", f"a variant leads through more than {MAX_DEPTH} others", None,
                notes=(f"it is `{name}`",), help="call the arch itself",
            )  # fmt: skip
        current, where = target
        place[id(current)] = len(chain)
        chain.append(current)
    given = [g for call, writer in reversed(layers) for g in given_by(call, writer, current)]
    return Plan(name, current, where, tuple(given), first.name_span)


def _circle(members: Sequence[t.ArchDef | t.VariantDef]) -> SpecError:
    """The same mistake whichever member it is met from: told at the one that stands first."""
    places = [(m.span.source.name, m.span.line, m.span.column) for m in members]
    first = places.index(min(places))
    names = [m.name for m in (*members[first:], *members[: first + 1])]
    return mistake(
        "E208", "variants call each other in a circle", members[first].name_span, "this leads back to itself",
        notes=(" calls ".join(names),), help="let one of them be an arch with a body",
    )  # fmt: skip


def given_by(call: t.Call, writer: Unit, arch: t.ArchDef) -> list[Given]:
    """The arguments of one variant's call as values for paths.

    Raises:
        SpecError: E204, E207.
    """
    names = [p.name for p in arch.parameters]
    taken: set[str] = set()
    out: list[Given] = []
    for argument in call.arguments:
        path, value = argument.path, argument.value
        if path is None and isinstance(value, t.Name) and value.id in names:
            path = _path(value.span, value.id)
            if writer.lookup(value.id) is None:
                value = t.Constant(value.span, True)
        elif path is None:
            free = next((n for n in names if n not in taken), None)
            if free is None:
                raise mistake(
                    "E204", f"too many values for `{arch.name}`", value.span, f"it takes {len(names)}",
                    help=f"its parameters: {', '.join(names)}" if names else "it has no parameters",
                )  # fmt: skip
            path = _path(value.span, free)
        if str(path) in taken:
            raise mistake("E207", f"`{path}` is given twice", path.span, "given before", help="leave one out")
        taken.add(str(path))
        out.append(Given(path, value, writer))
    return out


def _path(span: Span, name: str) -> t.Path:
    return t.Path(span, (t.PathStep(span, name),))


def _unknown(unit: Unit, name: t.Name) -> SpecError:
    callee = callee_of(Scope((unit,)), name.id)
    if callee is not None:
        return mistake(
            "E216", f"`{name.id}` is no architecture", name.span, "expected the name of an arch",
            help="write `mixer` or `block` to name a part",
        )  # fmt: skip
    return mistake(
        "E201", f"unknown architecture `{name.id}`", name.span, "not found",
        help=did_you_mean(name.id, unit.arch_names(), "`use` the file that defines it"),
    )  # fmt: skip
