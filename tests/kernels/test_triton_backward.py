"""The backward of the selective scan in Triton: gradients under the interpreter, compilation for GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from assembled import assembled
from interpreted import errors_of

from archdsl.kernels.launch import Launch
from archdsl.kernels.proof import TOLERANCE
from archdsl.kernels.selective_scan.inputs import CHUNK, Inputs, empty, saved_states_shape

pytest.importorskip("triton", reason="needs Triton")

SCRIPT = Path(__file__).with_name("interpreted_backward.py")
ROOT = Path(__file__).parents[2]
CASES = (
    "plain",
    "from the end",
    "split",
    "split along paths",
    "along paths, steps last",
    "add, bare",
    "three routes, steps last",
    "one route, added",
    "launch after launch",
    "shared sequence",
    "one step",
    "one state",
    "full blocks",
    "not a number",
    "bfloat16",
    "bfloat16, merged",
    "float16",
    "triton forward, triton backward",
    "triton forward, reference backward",
    "reference forward, triton backward",
    "twice",
)
MOST_STACK = 256
"""Bytes that a thread may put into memory before and after the walk; Ampere's assembler wants the most."""
TYPES = {"bfloat16": TOLERANCE[torch.bfloat16], "float16": TOLERANCE[torch.float16]}


@pytest.fixture(scope="module")
def errors() -> dict[str, dict[str, float]]:
    """What the script printed, in one process for all cases."""
    return errors_of(SCRIPT)


def test_every_case_is_looked_at(errors: dict[str, dict[str, float]]) -> None:
    assert set(errors) == set(CASES)


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_the_reference_in_float64(
    errors: dict[str, dict[str, float]], case: str
) -> None:
    allowed = TYPES.get(case.split(",", maxsplit=1)[0], 1e-5)
    assert {name: error for name, error in errors[case].items() if not error <= allowed} == {}


def launches(
    dtype: torch.dtype, state: int, *, segments: int = 1, paths: bool = False, layout: str = "bld"
) -> tuple[Launch, ...]:
    """The launches for (128, 197, 384) on no device; two routes, merged, with everything."""
    from archdsl.kernels.selective_scan.triton import backward

    nothing = torch.empty(0, device="meta")
    images = (128, 197, 384)

    def sequence(*size: int) -> torch.Tensor:
        return empty(size, dtype, layout, nothing)

    def room(*size: int, type_: torch.dtype = torch.float32) -> torch.Tensor:
        return nothing.new_empty(size, dtype=type_)

    x = Inputs(
        sequence(2, *images),
        sequence(2, *images),
        room(2, 384, state),
        room(2, 128, 197, state, type_=dtype),
        room(2, 128, 197, state, type_=dtype),
        room(2, 384),
        sequence(*images),
        room(2, 384),
        room(2, 197, type_=torch.int64) if paths else None,
        True,
        (False, True),
        "mean",
        layout,
    )
    chunks = -(-197 // CHUNK)
    plan = backward.plan_of(x)._replace(chunks=-(-chunks // segments))
    states = room(*saved_states_shape(x.u, x.A))
    to = backward.room_for(x)
    return backward.prepared(sequence(*images), x, states, sequence(*images), to, plan).launches


@pytest.mark.parametrize(
    ("capability", "dtype"), [(80, torch.float32), (90, torch.bfloat16), (100, torch.float16)], ids=str
)
def test_every_kernel_compiles_without_a_device(capability: int, dtype: torch.dtype, tmp_path: Path) -> None:
    names = []
    for launch in launches(dtype, 16, segments=7):
        names.append(launch.kernel.__name__)
        assert assembled(launch, capability, tmp_path).stack <= MOST_STACK
    assert names == ["carry_of_segments", "carry_between_segments", "gradients_of_segments"]


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("state", [1, 64])
def test_every_kernel_compiles_in_other_forms(capability: int, dtype: torch.dtype, state: int) -> None:
    for launch in launches(dtype, state, segments=7, paths=True, layout="bdl"):
        assert launch.compile(capability).asm["cubin"]


@pytest.mark.parametrize("state", [1, 16])
def test_common_states_stay_in_registers(state: int, tmp_path: Path) -> None:
    *_, launch = launches(torch.bfloat16, state)
    assert assembled(launch, 90, tmp_path).stack == 0
