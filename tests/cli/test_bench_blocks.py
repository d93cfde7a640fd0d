"""`archdsl bench blocks`: tables of block times, and predictions from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from archdsl.cli.bench.block_report import spearman, summary
from archdsl.cli.bench.in_place import Marks, Passes, by_block, images_for, model_for
from archdsl.diagnostics import DiagnosticError
from archdsl.graph.block_times import BlockTimes, blocks_of, predict, read_block_times
from archdsl.graph.load import load

SEARCH = """\
search few {
  arch = tiny(dim = 8)
  vary {
    dim       in one_of(8, 16)
    s1.blocks in one_of(1, 2, 3, 4, 5) x gated_conv
    s2.blocks in 2 x each one_of(gated_conv, conv, attn)
  }
  task     = instant
  maximize = accuracy
  budget   = trials(4)
}
"""


@pytest.fixture(autouse=True, scope="module")
def threads() -> Iterator[None]:
    """The command sets torch's threads for the whole process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def search(tmp_path: Path) -> Path:
    path = tmp_path / "few.search"
    path.write_text(SEARCH, encoding="utf-8")
    return path


def test_every_block_of_a_search_is_measured_once_and_predicts(
    archdsl: Any, search: Path, tmp_path: Path
) -> None:
    table, out, svg = tmp_path / "cpu.json", tmp_path / "check.json", tmp_path / "check.svg"
    done = archdsl(
        "bench", "blocks", search, "--table", table, "--quick", "--check", 3, "--out", out, "--svg", svg
    )
    assert done.status == 0, done.err
    times = read_block_times(table)
    # of each width a stem, a downsample, a head, the block of s1, three kinds of blocks of s2
    assert len(times.blocks) == 2 * 7
    assert all(t.seconds > 0 and t.samples >= 3 for t in times.blocks.values())
    results = json.loads(out.read_text(encoding="utf-8"))
    assert {row["band"] for row in results["rows"]} == {False, True}
    assert all(row["predicted"] > 0 and row["measured"] > 0 for row in results["rows"])
    assert results["summary"]["all"]["architectures"] == 3
    assert ">predicted, ms<" in svg.read_text(encoding="utf-8")
    again = archdsl("bench", "blocks", search, "--table", table, "--quick")
    assert "14 blocks, 0 of them new" in again.out


def test_blocks_of_a_spec_are_added_to_a_table(archdsl: Any, search: Path, tmp_path: Path) -> None:
    table = tmp_path / "cpu.json"
    assert archdsl("bench", "blocks", "tiny", "--table", table, "--quick").status == 0
    one = len(read_block_times(table).blocks)
    assert predict(load("tiny"), read_block_times(table)).missing == ()
    assert archdsl("bench", "blocks", "tiny", "--table", table, "--quick", "--batch", 2).status == 0
    assert len(read_block_times(table).blocks) == 2 * one


def test_a_prediction_is_the_sum_and_tells_what_is_missing(tmp_path: Path) -> None:
    a = load("tiny")
    blocks = list(blocks_of(a, 1, "float32"))
    assert [b.path for b in blocks][:2] == ["stem", "stages.s1.blocks.0"]
    times = BlockTimes(device="cpu", name="a processor", threads=1, versions={})
    rows = {
        b.key: {"seconds": 0.25, "samples": 1, "block": b.name, "input": str(b.input)} for b in blocks[1:]
    }
    times = BlockTimes.model_validate({**times.model_dump(), "blocks": rows})
    found = predict(a, times)
    assert found.seconds == pytest.approx(0.25 * (len(blocks) - 1))
    assert [b.path for b in found.missing] == ["stem"]
    assert predict(a, times, batch=2).seconds == 0


def test_what_blocks_compute_and_receive_tells_them_apart() -> None:
    def keys(name: str, **params: object) -> set[str]:
        return {b.key for b in blocks_of(load(name, **params), 1, "float32")}

    assert keys("tiny") == keys("tiny")
    assert not keys("tiny", image=32) & (keys("tiny") - {b.key for b in _head("tiny")})
    assert len(keys("mamba_r_tiny")) < len(list(blocks_of(load("mamba_r_tiny"), 1, "float32")))


def _head(name: str) -> list[Any]:
    return [b for b in blocks_of(load(name), 1, "float32") if b.path == "head"]


@pytest.mark.parametrize("name", ["tiny", "hybrid", "mambavision_t"])
def test_a_pass_in_steps_computes_what_the_model_computes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    a = load(name, image=64 if name == "mambavision_t" else None or load(name).image)
    model, images = model_for(a, torch.float32, "cpu"), images_for(a, 1, torch.float32, "cpu")
    seen: list[torch.Tensor] = []
    assert model.head is not None
    model.head.register_forward_hook(lambda module, args, out: seen.append(getattr(out, "x", out)))
    rows = by_block(model, images, Marks("cpu", 1), Passes(1, 0.0))
    with torch.inference_mode():
        expected = model(images)
    assert all(torch.equal(x.reshape(expected.shape), expected) for x in seen)
    assert len(rows[0]) == len(list(blocks_of(a, 1, "float32")))
    assert min(rows[0]) > 0


def test_tables_of_other_machines_and_broken_ones_are_refused(archdsl: Any, tmp_path: Path) -> None:
    other = BlockTimes(device="cpu", name="another processor", threads=1, versions={"torch": "1.0"})
    table = tmp_path / "other.json"
    table.write_text(other.model_dump_json(), encoding="utf-8")
    done = archdsl("bench", "blocks", "tiny", "--table", table, "--quick")
    assert done.status == 2
    assert "E514" in done.err
    assert "another processor" in done.err
    assert json.loads(table.read_text(encoding="utf-8"))["blocks"] == {}
    for text in ("{", '{"format": "something"}', "[]"):
        table.write_text(text, encoding="utf-8")
        with pytest.raises(DiagnosticError, match="E514"):
            read_block_times(table)
    with pytest.raises(DiagnosticError, match="E514"):
        read_block_times(tmp_path / "none.json")


def test_wrong_options_are_mistakes(archdsl: Any, search: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.json"
    for options in (
        ("tiny", "--table", table, "--check", 3),
        ("tiny", "--table", table, "--dtype", "float8"),
        ("tiny", "--table", table, "--device", "tpu"),
    ):
        done = archdsl("bench", "blocks", *options)
        assert done.status == 2
        assert "E510" in done.err
        assert not table.exists()


def test_rank_correlation() -> None:
    assert spearman([1, 2, 3], [10, 20, 300]) == pytest.approx(1)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert spearman([1, 1, 2, 3], [1, 2, 3, 4]) == pytest.approx(0.9486832980505138)
    rows = [
        {"predicted": 1.0, "measured": 1.0, "macs": 3, "band": False},
        {"predicted": 2.2, "measured": 2.0, "macs": 2, "band": False},
    ]
    (one,) = summary(rows).values()
    assert isinstance(one, dict)
    assert (one["median_error"], one["spearman"], one["spearman_of_macs"]) == (0.05, 1.0, -1.0)
