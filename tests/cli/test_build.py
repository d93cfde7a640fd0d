"""`archdsl build`: a pass from spec to output."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import archdsl as package


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    Image.linear_gradient("L").resize((70, 50)).convert("RGB").save(path)
    return path


def test_prints_stages_with_cost_kernel_and_time(archdsl: Any, small: str) -> None:
    done = archdsl(
        "build", small, "--image", "32x48", "--classes", "7", "--device", "cpu", "--backend", "reference"
    )
    assert done.status == 0, done.err
    rows = {line.split()[0]: line for line in done.out.splitlines() if line.strip()}
    assert "32 x 48, batch 1, float32 on cpu, random input" in rows["small"]
    assert "2 x scan" in rows["s1"]
    assert "reference" in rows["s1"]
    assert "4 x 6" in rows["s1"]
    assert "torch" in rows["s2"]
    assert f"{package.load(small, classes=7, image=(32, 48)).cost().params:,}" in rows["total"]
    assert "output 1 x 7 " in done.out
    assert "weights are random" in done.out


def test_a_seed_settles_weights_and_input(archdsl: Any, small: str) -> None:
    def output(seed: int) -> str:
        out: str = archdsl("build", small, "--image", "32", "--device", "cpu", "--seed", seed).out
        return next(line for line in out.splitlines() if line.startswith("output"))

    assert output(1) == output(1) != output(2)


def test_photograph_batch_and_type(archdsl: Any, small: str, photo: Path) -> None:
    done = archdsl(
        "build",
        small,
        "--image",
        "32x48",
        "--input",
        photo,
        "--batch",
        2,
        "--dtype",
        "bfloat16",
        "--device",
        "cpu",
    )
    assert done.status == 0, done.err
    assert f"batch 2, bfloat16 on cpu, {photo}" in done.out
    assert "output 2 x 1000 " in done.out


def test_weights_go_out_and_come_back(archdsl: Any, small: str, tmp_path: Path) -> None:
    from safetensors import safe_open

    path = tmp_path / "small.safetensors"
    common = ("build", small, "--image", "32", "--device", "cpu")
    written = archdsl(*common, "--seed", 3, "--out", path)
    assert written.status == 0, written.err
    assert f"wrote {path}" in written.out
    with safe_open(path, "pt") as file:
        assert any("arch small" in text for text in file.metadata().values())
    read = archdsl(*common, "--seed", 3, "--weights", path)
    assert read.status == 0, read.err
    assert "tensors loaded" in read.err
    assert read.out.count("class ") >= 5


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--device", "tpu9"], "E510"),
        (["--device", "cuda:77"], "E510"),
        (["--backend", "fastest"], "E510"),
        (["--input", "{tmp}/none.jpg"], "E501"),
        (["--input", "{tmp}"], "E501"),
        (["--input", "{tmp}/text.jpg"], "E507"),
        (["--weights", "{tmp}/none.safetensors"], "E501"),
        (["--weights", "{tmp}/text.jpg"], "E502"),
        (["--out", "{tmp}/no/such/folder.safetensors"], "E508"),
        (["--out", "{tmp}"], "E508"),
        (["--input", "{tmp}/photo.jpg", "--set", "channels=1"], "E510"),
        (["--batch", "4096", "--image", "16384"], "E310"),
        (["--batch", "1000000"], "E510"),
        (["--set", "dim=900000", "--set", "s1.blocks=20 x attn(heads = 1)"], "E310"),
    ],
    ids=str,
)
def test_mistakes_are_told_before_anything_is_built(
    archdsl: Any, small: str, photo: Path, arguments: list[str], code: str
) -> None:
    (photo.parent / "text.jpg").write_text("bad\n")
    done = archdsl("build", small, "--image", "32", *(a.format(tmp=photo.parent) for a in arguments))
    assert done.status == 2
    assert f"error[{code}" in done.err
    assert "Traceback" not in done.err
    assert sorted(os.listdir(photo.parent)) == ["photo.jpg", "text.jpg"]


def test_a_picture_of_too_many_pixels_is_refused_unread(archdsl: Any, small: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (12_000, 12_000)).save(path)
    done = archdsl("build", small, "--input", path)
    assert done.status == 2
    assert done.err.startswith("error[E507]")
    assert "12000 x 12000" in done.err
