"""Linear maps: values and gradients, types, what is left to PyTorch, and which kernel is taken."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._dynamo.backends.common import aot_autograd
from torch._functorch.aot_autograd import make_boxed_func
from torch.utils.flop_counter import FlopCounterMode

from archdsl.kernels import cache
from archdsl.kernels.ladder import Candidate, KernelError, KernelWarning
from archdsl.kernels.linear import LADDER, Call, Kernel, Product, linear, onednn, reference, timing
from archdsl.kernels.linear.operator import SMALL, forward_operator, input_operator, weight_operator
from archdsl.nn.linear import Linear, quicken

BACKENDS = [c.name for c in LADDER.candidates if c.available() is None]
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}
CALL = LADDER.typical("cpu", torch.float32, "bld")
LARGE = (4, 128, 96, 96)
"""Images, rows, inputs, outputs: more than `SMALL`."""
here = pytest.mark.skipif("onednn" not in BACKENDS, reason="this PyTorch is without the operator of oneDNN")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read that another process has kept."""
    monkeypatch.setattr(cache, "folders", lambda: [tmp_path])


def close(found: Tensor, exact: Tensor, dtype: torch.dtype) -> None:
    assert found.shape == exact.shape
    scale = max(1.0, exact.abs().max().item()) if exact.numel() else 1.0
    torch.testing.assert_close(found.double() / scale, exact / scale, rtol=0, atol=TOLERANCE[dtype])


@settings(max_examples=80, deadline=None)
@given(
    lead=st.lists(st.integers(0, 4), max_size=3),
    inputs=st.integers(1, 70),
    outputs=st.integers(1, 70),
    has_bias=st.booleans(),
    memory=st.sampled_from(["plain", "slices", "turned"]),
    backend=st.sampled_from(["auto", *BACKENDS]),
    dtype=st.sampled_from(list(TOLERANCE)),
    wanted=st.sets(st.integers(0, 2)),
    repeated=st.booleans(),
)
def test_any_shape(
    lead: list[int],
    inputs: int,
    outputs: int,
    has_bias: bool,
    memory: str,
    backend: str,
    dtype: torch.dtype,
    wanted: set[int],
    repeated: bool,
) -> None:
    if dtype != torch.float32 and backend == "onednn":
        backend = "auto"
    draw = torch.Generator().manual_seed(hash((tuple(lead), inputs, outputs)) % 2**31)

    def tensor(*size: int) -> Tensor:
        if memory == "slices":
            return torch.randn(*size[:-1], 2 * size[-1] + 1, generator=draw)[..., 1 : size[-1] + 1]
        if memory == "turned" and len(size) > 1:
            return torch.randn(*size[:-2], size[-1], size[-2], generator=draw).mT
        return torch.randn(size, generator=draw)

    tensors = [tensor(*lead, inputs), tensor(outputs, inputs), tensor(outputs)]
    found = [v.to(dtype).requires_grad_(i in wanted) for i, v in enumerate(tensors)]
    exact = [v.detach().double().requires_grad_(i in wanted) for i, v in enumerate(found)]
    y = linear(found[0], found[1], found[2] if has_bias else None, backend=backend)
    right = F.linear(exact[0], exact[1], exact[2] if has_bias else None)
    assert y.dtype == dtype
    close(y, right, dtype)
    leaves = [i for i in sorted(wanted) if i < 2 or has_bias]
    assert y.requires_grad == bool(leaves)
    if not leaves:
        return
    dout = torch.randn(outputs, generator=draw).expand(y.shape) if repeated else tensor(*lead, outputs)
    mine = torch.autograd.grad(y, [found[i] for i in leaves], dout.to(dtype))
    theirs = torch.autograd.grad(right, [exact[i] for i in leaves], dout.to(dtype).double())
    for a, e in zip(mine, theirs, strict=True):
        assert a.dtype == dtype
        close(a, e, dtype)


def example(*lead: int) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    *own, inputs, outputs = LARGE
    sizes = ((*(lead or own), inputs), (outputs, inputs), (outputs,))
    x, weight, bias = (torch.randn(s, generator=draw).requires_grad_() for s in sizes)
    return x, weight, bias


def operators_in(run: Callable[[], Any]) -> set[str]:
    """The operators of this package that run."""
    counter = FlopCounterMode(display=False)
    with counter:
        run()
    return {str(op) for op in counter.get_flop_counts()["Global"] if "archdsl" in str(op)}


@pytest.mark.parametrize("backend", BACKENDS)
def test_not_a_number_stays_in_its_row(backend: str) -> None:
    x, weight, bias = (v.detach() for v in example())
    x[1, 7, 5] = float("nan")
    x[2, 3, 4] = float("inf")
    found, wanted = linear(x, weight, bias, backend=backend), F.linear(x, weight, bias)
    assert torch.equal(found.isnan(), wanted.isnan())
    assert found.isnan().sum() == LARGE[-1]
    assert torch.equal(found.isinf(), wanted.isinf())


@pytest.mark.parametrize("backend", BACKENDS)
def test_is_an_operator_of_torch(backend: str) -> None:
    x, weight, bias = example(2, 3)
    torch.library.opcheck(forward_operator, (x, weight, bias, backend))
    torch.library.opcheck(forward_operator, (x[0, 0], weight, None, backend))
    x, weight = x.detach(), weight.detach()
    dout = torch.ones(2, 3, weight.shape[0])
    tests = ("test_schema", "test_faketensor")
    torch.library.opcheck(input_operator, (dout, weight, backend), test_utils=tests)
    torch.library.opcheck(weight_operator, (dout, x, backend), test_utils=tests)


@pytest.mark.parametrize("compiler", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiles_whole_and_for_any_batch(compiler: str) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(lambda *v: linear(*v).square(), fullgraph=True, backend=compiler, dynamic=True)
    for batch in (2, 3):
        given = example(batch, 128)
        y, wanted = compiled(*given), F.linear(*given).square()
        close(y, wanted.double(), torch.float32)
        mine, theirs = (torch.autograd.grad(v.sum(), given) for v in (y, wanted))
        for a, e in zip(mine, theirs, strict=True):
            close(a, e.double(), torch.float32)


def test_what_is_compiled_goes_backward_through_our_operators() -> None:
    seen: list[str] = []

    def compiler(graph: Any, _: object) -> Any:
        seen.extend(str(node.target) for node in graph.graph.nodes)
        return make_boxed_func(graph.forward)

    torch._dynamo.reset()
    given = example()
    run = torch.compile(linear, fullgraph=True, backend=aot_autograd(fw_compiler=compiler))
    torch.autograd.grad(run(*given).sum(), given)
    assert [name for name in seen if name.startswith("archdsl")] == [
        "archdsl.linear.default",
        "archdsl.linear_input_gradient.default",
        "archdsl.linear_weight_gradient.default",
    ]


class ByOperator(nn.Module):
    """The operator itself."""

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """Named, so that it is ours."""
        return linear(x, weight, backend="reference")


def test_exports_for_any_batch() -> None:
    x, weight, _ = (v.detach() for v in example())
    rows = {0: torch.export.Dim("b")}
    program = torch.export.export(ByOperator(), (x, weight), dynamic_shapes=(rows, None))
    assert "archdsl.linear" in program.graph_module.code
    torch.testing.assert_close(program.module()(x[:3], weight), F.linear(x[:3], weight))


def test_a_module_exports_to_operators_of_pytorch() -> None:
    module = Linear(*LARGE[-2:])
    x = example()[0].detach()
    for strict in (False, True):
        program = torch.export.export(
            module, (x,), dynamic_shapes=({0: torch.export.Dim("b")},), strict=strict
        )
        assert "archdsl" not in program.graph_module.code
        torch.testing.assert_close(program.module()(x[:3]), module(x[:3]))


def test_a_module_is_torchs_in_all_but_its_products() -> None:
    network = nn.Sequential(nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 5, bias=False))
    before = {k: v.clone() for k, v in network.state_dict().items()}
    x = example()[0].detach()
    wanted = network(x)
    quicken(network)
    assert [type(m) for m in network] == [Linear, nn.ReLU, Linear]
    assert isinstance(network[0], nn.Linear)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    for same in (network, copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        torch.testing.assert_close(same(x), wanted)


def test_left_to_pytorch() -> None:
    x, weight, bias = example()
    ours = {"archdsl.linear"}
    assert operators_in(lambda: linear(x, weight, bias)) == ours
    small = x[:1, : SMALL // weight.numel() - 1]
    assert operators_in(lambda: linear(small, weight, bias)) == set()
    assert operators_in(lambda: linear(small, weight, bias, backend="reference")) == ours
    assert operators_in(lambda: linear(*(v.double() for v in (x, weight, bias)))) == set()
    assert operators_in(lambda: linear(*(v.detach().to("meta") for v in (x, weight, bias)))) == set()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert operators_in(lambda: linear(x, weight, bias)) == set()
        for backend in ("auto", "reference"):
            y = linear(x, weight, bias, backend=backend)
            assert y.dtype == torch.bfloat16
            assert torch.equal(y, F.linear(x, weight, bias))


def test_functions_of_torch_func_and_forward_gradients() -> None:
    x, weight, bias = (v.detach() for v in example())
    wanted = F.linear(x, weight, bias)
    torch.testing.assert_close(torch.func.vmap(lambda v: linear(v, weight, bias))(x), wanted)
    found = torch.func.grad(lambda w: linear(x, w, bias).sum())(weight)
    torch.testing.assert_close(found, x.sum((0, 1)).expand(weight.shape), rtol=1e-4, atol=1e-4)
    _, change = torch.func.jvp(lambda v: linear(v, weight, bias), (x,), (x,))
    torch.testing.assert_close(change, wanted - bias, rtol=1e-4, atol=1e-4)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, x)
        y = torch.autograd.forward_ad.unpack_dual(linear(dual, weight, bias))
    torch.testing.assert_close(y.tangent, wanted - bias, rtol=1e-4, atol=1e-4)


def test_gradients_of_gradients() -> None:
    results = []
    for product in (linear, F.linear):
        x, weight, bias = example()
        first = torch.autograd.grad(product(x, weight, bias).pow(3).sum(), (x, weight), create_graph=True)
        loss = first[0].square().sum() + first[1].sum()
        results.append(torch.autograd.grad(loss, (x, weight, bias)))
    for mine, theirs in zip(*results, strict=True):
        close(mine, theirs.double(), torch.float32)
    with pytest.raises(RuntimeError, match="has none itself"):
        input_operator(results[0][0], results[0][1].requires_grad_(), "auto").sum().backward()


def test_counted_as_pytorchs_own() -> None:
    counts = []
    for product in (linear, F.linear):
        given = example()
        with FlopCounterMode(display=False) as counter:
            product(*given).sum().backward()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(4, 5)}, "x is"),
        ({"bias": torch.zeros(3)}, "bias is"),
        ({"weight": torch.zeros(6, 4, dtype=torch.float64)}, "weight is torch.float64"),
        ({"x": torch.tensor(1.0)}, "x is"),
        ({"backend": "numbra"}, "there are: auto"),
    ],
)
def test_mistakes(change: dict[str, Any], message: str) -> None:
    given = {"x": torch.zeros(2, 4), "weight": torch.zeros(6, 4), "backend": "reference", **change}
    with pytest.raises(ValueError, match=message):
        linear(**given)


# Which kernel is taken.

MINE = Kernel(reference.forward, reference.by_input, reference.by_weight)


def planted(kernel: Kernel = MINE, **changes: Any) -> Candidate[Call, Kernel]:
    plain = Candidate("onednn", lambda: None, lambda call: None, lambda: kernel, ("cpu",))
    return replace(plain, **changes)


def off_by(share: float, product: Product) -> Kernel:
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        y = reference.forward(x, weight, bias) * (1 + share)
        return y if out is None else out.copy_(y)

    def by_input(dout: Tensor, weight: Tensor, onto: Tensor | None = None) -> Tensor:
        return reference.by_input(dout, weight, onto) * (1 + share)

    def by_weight(dout: Tensor, x: Tensor) -> Tensor:
        return reference.by_weight(dout, x) * (1 + share)

    return {
        Product.FORWARD: MINE._replace(forward=forward),
        Product.INPUT: MINE._replace(by_input=by_input),
        Product.WEIGHT: MINE._replace(by_weight=by_weight),
    }[product]


@pytest.mark.parametrize("product", Product)
def test_a_wrong_kernel_is_refused_and_the_next_serves(product: Product) -> None:
    with LADDER.with_candidates(planted(off_by(1e-3, product))):
        with pytest.warns(KernelWarning, match="onednn"):
            choice = LADDER.explain(CALL)
        assert choice.name == "reference"
        assert "is off by 0.00" in choice.passed_over[0].reason
        assert not choice.passed_over[0].slower
        x, weight, bias = example()
        assert torch.equal(linear(x, weight, bias), F.linear(x, weight, bias))
        with pytest.raises(KernelError, match="failed its test"):
            LADDER.choose(CALL, "onednn")


def test_one_that_changes_its_input_is_refused() -> None:
    def by_weight(dout: Tensor, x: Tensor) -> Tensor:
        return reference.by_weight(dout, x.mul_(1)).clone() + x.mul_(2).sum() * 0

    with LADDER.with_candidates(planted(MINE._replace(by_weight=by_weight))), pytest.warns(KernelWarning):
        assert "changes an input" in LADDER.explain(CALL).passed_over[0].reason


@contextmanager
def timed(monkeypatch: pytest.MonkeyPatch, mine: float, other: float) -> Iterator[list[Call]]:
    """With times that are known; gives what was timed."""
    asked: list[Call] = []

    def measured(a: Kernel, b: Kernel, kind: Call) -> timing.Times:
        asked.append(kind)
        return timing.Times(mine, other)

    monkeypatch.setattr(timing, "measured", measured)
    race = timing.Race(lambda: MINE, lambda: MINE)
    with LADDER.with_candidates(planted(slower=race.lost)):
        yield asked


@pytest.mark.parametrize(("mine", "name"), [(0.5, "onednn"), (0.97, "reference"), (2.0, "reference")])
def test_the_faster_serves_by_itself_and_the_other_by_name(
    monkeypatch: pytest.MonkeyPatch, mine: float, name: str
) -> None:
    with timed(monkeypatch, mine, 1.0):
        choice = LADDER.explain(CALL)
        assert choice.name == name
        assert [r.slower for r in choice.passed_over] == [True] * (name == "reference")
        assert LADDER.choose(CALL, "onednn").name == "onednn"
        monkeypatch.setenv("ARCHDSL_BACKEND", "onednn")
        assert LADDER.choose(CALL).name == "onednn"
        monkeypatch.setenv("ARCHDSL_BACKEND", "numba")
        assert LADDER.choose(CALL).name == name
        monkeypatch.setenv("ARCHDSL_BACKEND", "reference")
        assert LADDER.choose(CALL).name == "reference"


def test_timed_once_for_a_kind_and_kept_for_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    with timed(monkeypatch, 1.0, 2.0) as asked:
        for rows in (130, 197, 256):
            LADDER.choose(CALL._replace(rows=rows))
        assert len(asked) == 1
        LADDER.choose(CALL._replace(rows=40))
        LADDER.choose(CALL._replace(product=Product.WEIGHT))
        LADDER.choose(CALL._replace(threads=7))
        assert len(asked) == 4
        LADDER.choose(CALL._replace(rows=2))
        assert len(asked) == 4, "a tiny product is not timed"
    with timed(monkeypatch, 9.0, 1.0) as asked:
        assert LADDER.choose(CALL).name == "onednn"
        assert not asked, "the file of the race before tells"


def test_rows_that_are_timed_are_bounded() -> None:
    for rows in (1, 100, 10**6):
        for width in (16, 768, 8192):
            kind = timing.kind_of(CALL._replace(rows=rows, inputs=width, outputs=width))
            assert 1 <= kind.rows <= max(2 * rows, 1)
            assert kind.macs <= max(timing.MOST_MACS, timing.FEWEST_ROWS * width**2)


def test_times_are_those_of_the_kernels() -> None:
    def slow(x: Tensor, weight: Tensor, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        for _ in range(20):
            reference.forward(x, weight)
        return reference.forward(x, weight, bias, out)

    times = timing.measured(MINE, MINE._replace(forward=slow), timing.kind_of(CALL))
    assert times.mine < times.other


@pytest.mark.parametrize("found", [None, "another"])
def test_without_the_private_operator(monkeypatch: pytest.MonkeyPatch, found: str | None) -> None:
    class Other:
        _schema = "mkldnn::_linear_pointwise(Tensor X) -> Tensor Y"

    monkeypatch.setattr(onednn, "_operator", lambda: Other() if found else None)
    LADDER.doubt()
    choice = LADDER.explain(CALL)
    assert choice.name == "reference"
    assert "_linear_pointwise" in choice.passed_over[0].reason
    LADDER.doubt()


@here
def test_onednn_is_for_exact_float32_on_the_cpu() -> None:
    candidate = LADDER.candidates[0]
    assert LADDER.obstacle(candidate, CALL) is None
    for change in ({"dtype": torch.bfloat16}, {"device": "cuda"}, {"exact": False}):
        assert LADDER.obstacle(candidate, CALL._replace(**change)) is not None
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        x, weight, bias = example()
        with pytest.raises(KernelError, match="set_float32_matmul_precision"):
            linear(x, weight, bias, backend="onednn")
        assert torch.equal(linear(x, weight, bias), F.linear(x, weight, bias))
    finally:
        torch.set_float32_matmul_precision(before)
