"""The syntax tree: a frozen dataclass for every construct, named like its rule, with its span."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from archdsl.diagnostics import Source, Span


@dataclass(frozen=True, slots=True)
class Node:
    """Anything in the tree. Spans take no part in comparison: equal trees are equal texts up to layout."""

    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Number(Node):
    """A literal, exact: `8`, `2.5`, `1e-5`, `4M`, `2h` (suffix applied: seconds for times)."""

    value: Fraction
    text: str = field(compare=False)
    unit: str = ""  # "" or "s" for times


@dataclass(frozen=True, slots=True)
class String(Node):
    """A text in double quotes, escapes resolved."""

    value: str


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A bare name."""

    id: str


@dataclass(frozen=True, slots=True)
class Constant(Node):
    """`on` (True), `off` (False), `none` (None)."""

    value: bool | None


@dataclass(frozen=True, slots=True)
class Same(Node):
    """`same`: the value that is already there (an output as wide as its input)."""


@dataclass(frozen=True, slots=True)
class List(Node):
    """`[a, b]`."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class PathStep(Node):
    """One step of a path: a name, with an index where it has one (`blocks[2]`, `blocks[-1]`)."""

    name: str
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Path(Node):
    """`s3.blocks[2].state`; a plain parameter name is a path of one step without index."""

    steps: tuple[PathStep, ...]

    def __str__(self) -> str:
        return ".".join(s.name if s.index is None else f"{s.name}[{s.index}]" for s in self.steps)


@dataclass(frozen=True, slots=True)
class Argument(Node):
    """An argument of a call; `path` is None where it is positional."""

    path: Path | None
    value: Expr


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`callee(arguments)`."""

    callee: Name
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Index(Node):
    """`base[i]`."""

    base: Expr
    index: Expr


@dataclass(frozen=True, slots=True)
class Slice(Node):
    """`base[a..b]`, b exclusive."""

    base: Expr
    start: Expr
    stop: Expr


@dataclass(frozen=True, slots=True)
class Member(Node):
    """`base.name`."""

    base: Expr
    name: str


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """`-a`."""

    operator: str
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """`a op b` for `+ - * / // %`."""

    operator: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Repeat(Node):
    """`count x body`, or `count x each body`."""

    count: Expr
    body: Expr
    each: bool = False


@dataclass(frozen=True, slots=True)
class Parens(Node):
    """`(inner)`, kept for the formatter."""

    inner: Expr


@dataclass(frozen=True, slots=True)
class Pipeline(Node):
    """`a -> b -> c`, at least two parts."""

    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Range(Node):
    """`low .. high [step s] [log]`: a domain of a search."""

    low: Expr
    high: Expr
    step: Expr | None = None
    log: bool = False


@dataclass(frozen=True, slots=True)
class Compare(Node):
    """`a op b` for `== != < <= > >=`."""

    operator: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Logic(Node):
    """`a and b`, `a or b`."""

    operator: str
    left: Condition
    right: Condition


@dataclass(frozen=True, slots=True)
class Not(Node):
    """`not a`."""

    operand: Condition


Expr = (
    Number | String | Name | Constant | Same | List | Call | Index | Slice | Member | Unary | Binary | Repeat
    | Parens | Pipeline | Range | Compare | Logic | Not
)  # fmt: skip
Condition = Expr


@dataclass(frozen=True, slots=True)
class Parameter(Node):
    """A parameter of a definition; without a default it has to be given (or is ambient, like `dim`)."""

    name: str
    default: Expr | None


@dataclass(frozen=True, slots=True)
class Setting(Node):
    """`name = expression` in an arch or a stage."""

    name: str
    value: Expr
    name_span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Let(Node):
    """`let name = expression`."""

    name: str
    value: Expr
    name_span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Require(Node):
    """`require condition, "message"`."""

    condition: Condition
    message: str | None


@dataclass(frozen=True, slots=True)
class BlockLine(Node):
    """A line of a block: a pipeline, added to its input where `residual` stands before it."""

    residual: bool
    pipeline: Expr


@dataclass(frozen=True, slots=True)
class Use(Node):
    """`use "file.arch"`."""

    path: str


@dataclass(frozen=True, slots=True)
class MixerDef(Node):
    """`mixer name(parameters) = expression`."""

    name: str
    parameters: tuple[Parameter, ...]
    body: Expr
    name_span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class BlockDef(Node):
    """`block name(parameters) { lines }` (body is a tuple) or `block name(parameters) = expression`."""

    name: str
    parameters: tuple[Parameter, ...]
    body: tuple[BlockLine | Let | Require, ...] | Expr
    name_span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class StageDef(Node):
    """`stage name { settings, let, require }`."""

    name: str
    body: tuple[Setting | Let | Require, ...]
    name_span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ArchDef(Node):
    """`arch name(parameters) { settings, let, require, stages }`."""

    name: str
    parameters: tuple[Parameter, ...]
    body: tuple[Setting | Let | Require | StageDef, ...]
    name_span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class VariantDef(Node):
    """`arch name = call`."""

    name: str
    call: Expr
    name_span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Variation(Node):
    """`path in domain`: a place, and what may stand there. A domain is a value with `one_of(...)` and
    `n x each ...` anywhere in it, or a `Range`."""

    path: Path
    domain: Expr


@dataclass(frozen=True, slots=True)
class Vary(Node):
    """`vary { variations }`."""

    variations: tuple[Variation, ...]


@dataclass(frozen=True, slots=True)
class Claim(Node):
    """`claim "finding" { conditions }`: all of them have to hold."""

    finding: str
    conditions: tuple[Condition, ...]
    finding_span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SearchDef(Node):
    """`search name { settings, let, vary, require, claim }`."""

    name: str
    body: tuple[Setting | Let | Vary | Require | Claim, ...]
    name_span: Span = field(compare=False, repr=False)


Statement = Use | MixerDef | BlockDef | ArchDef | VariantDef | Let


@dataclass(frozen=True, slots=True)
class File(Node):
    """A whole `.arch` file."""

    source: Source = field(compare=False, repr=False)
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class SearchFile(Node):
    """A whole `.search` file."""

    source: Source = field(compare=False, repr=False)
    statements: tuple[Use | Let | SearchDef, ...]
