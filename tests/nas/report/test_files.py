"""The files that a study leaves."""

from __future__ import annotations

import csv
import io
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import archdsl
from archdsl.diagnostics import Source
from archdsl.lang import format_source
from archdsl.nas.plan import Objective
from archdsl.nas.report import report_html, trials_csv, write_report
from archdsl.nas.report.axes import axis_of
from archdsl.nas.report.csv_table import safe
from archdsl.nas.results import State

sys.path.insert(0, str(Path(__file__).parent))
import samples

FOLDER = Path("runs/x")


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_table_has_a_row_for_every_trial() -> None:
    found = samples.results(30)
    rows = _rows(trials_csv(found, FOLDER))
    assert [int(r["number"]) for r in rows] == list(range(30))
    for row, trial in zip(rows, found.trials, strict=True):
        assert row["state"] == trial.state.value
        assert row["vary s3.blocks"] == trial.changes["s3.blocks"]
        if trial.state is State.COMPLETE:
            assert float(row["accuracy"]) == trial.values["accuracy"]
            assert row["run_once"].startswith(
                f"archdsl run-once runs/x/trials/trial-{trial.number}/model.arch"
            )
            assert row["run_once"].endswith("--seeds 2 --epochs 20")
        if trial.state is State.REFUSED:
            assert row["run_once"] == row["accuracy"] == ""


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-x", "@sum", "\t=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert safe(text)[0] == "'"
    assert safe("-1.5") == "-1.5"


@pytest.mark.parametrize("trials", [0, 1, 3])
@pytest.mark.parametrize(
    "objectives",
    [
        (samples.ACCURACY,),
        (samples.ACCURACY, samples.LATENCY),
        (samples.PARAMS, samples.ACCURACY, samples.LATENCY),
    ],
    ids=["one", "two", "three"],
)  # fmt: skip
def test_small_studies_have_a_page(trials: int, objectives: tuple[Objective, ...]) -> None:
    found = samples.results(trials, objectives, finished=trials > 1)
    text = report_html(found, FOLDER, samples.base(), samples.varied())
    assert text.lstrip().startswith("<!doctype html>")
    assert ("not finished" in text) == (trials <= 1)


def test_a_thousand_trials_stay_below_a_megabyte() -> None:
    text = report_html(samples.results(1000), FOLDER, samples.base(), samples.varied())
    assert len(text.encode()) < 1_000_000


def test_what_users_write_is_escaped() -> None:
    text = report_html(samples.results(12, text=samples.HOSTILE), FOLDER, samples.base(), samples.varied())
    assert "<img" not in text
    plain = report_html(samples.results(12), FOLDER, samples.base(), samples.varied())
    assert text.count("</script>") == plain.count("</script>")


def test_the_winner_stands_by_itself(tmp_path: Path) -> None:
    found = samples.results(30)
    assert found.winner is not None
    page = write_report(tmp_path, found)
    assert page == tmp_path / "report.html"
    arch = tmp_path / "winner.arch"
    assert archdsl.check(arch) == []
    text = arch.read_text(encoding="utf-8")
    assert format_source(Source("winner.arch", text)) == text
    assert archdsl.load(arch).digest() == samples.varied().digest()
    assert f"trial {found.winner.trial.number}" in text.splitlines()[0]
    diff = (tmp_path / "winner.diff").read_text(encoding="utf-8")
    assert diff.startswith("--- hybrid")
    assert "+++ winner.arch" in diff
    assert _rows((tmp_path / "trials.csv").read_text(encoding="utf-8"))
    model = tmp_path / "trials" / f"trial-{found.winner.trial.number}" / "model.arch"
    assert archdsl.load(model).digest() == samples.varied().digest()


def test_an_architecture_of_an_earlier_study_is_replaced(tmp_path: Path) -> None:
    found = samples.results(3)
    number = next(t.number for t in found.trials if t.reports)
    model = tmp_path / "trials" / f"trial-{number}" / "model.arch"
    model.parent.mkdir(parents=True)
    model.write_text(samples.base().to_source(), encoding="utf-8")
    write_report(tmp_path, found)
    assert model.read_text(encoding="utf-8") == found.trials[number].arch


def test_a_study_without_a_winner_leaves_no_winner(tmp_path: Path) -> None:
    write_report(tmp_path, samples.results(0))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "trials.csv"]


def test_an_axis_keeps_room_for_what_matters() -> None:
    axis = axis_of([0.1, 0.9, 0.95, 1.0], "accuracy", core=[0.9, 1.0])
    assert 0.75 < axis.low < 0.8
    assert axis.place(0.1) == 0
    assert 0.45 < axis.place(0.9) < 0.6
    assert [label for _, label in axis.ticks] == ["0.80", "0.85", "0.90", "0.95", "1.00"]


def test_far_apart_values_get_a_logarithmic_axis() -> None:
    axis = axis_of([2e5, 3e7], "params")
    assert axis.log
    assert [label for _, label in axis.ticks] == ["200 k", "500 k", "1 M", "2 M", "5 M", "10 M", "20 M"]
    assert not axis_of([0.9, 0.99], "accuracy").log


def test_a_search_of_claims_alone_has_no_empty_front() -> None:
    text = report_html(samples.results(0), FOLDER)
    assert 'id="claims"' in text
    assert 'id="front"' not in text
    assert 'id="table"' not in text


def test_failures_are_told_above_the_table() -> None:
    found = samples.results(8)
    failed = tuple(
        replace(t, state=State.FAILED, reason="nan: the loss is not finite", reports=(), values={})
        for t in found.trials
    )
    text = report_html(replace(found, trials=failed, front=(), winner=None), FOLDER)
    assert "No trial is complete." in text
    assert "8 failed:</span> nan: the loss is not finite" in text
