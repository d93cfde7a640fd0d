"""A space, tried before a search starts: every alternative on the base, then points at random."""

from __future__ import annotations

from archdsl.graph.elaboration.report import Report
from archdsl.lang import tree as t
from archdsl.nas.candidates import VariedCandidates
from archdsl.nas.domains import Pinned


def try_space(candidates: VariedCandidates, search: t.SearchDef, report: Report) -> None:
    """Tells what is wrong with the alternatives of a space."""
    for line, pins, _ in candidates.space.pins():
        with report.guard():
            value = line.form.draw(Pinned(pins))
            if line.field is not None:
                candidates.task.changed({line.field: value})
            else:
                candidates.base.at([(line.path, value)])
