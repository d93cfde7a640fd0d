"""Every kernel of the selective scan that this machine has, against the reference in float64."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scans import NAMES, TOLERANCE, Case, assert_near, backends, cases, gradients, need, refusal
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from archdsl.kernels.selective_scan import LADDER, Inputs
from archdsl.kernels.selective_scan.arguments import normalised

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
every_backend = pytest.mark.parametrize("backend", backends())
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: str(d).removeprefix("torch."))


def compare(case: Case, backend: str) -> None:
    """Output and every gradient."""
    arguments = case.arguments()
    exact = case.exact(arguments)
    y, wanted = case.scan(arguments, backend), case.scan(exact, "reference")
    assert y.dtype == case.dtype
    assert_near(y, wanted, TOLERANCE[case.dtype])
    with torch.no_grad():
        assert torch.equal(case.scan(arguments, backend), y)
    mine, theirs = gradients(y, arguments), gradients(wanted, exact)
    for name in theirs:
        assert mine[name].dtype == case.type_of(name)
        assert_near(mine[name], theirs[name], TOLERANCE[case.dtype], f"gradient of {name}")


@every_backend
@every_dtype
def test_any_scan(backend: str, dtype: torch.dtype) -> None:
    need(Case(dtype=dtype), backend)

    @quick
    @given(cases(dtype))
    def check(case: Case) -> None:
        if refusal(case, backend) is None:
            compare(case, backend)

    check()


@every_backend
@every_dtype
@pytest.mark.parametrize(
    "change",
    [
        {"state": 16, "channels": 48, "length": 70},
        {"state": 1, "channels": 16, "length": 65, "direction": ("forward", "backward"), "merge": "mean"},
        {"direction": ("forward", "backward", "forward", "backward"), "paths": True, "merge": "add"},
        {"layout": "bdl", "length": 66, "channels": 33, "direction": ("backward",)},
        {"layout": "bdl", "length": 35, "direction": ("backward", "forward"), "paths": True, "merge": "mean"},
        {"given": (), "softplus": False, "length": 1, "channels": 1, "state": 1, "batch": 1},
        {"state": 64, "channels": 7, "given": ("z",)},
        {"batch": 0},
        {"merge": "add"},
        {"length": 0, "direction": ("forward", "backward"), "merge": "add"},
    ],
    ids=lambda change: " ".join(map(str, change.values())),
)
def test_these_scans(backend: str, dtype: torch.dtype, change: dict[str, Any]) -> None:
    case = Case(dtype=dtype, single=len(change.get("direction", " ")) == 1, **change)
    need(case, backend)
    compare(case, backend)


@pytest.mark.parametrize("pair", [*permutations(backends(), 2)], ids=" then ".join)
@pytest.mark.parametrize("dtype", DTYPES[:3], ids=str)
def test_one_kernels_forward_fits_anothers_backward(pair: tuple[str, str], dtype: torch.dtype) -> None:
    kernels = {c.name: c for c in LADDER.candidates}
    if "mamba_ssm" in pair:
        pytest.skip("mamba_ssm saves no states")

    @settings(quick, max_examples=10)
    @given(cases(dtype, single=False, memory="plain", batch=2, layout="bld"))
    def check(case: Case) -> None:
        if case.length == 0 or any(refusal(case, name) is not None for name in pair):
            return
        x = normalised(inputs_of(case, case.arguments()))
        exact = normalised(inputs_of(case, case.exact(case.arguments())))
        saved = kernels[pair[0]].load().forward(x, True)
        right = kernels["reference"].load().forward(exact, True)
        assert_near(saved.states, right.states, TOLERANCE[torch.float32], "states")
        dout = torch.ones_like(saved.y)
        found = kernels[pair[1]].load().backward(dout, x, saved.states, saved.ungated)
        wanted = kernels["reference"].load().backward(dout.double(), exact, right.states, right.ungated)
        for name, a, b in zip(NAMES, found, wanted, strict=True):
            if b is not None:
                assert a is not None
                assert_near(a, b, TOLERANCE[dtype], f"gradient of {name}")

    check()


def inputs_of(case: Case, arguments: dict[str, Tensor]) -> Inputs:
    """What the operator makes of arguments with a dimension of routes, channels last."""
    tensors = [v.detach() if v is not None else None for v in map(arguments.get, NAMES)]
    reverse = tuple(word == "backward" for word in case.direction)
    return Inputs(*tensors, case.options["paths"], case.softplus, reverse, case.merge, case.layout)  # type: ignore[arg-type]


@every_backend
@pytest.mark.parametrize("name", NAMES)
def test_not_a_number_goes_where_it_goes_in_the_reference(backend: str, name: str) -> None:
    for change in ({}, {"direction": ("backward",), "layout": "bdl", "length": 66, "channels": 33}):
        case = Case(state=16, **change)
        numbers = case.numbers()
        value = numbers[name]
        value.view(-1)[value.numel() // 2] = float("nan")
        arguments = case.arguments(numbers)
        exact = case.exact(arguments)
        wanted = case.scan(exact, "reference")
        assert wanted.isnan().any()
        assert not wanted.isnan().all()
        y = case.scan(arguments, backend)
        assert_near(y, wanted, TOLERANCE[case.dtype])
        theirs = gradients(wanted, exact)
        for argument, mine in gradients(y, arguments).items():
            assert_near(mine, theirs[argument], TOLERANCE[case.dtype], f"gradient of {argument}")


EXTREMES: dict[str, dict[str, float]] = {
    "steps of 1e4": {"delta": 1e4},
    "steps of 1e30": {"delta": 1e30, "u": 1e-30},
    "steps of 19.99": {"delta": 19.99},
    "steps of 20.01": {"delta": 20.01},
    "steps that vanish": {"delta": -1e4},
    "steps that nearly vanish": {"delta": -80.0},
    "no decay": {"A": 0.0},
    "growth": {"A": 0.05},
    "decay at once": {"A": -1e30},
    "large numbers": {"u": 1e30},
    "small numbers": {"u": 1e-30},
    "open gate": {"z": 1e4},
    "closed gate": {"z": -1e4},
}


@every_backend
@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_values(backend: str, name: str) -> None:
    case = Case(length=40, state=4)
    numbers = case.numbers()
    for argument, value in EXTREMES[name].items():
        numbers[argument][..., ::3] = value
    if "delta" in EXTREMES[name]:
        numbers["delta_bias"][..., ::3] = 0.0
    arguments = case.arguments(numbers)
    exact = case.exact(arguments)
    y, wanted = case.scan(arguments, backend), case.scan(exact, "reference")
    # Channel by channel: a large one must not hide what a small one is off by.
    for channel in range(case.channels):
        mine, right = y[..., channel], wanted[..., channel]
        scale = float(right.detach().abs().max()) or 1.0
        assert_near(mine / scale, right / scale, TOLERANCE[case.dtype], f"channel {channel}")
    mine, theirs = gradients(y, arguments), gradients(wanted, exact)
    for argument in theirs:
        right = theirs[argument]
        inside = right.abs() < 1e37
        found = mine[argument].double()
        assert not found[inside].isnan().any(), argument
        assert_near(found * inside, right * inside, 10 * TOLERANCE[case.dtype], f"gradient of {argument}")


@every_backend
def test_gradients_of_some_are_those_of_all(backend: str) -> None:
    case = Case(direction=("forward", "backward"), single=False, merge="add")
    everything = case.arguments()
    full = gradients(case.scan(everything, backend), everything)

    @settings(quick, max_examples=12)
    @given(st.sets(st.sampled_from(NAMES), min_size=1))
    def check(wanted: set[str]) -> None:
        arguments = {k: v.detach().requires_grad_(k in wanted) for k, v in everything.items()}
        found = gradients(case.scan(arguments, backend), arguments)
        assert found.keys() == wanted
        for name, value in found.items():
            assert torch.equal(value, full[name]), name

    check()


@every_backend
def test_the_same_to_the_bit(backend: str) -> None:
    """Over repetitions, threads, recomputation, inference mode and autocast."""
    case = Case(batch=3, length=70, channels=50, direction=("forward", "backward"), single=False)
    arguments = case.arguments()
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 1, 2, 3):
            torch.set_num_threads(threads)
            y = case.scan(arguments, backend)
            results.append([y, *gradients(y, arguments).values()])
    finally:
        torch.set_num_threads(before)
    y = checkpoint(lambda: case.scan(arguments, backend), use_reentrant=False)
    results.append([y, *gradients(y, arguments).values()])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = case.scan(arguments, backend)
    results.append([y, *gradients(y, arguments).values()])
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))
    with torch.inference_mode():
        assert torch.equal(case.scan(arguments, backend), results[0][0])


@every_backend
def test_gradients_of_gradients_are_refused(backend: str) -> None:
    case = Case()
    arguments = case.arguments()
    first = torch.autograd.grad(
        case.scan(arguments, backend).square().sum(), [arguments["u"]], create_graph=True
    )
    for loss in (first[0].sum(), first[0].sum() + arguments["u"].sum()):
        with pytest.raises(RuntimeError, match="has none itself"):
            torch.autograd.grad(loss, [arguments["u"]], retain_graph=True)


@every_backend
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_the_state_of_low_types_is_float32(backend: str, dtype: torch.dtype) -> None:
    """A sum of many small steps: 4096 * 2**-12 is 1, a state in the low type would stop growing far below."""
    case = Case(dtype=dtype, length=4096, batch=1, channels=17, state=1, given=(), softplus=False)
    need(case, backend)
    ones = {k: torch.ones_like(v) for k, v in case.numbers().items()}
    numbers = ones | {"A": 0 * ones["A"], "delta": ones["delta"] * 2**-12}
    y = case.scan(case.arguments(numbers), backend)
    assert y[0, -1].float().sub(1).abs().max() <= TOLERANCE[dtype]
