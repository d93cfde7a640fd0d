"""Domains that name another varied path: `s3.dim in one_of(s2.dim, 2 * s2.dim)`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from archdsl.diagnostics import Span, did_you_mean
from archdsl.graph.elaboration.report import Report, SpecError, mistake
from archdsl.lang import tree as t
from archdsl.lang.build import as_path
from archdsl.nas.forms import ONE_OF, parts_of, rebuilt, unwrapped, walk

Steps = tuple[t.PathStep, ...]
_EXAMPLE = "name the place of another line, such as `s2.dim`"
_TRAIN = "train"
_TASK = "the task"


def references(expr: t.Expr) -> Iterator[t.Path]:
    """The paths with a dot that a value names, in the order of the text.

    Raises:
        DiagnosticError: E101 for what is no path, `scan(2).state`.
    """
    if isinstance(expr, t.Member):
        yield as_path(expr, _EXAMPLE)
        return
    for part in parts_of(expr):
        yield from references(part)


def filled(expr: t.Expr, values: Mapping[Steps, t.Expr]) -> t.Expr:
    """A value with other values where it names their paths.

    A name keeps parentheses where it would be read as a flag without: `pool((mean))`.

    Raises:
        KeyError: for a path without a value.
    """
    if isinstance(expr, t.Member):
        return values[as_path(expr).steps]
    inside = []
    for part in parts_of(expr):
        value = filled(part, values)
        bare = isinstance(expr, t.Call) and value is not part and isinstance(value, t.Name)
        inside.append(t.Parens(part.span, value) if bare else value)
    return rebuilt(expr, inside) if inside else expr


@dataclass(slots=True)
class Naming:
    """Which lines of a space name which others, and whether they may.

    Args:
        variations: all lines.
        arch: what they vary, where that is known.
        given: paths that its call gives a value.
        report: takes the mistakes.
    """

    variations: Sequence[t.Variation]
    arch: t.ArchDef | None
    given: Collection[t.Path]
    report: Report
    _named: dict[Steps, tuple[t.Path, ...]] = field(default_factory=dict)

    def read(self) -> dict[Steps, tuple[str, ...]]:
        """For every line the paths it names; lines with mistakes go to the report and are left out."""
        for v in self.variations:
            with self.report.guard():
                self._named[v.path.steps] = self._of(v)
        self._circles()
        self._meanings()
        return {s: tuple(dict.fromkeys(str(p) for p in paths)) for s, paths in self._named.items()}

    def _of(self, variation: t.Variation) -> tuple[t.Path, ...]:
        found = tuple(references(variation.domain))
        for path in found:
            self._allowed(path, variation.path)
        return found

    def _allowed(self, named: t.Path, own: t.Path) -> None:
        if named.steps == own.steps:
            raise _wrong(
                f"`{own}` is drawn from itself", named.span, "the place of this line",
                "name the place of another line",
            )  # fmt: skip
        if (named.steps[0].name == _TRAIN) != (own.steps[0].name == _TRAIN):
            seen, sees = ("architecture", _TASK) if own.steps[0].name == _TRAIN else ("task", "a place")
            label = f"{sees} sees nothing of the {seen}" if sees == _TASK else "a field of the task"
            raise _wrong(
                f"`{own}` can't name `{named}`", named.span, label,
                "places of the architecture name each other, and so do fields of the task",
            )  # fmt: skip
        varied = [str(v.path) for v in self.variations if len(v.path.steps) > 1]
        if str(named) not in varied:
            raise _wrong(
                f"`{named}` is varied on no line", named.span, "a value names what another line varies",
                did_you_mean(str(named), [p for p in varied if p != str(own)], "write the value itself"),
            )  # fmt: skip
        if named.steps[-1].name == "blocks":
            raise _wrong(
                f"`{named}` holds blocks", named.span, "a value names values, never blocks",
                "write the blocks in both places",
            )  # fmt: skip

    def _circles(self) -> None:
        for v in self.variations:
            around = self._around(v.path.steps)
            if around is not None:
                names = " -> ".join((str(v.path), *map(str, around)))
                wrong = mistake(
                    "E421", "lines are drawn from each other in a circle", around[0].span,
                    f"`{around[0]}` is drawn from `{v.path}`", notes=(names,),
                    help="write values of its own on one of the lines",
                )  # fmt: skip
                self.report.add(*wrong.diagnostics)
                for path in around:
                    self._named.pop(path.steps, None)

    def _around(self, start: Steps) -> tuple[t.Path, ...] | None:
        """The paths from a line back to it, where there is a way."""
        ways: list[tuple[t.Path, ...]] = [(p,) for p in self._named.get(start, ())]
        seen: set[Steps] = set()
        while ways:
            way = ways.pop(0)
            last = way[-1].steps
            if last == start:
                return way
            if last not in seen:
                seen.add(last)
                ways += ((*way, p) for p in self._named.get(last, ()))
        return None

    def _meanings(self) -> None:
        """E421 where a name in a value that is taken over would mean something else in its new place."""
        domains = {v.path.steps: v for v in self.variations}
        for steps, paths in list(self._named.items()):
            for path in paths:
                names = self._names(path.steps, domains)
                differ = (n for n in names if self._reader(n, path.steps) != self._reader(n, steps))
                name = next(differ, None)
                if name is not None:
                    wrong = _wrong(
                        f"`{path}` means something else here", path.span,
                        f"it may be drawn as text with `{name}`, which is another `{name}` here",
                        f"write numbers on the line of `{path}`, or the value itself in both places",
                    )  # fmt: skip
                    self.report.add(*wrong.diagnostics)
                    self._named.pop(steps, None)
                    break

    def _names(self, steps: Steps, domains: Mapping[Steps, t.Variation]) -> list[str]:
        """Names in the values of a line, and in those it takes over."""
        waiting, seen, found = [steps], {steps}, []
        while waiting:
            at = waiting.pop()
            found += _names_in(domains[at].domain)
            further = [p.steps for p in self._named.get(at, ()) if p.steps not in seen]
            seen.update(further)
            waiting += further
        return found

    def _reader(self, name: str, steps: Steps) -> str:
        """Where a name in the value of a path is looked up: a stage that has it, or the arch.

        A setting that names itself, `dim = 2 * dim`, means the arch's. Networks of the arch are put into its
        stages, the stem excepted.
        """
        first = steps[0].name
        if first == _TRAIN:
            return _TASK
        if len(steps) > 1:
            return first if name != steps[1].name and name in self._settings(first) else ""
        own = self.arch is None or first == "stem" or any(p.name == first for p in self.arch.parameters)
        return "" if own or not any(name in self._settings(s) for s in self._stages()) else first

    def _stages(self) -> list[str]:
        body = self.arch.body if self.arch is not None else ()
        return [line.name for line in body if isinstance(line, t.StageDef)]

    def _settings(self, stage: str) -> set[str]:
        """What a stage has names for."""
        put = [*(v.path for v in self.variations), *self.given]
        found = {"dim", *(p.steps[1].name for p in put if len(p.steps) > 1 and p.steps[0].name == stage)}
        for line in self.arch.body if self.arch is not None else ():
            if isinstance(line, t.StageDef) and line.name == stage:
                found |= {inner.name for inner in line.body if isinstance(inner, t.Setting | t.Let)}
        return found


def _names_in(expr: t.Expr) -> list[str]:
    inside = [unwrapped(e) for e in walk(expr)]
    found = [e.id for e in inside if isinstance(e, t.Name)]
    found += (e.callee.id for e in inside if isinstance(e, t.Call))
    return [name for name in found if name != ONE_OF]


def tied(expr: t.Expr) -> bool:
    """Whether a value without choices depends on another line's."""
    return any(isinstance(e, t.Member) for e in walk(expr))


def _wrong(message: str, span: Span, label: str, help: str) -> SpecError:
    return mistake("E421", message, span, label, help=help)
