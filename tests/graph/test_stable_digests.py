"""Digests are the same everywhere and change with their version only; none of many are equal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import shipped_digests

from archdsl.diagnostics import Source
from archdsl.graph.digest import VERSION
from archdsl.graph.variation import Base, Sight
from archdsl.graph.walk import Opening, Section, Walk
from archdsl.lang import parse_expression

STORED = json.loads(shipped_digests.FILE.read_text(encoding="utf-8"))


def test_those_of_shipped_architectures_are_the_stored_ones() -> None:
    assert STORED["version"] == VERSION
    assert shipped_digests.digests() == STORED["digests"], "see `make digests`"


def test_changed_digests_are_stored_with_a_new_version_only() -> None:
    old = {"a": ["x3:1", "t"], "b": ["x3:2", "t"]}
    new = {"a": ["x3:9", "t"], "c": ["x3:4", "t"]}
    assert "first that of a" in shipped_digests.mistake(old, new, VERSION)
    assert not shipped_digests.mistake(old, new, "x2")
    assert not shipped_digests.mistake(old, {**old, "c": ["x3:4", "t"]}, VERSION)


SOME = ("digits_hybrid", "hybrid", "mamba_r_tiny", "mambavision_t", "vim_tiny")


@pytest.mark.parametrize("seed", ["0", "1", "4294967295"])
def test_the_same_in_every_process(seed: str) -> None:
    code = (
        f"import json, shipped_digests\nprint(json.dumps(shipped_digests.digests({SOME!r}), sort_keys=True))"
    )
    paths = [str(Path(shipped_digests.__file__).parent), *sys.path]
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert json.loads(found) == {name: STORED["digests"][name] for name in SOME}


TERMS = ("scan", "scan(state = 8)", "scan(order = both)", "gated_conv", "gated_conv(ratio = 1 / 4)", "conv",
         "attn(heads = 2)", "attn(heads = 4)", "window_attn(heads = 2, window = 2)", "linear_attn(heads = 2)",
         "metaformer(linear)", "scan(conv = 3)", "scan(expand = 1)", "metaformer(gelu)",
         "residual(conv1d(3))", "residual(conv1d(5))")  # fmt: skip
DIMS = (16, 24, 32, 48, 64, 80, 96, 112)
STAGES = ("s1", "s2", "s3", "s4")
LONGEST = 4


def drawn(count: int, rng: Random) -> Iterator[tuple[int, Walk, list[tuple[Opening, list[Section]]]]]:
    """Different points of a space of 2 x 10^20 architectures: a number that tells each, and its stretches."""
    sight = Sight.of(Source("none", ""), None, [], [])
    rows = [row for length in range(1, LONGEST + 1) for row in _rows(length)]
    for dim in DIMS:
        call = parse_expression(Source("call", f"tiny_stages(dim = {dim})"))
        walk = Base.of(call, sight, {}).walk([])
        openings: list[Opening] = []
        for stage in STAGES:
            openings.append(walk.opening(stage, [], openings[-1].output if openings else walk.start))
        known = {
            (stage, term): walk.block(stage, [], opening, parse_expression(Source(term, term)))
            for stage, opening in zip(STAGES, openings, strict=True)
            for term in TERMS
        }
        for number in {rng.randrange(len(rows) ** len(STAGES)) for _ in range(count // len(DIMS))}:
            left, stages = number, []
            for stage, opening in zip(STAGES, openings, strict=True):
                left, at = divmod(left, len(rows))
                stages.append((opening, [known[stage, TERMS[term]] for term in rows[at]]))
            yield number * len(DIMS) + DIMS.index(dim), walk, stages


def _rows(length: int) -> Iterator[tuple[int, ...]]:
    if length == 0:
        yield ()
    else:
        yield from ((*row, term) for row in _rows(length - 1) for term in range(len(TERMS)))


def no_two_are_equal(count: int) -> None:
    numbers: set[int] = set()
    digests: set[bytes] = set()
    for number, walk, stages in drawn(count, Random(0)):
        head = walk.head(stages[-1][0].output)
        numbers.add(number)
        digests.add(bytes.fromhex(walk.digest(stages, head).removeprefix(f"{VERSION}:")))
    assert len(numbers) == len(digests) == count


def test_no_two_of_many_architectures_have_one_digest() -> None:
    no_two_are_equal(8_000)


@pytest.mark.slow
def test_no_two_of_a_million_architectures_have_one_digest() -> None:
    no_two_are_equal(1_000_000)
