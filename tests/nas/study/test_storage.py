"""The storage of a study: one driver, plain words for what goes wrong, nothing left half done."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from driving import Loop, planned, report, search

from archdsl.diagnostics import DiagnosticError
from archdsl.nas.board import Pause
from archdsl.nas.jobs import Job
from archdsl.nas.plan import SearchPlan
from archdsl.nas.results import State
from archdsl.nas.storage import opened
from archdsl.nas.stored import read_results
from archdsl.nas.study import Study

HOLD = """
import sys, time
from pathlib import Path
from archdsl.nas.storage import opened
with opened(Path(sys.argv[1]), "small", ["maximize", "minimize"]):
    print("held", flush=True)
    time.sleep(600)
"""


def code(error: pytest.ExceptionInfo[DiagnosticError]) -> str:
    return error.value.diagnostics[0].code


def begun(folder: Path, **more: str) -> SearchPlan:
    """A study with two trials out of four, closed."""
    plan = planned(folder, search(budget="trials(4)", stop="none", **more))
    with Study.open(plan, folder / "study") as study:
        Loop(study, turns=2).run()
    return plan


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the study open."""
    program = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_second_driver_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    plan = begun(tmp_path)
    with holder(tmp_path / "study") as other:
        with pytest.raises(DiagnosticError) as error:
            Study.open(plan, tmp_path / "study", resume=True)
        assert code(error) == "E412"
        assert f"process {other.pid}" in error.value.diagnostics[0].message
        assert len(read_results(tmp_path / "study").trials) == 3
        other.kill()
        other.wait()
        with Study.open(plan, tmp_path / "study", resume=True) as study:
            assert Loop(study).run()


def test_two_folders_with_one_database_have_one_driver(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    plan = planned(tmp_path, search())
    with Study.open(plan, tmp_path / "a", storage=url), pytest.raises(DiagnosticError) as error:
        Study.open(plan, tmp_path / "b", storage=url, resume=True)
    assert code(error) == "E412"
    with Study.open(plan, tmp_path / "b", storage=url, resume=True) as study:
        assert Loop(study).run()
    assert read_results(tmp_path / "b", storage=url).finished


def test_the_database_of_another_folder_has_the_driver_of_that_folder(tmp_path: Path) -> None:
    plan = planned(tmp_path, search())
    url = f"sqlite:///{tmp_path}/a/study.db"
    with Study.open(plan, tmp_path / "a"), pytest.raises(DiagnosticError) as error:
        Study.open(plan, tmp_path / "b", storage=url, resume=True)
    assert code(error) == "E412"
    (tmp_path / "c").symlink_to(tmp_path / "a")
    with Study.open(plan, tmp_path / "c", storage=url, resume=True), pytest.raises(DiagnosticError) as error:
        Study.open(plan, tmp_path / "a", resume=True)
    assert code(error) == "E412"


def test_a_study_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    plan = begun(tmp_path)
    with pytest.raises(DiagnosticError) as error:
        Study.open(plan, tmp_path / "study")
    assert code(error) == "E411"
    assert "--resume" in error.value.diagnostics[0].help


def test_the_study_of_another_search_is_not_resumed(tmp_path: Path) -> None:
    begun(tmp_path)
    other = planned(tmp_path, search("tpe(seed = 1)", budget="trials(4)", stop="none"))
    with pytest.raises(DiagnosticError) as error:
        Study.open(other, tmp_path / "study", resume=True)
    assert code(error) == "E411"
    assert "search.search" in error.value.diagnostics[0].help


def test_a_study_killed_at_its_birth_is_begun_again(tmp_path: Path) -> None:
    with opened(tmp_path / "study", "small", ["maximize", "minimize"]):
        pass
    with pytest.raises(DiagnosticError) as error:
        read_results(tmp_path / "study")
    assert code(error) == "E417"
    with Study.open(planned(tmp_path, search()), tmp_path / "study") as study:
        assert Loop(study).run()


def test_the_database_is_in_write_ahead_mode(tmp_path: Path) -> None:
    begun(tmp_path)
    with closing(sqlite3.connect(tmp_path / "study/study.db")) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_readers_do_not_hold_up_the_driver(tmp_path: Path) -> None:
    with (
        Study.open(planned(tmp_path, search()), tmp_path / "study") as study,
        closing(sqlite3.connect(tmp_path / "study/study.db")) as database,
    ):
        database.execute("BEGIN")
        database.execute("SELECT * FROM trials").fetchall()
        assert Loop(study).run()


def test_a_locked_database_is_called_locked(tmp_path: Path) -> None:
    begun(tmp_path)
    with opened(tmp_path / "study", "small", ["maximize", "minimize"], timeout=0.1) as store:
        with closing(sqlite3.connect(tmp_path / "study/study.db")) as database:
            database.execute("BEGIN IMMEDIATE")
            with pytest.raises(DiagnosticError) as error:
                store.set("clock", 1.0)
        assert code(error) == "E413"
        assert "locked" in error.value.diagnostics[0].message
        store.set("clock", 1.0)


def test_a_full_disk_is_called_full_and_the_study_goes_on(tmp_path: Path) -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    plan = begun(tmp_path)

    def fill(connection: sqlite3.Connection, _: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    event.listen(Engine, "connect", fill)
    try:
        with (
            opened(tmp_path / "study", "small", ["maximize", "minimize"]) as store,
            pytest.raises(DiagnosticError) as error,
        ):
            store.set("large", "x" * 1_000_000)
    finally:
        event.remove(Engine, "connect", fill)
    assert code(error) == "E413"
    assert "disk is full" in error.value.diagnostics[0].message
    with Study.open(plan, tmp_path / "study", resume=True) as study:
        assert Loop(study).run()


def test_a_file_that_is_no_database_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study/study.db").write_text("a letter to my aunt, who has no database either\n" * 99)
    for attempt in (
        lambda: Study.open(planned(tmp_path, search()), tmp_path / "study"),
        lambda: read_results(tmp_path / "study"),
    ):
        with pytest.raises(DiagnosticError) as error:
            attempt()
        assert code(error) == "E413"
        assert "not a database" in error.value.diagnostics[0].message


@pytest.mark.parametrize(
    "storage", ["mysql://host/studies", "sqlite:////nowhere/at/all/study.db", "nonsense", "redis://h"]
)
def test_a_storage_that_is_none_is_refused(storage: str, tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError) as error:
        Study.open(planned(tmp_path, search()), tmp_path / "study", storage=storage)
    assert code(error) == "E413"


def test_where_there_is_no_study_nothing_is_read(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DiagnosticError) as error:
            read_results(folder)
        assert code(error) == "E417"
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE birds (name TEXT)")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(DiagnosticError) as error:
        read_results(tmp_path)
    assert code(error) == "E417"
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["study.db"]


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study").write_text("")
    with pytest.raises(DiagnosticError) as error:
        Study.open(planned(tmp_path, search()), tmp_path / "study")
    assert code(error) == "E413"


@pytest.mark.parametrize("name", ["a{b}", "{", "a?b=c", "a%20b", "a#b", "%(x)s", "ü ö"])
def test_a_folder_may_have_any_name(name: str, tmp_path: Path) -> None:
    with Study.open(planned(tmp_path, search(budget="trials(1)", stop="none")), tmp_path / name) as study:
        assert Loop(study).run()
    assert len(read_results(tmp_path / name).trials) == 1
    assert {p.name for p in tmp_path.iterdir()} == {name, "small.search"}


def test_memory_leaves_no_file(tmp_path: Path) -> None:
    with Study.open(planned(tmp_path, search()), tmp_path / "study", storage="memory") as study:
        assert Loop(study).run()
        assert study.results().finished
    assert not (tmp_path / "study").exists()


def test_a_trial_that_is_not_ours_is_closed_and_not_counted(tmp_path: Path) -> None:
    """What a kill between asking Optuna and describing the trial would leave, or another program."""
    import optuna

    plan = begun(tmp_path)
    foreign = optuna.load_study(study_name="small", storage=f"sqlite:///{tmp_path}/study/study.db")
    foreign.ask()
    with Study.open(plan, tmp_path / "study", resume=True) as study:
        assert Loop(study).run()
        results = study.results()
    assert len(results.trials) == 4
    states = [t.state for t in foreign.get_trials()]
    assert states.count(optuna.trial.TrialState.FAIL) == 1
    assert optuna.trial.TrialState.RUNNING not in states


def test_running_trials_are_handed_out_first_with_their_number_and_folder(tmp_path: Path) -> None:
    plan = planned(tmp_path, search("random(seed = 0)"))
    with Study.open(plan, tmp_path / "study", workers=3) as study:
        jobs = [study.next() for _ in range(3)]
        middle = jobs[1]
        assert isinstance(middle, Job)
        goes_on = study.report(middle.id, report(middle, 1))
    with Study.open(plan, tmp_path / "study", workers=3, resume=True) as study:
        assert [study.next() for _ in range(3)] == [j for j in jobs if j is not middle or goes_on][:3]
        assert study.report(middle.id, report(middle, 1)) == goes_on


def test_the_storage_can_be_read_by_people(tmp_path: Path) -> None:
    begun(tmp_path)
    with closing(sqlite3.connect(tmp_path / "study/study.db")) as database:
        rows = dict(
            database.execute(
                "SELECT key, value_json FROM trial_user_attributes WHERE trial_id = 1"
            ).fetchall()
        )
    assert json.loads(rows["record"])["state"] == State.COMPLETE.value
    assert json.loads(rows["candidate"])["changes"].keys() == {"s3.blocks", "s4.blocks"}
    assert (tmp_path / "study/search.search").read_text() == search(budget="trials(4)", stop="none")


def test_an_interrupted_study_is_not_finished(tmp_path: Path) -> None:
    plan = begun(tmp_path)
    assert not read_results(tmp_path / "study").finished
    with Study.open(plan, tmp_path / "study", resume=True) as study:
        assert Loop(study).run()
        assert study.next() is Pause.OVER
    assert read_results(tmp_path / "study").finished
