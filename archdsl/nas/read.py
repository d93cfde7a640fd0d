"""From a `.search` file to a plan: everything is checked before anything starts. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from archdsl.diagnostics import Diagnostic, DiagnosticError, Severity, Span
from archdsl.graph.elaboration.report import Report
from archdsl.lang import parse_search, read
from archdsl.lang import tree as t
from archdsl.nas import library
from archdsl.nas.factored import FactoredSpace
from archdsl.nas.factored.facts import Facts
from archdsl.nas.plan import SearchPlan
from archdsl.nas.reader import Reader
from archdsl.nas.trying import Sampled


@dataclass(frozen=True, slots=True)
class Checked:
    """A `.search` file with everything that is wrong with it.

    Args:
        plans: of its searches, those without errors.
        diagnostics: mistakes and warnings, by place.
        sizes: names of those searches, each with the size of its space in words.
        facts: what is known of those spaces.
    """

    plans: tuple[SearchPlan, ...]
    diagnostics: tuple[Diagnostic, ...]
    sizes: tuple[tuple[str, str], ...]
    facts: tuple[Facts, ...] = ()


def read_search(source: str | Path, settings: Mapping[str, str] | None = None) -> SearchPlan:
    """A search, read and checked.

    Args:
        source: the path of a `.search` file, or the name of a shipped search. Of a file with several searches
            the one named like the file is taken, else the first.
        settings: text that replaces a setting or adds one, `{"budget": "trials(4)"}`.

    Raises:
        DiagnosticError: with everything that is wrong.
    """
    path = library.path_of(source)
    tree = parse_search(read(path))
    searches = [s for s in tree.statements if isinstance(s, t.SearchDef)]
    if not searches:
        raise DiagnosticError(_nothing(tree))
    chosen = next((s for s in searches if s.name == path.stem), searches[0])
    report = Report()
    plan = Reader(tree, path, chosen, report, settings or {}).plan()
    if plan is None or report.failed:
        raise DiagnosticError(*(d for d in report.sorted() if d.severity is Severity.ERROR))
    return replace(plan, warnings=report.sorted())


def check_file(source: str | Path) -> Checked:
    """All searches of a file, and everything that is wrong with them. Never raises for a user's mistake."""
    report = Report()
    plans: list[SearchPlan] = []
    facts: list[Facts] = []
    with report.guard():
        path = library.path_of(source)
        tree = parse_search(read(path))
        searches = [s for s in tree.statements if isinstance(s, t.SearchDef)]
        if not searches:
            report.add(_nothing(tree))
        for search in _unlike(searches, report):
            reader = Reader(tree, path, search, report, {})
            plan = reader.plan()
            if plan is not None:
                plans.append(plan)
                facts.append(_facts(reader, plan))
    sizes = tuple((one.search, one.size) for one in facts)
    return Checked(tuple(plans), report.sorted(), sizes, tuple(facts))


def _facts(reader: Reader, plan: SearchPlan) -> Facts:
    """What is known of the space of a search without errors."""
    match reader.looked:
        case FactoredSpace():
            return Facts.of(plan.name, reader.looked)
        case Sampled():
            return reader.looked.facts(plan.name, reader.size)
    return Facts(plan.name, reader.size)


def check_search(source: str | Path) -> list[Diagnostic]:
    """All mistakes of a `.search` file; one mistake gives one diagnostic.

    Args:
        source: the path of the file, or the name of a shipped search.
    """
    return list(check_file(source).diagnostics)


def _unlike(searches: Sequence[t.SearchDef], report: Report) -> list[t.SearchDef]:
    """The searches, those whose name another one has told and left out."""
    found: dict[str, t.SearchDef] = {}
    for search in searches:
        if search.name in found:
            report.add(
                Diagnostic(
                    "E207", f"`{search.name}` is defined twice", search.name_span,
                    f"first defined at line {found[search.name].name_span.line}", help="rename one",
                )
            )  # fmt: skip
        found.setdefault(search.name, search)
    return list(found.values())


def _nothing(tree: t.SearchFile) -> Diagnostic:
    first = Span(tree.source, 1, 1, 1, max(2, len(tree.source.line(1)) + 1))
    step = "write `search name { arch = ...; task = ...; ... }`"
    return Diagnostic("E401", f"{tree.source.name} defines no search", first, "nothing to search", (), step)
