"""From grammar rules to the tree: one method for every rule, called while the parser runs.

Children are all tokens and nodes of the rule, punctuation included, so the first and the last give its span.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from lark import Token, Transformer

from archdsl.diagnostics import Diagnostic, DiagnosticError, Source, Span
from archdsl.lang import tree as t

_Child = Any  # a Token or what a method below returned
_UNITS = {
    "": (Fraction(1), ""),
    "K": (Fraction(10**3), ""),
    "M": (Fraction(10**6), ""),
    "G": (Fraction(10**9), ""),
    "T": (Fraction(10**12), ""),
    "ms": (Fraction(1, 1000), "s"),
    "us": (Fraction(1, 10**6), "s"),
    "s": (Fraction(1), "s"),
    "min": (Fraction(60), "s"),
    "h": (Fraction(3600), "s"),
}
_ESCAPES = {'\\"': '"', "\\\\": "\\", "\\n": "\n", "\\t": "\t"}
_PLACE = "write the place that is varied before `in`, such as `s3.heads in one_of(2, 4)`"
_CONSTANTS: dict[str, bool | None] = {"on": True, "off": False, "none": None}


class Build(Transformer[Token, t.Node]):
    """Builds the tree of one source at a time; `lock` is held while it does."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.source = Source("", "")

    def span(self, first: _Child, last: _Child) -> Span:
        """From the start of one child to the end of another."""
        a: Any = first if isinstance(first, Token) else first.span
        b: Any = last if isinstance(last, Token) else last.span
        return Span(self.source, a.line, a.column, b.end_line, b.end_column)

    def _of(self, c: Sequence[_Child]) -> Span:
        return self.span(c[0], c[-1])

    # values

    def name(self, c: Sequence[_Child]) -> t.Name:
        return t.Name(self._of(c), str(c[0]))

    def number(self, c: Sequence[_Child]) -> t.Number:
        text = str(c[0])
        digits = text.rstrip("KMGTmsuinh")
        factor, unit = _UNITS[text[len(digits) :]]
        return t.Number(self._of(c), Fraction(digits) * factor, text, unit)

    def string(self, c: Sequence[_Child]) -> t.String:
        return t.String(self._of(c), unquote(c[0]))

    def constant(self, c: Sequence[_Child]) -> t.Constant:
        return t.Constant(self._of(c), _CONSTANTS[c[0]])

    def same(self, c: Sequence[_Child]) -> t.Same:
        return t.Same(self._of(c))

    def list(self, c: Sequence[_Child]) -> t.List:
        return t.List(self._of(c), tuple(c[1:-1:2]))

    def argument(self, c: Sequence[_Child]) -> t.Argument:
        return t.Argument(self._of(c), None, c[0])

    def named_argument(self, c: Sequence[_Child]) -> t.Argument:
        return t.Argument(self._of(c), as_path(c[0]), c[2])

    def call(self, c: Sequence[_Child]) -> t.Call:
        return t.Call(self._of(c), c[0], tuple(c[2:-1:2]))

    def index(self, c: Sequence[_Child]) -> t.Index:
        return t.Index(self._of(c), c[0], c[2])

    def slice(self, c: Sequence[_Child]) -> t.Slice:
        return t.Slice(self._of(c), c[0], c[2], c[4])

    def member(self, c: Sequence[_Child]) -> t.Member:
        return t.Member(self._of(c), c[0], str(c[2]))

    def parens(self, c: Sequence[_Child]) -> t.Parens:
        return t.Parens(self._of(c), c[1])

    def negative(self, c: Sequence[_Child]) -> t.Unary:
        return t.Unary(self._of(c), "-", c[1])

    def binary(self, c: Sequence[_Child]) -> t.Binary:
        return t.Binary(self._of(c), str(c[1]), c[0], c[2])

    def repeat(self, c: Sequence[_Child]) -> t.Repeat:
        return t.Repeat(self._of(c), c[0], c[2])

    def repeat_each(self, c: Sequence[_Child]) -> t.Repeat:
        return t.Repeat(self._of(c), c[0], c[3], True)

    def pipeline(self, c: Sequence[_Child]) -> t.Pipeline:
        return t.Pipeline(self._of(c), tuple(c[::2]))

    def compare(self, c: Sequence[_Child]) -> t.Compare:
        return t.Compare(self._of(c), str(c[1]), c[0], c[2])

    def logic(self, c: Sequence[_Child]) -> t.Logic:
        return t.Logic(self._of(c), str(c[1]), c[0], c[2])

    def negated(self, c: Sequence[_Child]) -> t.Not:
        return t.Not(self._of(c), c[1])

    # statements

    def use(self, c: Sequence[_Child]) -> t.Use:
        return t.Use(self._of(c), unquote(c[1]))

    def let(self, c: Sequence[_Child]) -> t.Let:
        return t.Let(self._of(c), str(c[1]), c[3], self.span(c[1], c[1]))

    def require(self, c: Sequence[_Child]) -> t.Require:
        return t.Require(self._of(c), c[1], unquote(c[3]) if len(c) > 2 else None)

    def parameter(self, c: Sequence[_Child]) -> t.Parameter:
        return t.Parameter(self._of(c), str(c[0]), c[2] if len(c) > 1 else None)

    def parameters(self, c: Sequence[_Child]) -> tuple[t.Parameter, ...]:
        return tuple(c[1:-1:2])

    def mixer_def(self, c: Sequence[_Child]) -> t.MixerDef:
        return t.MixerDef(self._of(c), str(c[1]), _parameters(c), c[-1], self.span(c[1], c[1]))

    def block_body(self, c: Sequence[_Child]) -> _Body:
        return _Body(self._of(c), tuple(c[1:-1:2]))

    def block_def(self, c: Sequence[_Child]) -> t.BlockDef:
        body = c[-1].lines if isinstance(c[-1], _Body) else c[-1]
        return t.BlockDef(self._of(c), str(c[1]), _parameters(c), body, self.span(c[1], c[1]))

    def block_line(self, c: Sequence[_Child]) -> t.BlockLine:
        return t.BlockLine(self._of(c), len(c) > 1, c[-1])

    def arch_def(self, c: Sequence[_Child]) -> t.ArchDef:
        lines: Any = tuple(x for x in c[2:] if isinstance(x, t.Node))
        return t.ArchDef(self._of(c), str(c[1]), _parameters(c), lines, self.span(c[1], c[1]))

    def stage_def(self, c: Sequence[_Child]) -> t.StageDef:
        return t.StageDef(self._of(c), str(c[1]), tuple(c[3:-1:2]), self.span(c[1], c[1]))

    def setting(self, c: Sequence[_Child]) -> t.Setting:
        return t.Setting(self._of(c), str(c[0]), c[2], self.span(c[0], c[0]))

    def variant_def(self, c: Sequence[_Child]) -> t.VariantDef:
        return t.VariantDef(self._of(c), str(c[1]), c[3], self.span(c[1], c[1]))

    # searches

    def range(self, c: Sequence[_Child]) -> t.Range:
        step: t.Expr | None = None
        log = False
        rest = list(c[3:])
        while rest:
            word = rest.pop(0)
            if word == "step" and step is None and rest and isinstance(rest[0], t.Node):
                step = rest.pop(0)
            elif word == "log" and not log and not (rest and isinstance(rest[0], t.Node)):
                log = True
            else:
                raise DiagnosticError(_range_word(word, c[3:], self.span(word, word)))
        return t.Range(self._of(c), c[0], c[2], step, log)

    def variation(self, c: Sequence[_Child]) -> t.Variation:
        return t.Variation(self._of(c), as_path(c[0], _PLACE), c[2])

    def vary(self, c: Sequence[_Child]) -> t.Vary:
        return t.Vary(self._of(c), tuple(x for x in c if isinstance(x, t.Variation)))

    def claim(self, c: Sequence[_Child]) -> t.Claim:
        return t.Claim(self._of(c), unquote(c[1]), tuple(c[3:-1:2]), self.span(c[1], c[1]))

    def search_def(self, c: Sequence[_Child]) -> t.SearchDef:
        return t.SearchDef(self._of(c), str(c[1]), tuple(c[3:-1:2]), self.span(c[1], c[1]))

    def file(self, c: Sequence[_Child]) -> t.File:
        return t.File(self._whole(), self.source, tuple(c[::2]))

    def _whole(self) -> Span:
        lines = self.source.text.split("\n")
        return Span(self.source, 1, 1, len(lines), len(lines[-1]) + 1)


class BuildSearch(Build):
    """Builds the tree of a `.search` file."""

    def file(self, c: Sequence[_Child]) -> t.SearchFile:  # type: ignore[override]
        return t.SearchFile(self._whole(), self.source, tuple(c[::2]))


def _range_word(word: Token, words: Sequence[_Child], span: Span) -> Diagnostic:
    message = f"unexpected `{word}`"
    if word in ("step", "log"):
        message = "`step` needs a number behind it" if word == "step" else "`log` takes no number"
        if words.count(word) > 1:
            message = f"`{word}` is given twice"
    return Diagnostic(
        "E101",
        message,
        span,
        "expected `step` with a number behind it, or `log`",
        help="write `4 .. 16 step 4`, or `1e-4 .. 3e-3 log`",
    )


@dataclass(frozen=True, slots=True)
class _Body(t.Node):
    lines: tuple[t.BlockLine | t.Let | t.Require, ...]


def _parameters(c: Sequence[_Child]) -> tuple[t.Parameter, ...]:
    return c[2] if isinstance(c[2], tuple) else ()


def unquote(text: str) -> str:
    """The text of a string literal."""
    return re.sub(r"\\.", lambda m: _ESCAPES[m[0]], text[1:-1])


def as_path(value: t.Expr, instead: str = "") -> t.Path:
    """A value such as `s3.blocks[2].state`, read as a path.

    Args:
        value: what stands in the place of a path.
        instead: the next step for users where it is none.

    Raises:
        DiagnosticError: E101 for any other value.
    """
    steps: list[t.PathStep] = []
    at: t.Expr = value
    index: int | None = None
    end = value.span
    while True:
        if isinstance(at, t.Index) and index is None and (number := _whole(at.index)) is not None:
            index, end, at = number, at.span, at.base
            continue
        if isinstance(at, t.Name):
            steps.append(t.PathStep(at.span.to(end), at.id, index))
            return t.Path(value.span, tuple(reversed(steps)))
        if not isinstance(at, t.Member):
            break
        s = at.span
        start = Span(s.source, s.end_line, s.end_column - len(at.name), s.end_line, s.end_column)
        steps.append(t.PathStep(start.to(end), at.name, index))
        index, end, at = None, at.base.span, at.base
    compared = isinstance(value, t.Call | t.Number)
    raise DiagnosticError(
        Diagnostic(
            "E101",
            "this is no name of a parameter or path",
            value.span,
            "expected a name such as `stride`, or a path such as `s3.blocks[2].state`",
            help=instead or ("to compare, write `==`" if compared else "write a name before the `=`"),
        )
    )


def _whole(value: t.Expr) -> int | None:
    """The integer that stands there as a literal, if one does."""
    if isinstance(value, t.Unary):
        inner = _whole(value.operand) if isinstance(value.operand, t.Number) else None
        return None if inner is None else -inner
    if isinstance(value, t.Number) and value.value.denominator == 1 and not value.unit:
        return int(value.value)
    return None


BUILD = Build()
BUILD_SEARCH = BuildSearch()
