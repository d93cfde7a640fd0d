"""Values that come from Python or from the command line, as texts with places of their own."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from archdsl.diagnostics import Diagnostic, DiagnosticError, Source, Span
from archdsl.graph.elaboration.files import Unit
from archdsl.graph.elaboration.texts import number_text
from archdsl.graph.elaboration.variants import Given
from archdsl.lang import parse_expression, parse_path
from archdsl.lang import tree as t


def given_from_outside(path: str, value: object, unit: Unit) -> Given:
    """A value for a path; mistakes point into a text named after the path.

    Raises:
        DiagnosticError: E1 mistakes of the path or the text, E205 for values that the language doesn't have.
    """
    where = Source(f"<override {path}>", path)
    return Given(parse_path(where), value_expr(path, value), unit)


def value_expr(path: str, value: object) -> t.Expr:
    """A Python value as an expression; a str is text of the language.

    Raises:
        DiagnosticError: E1 mistakes of the text, E205 for values that the language doesn't have.
    """
    if isinstance(value, str):
        return parse_expression(Source(f"<override {path}>", value))
    shown = _shown(value)
    source = Source(f"<override {path}>", shown if shown is not None else repr(value))
    span = Span(source, 1, 1, 1, len(source.text) + 1)
    if shown is None:
        raise DiagnosticError(
            Diagnostic(
                "E205",
                f"wrong value for `{path}`",
                span,
                f"found {type(value).__name__}, which is no value of the language",
                help="give a number, True, False, None, a list, or text of the language",
            )
        )
    return _expr(value, span)


def _expr(value: object, span: Span) -> t.Expr:
    if value is None or isinstance(value, bool):
        return t.Constant(span, value)
    if isinstance(value, list | tuple):
        return t.List(span, tuple(_expr(v, span) for v in value))
    if isinstance(value, str):
        return parse_expression(Source(span.source.name, value))
    n = _exact(value)
    return t.Number(span, n if n is not None else Fraction(0), span.source.text)


def _exact(value: object) -> Fraction | None:
    if isinstance(value, int | Fraction):
        return Fraction(value)
    if isinstance(value, float):
        number = Decimal(repr(value))
        return Fraction(number) if number.is_finite() else None
    index = getattr(value, "__index__", None)
    return Fraction(index()) if index is not None else None


def _shown(value: object) -> str | None:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "on", False: "off"}[value]
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        items = [_shown(v) for v in value]
        return None if None in items else f"[{', '.join(str(i) for i in items)}]"
    n = _exact(value)
    return None if n is None else number_text(n)
