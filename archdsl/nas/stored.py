"""What is written of a study beside its trials, and reading a whole one without driving it."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from archdsl.diagnostics import Diagnostic, DiagnosticError, Source, Span
from archdsl.nas import storage as stores
from archdsl.nas.beside import PREFIX
from archdsl.nas.plan import ClaimPlan, Comparison, Objective, SearchPlan, Side
from archdsl.nas.records import Progress, Record, read
from archdsl.nas.results import ClaimResult, ComparisonResult, Results, State, Verdict, Winner
from archdsl.nas.standing import Standing
from archdsl.nas.storage import Store

SEARCH = "search"
CLOCK = "clock"
WINNERS = "winners"
VERDICTS = "verdicts"
ENDED = "ended"
WINNER = "winner"
TEXT = "search.search"


def identify(plan: SearchPlan, store: Store, folder: Path, resume: bool, executor: str) -> None:
    """Sees to it that the study is this search's, and writes down what it is where it is new.

    The text and the identity are one commit, so a study without them was killed at its birth and is new. So
    is one of this very search for which nothing was run: its executor could not start.

    Raises:
        DiagnosticError: E411 where a study is there and is not to be resumed, or is another search's.
    """
    attributes = store.attributes()
    known = attributes.get(SEARCH)
    again = known is not None and known["identity"] == plan.identity
    untouched = again and attributes.keys() <= {SEARCH, CLOCK} and not store.trials()
    if known is None or (untouched and not resume):
        _describe(plan, store, folder, _description(plan, executor))
    elif not resume:
        raise DiagnosticError(
            Diagnostic(
                "E411",
                f"there is a study of `{known['name']}` already: {store.place}",
                help="go on with it: --resume; or give this one a folder of its own: --out",
            )
        )
    elif not again:
        raise DiagnosticError(
            Diagnostic(
                "E411",
                f"the study there is another search's: {store.place}",
                notes=("budget, limits and claims may change from one driver to the next, nothing else",),
                help=f"compare with {folder / TEXT}, or give this search a folder of its own: --out",
            )
        )
    elif known["text"] != plan.source.text:
        _describe(plan, store, folder, {**known, "text": plan.source.text})


def read_results(folder: Path, *, storage: str | None = None, name: str | None = None) -> Results:
    """A study as it is recorded, also while a driver works on it. Changes nothing.

    Args:
        folder: of the study.
        storage: the URL of its database, where that is not in the folder.
        name: of the search, where the database holds several.

    Raises:
        DiagnosticError: E417 where there is no study, E413 where its storage can't be read.
    """
    with stores.reading(folder, storage, name) as store:
        attributes = store.attributes()
        records = [record for trial in store.trials() if (record := read(trial)) is not None]
        place = store.place
    info = attributes.get(SEARCH)
    if info is None:
        raise stores.nothing(place)
    objectives = tuple(Objective(*o) for o in info["objectives"])
    standing = Standing(objectives, info["seeds"])
    for record in records:
        if record.progress.state is State.COMPLETE:
            standing.complete(record)
    chosen = next((r for r in records if r.number in attributes.get(WINNERS, [])[-1:]), None)
    test = attributes.get(PREFIX + WINNER)
    tested = None if chosen is None or test is None else Progress.from_json(test["progress"])
    draws = max((r.subject.draw + 1 for r in records), default=0)
    verdicts = attributes.get(VERDICTS, {})
    return assembled(
        info,
        objectives,
        records,
        standing,
        tuple(claim_from_json(verdicts[n], info["text"]) for n in sorted(verdicts, key=int)),
        winner(standing, chosen, tested),
        attributes,
        draws,
    )


def assembled(
    info: Mapping[str, Any],
    objectives: tuple[Objective, ...],
    records: Sequence[Record],
    standing: Standing,
    claims: tuple[ClaimResult, ...],
    found: Winner | None,
    attributes: Mapping[str, Any],
    draws: int,
) -> Results:
    """Results of what is recorded; `info` and `attributes` as they are stored."""
    ended = attributes.get(ENDED) or {}
    clock = max([float(attributes.get(CLOCK, 0.0)), *(r.progress.clock for r in records)])
    return Results(
        info["name"],
        info["text"],
        objectives,
        tuple(r.trial() for r in records),
        tuple(r.number for r in standing.ranked()),
        claims,
        found,
        {**info["conditions"], "seconds": f"{clock:.0f}", **ended},
        bool(ended),
        draws - len(records),
        info["base"],
    )


def winner(standing: Standing, chosen: Record | None, test: Progress | None) -> Winner | None:
    """The winner that was fixed, with its test; else the trial that leads."""
    if chosen is None:
        leading = standing.best()
        return None if leading is None else Winner(leading.trial())
    if test is None or test.state is not State.COMPLETE:
        return Winner(chosen.trial())
    report = test.reports[-1]
    return Winner(chosen.trial(), report.values, tuple(report.seeds))


def now() -> str:
    """The time, for people."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def claim_to_json(claim: ClaimResult) -> dict[str, Any]:
    """JSON data."""

    def side(s: Side) -> list[Any]:
        return [s.metric, s.changes, s.plus, s.text, s.batch]

    return {
        "finding": claim.plan.finding,
        "verdict": claim.verdict.value,
        "level": claim.level,
        "plan": [[side(c.left), side(c.right), c.greater, c.text] for c in claim.plan.comparisons],
        "results": [
            {**{n: getattr(c, n) for n in ComparisonResult.__slots__}, "verdict": c.verdict.value}
            for c in claim.comparisons
        ],
    }


def claim_from_json(d: Mapping[str, Any], text: str) -> ClaimResult:
    """The inverse of `claim_to_json`; places in the text of the search are lost."""
    place = Span(Source(TEXT, text), 1, 1, 1, 1)

    def side(s: Sequence[Any]) -> Side:
        metric, changes, plus, written, batch = s
        return Side(metric, tuple((p, v) for p, v in changes), plus, written, place, batch)

    plan = ClaimPlan(
        d["finding"], tuple(Comparison(side(a), side(b), greater, t) for a, b, greater, t in d["plan"])
    )
    results = tuple(
        ComparisonResult(
            r["text"], tuple(r["left"]), tuple(r["right"]), tuple(r["differences"]), r["mean"], r["low"],
            r["high"], r["detectable"], Verdict(r["verdict"]), r["reason"],
        )
        for r in d["results"]
    )  # fmt: skip
    return ClaimResult(plan, results, Verdict(d["verdict"]), d["level"])


def _describe(plan: SearchPlan, store: Store, folder: Path, description: dict[str, Any]) -> None:
    if store.place != stores.MEMORY:
        (folder / TEXT).write_text(plan.source.text, encoding="utf-8")
    store.set(SEARCH, description)


def _description(plan: SearchPlan, executor: str) -> dict[str, Any]:
    return {
        "name": plan.name,
        "identity": plan.identity,
        "text": plan.source.text,
        "base": plan.base.to_source(),
        "objectives": [[o.metric, o.maximize, o.batch, o.table] for o in plan.objectives],
        "seeds": len(plan.seeds),
        "conditions": {
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "python": platform.python_version(),
            **{name: _version(name) for name in ("archdsl", "torch", "timm", "optuna")},
            "executor": executor,
            "began": now(),
        },
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed as a package"
