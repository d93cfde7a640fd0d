"""The depthwise convolution in Triton: numbers under the interpreter, compilation for GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from assembled import assembled
from interpreted import errors_of

from archdsl.kernels.conv1d import Inputs
from archdsl.kernels.launch import Launch

pytest.importorskip("triton", reason="needs Triton")

SCRIPT = Path(__file__).with_name("interpreted_conv1d.py")
ROOT = Path(__file__).parents[2]
CASES = (
    "causal",
    "from the end",
    "two directions, taps behind",
    "more than one tile",
    "along paths",
    "a sequence for each route",
    "bare",
    "one step",
    "one tap",
    "many taps",
    "bfloat16",
    "float16",
)
FEW = 32
"""Bytes of a thread's stack: in some forms the assembler moves a few numbers there though registers are left,
to have room for more warps."""
TYPES = {"bfloat16": 1.6e-2, "float16": 2e-3}
"""Two roundings: the interpreter cuts bfloat16 off instead of rounding it."""


@pytest.fixture(scope="module")
def errors() -> dict[str, dict[str, float]]:
    """What the script printed, in one process for all cases."""
    return errors_of(SCRIPT)


def test_all_cases_under_the_interpreter(errors: dict[str, dict[str, float]]) -> None:
    assert tuple(errors) == CASES


@pytest.mark.parametrize("case", CASES)
def test_results_and_gradients_are_those_of_the_reference_in_float64(
    errors: dict[str, dict[str, float]], case: str
) -> None:
    allowed = TYPES.get(case, 1e-5)
    assert {name: error for name, error in errors[case].items() if not error <= allowed} == {}


def launches(dtype: torch.dtype, taps: int, *, batch: int = 128, length: int = 197) -> list[Launch]:
    """Forward and backward on no device: with paths and everything, then with as little as can be."""
    from archdsl.kernels.conv1d.triton.launches import plan, plan_backward

    def room(*size: int, type_: torch.dtype = dtype) -> torch.Tensor:
        return torch.empty(size, dtype=type_, device="meta")

    x, weight = room(batch, length, 384), room(2, 384, taps)
    full = Inputs(x, weight, room(2, 384), 0, True, (False, True), room(2, length, type_=torch.int64))
    bare = Inputs(x, weight, None, taps - 1, False, (True, True), None)
    dout = room(2, batch, length, 384)
    return [launch for given in (full, bare) for launch in (plan(given)[1], *plan_backward(dout, given)[1])]


@pytest.mark.parametrize(
    ("capability", "dtype"), [(80, torch.float32), (90, torch.bfloat16), (100, torch.float16)], ids=str
)
def test_every_kernel_compiles_without_a_device(
    capability: int, dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    found = launches(dtype, 4)[:3]
    assert [launch.kernel.__name__ for launch in found] == ["convolve", "weigh", "spread"]
    for launch in found:
        assert assembled(launch, capability, tmp_path).stack == 0


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("taps", [1, 3, 4, 7, 32])
def test_every_kernel_compiles_in_every_form(
    capability: int, dtype: torch.dtype, taps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    for launch in (*launches(dtype, taps), *launches(dtype, taps, batch=1, length=1)):
        found = assembled(launch, capability, tmp_path)
        assert found.stack <= FEW
        assert found.registers < 255
