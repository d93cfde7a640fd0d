"""Studies from outside: what is handed out, what is recorded, what counts."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
from driving import Loop, accuracy, planned, report, search

from archdsl.nas.board import Pause
from archdsl.nas.halving import place
from archdsl.nas.jobs import Failure, Job, Report
from archdsl.nas.results import Results, State, Verdict
from archdsl.nas.stored import read_results
from archdsl.nas.study import Study

CLAIM = 'claim "scans come first" { accuracy(s4.blocks = mamba) > accuracy(s4.blocks = self_attn) - 2 }'
OTHER = 'claim "fewer" { macs(s4.blocks = mamba) < macs(s4.blocks = 2 x self_attn) }'

SAMPLERS = ["tpe(seed = 0)", "nsga2(seed = 0)", "evolution(population = 3)", "random(seed = 0)", "grid"]


def run(folder: Path, text: str, workers: int = 1, storage: str | None = None) -> Results:
    with Study.open(planned(folder, text), folder / "study", workers=workers, storage=storage) as study:
        assert Loop(study, workers).run()
        return study.results()


def job(study: Study) -> Job:
    found = study.next()
    assert isinstance(found, Job)
    return found


def test_a_study_has_trials_claims_and_a_winner_that_is_tested_once(tmp_path: Path) -> None:
    plan = planned(tmp_path, search(more=f"repeat = seeds(3)\n{CLAIM}\n{OTHER}"))
    with Study.open(plan, tmp_path / "study", workers=2) as study:
        loop = Loop(study, 2)
        assert loop.run()
        results = study.results()
    assert results.finished
    assert loop.handed[-1] == "winner"
    assert loop.handed[-3:-1] == ["claim-0-0-left", "claim-0-0-right"]
    assert sorted(loop.handed[:-3]) == sorted(f"trial-{t.number}" for t in results.trials)
    assert Counter(loop.handed).most_common(1)[0][1] == 1
    test = loop.jobs[-1]
    assert results.winner is not None
    assert (test.split, test.folder) == ("test", str(tmp_path / "study/trials" / f"trial-{results.front[0]}"))
    assert results.winner.trial.number == results.front[0]
    assert results.winner.test == {"accuracy": report(test, 9).values["accuracy"]}
    assert len(results.winner.test_seeds) == 3
    assert [c.verdict for c in results.claims] == [Verdict.SUPPORTED, Verdict.SUPPORTED]


def test_what_is_recorded_reads_the_same_without_a_driver(tmp_path: Path) -> None:
    text = search(more=f"repeat = seeds(2)\nrequire params <= 155K\n{CLAIM}")
    with Study.open(planned(tmp_path, text), tmp_path / "study") as study:
        Loop(study).run()
        assert read_results(tmp_path / "study").trials == study.results().trials
    results, stored = study.results(), read_results(tmp_path / "study")
    assert stored.claims == results.claims
    assert stored == results


def test_optuna_reads_the_study_too(tmp_path: Path) -> None:
    import optuna

    results = run(tmp_path, search(more="require params <= 155K"))
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path}/study/study.db")
    states = {
        State.COMPLETE: optuna.trial.TrialState.COMPLETE,
        State.STOPPED: optuna.trial.TrialState.COMPLETE,
        State.REFUSED: optuna.trial.TrialState.PRUNED,
    }
    assert [t.state for t in study.trials] == [states[t.state] for t in results.trials]
    refused = [t for t in study.trials if t.state == optuna.trial.TrialState.PRUNED]
    assert refused
    assert all(t.constraints["require"] > 0 for t in refused)


@pytest.mark.parametrize(
    ("sampler", "workers"),
    [
        ("tpe(seed = 3)", 1),
        ("tpe(seed = 3)", 2),
        ("nsga2(seed = 3, population = 4)", 1),
        ("nsga2(seed = 3, population = 4)", 3),
        ("evolution(seed = 3, population = 4, tournament = 2)", 1),
        ("evolution(seed = 3, population = 4, tournament = 2, crossover = 0.5)", 3),
        ("random(seed = 3)", 2),
        ("grid", 2),
    ],
)
def test_the_same_seed_proposes_the_same_however_often_it_is_interrupted(
    sampler: str, workers: int, tmp_path: Path
) -> None:
    text = search(sampler, "trials(14)", more="synchronous = on\nrequire params <= 160K")
    plain = run(tmp_path / "plain", text, workers, storage="memory")
    made: set[tuple[str, int]] = set()
    over = False
    turns = 0
    while not over:
        turns += 3
        plan = planned(tmp_path, text)
        with Study.open(plan, tmp_path / "study", workers=workers, resume=True) as study:
            over = Loop(study, workers, order=turns, turns=turns, made=made).run()
            results = study.results()
    assert turns > 6
    assert [t.point for t in results.trials] == [t.point for t in plain.trials]
    assert [(t.state, t.reason, t.values) for t in results.trials] == [
        (t.state, t.reason, t.values) for t in plain.trials
    ]
    assert (results.front, results.repeats) == (plain.front, plain.repeats)


def test_another_seed_proposes_something_else(tmp_path: Path) -> None:
    one, two = (run(tmp_path / str(n), search(f"random(seed = {n})"), storage="memory") for n in (1, 2))
    assert [t.point for t in one.trials] != [t.point for t in two.trials]


def test_rounds_wait_for_their_last_trial(tmp_path: Path) -> None:
    plan = planned(tmp_path, search(more="synchronous = on"))
    with Study.open(plan, tmp_path, workers=2, storage="memory") as study:
        first, second = job(study), job(study)
        assert study.next() is Pause.WAIT
        study.failed(first.id, Failure("exception", "no"))
        assert study.next() is Pause.WAIT
        study.failed(second.id, Failure("exception", "no"))
        assert isinstance(study.next(), Job)


def test_stopping_is_decided_among_those_that_reported(tmp_path: Path) -> None:
    """Played again from the reports: one worker, so that the order is that of the numbers."""
    results = run(tmp_path, search("random(seed = 0)", "trials(20)"))
    seen: dict[int, list[tuple[float, ...]]] = {}
    stopped = 0
    for trial in results.trials:
        for at in trial.reports:
            losses = (-at.values["accuracy"], float(trial.macs))
            goes_on = place(losses, seen.setdefault(at.epoch, []), 3).goes_on or at.epoch == 9
            seen[at.epoch].append(losses)
            assert goes_on == (at is not trial.reports[-1] or trial.state is State.COMPLETE)
        stopped += trial.state is State.STOPPED
        assert (trial.state is State.COMPLETE) == (trial.epochs == 9)
    assert stopped > 5
    complete = {t.number for t in results.trials if t.state is State.COMPLETE}
    assert set(results.front) <= complete


def test_the_front_and_the_winner_are_those_of_the_definition(tmp_path: Path) -> None:
    results = run(tmp_path, search("random(seed = 0)", "trials(16)", "none"))
    points = {t.number: (-t.values["accuracy"], t.macs) for t in results.trials}
    front = {
        n
        for n, p in points.items()
        if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points.values())
    }
    assert set(results.front) == front
    assert list(results.front) == sorted(front, key=lambda n: points[n])
    assert results.winner is not None
    assert results.winner.trial.number == min(front, key=lambda n: points[n])


def test_a_counted_objective_in_front_does_not_choose_the_winner(tmp_path: Path) -> None:
    results = run(
        tmp_path,
        search("random(seed = 0)", "trials(16)", "none", "minimize = macs\n  maximize = accuracy"),
    )
    assert results.winner is not None
    best = max(t.values["accuracy"] for t in results.trials)
    assert results.winner.trial.values["accuracy"] == best


def test_refused_candidates_and_repeats_are_free(tmp_path: Path) -> None:
    plan = planned(tmp_path, search("tpe(seed = 0)", "trials(8)", more="require params <= 155K"))
    with Study.open(plan, tmp_path / "study") as study:
        loop = Loop(study)
        loop.run()
        results = study.results()
    states = Counter(t.state for t in results.trials)
    assert states[State.REFUSED] > 0
    assert states[State.COMPLETE] + states[State.STOPPED] == 8
    assert len(loop.handed) == 8 + 1
    for trial in results.trials:
        if trial.state is State.REFUSED:
            assert "params" in trial.reason
            assert (trial.digest, trial.key, dict(trial.values), trial.reports) == ("", "", {}, ())
    trained = [t.key for t in results.trials if t.state is not State.REFUSED]
    assert len(set(trained)) == len(trained)


@pytest.mark.parametrize(
    "sampler", ["tpe(seed = 0)", "nsga2(seed = 0)", "evolution(population = 3)", "random(seed = 0)", "grid"]
)
def test_a_space_that_is_used_up_ends_the_search(sampler: str, tmp_path: Path) -> None:
    plan = planned(
        tmp_path, search(sampler, "trials(500)", vary="s4.blocks in 2 x each one_of(mamba, self_attn)")
    )
    with Study.open(plan, tmp_path, storage="memory") as study:
        assert Loop(study).run()
        assert len(study.results().trials) == 4


@pytest.mark.parametrize(
    "sampler", ["tpe(seed = 0)", "nsga2(seed = 0)", "evolution(population = 3)", "random(seed = 0)", "grid"]
)
def test_steps_of_real_numbers_are_all_tried(sampler: str, tmp_path: Path) -> None:
    vary = "s4.mlp_ratio in 0.1 .. 0.7 step 0.1\n    s3.mlp_ratio in 2 .. 8 step 3"
    with Study.open(planned(tmp_path, search(sampler, "trials(50)", vary=vary)), tmp_path / "study") as study:
        assert Loop(study).run()
        assert len({t.key for t in study.results().trials}) == 21


def test_real_numbers_never_run_out(tmp_path: Path) -> None:
    vary = "s4.mlp_ratio in 1 .. 4\n    drop_path in 0.01 .. 0.3 log"
    plan = planned(tmp_path, search("tpe(seed = 0)", "trials(25)", vary=vary))
    with Study.open(plan, tmp_path, storage="memory") as study:
        assert Loop(study).run()
        assert len(study.results().trials) == 25


def test_epochs_are_a_budget(tmp_path: Path) -> None:
    results = run(tmp_path, search("random(seed = 0)", "epochs(40)", more="repeat = seeds(2)"))
    spent = [2 * t.epochs for t in results.trials]
    assert sum(spent) >= 40
    assert sum(spent[:-1]) < 40


def test_time_is_a_budget(tmp_path: Path) -> None:
    plan = planned(tmp_path, search("random(seed = 0)", "time(1s)"))
    with Study.open(plan, tmp_path / "study") as study:
        first = job(study)
        while study.clock() < 1:
            study.progress(first.id, 0.5)
        assert study.next() is Pause.WAIT
        study.failed(first.id, Failure("time", "too long"))
        assert study.next() is Pause.OVER
    with Study.open(plan, tmp_path / "study", resume=True) as study:
        assert study.next() is Pause.OVER
        assert len(study.results().trials) == 1


def test_values_that_are_no_numbers_are_failures(tmp_path: Path) -> None:
    plan = planned(tmp_path, search(budget="trials(3)"))
    with Study.open(plan, tmp_path / "study") as study:
        first = job(study)
        assert not study.report(first.id, Report(1, {"accuracy": math.nan}))
        second = job(study)
        assert not study.report(second.id, Report(1, {"loss": 1.0}))
        third = job(study)
        study.failed(third.id, Failure("memory", "took too much", "Traceback"))
        study.failed(third.id, Failure("memory", "again"))
        assert study.next() is Pause.OVER
        results = study.results()
    assert [t.state for t in results.trials] == [State.FAILED] * 3
    assert [t.reason for t in results.trials] == [
        "nan: accuracy is nan at epoch 1",
        "exception: the task reports no accuracy",
        "memory: took too much",
    ]
    assert results.winner is None
    assert results.finished


def test_a_job_is_lost_twice_and_no_more(tmp_path: Path) -> None:
    plan = planned(tmp_path, search(budget="trials(1)"))
    with Study.open(plan, tmp_path / "study") as study:
        first = job(study)
        assert study.lost(first.id, "killed by signal 9")
    with Study.open(plan, tmp_path / "study", resume=True) as study:
        assert job(study) == first
        assert study.lost(first.id, "killed by signal 9")
        assert not study.lost(first.id, "killed by signal 9")
        assert not study.lost(first.id, "killed by signal 9")
        assert study.next() is Pause.OVER
        assert study.results().trials[0].reason.startswith("killed: its process was lost 3 times")


def test_a_report_that_is_known_gets_the_same_answer(tmp_path: Path) -> None:
    plan = planned(tmp_path, search("random(seed = 0)"))
    answers = {}
    with Study.open(plan, tmp_path / "study") as study:
        for _ in range(4):
            each = job(study)
            for epoch in each.rungs:
                answers[each.id, epoch] = study.report(each.id, report(each, epoch))
                if not answers[each.id, epoch]:
                    break
        before = study.results().trials
        for (name, epoch), answer in answers.items():
            known = Report(epoch, {"accuracy": 0.0})
            over = study.results().trials[int(name.removeprefix("trial-"))].state is not State.RUNNING
            assert study.report(name, known) == (answer and not over)
        assert study.results().trials == before


def test_only_the_front_keeps_checkpoints(tmp_path: Path) -> None:
    plan = planned(tmp_path, search("random(seed = 0)", "trials(10)", "none"))
    with Study.open(plan, tmp_path / "study") as study:
        while isinstance(each := study.next(), Job):
            folder = Path(each.folder)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "seed-0.ckpt").touch()
            (folder / "report-9.json").touch()
            study.report(each.id, report(each, 9))
        results = study.results()
    folders = {p.parent.name for p in (tmp_path / "study/trials").glob("*/*.ckpt")}
    assert folders == {f"trial-{n}" for n in results.front}
    assert len(list((tmp_path / "study/trials").glob("*/report-9.json"))) == 10


def test_a_finished_study_has_nothing_left_to_do(tmp_path: Path) -> None:
    text = search(more=CLAIM)
    results = run(tmp_path, text)
    with Study.open(planned(tmp_path, text), tmp_path / "study", resume=True) as study:
        assert study.next() is Pause.OVER
        again = study.results()
    assert again.trials == results.trials
    assert again.winner == results.winner
    assert again.claims == results.claims
    assert again.conditions["ended"] == results.conditions["ended"]


def test_a_larger_budget_goes_on_and_tests_a_new_winner(tmp_path: Path) -> None:
    few = run(tmp_path, search("random(seed = 0)", "trials(2)", "none"))
    plan = planned(tmp_path, search("random(seed = 0)", "trials(14)", "none"))
    with Study.open(plan, tmp_path / "study", resume=True) as study:
        loop = Loop(study)
        assert loop.run()
        many = study.results()
    assert len(many.trials) == 14
    assert many.trials[:2] == few.trials
    assert many.text == read_results(tmp_path / "study").text == plan.source.text
    assert few.winner is not None
    assert many.winner is not None
    assert (loop.handed[-1] == "winner") == (many.winner.trial != few.winner.trial)
    assert many.winner.test["accuracy"] == many.winner.trial.values["accuracy"]


def test_claims_that_are_taken_out_are_told_no_more(tmp_path: Path) -> None:
    text = search(budget="trials(2)", stop="none", more="{claims}")
    both = run(tmp_path, text.replace("{claims}", f"{CLAIM}\n{OTHER}"))
    assert len(both.claims) == 2
    for claims, left in ((OTHER, both.claims[1:]), ("", ())):
        plan = planned(tmp_path, text.replace("{claims}", claims))
        with Study.open(plan, tmp_path / "study", resume=True) as study:
            loop = Loop(study)
            assert loop.run()
            assert loop.handed == []
        assert read_results(tmp_path / "study").claims == study.results().claims == left


def test_a_search_without_vary_runs_its_claims_alone(tmp_path: Path) -> None:
    text = f"""search small {{
  arch = tiny_stages(dim = 8)
  task = instant(epochs = 2)
  maximize = accuracy
  {CLAIM}
  {OTHER}
}}"""
    with Study.open(planned(tmp_path, text), tmp_path / "study") as study:
        loop = Loop(study)
        assert loop.run()
        results = study.results()
    assert loop.handed == ["claim-0-0-left", "claim-0-0-right"]
    assert all(j.seeds == (0, 1) for j in loop.jobs)
    assert len(results.claims) == 2
    assert results.winner is None


def test_a_space_of_one_point_is_searched(tmp_path: Path) -> None:
    results = run(tmp_path, search(vary="dim in one_of(16)", stop="none"))
    assert [(t.state, dict(t.changes)) for t in results.trials] == [(State.COMPLETE, {"dim": "16"})]
    assert results.winner is not None
    assert results.winner.test


def test_sides_that_are_alike_are_run_once(tmp_path: Path) -> None:
    claim = """claim "c" {
      accuracy(s4.blocks = mamba) > accuracy(s4.blocks = self_attn)
      accuracy(s4.blocks = self_attn) < accuracy(s4.blocks = mamba) + 0.1
    }"""
    plan = planned(tmp_path, search(budget="trials(1)", more=claim))
    with Study.open(plan, tmp_path / "study") as study:
        loop = Loop(study)
        assert loop.run()
        one, two = study.results().claims[0].comparisons
    assert loop.handed == ["trial-0", "claim-0-0-left", "claim-0-0-right", "winner"]
    assert (one.left, one.right) == (two.right, two.left)
    assert one.left == tuple(accuracy(loop.jobs[1], 9, seed) for seed in (0, 1))


def test_measured_sides_are_measured_once_for_each_seed(tmp_path: Path) -> None:
    claim = 'claim "c" { latency(batch = 2, s4.blocks = mamba) < latency(batch = 2, s4.blocks = self_attn) }'
    plan = planned(tmp_path, search(budget="trials(1)", more=claim))
    with Study.open(plan, tmp_path / "study") as study:
        loop = Loop(study)
        assert loop.run()
    runs = [j for j in loop.jobs if j.id.startswith("claim")]
    assert [(j.id, j.seeds, j.measures) for j in runs[:2]] == [
        ("claim-0-0-left-0", (0,), (("latency", 2),)),
        ("claim-0-0-left-1", (1,), (("latency", 2),)),
    ]


def test_a_failed_side_leaves_a_claim_undecided(tmp_path: Path) -> None:
    plan = planned(tmp_path, search(budget="trials(1)", more=CLAIM))
    with Study.open(plan, tmp_path / "study") as study:
        study.failed(job(study).id, Failure("nan", "the loss is not finite"))
        study.failed(job(study).id, Failure("nan", "the loss is not finite"))
        study.failed(job(study).id, Failure("nan", "the loss is not finite"))
        assert study.next() is Pause.OVER
        claim = study.results().claims[0]
    assert claim.verdict is Verdict.UNDECIDED
    assert "the loss is not finite" in claim.comparisons[0].reason
