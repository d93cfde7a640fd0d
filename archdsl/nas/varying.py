"""From the `vary` lines of a search to its space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from archdsl.diagnostics import DiagnosticError, Span, did_you_mean
from archdsl.graph.elaboration.report import Report, SpecError, mistake
from archdsl.graph.variation import Base, Sight
from archdsl.lang import tree as t
from archdsl.lang.to_text import number_text, to_text
from archdsl.nas.domains import Around, Each, Fixed, Form, Line, OneOf, VariedSpace
from archdsl.nas.forms import ONE_OF, is_choice, parts_of, plain, unwrapped, walk
from archdsl.nas.ranges import read_range
from archdsl.nas.references import Naming, tied
from archdsl.nas.space import Alternatives
from archdsl.tasks import Task

TRAIN = "train"
MAX_COPIES = 64
"""Of `n x each`."""
MAX_CHOICES = 500
"""In one place."""
FROM_THE_TASK = ("classes", "channels")


def read_space(
    varies: Iterable[t.Vary], sight: Sight, task: Task | None, report: Report, base: Base | None = None
) -> VariedSpace:
    """The space of all `vary` lines; lines with mistakes go to the report and are left out, and so are those
    that name them.

    Args:
        base: what they vary, where that is known: it tells which names differ between its stages.
    """
    lines: list[Line] = []
    earlier: list[t.Path] = []
    variations = [v for vary in varies for v in vary.variations]
    arch = None if base is None else base.plan.arch
    given = [] if base is None else [g.path for g in base.plan.given]
    named = Naming(variations, arch, given, report).read()
    for variation in variations:
        with report.guard():
            line = _line(variation, earlier, sight, task, report)
            if line.path.steps in named:
                lines.append(replace(line, names=named[line.path.steps]))
        earlier.append(variation.path)
    there: set[str] = set()
    while there != (there := {str(line.path) for line in lines}):
        lines = [line for line in lines if there.issuperset(line.names)]
    return VariedSpace(tuple(lines))


def refuse_choices(expr: t.Expr, where: str, report: Report) -> bool:
    """E405 for every `one_of` and `each` in a value that belongs to no `vary` line; whether there are any."""
    found = [inner for inner in walk(expr) if is_choice(inner)]
    for inner in found:
        report.add(*_misplaced(inner, where).diagnostics)
    return bool(found)


def _misplaced(choice: t.Expr, where: str) -> SpecError:
    what = "`each`" if isinstance(choice, t.Repeat) else "`one_of`"
    return mistake(
        "E405", f"{what} can't stand in {where}", choice.span, "a choice",
        help="choices stand in `vary { path in ... }`, written out there",
    )  # fmt: skip


def _line(
    variation: t.Variation, earlier: Sequence[t.Path], sight: Sight, task: Task | None, report: Report
) -> Line:
    path = variation.path
    steps = path.steps
    if any(p.steps == steps for p in earlier):
        raise mistake(
            "E407", f"`{path}` is varied twice", path.span, "varied on a line above",
            help="put all alternatives into one `one_of(...)`",
        )  # fmt: skip
    hidden = next((p for p in earlier if len(steps) == 2 and _inside(p, path)), None)
    if hidden is not None:
        raise mistake(
            "E407", f"`{path}` replaces what `{hidden}` put there", path.span, "lines go over those above",
            help=f"move this line above `{hidden}`",
        )  # fmt: skip
    name = None
    if steps[0].name == TRAIN and steps[0].index is None:
        name = _field(path, task)
    elif len(steps) == 1 and steps[0].name in FROM_THE_TASK:
        raise mistake(
            "E407", f"`{path}` can't be varied", path.span, "it comes from the task", help="leave it out"
        )
    form = read_domain(variation, sight, report)
    return Line(path, form, name)


def _inside(inner: t.Path, outer: t.Path) -> bool:
    """Whether a value for `outer` (`s3.blocks`) wipes out one for `inner` (`s3.blocks[2].state`)."""
    a, b = inner.steps, outer.steps
    return (
        len(a) >= 2
        and a[0] == b[0]
        and a[1].name == b[1].name == "blocks"
        and a[1].index is not None
        and b[1].index is None
    )


def field_of(path: t.Path) -> str | None:
    """The field of a task that a path names, `train.FIELD`; None for places of the architecture."""
    first, *rest = path.steps
    return rest[0].name if first.name == TRAIN and first.index is None and len(rest) == 1 else None


def _field(path: t.Path, task: Task | None) -> str:
    """The field of the task that `train.FIELD` names."""
    if len(path.steps) != 2 or path.steps[1].index is not None:
        raise mistake(
            "E407", f"`{path}` names no field of the task", path.span, "expected `train.` and a field",
            help="write `train.lr in 1e-4 .. 3e-3 log`",
        )  # fmt: skip
    step = path.steps[1]
    if step.name == "epochs":
        raise mistake(
            "E407", "`train.epochs` can't be varied", path.span, "rungs and budgets count epochs",
            help="give the task its epochs: `task = digits(epochs = 20)`",
        )  # fmt: skip
    fields = type(task).model_fields if task is not None else {step.name: None}
    if step.name not in fields:
        raise mistake(
            "E407", f"`{task.name if task else ''}` has no field `{step.name}`", step.span,
            f"expected one of: {', '.join(f for f in fields if f != 'epochs')}",
            help=did_you_mean(step.name, fields, "vary one of these"),
        )  # fmt: skip
    return step.name


def read_domain(variation: t.Variation, sight: Sight, report: Report) -> Form:
    """What may stand in a place.

    A choice is named like its path; where a domain has several, they get numbers from 1 in the order of the
    text: `s3.blocks#1`. Copies of `each` count one by one.

    Raises:
        SpecError, DiagnosticError: E405, E406, and mistakes of numbers in it.
    """
    name = str(variation.path)
    reader = _Reader(name, sight, report)
    form = reader.read(variation.domain)
    return form if reader.choices < 2 else _Reader(name, sight, report, several=True).read(variation.domain)


@dataclass(slots=True)
class _Reader:
    """Reads one domain."""

    path: str
    sight: Sight
    report: Report
    several: bool = False
    choices: int = 0

    def read(self, expr: t.Expr) -> Form:
        if isinstance(expr, t.Range):
            return read_range(expr, self._name(expr.span), self.sight)
        form = self._form(plain(expr), self.path.endswith("blocks"))
        if not self.choices and not tied(expr):
            self._refuse_lets(expr)
            raise mistake(
                "E405", f"`{self.path}` has nothing to choose from", expr.span, "one value",
                help="write `one_of(a, b)`, `n x each one_of(a, b)`, or a range `low .. high`",
            )  # fmt: skip
        return form

    def _name(self, span: Span) -> str:
        self.choices += 1
        if self.choices > MAX_CHOICES:
            raise mistake(
                "E405", f"`{self.path}` has too many choices", span, f"more than {MAX_CHOICES}",
                help="repeat less, or draw once and repeat: `n x one_of(a, b)`",
            )  # fmt: skip
        return f"{self.path}#{self.choices}" if self.several else self.path

    def _form(self, expr: t.Expr, blocks: bool) -> Form:
        """A value; `blocks` tells whether blocks are expected there, which are joined by `+`."""
        if isinstance(expr, t.Name) and expr.id == ONE_OF:
            raise mistake(
                "E405", "`one_of` has no alternatives", expr.span, "a name alone",
                help="write `one_of(a, b)`",
            )  # fmt: skip
        if isinstance(expr, t.Call) and expr.callee.id == ONE_OF:
            return self._one_of(expr, blocks)
        if isinstance(expr, t.Repeat) and expr.each:
            return self._each(expr, blocks)
        inside = blocks and not isinstance(expr, t.Call | t.Pipeline)
        before = self.choices
        parts = [self._form(part, inside) for part in parts_of(expr)]
        return Around(expr, tuple(parts)) if self.choices > before else Fixed(expr)

    def _one_of(self, call: t.Call, blocks: bool) -> Form:
        name = self._name(call.span)
        alternatives: dict[str, t.Expr] = {}
        if not call.arguments:
            raise mistake(
                "E405", "`one_of` has no alternatives", call.span, "empty", help="write `one_of(a, b)`"
            )
        for argument in call.arguments:
            value = unwrapped(argument.value)
            if argument.path is not None:
                raise mistake(
                    "E405", "alternatives have no names", argument.path.span, "a name",
                    help=f"write `one_of({to_text(value)}, ...)`",
                )  # fmt: skip
            if any(value == other for other in alternatives.values()):
                raise mistake(
                    "E405", f"`{to_text(value)}` stands twice in `one_of`", value.span, "equal alternatives",
                    help="leave one out: every alternative is drawn as often as the others",
                )  # fmt: skip
            alternatives[to_text(value)] = value
        spans = tuple(value.span for value in alternatives.values())
        forms = {label: self._form(value, blocks) for label, value in alternatives.items()}
        return OneOf(Alternatives(name, tuple(alternatives)), forms, spans)

    def _each(self, repeat: t.Repeat, blocks: bool) -> Form:
        count = self._copies(repeat)
        before = self.choices
        joint = "+" if blocks or self._names_block(repeat.body) else "->"
        copies = tuple(self._form(repeat.body, blocks) for _ in range(count))
        if self.choices == before:
            self._refuse_lets(repeat.body)
            raise mistake(
                "E405", "`each` has nothing to choose from", repeat.body.span, "the same in every copy",
                help="write `n x each one_of(a, b)`; `n x a` repeats one value",
            )  # fmt: skip
        return Each(copies, joint, repeat.span)

    def _refuse_lets(self, expr: t.Expr) -> None:
        """The mistake of a let that was meant as a choice, told where it is defined."""
        for name in (e.id for e in walk(expr) if isinstance(e, t.Name)):
            let = self.sight.let(name)
            choice = None if let is None else next((e for e in walk(let) if is_choice(e)), None)
            if choice is not None:
                raise _misplaced(choice, "a `let`")

    def _copies(self, repeat: t.Repeat) -> int:
        span = repeat.count.span
        if any(is_choice(e) for e in walk(repeat.count)) or tied(repeat.count):
            drawn = "drawn on another line" if tied(repeat.count) else "a choice"
            raise mistake(
                "E405", "`each` needs a number of copies that is known", span, drawn,
                help="put the choice outside: `one_of(2 x each a, 4 x each a)`",
            )  # fmt: skip
        try:
            count = self.sight.value(repeat.count)
        except DiagnosticError as error:
            first, *_ = error.diagnostics
            raise mistake(
                "E405", "`each` needs a number of copies that is known", span, first.message,
                help="write the number, or a `let` of this search",
            ) from None  # fmt: skip
        if not isinstance(count, Fraction) or count.denominator != 1 or not 1 <= count <= MAX_COPIES:
            shown = number_text(count) if isinstance(count, Fraction) else "something else"
            raise mistake(
                "E405", "`each` needs a whole number of copies", span, f"found {shown}",
                help=f"write one from 1 to {MAX_COPIES}",
            )  # fmt: skip
        return int(count)

    def _names_block(self, expr: t.Expr) -> bool:
        names = (
            e.callee.id if isinstance(e, t.Call) else e.id
            for e in walk(expr)
            if isinstance(e, t.Call | t.Name)
        )
        return any(self.sight.is_block(name) for name in names if name != ONE_OF)
