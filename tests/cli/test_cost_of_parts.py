"""`archdsl cost` of one architecture: classes, memory, sequences and bounds by stage."""

from __future__ import annotations

import json
from typing import Any

import pytest

import archdsl as package
from archdsl.graph.views.summary import size_text

DEVICE = ("--device", "h200", "--dtype", "bfloat16", "--batch", "64")


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def _row(lines: list[str], name: str, heading: str) -> list[str]:
    """The words of the row of that name under the heading that begins like this."""
    at = next(i for i, line in enumerate(lines) if line.split()[:2] == ["stage", heading])
    return next(line.split() for line in lines[at:] if line.startswith(f" {name} "))


def test_stages_by_class_and_memory(archdsl: Any) -> None:
    lines = _lines(archdsl("cost", "mambavision_t").out)
    cost = package.load("mambavision_t").cost()
    headings = ["linear", "conv", "attention", "training", "inference", "weights"]
    assert any(line.split() == ["stage", *headings, "L", ">", "6D"] for line in lines)
    third = _row(lines, "s3", "linear")
    assert third[-7:] == [*size_text(cost.stages[3].peak_bytes).split(), "36.4", "MiB", "196", "≤", "1,920"]
    assert third[-9:-7] == size_text(cost.stages[3].saved.of(1)).split()
    assert any(line.startswith("training with a checkpoint at every block keeps ") for line in lines)
    assert _row(lines, "s1", "linear")[-3:] == ["3,136", ">", "480"]
    assert _row(lines, "total", "linear")[-2:] == size_text(cost.weight_bytes).split()


def test_a_device_has_its_bounds_by_stage(archdsl: Any) -> None:
    lines = _lines(archdsl("cost", "vim_tiny", *DEVICE).out)
    assert "h200  NVIDIA H200 SXM 141 GB, bfloat16, 64 images" in lines
    assert any(line.split() == ["stage", "at", "least", "memory", "exponentials"] for line in lines)
    bound = package.load("vim_tiny").roofline("h200", dtype="bfloat16", batch=64)
    assert _row(lines, "total", "at")[1:3] == [f"{bound.total.seconds * 1e3:.3g}", "ms"]
    assert any(line.startswith("a bound, no prediction") for line in lines)
    several = _lines(archdsl("cost", "vim_tiny", "vit_ti", *DEVICE).out)
    assert next(line for line in several if line.startswith(" vim_tiny")).endswith(
        f"{bound.total.seconds * 1e3:.3g} ms"
    )


@pytest.mark.parametrize("columns", [40, 60, 80, 100])
def test_lines_stay_within_the_terminal(archdsl: Any, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out = archdsl("cost", "mambavision_t", *DEVICE).out
    assert max(map(len, out.splitlines())) <= columns
    assert "15.0 MiB" in out
    assert "1.21 ms" in out
    assert ("too narrow" in out) == (columns < 80)


def test_everything_is_in_the_json(archdsl: Any) -> None:
    (row,) = json.loads(archdsl("cost", "mambavision_t", *DEVICE, "--json").out)
    a = package.load("mambavision_t")
    cost, bound = a.cost(), a.roofline("h200", dtype="bfloat16", batch=64)
    assert row["peak_bytes"] == cost.peak_bytes
    assert row["weight_bytes"] == {"float32": cost.kept.size(), "bfloat16": cost.kept.size("bfloat16")}
    assert row["activation_bytes"] + row["activation_bytes_fixed"] == cost.saved.of(1)
    assert 0 < row["checkpointed"]["kept_bytes"] < row["checkpointed"]["peak_bytes"] < cost.saved.of(1)
    third = row["stages"][3]
    assert (third["name"], third["peak_bytes"]) == ("s3", cost.stages[3].peak_bytes)
    assert (third["tokens"], third["dim"], third["threshold"], third["long"]) == (196, 320, 1920, False)
    assert "tokens" not in row["stages"][0]
    found = row["roofline"]
    assert (found["device"], found["dtype"], found["batch"]) == ("h200", "bfloat16", 64)
    assert (found["seconds"], found["limit"]) == (bound.total.seconds, bound.total.limit)
    assert sum(found["seconds_by_limit"].values()) == pytest.approx(found["seconds"])
    assert [s["name"] for s in found["stages"]] == ["stem", "s1", "s2", "s3", "s4", "head"]
    assert len(found["blocks"]) == len(cost.rows)
    (without,) = json.loads(archdsl("cost", "mambavision_t", "--json").out)
    assert "roofline" not in without


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--device", "h20"),
         "error[E515]: no rates are known of a device `h20`\n   = help: did you mean `h200`?\n"),
        (("--device", "cpu-2core", "--dtype", "tf32"),
         "error[E515]: no rate of cpu-2core is known in `tf32`\n   = help: use one of float32, bfloat16\n"),
        (("--device", "h100", "--batch", "0"), "error[E510]: a batch holds at least 1 image, not 0\n"),
        (("--batch", "4"), "error[E510]: --batch says how a device runs\n"),
        (("--dtype", "bfloat16"), "error[E510]: --dtype says how a device runs\n"),
    ],
)  # fmt: skip
def test_mistakes(archdsl: Any, arguments: tuple[str, ...], said: str) -> None:
    done = archdsl("cost", "vim_tiny", *arguments)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(said)
