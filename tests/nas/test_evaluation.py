"""One job: reports, what is found in its folder again, and every way to fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import archdsl
from archdsl.diagnostics import Source
from archdsl.nas.evaluation import WEIGHTS, Evaluation, EvaluationError
from archdsl.nas.jobs import Failure, Job, Report

pytestmark = pytest.mark.usefixtures("faulty_tasks")

TINY = """
arch tiny(dim = 8) {
  image = 16;  channels = 1;  classes = 10
  stem = patch_embed(4, dim)
  stage s1 { blocks = 2 x attn(heads = 2) }
  head = layer_norm -> pool(mean) -> linear(classes)
}
"""


def job(folder: Path, task: str, **changes: object) -> Job:
    given = {"seeds": (0, 1), "rungs": (1, 3), "measures": (("latency", 64),), **changes}
    arch = archdsl.load(Source("tiny", TINY)).to_source()
    return Job(id="trial-0", arch=arch, task=task, folder=str(folder), **given)  # type: ignore[arg-type]


def reports(job: Job) -> list[Report]:
    return list(Evaluation(job).reports())


def untimed(found: list[Report]) -> list[Report]:
    return [Report(r.epoch, r.values, r.seeds, r.curve) for r in found]


def failure(job: Job) -> Failure:
    with pytest.raises(EvaluationError) as caught:
        reports(job)
    return caught.value.failure


def test_a_report_for_every_rung(tmp_path: Path) -> None:
    told: list[float] = []
    found = list(Evaluation(job(tmp_path, "slow(seconds = 0, epochs = 3)"), told.append).reports())
    assert [r.epoch for r in found] == [1, 3]
    assert told == sorted(told)
    assert {0.5, 1.0, 1.5, 2.0, 2.5, 3.0} <= set(told)
    for report in found:
        assert set(report.values) == {"accuracy", "latency(batch = 64)"}
        assert report.values["accuracy"] == pytest.approx(sum(s["accuracy"] for s in report.seeds) / 2)
    assert [[row["epoch"] for row in r.curve] for r in found] == [[1], [2, 3]]
    assert {p.name for p in tmp_path.iterdir()} == {
        "seed-0.ckpt",
        "seed-1.ckpt",
        "report-1.json",
        "report-3.json",
    }


def test_found_reports_come_again(tmp_path: Path) -> None:
    log = tmp_path / "epochs"
    task = f'slow(epochs = 3, seconds = 0, log = "{log}")'
    first = reports(job(tmp_path / "job", task))
    assert reports(job(tmp_path / "job", task)) == first
    assert len(log.read_text().splitlines()) == 6


def test_it_goes_on_from_the_last_rung(tmp_path: Path) -> None:
    log = tmp_path / "epochs"
    task = f'slow(epochs = 3, seconds = 0, log = "{log}")'
    straight = reports(job(tmp_path / "straight", task))
    log.unlink()
    interrupted = Evaluation(job(tmp_path / "job", task)).reports()
    next(interrupted)
    interrupted.close()  # type: ignore[attr-defined]
    assert untimed(reports(job(tmp_path / "job", task))) == untimed(straight)
    assert len(log.read_text().splitlines()) == 6


@pytest.mark.parametrize("name", ["seed-0.ckpt", "report-1.json", "report-3.json"])
@pytest.mark.parametrize("content", ["", '{"of": "another", "rows": [], "report": {}}', "[1]", "\0\0"])
def test_what_is_torn_or_foreign_is_made_again(name: str, content: str, tmp_path: Path) -> None:
    straight = reports(job(tmp_path, "slow(seconds = 0, epochs = 3)"))
    (tmp_path / name).write_text(content)
    (tmp_path / "report-3.json").unlink()
    assert untimed(reports(job(tmp_path, "slow(seconds = 0, epochs = 3)"))) == untimed(straight)


def test_what_a_killed_process_left_half_written_goes(tmp_path: Path) -> None:
    stray = tmp_path / ".seed-0.ckpt.abc.tmp"
    stray.write_text("half")
    reports(job(tmp_path, "slow(seconds = 0)"))
    assert not stray.exists()


def test_another_job_in_the_folder_counts_for_nothing(tmp_path: Path) -> None:
    other = reports(job(tmp_path, "slow(seconds = 0, epochs = 3, lr = 0.5)"))
    straight = reports(job(tmp_path / "alone", "slow(seconds = 0, epochs = 3)"))
    found = reports(job(tmp_path, "slow(seconds = 0, epochs = 3)"))
    assert untimed(found) == untimed(straight) != untimed(other)


def test_the_test_split_is_for_the_last_report(tmp_path: Path) -> None:
    log = tmp_path / "epochs"
    task = f'slow(epochs = 3, seconds = 0, log = "{log}")'
    search = reports(job(tmp_path, task))
    test = reports(job(tmp_path, task, split="test"))
    assert test[0] == search[0]
    assert test[1].values["accuracy"] == pytest.approx(search[1].values["accuracy"] - 0.01)
    assert len(log.read_text().splitlines()) == 6, "nothing is trained for the test"
    assert (tmp_path / WEIGHTS).exists()
    assert reports(job(tmp_path, task)) == search


def test_a_stopped_job_leaves_its_reports_alone(tmp_path: Path) -> None:
    evaluation = Evaluation(job(tmp_path, "slow(seconds = 0, epochs = 3)"))
    next(evaluation.reports())
    evaluation.discard()
    assert {p.name for p in tmp_path.iterdir()} == {"report-1.json"}


@pytest.mark.parametrize(
    ("mode", "kind", "message"),
    [
        ("nan", "nan", "accuracy is nan after 3 epochs"),
        ("loss", "nan", "the loss became infinite in epoch 2"),
        ("exception", "exception", "ZeroDivisionError: a fault on purpose"),
    ],
)
def test_failures_have_a_kind(mode: str, kind: str, message: str, tmp_path: Path) -> None:
    evaluation = Evaluation(job(tmp_path, f"faulty(epochs = 3, mode = {mode}, at = 2)")).reports()
    assert next(evaluation).epoch == 1
    with pytest.raises(EvaluationError) as caught:
        next(evaluation)
    failure = caught.value.failure
    assert (failure.kind, failure.message) == (kind, message)
    assert "Traceback" in failure.detail


def test_the_time_limit_counts_what_was_used_before(tmp_path: Path) -> None:
    task = "faulty(epochs = 3, mode = crawl, at = 2, seconds = 60)"
    found = failure(job(tmp_path, task, seconds=0.3))
    assert (found.kind, found.message) == ("time", "took longer than 0.3 s")
    path = tmp_path / "report-1.json"
    content = json.loads(path.read_text())
    content["report"]["seconds"] = 1000.0
    path.write_text(json.dumps(content))
    assert failure(job(tmp_path, task, seconds=999.0)).kind == "time"


@pytest.mark.parametrize(("task", "word"), [("no_such_task", "no_such_task"), ("slow(epochs = [)", "E1")])
def test_a_job_that_can_not_begin(task: str, word: str, tmp_path: Path) -> None:
    found = failure(job(tmp_path, task))
    assert found.kind == "exception"
    assert word in found.message


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert failure(job(tmp_path / "file" / "job", "instant")).kind == "exception"
