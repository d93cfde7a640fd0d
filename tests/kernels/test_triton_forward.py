"""The forward of the selective scan in Triton: numbers under the interpreter, compilation for GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from assembled import assembled
from interpreted import errors_of

from archdsl.kernels.launch import Launch
from archdsl.kernels.selective_scan.inputs import Inputs, empty

pytest.importorskip("triton", reason="needs Triton")

SCRIPT = Path(__file__).with_name("interpreted_forward.py")
ROOT = Path(__file__).parents[2]
CASES = (
    "plain",
    "from the end, two images",
    "two blocks of channels",
    "many states",
    "split",
    "split along paths",
    "split, steps last",
    "mean along paths, steps last",
    "steps last",
    "steps last, no whole tiles",
    "add, bare",
    "one route, added",
    "shared sequence",
    "one step",
    "one state",
    "a block of everything",
    "bfloat16",
    "bfloat16, merged",
    "bfloat16, steps last",
    "float16",
    "nothing saved",
    "polynomial",
    "awkward numbers",
)
TYPES = {"bfloat16": 8e-3, "float16": 1e-3}
"""One rounding: the interpreter cuts bfloat16 off instead of rounding it."""

A_SPILL = 16
"""Bytes of a thread in memory that are no matter."""
SPILLS = 64
"""What the rarest forms may have of them."""


@pytest.fixture(scope="module")
def errors() -> dict[str, dict[str, float]]:
    """What the script printed, in one process for all cases."""
    return errors_of(SCRIPT)


def test_all_cases_under_the_interpreter(errors: dict[str, dict[str, float]]) -> None:
    assert tuple(errors) == CASES


@pytest.mark.parametrize("case", CASES)
def test_outputs_are_those_of_the_reference_in_float64(
    errors: dict[str, dict[str, float]], case: str
) -> None:
    allowed = TYPES.get(case.split(",", maxsplit=1)[0], 1e-5)
    wrong = {name: error for name, error in errors[case].items() if not error <= allowed}
    wrong |= {name: error for name, error in errors[case].items() if name == "states" and not error <= 1e-5}
    assert wrong == {}


class Size(NamedTuple):
    """What the choice of kernels depends on: two routes of b images, l steps, 384 channels, n states."""

    dtype: torch.dtype
    state: int
    batch: int = 128
    length: int = 208
    merge: str = "none"
    layout: str = "bld"
    paths: bool = False
    saves: bool = True
    full: bool = True


def launches(size: Size) -> list[Launch]:
    """The launches of a scan on no device, B and C as slices of one projection."""
    from archdsl.kernels.selective_scan.triton import forward

    nothing = torch.empty(0, device="meta")
    images = (size.batch, size.length, 384)

    def sequence(*shape: int) -> torch.Tensor:
        return empty(shape, size.dtype, size.layout, nothing)

    def parameter(*shape: int) -> torch.Tensor:
        return nothing.new_empty(shape)

    projected = nothing.new_empty((2, *images[:2], 24 + 2 * size.state), dtype=size.dtype)
    x = Inputs(
        sequence(2, *images),
        sequence(2, *images),
        parameter(2, 384, size.state),
        projected[..., 24 : 24 + size.state],
        projected[..., 24 + size.state :],
        parameter(2, 384) if size.full else None,
        sequence(*(images if size.merge != "none" else (2, *images))) if size.full else None,
        parameter(2, 384) if size.full else None,
        nothing.new_empty((2, size.length), dtype=torch.int64) if size.paths else None,
        size.full,
        (False, True),
        size.merge,
        size.layout,
    )
    return forward.plan(x, size.saves)[1]


@pytest.mark.parametrize(
    ("capability", "dtype"), [(80, torch.float32), (90, torch.bfloat16), (100, torch.float16)], ids=str
)
def test_every_kernel_compiles_without_a_device(
    capability: int, dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    split = launches(Size(dtype, 16, batch=1, length=1024, merge="mean"))
    assert [launch.kernel.__name__ for launch in split] == ["scan", "carry", "scan", "merge"]
    for launch in split:
        assert assembled(launch, capability, tmp_path).stack <= A_SPILL


def test_sizes_of_one_compile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton makes constants of them."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    for launch in launches(Size(torch.bfloat16, 1, batch=1, length=1, merge="add")):
        assert assembled(launch, 90, tmp_path).stack == 0


@pytest.mark.parametrize(
    "size",
    [
        Size(torch.bfloat16, 16),
        Size(torch.bfloat16, 16, layout="bdl"),
    ],
    ids=["channels last", "steps last"],
)
def test_threads_keep_their_states_and_exchange_nothing(
    size: Size, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    (launch,) = launches(size)
    found = assembled(launch, 90, tmp_path)
    assert found._replace(registers=0) == (0, 0, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("state", [1, 5, 16, 64, 512])
def test_every_kernel_compiles_in_every_form(
    capability: int, dtype: torch.dtype, state: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    for size in (
        Size(dtype, state),
        Size(dtype, state, length=197, saves=False),
        Size(dtype, state, full=False),
        Size(dtype, state, paths=True),
        Size(dtype, state, layout="bdl"),
        Size(dtype, state, layout="bdl", length=197, merge="add"),
        Size(dtype, state, batch=1, length=1024),
        Size(dtype, state, batch=1, length=1),
    ):
        for launch in launches(size):
            assert assembled(launch, capability, tmp_path).stack <= SPILLS, size
