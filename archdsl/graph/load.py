"""Public entry points: load an architecture, check a file, build an expression on a feature."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from archdsl.diagnostics import Diagnostic, DiagnosticError, Source, did_you_mean
from archdsl.features import Feature
from archdsl.graph import library
from archdsl.graph.architecture import Architecture
from archdsl.graph.elaboration.build import Builder
from archdsl.graph.elaboration.elaborate import elaborate
from archdsl.graph.elaboration.evaluate import value_of
from archdsl.graph.elaboration.files import Unit, load_file, load_text
from archdsl.graph.elaboration.frames import constant
from archdsl.graph.elaboration.outside import given_from_outside, value_expr
from archdsl.graph.elaboration.pieces import chain
from archdsl.graph.elaboration.report import Report, SpecError
from archdsl.graph.elaboration.scopes import AMBIENT, Body, Cell, Scope
from archdsl.graph.elaboration.site import Site
from archdsl.graph.elaboration.taken import Taken
from archdsl.graph.elaboration.variants import Plan, plan_of
from archdsl.graph.node import Node
from archdsl.lang import parse_expression


def load(
    source: str | Path | Source,
    arch: str | None = None,
    *,
    overrides: Mapping[str, object] | None = None,
    **params: object,
) -> Architecture:
    """An architecture, parsed, checked and shaped. Imports no torch.

    Args:
        source: a path of an `.arch` file, the name of a shipped architecture ("mamba_r_tiny"), or a text that
            is no file: `Source("a name for messages", text)`; what it uses lies in the working folder.
        arch: which architecture of the file; without it the one named like the file, else the first.
        overrides: values for paths, `{"s3.heads": 16, "trunk.blocks": "24 x scan(state = 8)"}`; a str is text
            of the language.
        params: values of the arch's parameters, and image (a number or (height, width)), classes, channels.

    Raises:
        DiagnosticError: with everything that is wrong.
        TypeError: for overrides that are no mapping from paths.
    """
    if overrides is not None and not isinstance(overrides, Mapping):
        raise TypeError(f"overrides map paths to values, {type(overrides).__name__} does not")
    for path in overrides or {}:
        if not isinstance(path, str):
            raise TypeError(f"a path in overrides is a str such as 's3.heads', not {path!r}")
    unit, name = _resolve(source, arch)
    faults = [d for u in unit.all_units() for d in u.faults]
    report = Report()
    report.add(*faults)
    plan: Plan | None = None
    with report.guard():
        plan = plan_of(unit, name)
    given = []
    for path, value in [*(overrides or {}).items(), *params.items()]:
        with report.guard():
            given.append(given_from_outside(path, value, unit))
    if report.failed or plan is None:
        raise DiagnosticError(*report.sorted())
    taken = Taken()
    plan = Plan(plan.name, plan.arch, plan.unit, (*plan.given, *given), plan.span)
    defined = unit.arch(name)
    with report.of(name, defined[0].span if defined else plan.span):
        architecture = elaborate(plan, report, Builder(), taken)
    report.add(*(d for d in taken.mistakes() if d.code != "E206" or not plan.given))
    if architecture is None or report.failed:
        raise DiagnosticError(*report.sorted())
    return architecture


def _resolve(source: str | Path | Source, arch: str | None) -> tuple[Unit, str]:
    """The file and the architecture that are meant."""
    if isinstance(source, Source):
        unit = load_text(source, Path.cwd())
        return unit, _choose(unit, arch, source.name)
    text = str(source)
    if isinstance(source, Path) or text.endswith(".arch") or _is_file(text):
        unit = load_file(source)
        return unit, _choose(unit, arch, Path(text).stem)
    path = library.file_of(text)
    if path is None:
        raise DiagnosticError(
            Diagnostic(
                "E509",
                f"there is no architecture `{text}`",
                label="not a file, and not shipped",
                help=did_you_mean(
                    text, library.index(), "give a path, or a shipped name such as `mamba_r_tiny`"
                ),
            )
        )
    unit = load_file(path)
    return unit, _choose(unit, arch or text, text)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # longer than a path can be
        return False


def _choose(unit: Unit, arch: str | None, stem: str) -> str:
    if arch is None and unit.arches:
        return stem if stem in unit.arches else next(iter(unit.arches))
    if arch is not None and arch in unit.arches:
        return arch
    if arch is not None and unit.arch(arch) is not None:
        return arch
    if not unit.arches:
        raise DiagnosticError(
            Diagnostic(
                "E509", f"{unit.source.name} defines no architecture", help="write `arch name { ... }`"
            )
        )
    raise DiagnosticError(
        Diagnostic(
            "E509",
            f"{unit.source.name} has no architecture `{arch}`",
            help=did_you_mean(str(arch), unit.arches, f"it has: {', '.join(unit.arches)}"),
        )
    )


def instantiate(
    text: str, x: Feature, *, dim: int | None = None, settings: Mapping[str, object] | None = None
) -> Node:
    """An expression of the language built on a feature, with the standard library in scope.

    Args:
        text: a pipeline, a mixer, an operator or a block: `conv2d(3, stride = 2) -> layer_norm`.
        x: what it receives.
        dim: the ambient width; the feature's without it.
        settings: settings as a stage would have them: Python values, or text of the language.

    Returns:
        One node; a chain where the text makes several.

    Raises:
        DiagnosticError: with what is wrong.
    """
    unit = load_text(Source("<instantiate>", ""), Path.cwd())
    body = Body({}, Scope((unit,), open=True))
    try:
        expr = parse_expression(Source("<instantiate>", text))
        for name, value in (settings or {}).items():
            scope = Scope((unit,), open=True)
            body.names[name] = Cell(name, "setting", "stage", value_expr(name, value), scope)
        ambient = {n: constant(n, None, "ambient", body.names[n]) for n in AMBIENT if n in body.names}
        for name, cell in ambient.items():
            cell.value = value_of(body.names[name])
        ambient["dim"] = constant("dim", Fraction(x.dim if dim is None else dim), "ambient")
        nodes = Builder().either(expr, Scope((unit,), body, open=True), x, Site(ambient, (body,)))
    except SpecError as error:
        raise DiagnosticError(*error.diagnostics) from None
    return nodes[0] if len(nodes) == 1 else chain(nodes, x, "chain")
