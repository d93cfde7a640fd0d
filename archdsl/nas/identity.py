"""What makes the results of two searches comparable, as one number."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from archdsl.graph.architecture import Architecture
from archdsl.graph.digest import training_digest
from archdsl.graph.variation import Sight
from archdsl.lang import to_text
from archdsl.lang import tree as t
from archdsl.nas.forms import plain
from archdsl.nas.plan import Halving, Objective, Sampler
from archdsl.tasks import Task


def identity(
    search: t.SearchDef,
    sight: Sight,
    base: Architecture,
    arch: t.Expr,
    task: Task,
    objectives: Sequence[Objective],
    sampler: Sampler,
    rungs: Sequence[int],
    halving: Halving | None,
    seeds: Sequence[int],
) -> str:
    """64 hexadecimal digits: equal ones mean that trials of one study may stand beside those of the other.

    Layout and comments make no difference, nor do budget, limits and claims. What the files in sight define
    does: alternatives are made of it.
    """
    varied = (v for line in search.body if isinstance(line, t.Vary) for v in line.variations)
    form = [
        training_digest(base),
        to_text(plain(arch)),
        sight.definitions(),
        [[str(v.path), to_text(plain(v.domain))] for v in varied],
        [to_text(plain(line.condition)) for line in search.body if isinstance(line, t.Require)],
        task.text(),
        [[o.direction, o.text, *_table(o)] for o in objectives],
        _proposed(sampler),
        [list(rungs), None if halving is None else halving.eta],
        list(seeds),
    ]
    return hashlib.sha256(json.dumps(form).encode()).hexdigest()


def _proposed(sampler: Sampler) -> list[object]:
    form: list[object] = [sampler.name, sampler.seed, sampler.population]
    return [*form, sampler.tournament, sampler.crossover] if sampler.name == "evolution" else form


def _table(objective: Objective) -> list[str]:
    """What stands in the table of an objective, as a number."""
    if objective.times is None:
        return []
    return [hashlib.sha256(objective.times.model_dump_json().encode()).hexdigest()]
