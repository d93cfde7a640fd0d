"""Spaces from a few `vary` lines, for tests of the search driver."""

from __future__ import annotations

from archdsl.diagnostics import Diagnostic, Source
from archdsl.graph.elaboration.report import Report
from archdsl.graph.variation import Sight
from archdsl.lang import parse_search, to_text
from archdsl.lang import tree as t
from archdsl.nas.domains import VariedSpace
from archdsl.nas.space import Point
from archdsl.nas.varying import read_space


def read(lines: str) -> tuple[VariedSpace, list[Diagnostic]]:
    """The space of some `vary` lines, any names allowed, and what is wrong with them."""
    source = Source("example.search", f"search example {{\n let n = 3\n vary {{\n{lines}\n}} }}\n")
    (search,) = parse_search(source).statements
    assert isinstance(search, t.SearchDef)
    lets = [line for line in search.body if isinstance(line, t.Let)]
    report = Report()
    sight = Sight.of(source, None, [], lets)
    space = read_space([v for v in search.body if isinstance(v, t.Vary)], sight, None, report)
    return space, list(report.diagnostics)


def space_of(lines: str) -> VariedSpace:
    """The space of lines without mistakes."""
    space, diagnostics = read(lines)
    assert [d.message for d in diagnostics] == []
    return space


def texts(space: VariedSpace, point: Point) -> list[str]:
    """What stands in each place."""
    return [to_text(value) for _, value in space.values(point)]
