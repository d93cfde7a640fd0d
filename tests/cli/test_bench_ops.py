"""`archdsl bench ops`: peers, correctness before times, runs that were broken off."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from archdsl.cli.bench.groups import Group, measured
from archdsl.cli.bench.journal import Journal
from archdsl.cli.bench.ours import exact
from archdsl.cli.bench.parts import LEFT_OUT
from archdsl.cli.bench.peers import cpp, published, torch_loop, torch_runs
from archdsl.cli.bench.problems import Shape, problem, worst
from archdsl.cli.bench.timing import Plan, clock, in_turns
from archdsl.cli.main import run

TINY = ("--quick", "--no-starts", "--shape", "1,16,2,33")
SOURCE = """
import a_module_that_is_nowhere

def selective_scan_ref(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
    delta = F.softplus(delta + delta_bias[:, None])
    h, rows = torch.zeros(u.shape[0], *A.shape), []
    for t in range(u.shape[2]):
        h = torch.exp(delta[:, :, t, None] * A) * h + (delta * u)[:, :, t, None] * B[:, None, :, t]
        rows.append((h * C[:, None, :, t]).sum(-1))
    return (torch.stack(rows, 2) + D[:, None] * u) * F.silu(z)
"""


@pytest.fixture(autouse=True, scope="module")
def threads() -> Iterator[None]:
    """The commands set torch's threads for the whole process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without a C++ compiler."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    cpp.missing.cache_clear()
    yield
    cpp.missing.cache_clear()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a tiny run writes, with its picture."""
    folder = tmp_path_factory.mktemp("bench")
    out, svg = folder / "results" / "scan.json", folder / "images" / "scan.svg"
    assert run(["bench", "ops", "--out", str(out), "--svg", str(svg), *TINY]) == 0
    assert list(out.parent.iterdir()) == [out]
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found | {"svg": svg.read_text(encoding="utf-8")}


def test_results_name_machine_versions_and_date(results: dict[str, Any]) -> None:
    assert {"date", "machine", "versions", "threads", "rounds", "peers", "what"} <= set(results)
    assert {"torch", "numba", "transformers", "mambapy"} <= set(results["versions"])
    assert "processor time of one thread" in results["what"]


def test_every_way_is_timed_or_has_a_reason(results: dict[str, Any]) -> None:
    assert len(results["scans"]) == 4
    for row in results["scans"]:
        assert {*row["milliseconds"], *row["not_run"]} == set(results["peers"])
        assert all(time["low"] <= time["median"] <= time["high"] for time in row["milliseconds"].values())
        assert all(row["not_run"].values())
        times = row["milliseconds"]
        for name, ratio in row["ratios"].items():
            assert ratio == pytest.approx(
                times[name]["median"] / times[results["against"]]["median"], rel=0.1
            )
    ours = [name for name, peer in results["peers"].items() if peer["what"].startswith("archdsl")]
    assert {"reference, bld", "reference, bdl"} <= set(ours) <= set(results["scans"][0]["milliseconds"])
    assert results["wrong"] == []


def test_both_directions_are_timed_in_every_way(results: dict[str, Any]) -> None:
    wanted = {"one direction", "both, one call", "both, two calls", "both, flips", "both, flips, bdl"}
    assert [set(row["milliseconds"]) for row in results["both_directions"]] == [wanted, wanted]


def test_parts_of_a_scan_are_timed(results: dict[str, Any]) -> None:
    assert [set(row["milliseconds"]) for row in results["parts"]["scans"]] == [set(LEFT_OUT)]


def test_limits_are_measured(results: dict[str, Any]) -> None:
    assert results["limits"]["exponentials_per_second"].get("numba", 1e9) > 1e8
    assert all(rate > 1e8 for rate in results["limits"]["bytes_copied_per_second"].values())


def test_the_picture_shows_all(results: dict[str, Any]) -> None:
    for name in results["scans"][0]["milliseconds"]:
        assert f">{name}<" in results["svg"]


@pytest.mark.usefixtures("no_compiler")
def test_those_that_are_missing_are_listed_with_a_command(
    archdsl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "find_spec", lambda name: None)
    out = tmp_path / "out.json"
    done = archdsl("bench", "ops", "--out", out, *TINY)
    assert done.status == 0, done.err
    peers = json.loads(out.read_text())["peers"]
    assert "g++" in peers["C++"]["missing"]
    assert "--fetch" in peers["mamba_ssm reference"]["missing"]
    for name in ("transformers", "mambapy"):
        assert "pip install 'archdsl[bench]'" in peers[name]["missing"]
        assert f"not here: {name}" in done.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--shape", "1,16,2"), "four numbers"),
        (("--shape", "1,16,2,0"), "four numbers"),
        (("--mamba-ssm", "nowhere.tar.gz"), "there is no file nowhere.tar.gz"),
    ],
)
def test_mistakes_are_told(archdsl: Any, options: tuple[str, ...], said: str) -> None:
    done = archdsl("bench", "ops", *options)
    assert done.status == 2
    assert said in done.err


@pytest.mark.parametrize("shape", [Shape(2, 32, 5, 70), Shape(1, 16, 16, 32), Shape(1, 48, 1, 3)], ids=str)
def test_peers_of_our_own_are_right(shape: Shape) -> None:
    x = problem(shape, torch.float32)
    true = exact(x)
    peers = [torch_loop.loop_peer(), torch_runs.runs_peer()]
    if shutil.which("g++"):
        peers += [cpp.cpp_peer(1), cpp.cpp_peer(2)]
    for peer in peers:
        assert peer.missing() == ""
        ready = peer.prepare(x)
        assert worst((ready.forward(),), (true.forward(),)) < 2e-6, peer.name
        assert worst(ready.both(), true.both()) < 5e-6, peer.name


def test_the_reference_of_mamba_ssm_is_taken_out_of_its_source(tmp_path: Path) -> None:
    archive = tmp_path / "mamba_ssm-0.tar.gz"
    with tarfile.open(archive, "w:gz") as opened:
        entry = tarfile.TarInfo(f"mamba_ssm-0/{published.INTERFACE}")
        entry.size = len(SOURCE.encode())
        opened.addfile(entry, io.BytesIO(SOURCE.encode()))
    source = published.source_of_mamba_ssm(archive, fetch=False)
    x = problem(Shape(2, 6, 3, 20), torch.float32)
    ready = published.mamba_ssm_peer(source).prepare(x)
    assert worst((ready.forward(),), (exact(x).forward(),)) < 2e-6
    assert worst(ready.both(), exact(x).both()) < 5e-6
    assert published.mamba_ssm_peer(source).refuses(problem(Shape(1, 2, 1, 300), torch.float32), "both")


def test_what_is_wrong_is_not_timed() -> None:
    x = torch.ones(3)
    ways = {
        "right": lambda: (x,),
        "off": lambda: (x + 1e-3,),
        "not a number": lambda: (x / 0 * 0,),
        "raises": lambda: (torch.zeros(2) @ torch.zeros(3),),
    }
    row = measured(
        Group(dict(ways)), lambda name: (x,), 1e-4, partial(in_turns, plan=Plan(2, 0.1), now=clock(1))
    )
    assert set(row["milliseconds"]) == {"right"}  # type: ignore[call-overload]
    assert set(row["not_run"]) == {"off", "not a number", "raises"}  # type: ignore[call-overload]


def test_ways_are_called_in_turns() -> None:
    called: list[str] = []
    ways = {name: lambda n=name: (called.append(n), time.sleep(0.2)) for name in "ab"}
    times = in_turns(ways, Plan(3, 60), time.perf_counter)
    assert "".join(called).endswith("ababab")
    assert all(t.samples == 3 and t.low >= 0.2 for t in times.values())


@pytest.mark.usefixtures("no_compiler")
def test_a_run_that_was_killed_goes_on(archdsl: Any, tmp_path: Path) -> None:
    out, part = tmp_path / "scan.json", tmp_path / "scan.json.part"
    command = [sys.executable, "-m", "archdsl", "bench", "ops", "--out", str(out), *TINY]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not part.exists() or part.read_text().count("\n") < 3:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not out.exists()
    kept = [json.loads(line) for line in part.read_text().splitlines(keepends=True) if line.endswith("\n")][
        1:
    ]
    with part.open("a") as file:
        file.write('{"key": "torn, with no end of li')
    done = archdsl("bench", "ops", "--out", out, *TINY)
    assert done.status == 0, done.err
    assert "going on" in done.err
    results = json.loads(out.read_text())
    assert results["limits"] == kept[0]["row"]
    assert kept[1]["row"].items() <= results["scans"][0].items()
    assert not part.exists()


def test_a_part_of_another_run_is_begun_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "o.json"
    Journal({"shapes": [1]}, out).row("a", lambda: {"value": 1})
    assert Journal({"shapes": [1]}, out).row("a", lambda: {"value": 2}) == {"value": 1}
    assert "going on" in capsys.readouterr().err
    assert Journal({"shapes": [2]}, out).row("a", lambda: {"value": 3}) == {"value": 3}
    assert "another run" in capsys.readouterr().err


@pytest.mark.skipif(bool(cpp.missing()), reason="needs g++")
def test_the_cpp_of_the_bench_leaves_subnormal_numbers_alone() -> None:
    cpp.library()
    assert float(torch.full((64,), 1e-40).mul(1.0).sum()) > 0
    assert 5e-324 * 1.0 > 0
