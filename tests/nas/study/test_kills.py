"""Drivers killed with SIGKILL: every trial ends once, nothing is lost that was recorded."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from driving import drive, search

from archdsl.nas.results import Results, State
from archdsl.nas.stored import read_results

PROGRAM = Path(__file__).parent / "driving.py"
CLAIM = 'claim "scans come first" { accuracy(s4.blocks = mamba) > accuracy(s4.blocks = self_attn) }'


def started(what: str, folder: Path, text: str, workers: int, step: int = 1) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    (folder / "text.search").write_text(text)
    program = [sys.executable, str(PROGRAM), what, str(folder / "text.search"), str(folder)]
    return subprocess.Popen([*program, str(workers), str(step)], stdout=subprocess.PIPE, text=True)


def check(folder: Path, text: str, trials: int) -> Results:
    """Nothing is left running, every trial ended once, and one worker finds what was never interrupted."""
    results = read_results(folder / "study")
    assert results.finished
    assert [t.number for t in results.trials] == list(range(trials))
    assert all(t.state in (State.COMPLETE, State.STOPPED) for t in results.trials)
    assert len({t.key for t in results.trials}) == trials
    for trial in results.trials:
        assert [r.epoch for r in trial.reports] == [1, 3, 9][: len(trial.reports)]
        assert (trial.state is State.COMPLETE) == (trial.epochs == 9)
    assert results.winner is not None
    assert results.winner.test
    with closing(sqlite3.connect(folder / "study/study.db")) as database:
        assert database.execute("SELECT state, count(*) FROM trials GROUP BY state").fetchall() == [
            ("COMPLETE", trials)
        ]
    return results


def drilled(folder: Path, workers: int, step: int, trials: int) -> int:
    text = search("tpe(seed = 0)", f"trials({trials})", more=CLAIM if step == 1 else "")
    with started("drill", folder, text, workers, step) as process:
        out, _ = process.communicate()
    assert process.returncode == 0
    results = check(folder, text, trials)
    if workers == 1:
        drive(text, folder / "plain", 1)
        plain = read_results(folder / "plain/study")
        assert [(t.point, t.state, t.values) for t in results.trials] == [
            (t.point, t.state, t.values) for t in plain.trials
        ]
        assert (results.front, results.claims) == (plain.front, plain.claims)
    return int(out.rpartition("kills ")[2])


def test_a_driver_killed_at_commits_ends_every_trial_once(tmp_path: Path) -> None:
    assert drilled(tmp_path / "drill", workers=2, step=9, trials=3) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_a_driver_killed_at_every_commit_ends_every_trial_once(workers: int, tmp_path: Path) -> None:
    assert drilled(tmp_path / "drill", workers, step=1, trials=6) >= 15


@pytest.mark.slow
def test_a_driver_killed_at_random_ends_every_trial_once(tmp_path: Path) -> None:
    text = search("nsga2(seed = 0, population = 4)", "trials(20)", more=CLAIM)
    folder = tmp_path / "random"
    dice = random.Random(0)
    kills = 0
    while kills < 12:
        with started("drive", folder, text, 2) as process:
            if dice.random() < 0.8:
                assert process.stdout is not None
                process.stdout.readline()
            time.sleep(dice.random() / 2)
            process.kill()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        kills += 1
    drive(text, folder, 2)
    check(folder, text, 20)
