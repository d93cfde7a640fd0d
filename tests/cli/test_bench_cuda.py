"""`archdsl bench --device cuda --all`: its logic, on the CPU with a clock in the place of CUDA's events."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from archdsl.cli.bench.cuda import models, peers
from archdsl.cli.bench.cuda.report import show
from archdsl.cli.bench.cuda.roofline import Device, bounds, known, least_seconds
from archdsl.cli.bench.cuda.run import MODELS, SHAPES, DeviceRun
from archdsl.cli.bench.cuda.timing import rounds
from archdsl.cli.bench.journal import Journal
from archdsl.cli.bench.problems import Shape
from archdsl.cli.bench.timing import Plan
from archdsl.kernels.ladder import Candidate
from archdsl.kernels.selective_scan import LADDER, Kernel

H200 = Device("an H200 as measured by others", 4.3e12, 33.5e12, 132 * 1.98e9 * 16)
SPEC = """\
arch small(dim = 32) {
  stem = patch_embed(16, dim)
  stage s1 { blocks = 1 x scan(order = both, state = 4) }
  head = pool(mean) -> linear(classes)
}
"""


def wall(way: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


@pytest.fixture
def on_cpu(tmp_path: Path) -> DeviceRun:
    """A small run on the CPU."""
    spec = tmp_path / "small.arch"
    spec.write_text(SPEC, encoding="utf-8")
    journal = Journal({"run": 1}, tmp_path / "gpu.json")
    shapes = (Shape(1, 32, 4, 20),)
    return DeviceRun("cpu", {"name": "none"}, H200, shapes, (str(spec),), 2, 32, Plan(2), wall, journal)


@pytest.mark.parametrize(
    ("shape", "microseconds", "by", "backward"),
    [
        (Shape(128, 384, 16, 197), (18.4, 41.7, 20.8), "special", 65),
        (Shape(64, 384, 16, 1024), (47.8, 108, 54), "special", 169),
        (Shape(64, 384, 1, 3136), (144, 55, 28), "memory", 287),
    ],
)
def test_the_roofline_is_arithmetic(
    shape: Shape, microseconds: tuple[float, ...], by: str, backward: float
) -> None:
    found = bounds(shape, 2, "forward", H200)
    assert [1e6 * s for s in found] == pytest.approx(microseconds, rel=0.02)
    assert found.by == by
    back = bounds(shape, 2, "backward", H200)
    assert 1e6 * back.seconds == pytest.approx(backward, rel=0.02)
    assert least_seconds(shape, 2, "both", H200) == found.seconds + back.seconds


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NVIDIA H200", "H200"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA A100-SXM4-40GB", "A100-SXM4-40GB"),
        ("NVIDIA A100 80GB PCIe", "A100"),
    ],
)
def test_devices_are_known_by_their_names(name: str, expected: str) -> None:
    found = known(name)
    assert found is not None
    assert found.name == expected
    assert known("NVIDIA T4") is None


def test_lengths_and_models_are_those_asked_for(on_cpu: DeviceRun) -> None:
    assert {s.length for s in SHAPES} >= {197, 1024, 4096}
    assert set(MODELS) == {"mamba_r_base", "mambavision_t"}
    items = dataclasses.replace(on_cpu, shapes=SHAPES, models=MODELS).items()
    assert len({item.key for item in items}) == len(items)
    kinds = [item.kind for item in items]
    assert kinds == sorted(kinds, key=["proof", "scan", "both directions", "mixer", "model"].index)
    for kind in ("scan", "both directions", "mixer"):
        assert {(i.dtype, i.which) for i in items if i.kind == kind} == {
            (d, w) for d in ("float32", "bfloat16") for w in ("forward", "both")
        }


def test_everything_runs_once_and_goes_on(on_cpu: DeviceRun, monkeypatch: pytest.MonkeyPatch) -> None:
    results = on_cpu.run()
    assert results["wrong"] == []
    kinds = [row["kind"] for row in results["timed"]]
    assert kinds == ["scan"] * 4 + ["both directions"] * 4 + ["mixer"] * 4 + ["model"] * 2
    for row in results["timed"]:
        assert row["milliseconds"]["archdsl"]["median"] > 0
    scan = results["timed"][0]
    assert peers.FN in {**scan["milliseconds"], **scan["not_run"]}
    assert 0 < scan["share_of_roofline"]["archdsl"] < 1
    assert results["timed"][-1]["images_per_second"]["archdsl"] > 0
    show(results)

    def no_more(self: DeviceRun, item: object) -> None:
        raise AssertionError(f"{item} is measured again")

    monkeypatch.setattr(DeviceRun, "_measure", no_more)
    again = dataclasses.replace(on_cpu, journal=Journal({"run": 1}, on_cpu.journal.out)).run()
    assert again["timed"] == results["timed"]
    on_cpu.journal.finish(results)
    assert on_cpu.journal.out is not None
    assert json.loads(on_cpu.journal.out.read_text())["timed"] == results["timed"]


def test_a_wrong_kernel_is_named_before_anything_is_timed(on_cpu: DeviceRun) -> None:
    def load() -> Kernel:
        right = LADDER.candidates[-1].load()
        return Kernel(lambda x, saves: (o := right.forward(x, saves))._replace(y=2 * o.y), right.backward)

    planted = Candidate("planted", lambda: None, lambda call: None, load, devices=("cpu",))
    with LADDER.with_candidates(planted):
        results = dataclasses.replace(on_cpu, shapes=(), models=()).run()
    assert any("planted" in text and "off by" in text for text in results["wrong"])


def test_a_batch_that_does_not_fit_is_halved(on_cpu: DeviceRun, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def measured(model: str, which: str, batch: int, *rest: Any) -> dict[str, object]:
        sizes.append(batch)
        if batch > 4:
            raise torch.OutOfMemoryError
        return {"batch": batch}

    monkeypatch.setattr(models, "_measured", measured)
    assert models.measure("m", "training", 16, None, "cpu", lambda ways: {}) == {"batch": 4}
    assert sizes == [16, 8, 4]


def test_samples_are_taken_in_turns_after_a_warm_up() -> None:
    called: list[str] = []
    ways = {name: lambda n=name: called.append(n) for name in "ab"}
    found = rounds(ways, Plan(2), wall)
    assert "".join(called) == "aaabbb" + "abab"
    assert all(t.samples == 2 for t in found.values())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("options", [("--device", "cuda", "--all")])
def test_without_a_device_it_says_so(archdsl: Any, options: tuple[str, ...]) -> None:
    done = archdsl("bench", *options)
    assert done.status == 2
    assert "error[E510]: there is no CUDA device" in done.err


@pytest.mark.parametrize("options", [("--device", "tpu", "--all"), ("--device", "cuda"), ("--all",)])
def test_other_ways_to_ask_are_refused(archdsl: Any, options: tuple[str, ...]) -> None:
    done = archdsl("bench", *options)
    assert done.status == 2
    assert "archdsl bench --device cuda --all" in done.err
