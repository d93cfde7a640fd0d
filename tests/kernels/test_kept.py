"""Tests of kernels that earlier processes passed: which are taken at their word, and which are made again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from archdsl.kernels.ladder import LADDERS, Candidate, Ladder
from archdsl.kernels.proof import Measured
from archdsl.kernels.selective_scan import Call

ERRORS = {"right": 1e-6, "wrong": 1.0}
REFERENCE: Candidate[Any, str] = Candidate("reference", lambda: None, lambda call: None, lambda: "right")
MINE: Candidate[Any, str] = Candidate(
    "mine", lambda: None, lambda call: None, lambda: "right", (), lambda: "my compiler"
)
CALL = Call("cpu", torch.float32, 1, 8, 4, 2)


class Process:
    """A ladder as another process would have it, and how many tests it made."""

    def __init__(self, candidate: Candidate[Any, str] = MINE, operator: str = "sum") -> None:
        self.tests = 0
        self.ladder = Ladder(operator, (candidate, REFERENCE), self.prove, lambda *place: CALL)
        LADDERS.remove(self.ladder)

    def prove(self, kernel: str, call: Any, supports: Any) -> Iterator[Measured]:
        self.tests += 1
        yield Measured("y", ERRORS[kernel], 1e-4)

    def serves(self, call: Call = CALL) -> tuple[str, int]:
        """Which kernel, and the number of tests so far."""
        return self.ladder.choose(call).name, self.tests


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    return tmp_path


def test_a_passed_test_is_made_once() -> None:
    first = Process()
    assert first.serves() == ("mine", 1)
    second = Process()
    assert second.serves() == ("mine", 0)
    assert second.ladder.proof(MINE, CALL) == first.ladder.proof(MINE, CALL)


def test_what_it_depends_on_is_in_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    Process().serves()
    assert Process(replace(MINE, origin=lambda: "another compiler")).serves() == ("mine", 1)
    assert Process(replace(MINE, name="other")).serves() == ("other", 1)
    assert Process(operator="product").serves() == ("mine", 1)
    assert Process().serves(CALL._replace(dtype=torch.bfloat16)) == ("mine", 1)
    assert Process().serves(CALL._replace(layout="bdl")) == ("mine", 1)
    with monkeypatch.context() as other:
        other.setattr(torch, "__version__", "9.9")
        assert Process().serves() == ("mine", 1)
    assert Process().serves() == ("mine", 0)


@pytest.mark.filterwarnings("ignore::archdsl.kernels.candidate.KernelWarning")
def test_a_failure_is_not_kept() -> None:
    wrong = replace(MINE, load=lambda: "wrong")
    assert Process(wrong).serves() == ("reference", 1)
    assert Process(wrong).serves() == ("reference", 1)
    assert Process().serves() == ("mine", 1)


@pytest.mark.filterwarnings("ignore::archdsl.kernels.candidate.KernelWarning")
def test_a_kernel_that_was_put_in_is_tested() -> None:
    Process().serves()
    process = Process()
    with process.ladder.with_candidates(replace(MINE, load=lambda: "wrong")):
        assert process.serves() == ("reference", 1)
    assert process.serves() == ("mine", 1)


def test_one_without_an_origin_is_tested() -> None:
    def broken() -> str:
        raise ImportError

    for origin in (None, lambda: "", broken):
        for _ in range(2):
            assert Process(replace(MINE, origin=origin)).serves() == ("mine", 1)


def test_other_devices_are_tested() -> None:
    for _ in range(2):
        assert Process().serves(CALL._replace(device="meta")) == ("mine", 1)


@pytest.mark.parametrize("content", [b"", b"[]", b'["y", 1, 1e-4, 1]', b'["y", NaN, 1e-4, 1]', b"\xff"])
def test_a_file_that_is_none_counts_as_none(folder: Path, content: bytes) -> None:
    from archdsl.kernels import cache

    Process().serves()
    (path,) = folder.rglob("proof-*")
    path.write_bytes(content)
    assert Process().serves() == ("mine", 1)
    cache.write(path.name, content)
    assert Process().serves() == ("mine", 1)
    assert Process().serves() == ("mine", 0)


def test_doubt_makes_all_tests_again() -> None:
    Process().serves()
    process = Process()
    process.ladder.doubt()
    assert process.serves() == ("mine", 1)
    assert process.serves() == ("mine", 1)
