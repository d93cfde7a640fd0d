"""Everything that is wrong with a file."""

from __future__ import annotations

from pathlib import Path

from archdsl.diagnostics import Diagnostic
from archdsl.graph.elaboration.build import Builder
from archdsl.graph.elaboration.elaborate import elaborate
from archdsl.graph.elaboration.files import Unit, load_file
from archdsl.graph.elaboration.report import Report
from archdsl.graph.elaboration.static import check_arch_lets, check_definitions
from archdsl.graph.elaboration.taken import Taken
from archdsl.graph.elaboration.variants import plan_of
from archdsl.graph.published import read_published
from archdsl.lang import tree as t


def check(source: str | Path) -> list[Diagnostic]:
    """All mistakes of an `.arch` file: of its text, its names, of every architecture and variant in it.

    The published figures beside it are read, too. Never raises for a user's mistake; one mistake
    gives one diagnostic.

    Args:
        source: the path of the file.
    """
    report = Report()
    with report.guard():
        unit = load_file(source)
        _check(unit, report)
        read_published(Path(source), tuple(unit.arches))
    return list(report.sorted())


def _check(unit: Unit, report: Report) -> None:
    for used in unit.all_units():
        report.add(*used.faults)
    check_definitions(unit, report)
    taken = Taken()
    builder = Builder()
    for name, arch in unit.arches.items():
        with report.of(name, arch.span), report.guard():
            if isinstance(arch, t.ArchDef):
                check_arch_lets(arch, unit, report)
            plan = plan_of(unit, name)
            if isinstance(arch, t.ArchDef) and any(p.default is None for p in arch.parameters):
                continue
            elaborate(plan, report, builder, taken)
    report.add(*(d for d in taken.mistakes() if _own(d, unit)))


def _own(d: Diagnostic, unit: Unit) -> bool:
    """Whether it is this file's: a variant may leave settings of another file without use."""
    return d.code != "E206" or d.span is None or d.span.source is unit.source
