"""`archdsl search` and `archdsl report` as users meet them: processes, terminals, folders, interruptions."""

from __future__ import annotations

import csv
import fcntl
import itertools
import json
import os
import pty
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import archdsl
from archdsl.nas.jobs import Job
from archdsl.nas.plan import SearchPlan
from archdsl.nas.results import ClaimResult, Results, State, Trial
from archdsl.nas.stored import read_results

PLUGIN = Path(__file__).parents[1] / "data" / "plugins" / "faulty_tasks"
PATIENCE = 120.0
"""Seconds after which a process is taken to hang."""
MINE = """\
arch mine(dim = 8) {
  image = 8
  stem  = patch_embed(2, dim)
  stage s1 { heads = 2;  blocks = 1 x attn }
  head  = pool(mean) -> linear(classes)
}
"""
SEARCH = """\
use "mine.arch"

search found {
  arch = mine
  vary {
    dim       in 8 .. 24 step 8
    s1.blocks in one_of(1, 2) x one_of(attn, gated_conv)
    train.lr  in 2e-3 .. 2e-2 log
  }
  task     = TASK
  maximize = accuracy
  minimize = macs
  stop     = halving(rungs = [1, 2, 4], eta = 2)
  budget   = trials(6)
}
"""
DIGITS = """\
use "mine.arch"

search found {
  arch = mine
  vary { dim in one_of(8, 16) }
  task     = digits(epochs = 2, batch = 128)
  minimize = params
  stop     = halving(rungs = [1, 2], eta = 2)
  repeat   = seeds(2)
  sampler  = grid
  budget   = trials(2)
}
"""
FILES = ("study.db", "search.search", "trials.csv", "report.html", "winner.arch", "winner.diff")


def environment(**more: str) -> dict[str, str]:
    """Of a process that finds this archdsl and the tasks for tests."""
    path = os.pathsep.join([str(PLUGIN), *filter(None, sys.path)])
    inherited = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "FORCE_COLOR")}
    return {**inherited, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}


def archdsl_process(
    *arguments: object, cwd: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """A whole `archdsl` in a process of its own, without a terminal."""
    command = [sys.executable, "-m", "archdsl", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=PATIENCE,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip


def written(folder: Path, task: str = "slow(epochs = 4, seconds = 0)", text: str = SEARCH) -> Path:
    """A search and what it uses, in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.arch").write_text(MINE, encoding="utf-8")
    path = folder / "found.search"
    path.write_text(text.replace("TASK", task), encoding="utf-8")
    return path


def rows(folder: Path) -> list[dict[str, str]]:
    """Of `trials.csv`."""
    with (folder / "trials.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder; SQLite's index of its log is no content."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.suffix not in (".db-shm", ".db-wal", ".lock")
    }


def descendants(mark: str) -> list[int]:
    """Processes that have the mark in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                if mark.encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


@dataclass(frozen=True)
class Ended:
    """A search that is over."""

    file: Path
    folder: Path
    process: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A search started from elsewhere, with names that want quotes; never changed by a test."""
    place = tmp_path_factory.mktemp("users")
    file = written(place / "my säarches $1")
    process = archdsl_process(
        "search", "my säarches $1/found.search", "--out", "the 'first' 検索", "--workers", 2, cwd=place
    )
    return Ended(file, place / "the 'first' 検索", process)


def test_a_search_without_a_terminal(ended: Ended) -> None:
    """Plain lines, nothing on stderr, and all its files."""
    assert (ended.process.returncode, ended.process.stderr) == (0, "")
    out = ended.process.stdout
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", out)
    assert out.startswith("found: maximize accuracy, minimize macs; slow(")
    for number in range(6):
        assert re.search(rf"^trial {number} (complete|stopped) after \d epochs?", out, re.M), out
    assert "winner: trial" in out
    assert "report: the 'first' 検索/report.html" in out
    assert all((ended.folder / name).is_file() for name in (*FILES, "winner.safetensors"))
    assert [r["number"] for r in rows(ended.folder)] == [str(n) for n in range(6)]
    assert {r["state"] for r in rows(ended.folder)} == {"complete", "stopped"}


def test_the_winner_is_a_spec(ended: Ended, archdsl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands by itself and is formatted; the command that is printed builds it."""
    spec = ended.folder / "winner.arch"
    assert archdsl("check", spec).status == 0
    assert archdsl("fmt", "--check", spec).status == 0
    told = re.search(r"^build it: archdsl (.*)$", ended.process.stdout, re.M)
    assert told is not None
    monkeypatch.chdir(ended.folder.parent)
    assert shlex.split(told[1])[:2] == ["build", "the 'first' 検索/winner.arch"]
    assert archdsl(*shlex.split(told[1])[:2]).status == 0


def test_a_second_search_into_the_folder(ended: Ended, archdsl: Any, faulty_tasks: Path) -> None:
    """Refused, and nothing is touched."""
    before = contents(ended.folder)
    done = archdsl("search", ended.file, "--out", ended.folder)
    assert (done.status, done.out) == (2, "")
    assert "E411" in done.err
    assert "--resume" in done.err
    assert str(ended.folder) in done.err
    changed = archdsl(
        "search", ended.file, "--out", ended.folder, "--resume", "--set", "sampler=random(seed = 3)"
    )
    assert (changed.status, changed.out) == (2, "")
    assert "E411" in changed.err
    assert "another search" in changed.err
    assert contents(ended.folder) == before


def test_a_search_that_is_over_goes_on_with_a_larger_budget(
    ended: Ended, archdsl: Any, faulty_tasks: Path, tmp_path: Path
) -> None:
    """Without one nothing more is done; with one the trials there stay as they are."""
    folder = shutil.copytree(ended.folder, tmp_path / "copy")
    again = archdsl("search", ended.file, "--out", folder, "--resume", "--workers", 1)
    assert again.status == 0, again.err
    first = [(r["number"], r["state"], r["accuracy"]) for r in rows(ended.folder)]
    assert [(r["number"], r["state"], r["accuracy"]) for r in rows(folder)] == first
    more = archdsl("search", ended.file, "--out", folder, "--resume", "--set", "budget=trials(8)")
    assert more.status == 0, more.err
    assert "goes on:" in more.out
    assert "trial 7 " in more.out
    assert "trial 5 " not in more.out
    found = [(r["number"], r["state"], r["accuracy"]) for r in rows(folder)]
    assert len(found) == 8
    assert found[:6] == first


def test_a_report_of_a_study_that_is_over(ended: Ended, archdsl: Any, tmp_path: Path) -> None:
    """The same files anew, the page where it is wanted, and no change of the study."""
    folder = shutil.copytree(ended.folder, tmp_path / "copy")
    for name in ("trials.csv", "report.html", "winner.arch", "winner.diff"):
        (folder / name).unlink()
    before = contents(folder)
    done = archdsl("report", folder, "--out", tmp_path / "page.html")
    assert done.status == 0, done.err
    assert f"report: {tmp_path / 'page.html'}" in done.out
    assert "winner: trial" in done.out
    assert not (folder / "report.html").exists()
    assert all((folder / name).is_file() for name in ("trials.csv", "winner.arch", "winner.diff"))
    after = contents(folder)
    assert {name: after[name] for name in before} == before
    assert "winner: trial" in archdsl("report", folder).out
    assert (folder / "report.html").is_file()


def test_a_report_of_no_study(archdsl: Any, tmp_path: Path) -> None:
    """E417 with the folder, and nothing is made there."""
    for folder in (tmp_path, tmp_path / "nowhere"):
        done = archdsl("report", folder)
        assert (done.status, done.out) == (2, "")
        assert f"no study in {folder}" in done.err
        assert "E417" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_cannot_be_written(ended: Ended, archdsl: Any, tmp_path: Path) -> None:
    done = archdsl("report", ended.folder, "--out", tmp_path / "nowhere" / "page.html")
    assert done.status == 2
    assert "E508" in done.err


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--executor", "cluster"], "E414", "local, ray"),
        (["--address", "auto"], "E510", "--executor ray"),
        (["--workers", "0"], "E510", "--workers"),
        (["--workers", "many"], "E510", "--workers"),
        (["--set", "bugdet=trials(3)"], "E402", "did you mean `budget`?"),
        (["--set", "budget"], "E510", "budget=trials(8)"),
        (["--set", "budget=trials("], "E102", "not closed"),
        (["--set", "budget=trials(0)"], "E403", "1 to 1,000,000,000"),
        (["--set", "task=digitz(epochs = 2)"], "E404", "did you mean `digits`?"),
        (["--storage", "mystery://host"], "E413", "postgresql://"),
        (["--wrokers", "2"], "E510", "--workers"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_options(
    options: list[str], code: str, told: str, archdsl: Any, faulty_tasks: Path, tmp_path: Path
) -> None:
    """A diagnostic with its next step, before anything is begun."""
    file = written(tmp_path / "search")
    done = archdsl("search", file, "--out", tmp_path / "out", *options)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"error[{code}]"), done.err
    assert told in done.err, done.err
    assert not list((tmp_path / "out").glob("study.db*"))


def test_wrong_files_and_folders(archdsl: Any, faulty_tasks: Path, tmp_path: Path) -> None:
    """Searches that are not there, are none, or are broken; folders that can't be."""
    file = written(tmp_path)
    out = tmp_path / "out"
    assert "E501" in archdsl("search", tmp_path / "nothing.search", "--out", out).err
    assert "did you mean `tiny_cpu`?" in archdsl("search", "tiny_cp", "--out", out).err
    assert "E107" in archdsl("search", tmp_path / "mine.arch", "--out", out).err
    broken = written(tmp_path / "broken", text=SEARCH.replace("budget ", "bugdet ").replace("8 ..", "88 .."))
    done = archdsl("search", broken, "--out", out)
    assert done.status == 2
    assert "E402" in done.err
    assert "E406" in done.err
    assert not out.exists()
    for place in (file, file / "below"):
        done = archdsl("search", file, "--out", place)
        assert (done.status, done.err.startswith("error[E413]")) == (2, True), done.err
        assert str(place) in done.err, done.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken", "found.search", "mine.arch"]


def test_without_ray(tmp_path: Path) -> None:
    """Where it is not installed: said at once, with the command that installs it."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'ray':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Hide())\n"
    )
    path = os.pathsep.join([str(hidden), environment()["PYTHONPATH"]])
    file = written(tmp_path / "search")
    done = archdsl_process("search", file, "--out", tmp_path / "out", "--executor", "ray", PYTHONPATH=path)
    assert (done.returncode, done.stderr[:12]) == (2, "error[E506]:"), done.stderr
    assert "archdsl[ray]" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "study.db").exists()


def test_a_study_whose_executor_could_not_start_can_be_begun_again(
    archdsl: Any, faulty_tasks: Path, tmp_path: Path
) -> None:
    """Nothing was tried, so there is nothing that could be overwritten."""
    pytest.importorskip("ray")
    file = written(tmp_path / "search")
    out = tmp_path / "out"
    options = ("--executor", "ray", "--address", "localhost:1", "--results", tmp_path / "results")
    failed = archdsl("search", file, "--out", out, *options)
    assert failed.status == 2
    assert "E414" in failed.err
    done = archdsl("search", file, "--out", out, "--workers", 1, "--set", "budget=trials(1)")
    assert done.status == 0, done.err
    assert read_results(out).conditions["executor"] == "local"


def test_interrupted_in_the_middle(tmp_path: Path) -> None:
    """Ctrl-C leaves a report and the command that goes on; it does, and redoes one rung at most."""
    log = tmp_path / "epochs.log"
    file = written(tmp_path / "a search", f'slow(epochs = 4, seconds = 0.2, log = "{log}")')
    out = tmp_path / "its study"
    mark = f"ARCHDSL_TEST_MARK={os.getpid()}-{time.monotonic_ns()}"
    name, _, value = mark.partition("=")
    # A suite started in the background of a shell passes on that interrupts are ignored.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heed}; from archdsl.cli.main import main; main()"
    command = ["search", str(file), "--out", str(out), "--set", "budget=trials(200)"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *command],
        env=environment(**{name: value}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        seen = ""
        while not re.search(r"^trial \d complete", seen, re.M):
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            seen += line
        running = archdsl_process("report", out)
        assert running.returncode == 0, running.stderr
        assert "not finished; best so far: trial" in running.stdout
        os.killpg(process.pid, signal.SIGINT)
        rest, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "\x1b" not in rest
    assert "not finished; best so far" in rest
    assert (out / "report.html").is_file()
    assert descendants(mark) == []
    told = re.search(r"^interrupted; go on: archdsl (.*)$", errors, re.M)
    assert told is not None, errors
    recorded = {t.number: len(t.reports) for t in read_results(out).trials}

    arguments = shlex.split(told[1])
    assert arguments == ["search", str(file), "--out", str(out), "--resume", "--set", "budget=trials(200)"]
    resumed = archdsl_process(*arguments[:-1], f"budget=trials({len(recorded) + 1})")
    assert (resumed.returncode, resumed.stderr) == (0, ""), resumed.stderr
    results = read_results(out)
    assert results.finished
    assert len(results.trials) == len(recorded) + 1
    assert {t.state for t in results.trials} <= {State.COMPLETE, State.STOPPED}
    assert all(len(results.trials[n].reports) >= reports for n, reports in recorded.items())
    epochs = log.read_text(encoding="utf-8").splitlines()
    assert max(map(epochs.count, epochs)) <= 2
    assert (
        sum(epochs.count(e) - 1 for e in set(epochs)) <= 2 * 2
    )  # two workers, two epochs in the longest rung


def on_terminal(columns: int, *arguments: object) -> tuple[int, str]:
    """An `archdsl` on a terminal of that width: its status and all it printed."""
    pid, terminal = pty.fork()
    if pid == 0:
        command = [sys.executable, "-m", "archdsl", *map(str, arguments)]
        os.execvpe(sys.executable, command, environment(TERM="xterm-256color"))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    shown = b""
    try:
        while part := os.read(terminal, 1 << 16):
            shown += part
    except OSError:  # how Linux says that nobody is left on the other side
        pass
    finally:
        os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), shown.decode()


@pytest.mark.parametrize("columns", [100, 40])
def test_on_a_terminal(columns: int, tmp_path: Path) -> None:
    """The table is drawn and redrawn, wiped at the end, and the outcome stays, whatever the width."""
    file = written(tmp_path, "slow(epochs = 4, seconds = 0.2)")
    status, shown = on_terminal(
        columns, "search", file, "--out", tmp_path / "out", "--set", "budget=trials(3)", "--workers", 2
    )
    assert status == 0, shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1  # the cursor is back
    frames = [
        re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", f) for f in re.split(r"\x1b\[2K(?:\x1b\[1A\x1b\[2K)*", shown)
    ]
    assert any("of 4 epochs" in f and "━" in f for f in frames)
    assert any("best so far" in f for f in frames)
    live, last = frames[:-1], frames[-1]
    assert max(len(line) for f in live for line in f.splitlines()) <= columns
    assert max(f.count("\n") for f in live) <= 40
    assert last.startswith("the front: ")
    assert "winner: trial" in last
    assert last.endswith("\r\n")
    assert "best so far" not in last


class Noted:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.results: Results | None = None

    def began(self, plan: SearchPlan, known: Results) -> None:
        self.heard.append("began")

    def started(self, job: Job) -> None:
        self.heard.append(f"started {job.id}")

    def progressed(self, job_id: str, epoch: float) -> None:
        self.heard.append("progressed")

    def changed(self, trial: Trial) -> None:
        self.heard.append(f"{trial.state.value} {trial.number}")

    def claimed(self, claim: ClaimResult) -> None:
        self.heard.append("claimed")

    def said(self, text: str) -> None:
        self.heard.append("said")

    def ended(self, results: Results) -> None:
        self.heard.append("ended")
        self.results = results


def test_from_python(ended: Ended, faulty_tasks: Path, tmp_path: Path) -> None:
    """A study comes back, and holds what its folder holds; those who watch change nothing."""
    noted = Noted()
    settings = {"budget": "trials(3)"}
    watched = archdsl.search(
        ended.file, out=tmp_path / "watched", workers=1, settings=settings, watcher=noted
    ).results()
    alone = archdsl.search(ended.file, out=tmp_path / "alone", workers=1, settings=settings).results()
    assert [(t.state, t.changes, t.values) for t in watched.trials] == [
        (t.state, t.changes, t.values) for t in alone.trials
    ]
    assert watched.finished
    assert alone.finished
    assert watched.winner is not None
    stored = read_results(tmp_path / "watched")
    assert (stored.trials, stored.front, stored.winner) == (watched.trials, watched.front, watched.winner)
    assert (noted.heard[0], noted.heard[-1]) == ("began", "ended")
    assert {"started trial-0", "progressed", "started winner", "said"} <= set(noted.heard)
    assert noted.results is not None
    assert noted.results.trials == watched.trials


def repeated(folder: Path, row: dict[str, str]) -> dict[str, float]:
    """The scores that the command of a row prints."""
    command = shlex.split(row["run_once"])
    assert command[:2] == ["archdsl", "run-once"]
    done = archdsl_process(*command[1:], cwd=folder)
    assert done.returncode == 0, done.stderr
    scores: dict[str, float] = json.loads(done.stdout)["scores"]
    return scores


def test_a_row_can_be_done_again(tmp_path: Path) -> None:
    """The command of a row gives its values to the last bit: of a trial that is complete, of one that was
    stopped, both over two seeds."""
    pytest.importorskip("sklearn")
    written(tmp_path, text=DIGITS)
    search = archdsl_process("search", "found.search", "--out", "out", "--workers", 1, cwd=tmp_path)
    assert search.returncode == 0, search.stderr
    found = {r["state"]: r for r in rows(tmp_path / "out")}
    assert set(found) == {"complete", "stopped"}
    for state, row in found.items():
        assert "--seeds 2" in row["run_once"]
        again = repeated(tmp_path, row)
        assert {n: repr(v) for n, v in again.items()} == {n: row[n] for n in again}, state
        assert "accuracy" in again


@pytest.mark.slow
def test_every_row_can_be_done_again_and_the_winner_is_built(tmp_path: Path) -> None:
    """With mixers, dropped paths, moved images and one seed; the weights load."""
    text = DIGITS.replace("repeat   = seeds(2)", "maximize = accuracy").replace("trials(2)", "trials(3)")
    text = text.replace("= grid", "= random(seed = 0)").replace(
        "dim in one_of(8, 16)", "train.lr in 2e-3 .. 2e-2 log;  VARY"
    )
    text = text.replace("VARY", "s1.blocks in 2 x each one_of(attn, gated_conv, scan(state = 4))")
    text = text.replace("arch = mine", "arch = mine(drop_path = 0.2, image = 16)")
    written(tmp_path, text=text)
    search = archdsl_process("search", "found.search", "--out", "out", cwd=tmp_path)
    assert search.returncode == 0, search.stderr
    for row in rows(tmp_path / "out"):
        again = repeated(tmp_path, row)
        assert {n: repr(v) for n, v in again.items()} == {n: row[n] for n in again}, row
    told = re.search(r"^build it: archdsl (.*)$", search.stdout, re.M)
    assert told is not None
    assert "--weights" in told[1]
    built = archdsl_process(*shlex.split(told[1]), cwd=tmp_path)
    assert built.returncode == 0, built.stderr


def test_helps(archdsl: Any) -> None:
    """Each option is said in a sentence, and no line is broken in the middle of a paragraph."""
    for command, options in (
        ("search", ("--out", "--resume", "--executor", "--workers", "--set", "--quiet")),
        ("report", ("--out", "--storage")),
    ):
        done = archdsl(command, "--help")
        assert done.status == 0
        assert all(option in done.out for option in options)
        text = done.out.partition("Arguments")[0]
        lines = [line.strip() for line in text.splitlines()]
        short = [a for a, b in itertools.pairwise(lines) if a and b and len(a) < 50]
        assert short == []


@pytest.fixture(autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is left where tests are run from."""
    place = tmp_path_factory.mktemp("here")
    monkeypatch.chdir(place)
    yield
    assert list(place.iterdir()) == []


def test_a_cluster_that_is_not_there_leaves_no_results(
    archdsl: Any, faulty_tasks: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    file = written(tmp_path / "search")
    results = tmp_path / "results"
    options = ("--executor", "ray", "--results", results)
    done = archdsl("search", file, "--out", tmp_path / "out", *options, "--address", "localhost:1")
    assert done.status == 2
    assert "E414" in done.err
    assert not results.exists()


def test_results_that_can_not_be_written(archdsl: Any, faulty_tasks: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    (tmp_path / "taken").write_text("")
    options = ("--executor", "ray", "--results", tmp_path / "taken" / "results")
    done = archdsl("search", written(tmp_path / "search"), "--out", tmp_path / "out", *options)
    assert done.status == 2
    assert "E508" in done.err
    assert "Traceback" not in done.err
