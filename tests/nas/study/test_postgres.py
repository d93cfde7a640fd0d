"""A study on a PostgreSQL server of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from driving import Loop, planned, search

from archdsl.diagnostics import DiagnosticError
from archdsl.nas.stored import read_results
from archdsl.nas.study import Study

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
USER = "postgres" if os.geteuid() == 0 else None  # the server does not run as root


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server that is reached through a socket in a folder of its own; gives the URL."""
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    if not PROGRAMS:
        pytest.skip("no PostgreSQL server is installed")
    programs = PROGRAMS[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="archdsl-pg-"))
    if USER:
        shutil.chown(folder, USER)

    def run(*command: str) -> None:
        subprocess.run(command, check=True, user=USER, cwd=folder, stdout=subprocess.DEVNULL, env={})

    data = str(folder / "data")
    run(str(programs / "initdb"), "-D", data, "-A", "trust", "-U", "archdsl", "--no-sync", "-E", "UTF8")
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -F"
    run(str(programs / "pg_ctl"), "-D", data, "-w", "-o", options, "-l", str(folder / "log"), "start")
    try:
        yield f"postgresql://archdsl@/postgres?host={folder}"
    finally:
        run(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def test_a_study_lives_on_a_server(server: str, tmp_path: Path) -> None:
    text = search("random(seed = 0)", "trials(5)", more="require params <= 160K")
    plan = planned(tmp_path, text)
    made: set[tuple[str, int]] = set()
    with Study.open(plan, tmp_path / "a", storage=server) as study:
        assert not Loop(study, turns=3, made=made).run()
        with pytest.raises(DiagnosticError) as error:
            Study.open(plan, tmp_path / "b", storage=server, resume=True)
        assert error.value.diagnostics[0].code == "E412"
    with pytest.raises(DiagnosticError) as error:
        Study.open(plan, tmp_path / "a", storage=server)
    assert error.value.diagnostics[0].code == "E411"
    with Study.open(plan, tmp_path / "a", storage=server, resume=True) as study:
        assert Loop(study, made=made).run()
        results = study.results()
    assert read_results(tmp_path / "a", storage=server) == results
    with Study.open(plan, tmp_path / "here", storage="memory") as study:
        Loop(study).run()
        assert [t.point for t in study.results().trials] == [t.point for t in results.trials]


def test_a_server_that_is_not_there_is_called_that(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    url = f"postgresql://archdsl:secret@/postgres?host={tmp_path}"
    with pytest.raises(DiagnosticError) as error:
        Study.open(planned(tmp_path, search()), tmp_path / "study", storage=url)
    assert error.value.diagnostics[0].code == "E413"
    assert "secret" not in str(error.value)
