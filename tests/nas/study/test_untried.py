"""No trial is spent on what was tried before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from driving import Loop, planned, search

from archdsl.nas.board import Pause
from archdsl.nas.jobs import Failure, Job
from archdsl.nas.results import Results, State, Trial
from archdsl.nas.study import Study
from archdsl.nas.untried import Untried

EIGHT = "s3.blocks in 8 x each one_of(mamba, self_attn)"
SAMPLERS = ["random(seed = 1)", "tpe(seed = 1)", "nsga2(seed = 1)", "evolution(seed = 1, population = 20)"]


def run(folder: Path, text: str, workers: int = 1) -> Results:
    with Study.open(planned(folder, text), folder, workers=workers, storage="memory") as study:
        assert Loop(study, workers).run()
        return study.results()


def apart(one: Trial, two: Trial) -> int:
    """Choices that both make, and make otherwise."""
    return sum(two.point.get(name, value) != value for name, value in one.point.items())


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_200_trials_in_a_space_of_256_are_200_architectures(sampler: str, tmp_path: Path) -> None:
    results = run(tmp_path, search(sampler, "trials(200)", "none", vary=EIGHT))
    assert [t.state for t in results.trials] == [State.COMPLETE] * 200
    assert len({t.key for t in results.trials}) == len({t.digest for t in results.trials}) == 200
    assert results.repeats == 0


def test_architectures_are_as_likely_as_each_other_however_many_points_they_have(tmp_path: Path) -> None:
    """Of 256 points one has eight blocks and 28 have two; what training alone sees is drawn as evenly."""
    vary = "s3.blocks in 8 x each one_of(mamba, none)\n    drop_path in one_of(0.1, 0.2, 0.3)"
    plan = planned(tmp_path, search(vary=vary))
    assert plan.whole is not None
    untried = Untried(plan.space, plan.candidates, plan.whole)
    depths: Counter[int] = Counter()
    rates: Counter[str] = Counter()
    for seed in range(800):
        found = untried.any(Random(seed))
        assert found is not None
        depths[found.changes["s3.blocks"].count("mamba")] += 1
        rates[found.changes["drop_path"]] += 1
    assert len(depths) == plan.whole.distinct
    assert len(rates) == 3
    assert min(depths.values()) > 0.7 * 800 / len(depths)
    assert max(depths.values()) < 1.3 * 800 / len(depths)
    assert min(rates.values()) > 0.8 * 800 / 3


def test_random_search_draws_nothing_that_is_refused(tmp_path: Path) -> None:
    vary = "s3.blocks in 6 x each one_of(mamba, self_attn, none)"
    more = "require params <= 150K"
    results = run(tmp_path, search("random(seed = 0)", "trials(50)", "none", more=more, vary=vary))
    assert [t.state for t in results.trials] == [State.COMPLETE] * 7, "so many there are"
    assert all(t.params <= 150_000 for t in results.trials)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_many_points_of_few_architectures_are_tried_once_each(sampler: str, tmp_path: Path) -> None:
    """256 points, 9 architectures: as many blocks as are not left out; none at all is refused."""
    vary = "s3.blocks in 8 x each one_of(mamba, none)"
    results = run(tmp_path, search(sampler, "trials(100)", "none", vary=vary))
    trained = [t for t in results.trials if t.state is State.COMPLETE]
    assert sorted(t.changes["s3.blocks"].count("mamba") for t in trained) in ([*range(1, 9)], [*range(9)])
    assert results.finished


def test_children_are_one_change_from_the_youngest_that_were_trained_to_the_end(tmp_path: Path) -> None:
    """From outside, of one worker: parents are the last ten complete trials, those stopped early never."""
    vary = f"{EIGHT}\n    s3.mlp_ratio in 1 .. 60"
    text = search("evolution(population = 10, tournament = 3)", "trials(60)", vary=vary)
    results = run(tmp_path, text)
    states = {t.state for t in results.trials}
    assert states == {State.COMPLETE, State.STOPPED}
    for trial in results.trials[10:]:
        complete = [t for t in results.trials[: trial.number] if t.state is State.COMPLETE]
        assert min(apart(trial, parent) for parent in complete[-10:]) == 1


def test_the_start_is_drawn_and_failed_trials_are_no_parents(tmp_path: Path) -> None:
    plan = planned(tmp_path, search("evolution(population = 4)", "trials(12)", "none", vary=EIGHT))
    with Study.open(plan, tmp_path, storage="memory") as study:
        while isinstance(job := study.next(), Job):
            study.failed(job.id, Failure("exception", "no"))
        assert job is Pause.OVER
        trials = study.results().trials
    assert len({t.key for t in trials}) == 12
    assert max(min(apart(t, other) for other in trials[: t.number]) for t in trials[4:]) > 1


@pytest.mark.parametrize("workers", [1, 3])
def test_evolution_passes_over_what_is_refused(workers: int, tmp_path: Path) -> None:
    vary = "s3.blocks in 6 x each one_of(mamba, self_attn, metaformer(gated_cnn))"
    more = "require params <= 203K"  # a quarter of them
    text = search("evolution(population = 4)", "trials(40)", "none", more=more, vary=vary)
    results = run(tmp_path, text, workers)
    taken = [t for t in results.trials if t.state is State.COMPLETE]
    assert len({t.key for t in taken}) == len(taken) == 40
    assert all(t.params <= 203_000 for t in taken)
    assert {t.state for t in results.trials} == {State.COMPLETE, State.REFUSED}


def test_evolution_finds_better_ones_than_random_search(tmp_path: Path) -> None:
    """By parameters, which are known: over a space of 6,561, the smallest of 60."""
    more = "s3.blocks in 8 x each one_of(mamba, self_attn, metaformer(gated_cnn))"

    def smallest(sampler: str, seeds: Sequence[int]) -> float:
        found = []
        for seed in seeds:
            text = search(sampler.format(seed), "trials(60)", "none", "minimize = params", vary=more)
            found.append(min(t.params for t in run(tmp_path / f"{sampler[:3]}{seed}", text).trials))
        return sum(found) / len(found)

    evolved = smallest("evolution(seed = {}, population = 10, tournament = 4)", range(3))
    assert evolved < smallest("random(seed = {})", range(3))
