"""The selective scan: values and gradients against loops over single steps, types, layouts, edges."""
# ruff: noqa: N803 (mamba_ssm's names of arguments)

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from archdsl.kernels import selective_scan
from archdsl.kernels.selective_scan import LADDER, Call, Inputs, chosen, reference
from archdsl.kernels.selective_scan.operator import backward_operator, forward_operator

GOLDENS = Path(__file__).parents[1] / "data" / "goldens" / "mambavision"
NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")


def inputs(b: int, length: int, d: int, n: int, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(b + 10 * length + 100 * d + 1000 * n)
    shapes = [
        (b, length, d),
        (b, length, d),
        (d, n),
        (b, length, n),
        (b, length, n),
        (d,),
        (b, length, d),
        (d,),
    ]
    drawn = {
        name: torch.randn(shape, generator=generator, dtype=torch.float64)
        for name, shape in zip(NAMES, shapes, strict=True)
    }
    drawn["A"] = -torch.exp(drawn["A"])
    return {name: value.to(dtype).requires_grad_() for name, value in drawn.items()}


def stepwise(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    direction: str = "forward",
) -> Tensor:
    """One channel, one state, one step at a time."""
    b, length, d = u.shape
    steps: list[list[list[Tensor]]] = []
    for image in range(b):
        out = [[u.new_zeros(())] * d for _ in range(length)]
        for channel in range(d):
            h = [u.new_zeros(())] * A.shape[1]
            for t in range(length) if direction == "forward" else reversed(range(length)):
                dt = delta[image, t, channel]
                dt = dt if delta_bias is None else dt + delta_bias[channel]
                dt = functional.softplus(dt) if delta_softplus else dt
                x = u[image, t, channel]
                y = x.new_zeros(()) if D is None else D[channel] * x
                for k in range(A.shape[1]):
                    h[k] = torch.exp(dt * A[channel, k]) * h[k] + dt * B[image, t, k] * x
                    y = y + C[image, t, k] * h[k]
                out[t][channel] = y if z is None else y * functional.silu(z[image, t, channel])
        steps.append(out)
    return torch.stack([torch.stack([torch.stack(row) for row in image]) for image in steps])


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize(
    "given_",
    [("D", "z", "delta_bias"), (), ("D",), ("z",), ("delta_bias",)],
    ids=lambda g: "+".join(g) or "none",
)
@pytest.mark.parametrize("softplus", [False, True])
@pytest.mark.parametrize("run", [12, 10**6])
def test_values_and_gradients(
    direction: str, given_: tuple[str, ...], softplus: bool, run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(reference.RUN_ELEMENTS, "cpu", run)
    arguments = {k: v for k, v in inputs(2, 5, 3, 2).items() if k in NAMES[:5] or k in given_}
    y = selective_scan(**arguments, delta_softplus=softplus, direction=direction)
    expected = stepwise(**arguments, delta_softplus=softplus, direction=direction)
    torch.testing.assert_close(y, expected)
    weights = torch.randn_like(y)
    found = torch.autograd.grad(y, list(arguments.values()), weights)
    wanted = torch.autograd.grad(expected, list(arguments.values()), weights)
    for name, a, b in zip(arguments, found, wanted, strict=True):
        torch.testing.assert_close(a, b, msg=lambda text, name=name: f"{name}: {text}")


def test_gradcheck() -> None:
    arguments = tuple(inputs(2, 4, 3, 2).values())
    assert torch.autograd.gradcheck(lambda *a: selective_scan(*a, delta_softplus=True), arguments)


@settings(max_examples=40, deadline=None)
@given(
    b=st.integers(0, 3),
    length=st.integers(0, 40),
    d=st.integers(1, 9),
    n=st.integers(1, 64),
    layout=st.sampled_from(["bld", "bdl"]),
    direction=st.sampled_from(["forward", "backward"]),
    strided=st.booleans(),
    run=st.sampled_from([1, 500, 10**6]),
)
def test_any_shape(
    b: int, length: int, d: int, n: int, layout: str, direction: str, strided: bool, run: int
) -> None:
    """Against the recurrence with whole vectors, in float64."""
    x = {k: v.detach() for k, v in inputs(b, length, d, n).items()}
    h = torch.zeros(b, d, n, dtype=torch.float64)
    expected = torch.empty(b, length, d, dtype=torch.float64)
    for t in range(length) if direction == "forward" else reversed(range(length)):
        dt = functional.softplus(x["delta"][:, t] + x["delta_bias"])[..., None]
        h = torch.exp(dt * x["A"]) * h + dt * x["B"][:, t, None] * x["u"][:, t, :, None]
        y = (h * x["C"][:, t, None]).sum(-1) + x["D"] * x["u"][:, t]
        expected[:, t] = y * functional.silu(x["z"][:, t])
    if strided:
        x = {k: v.repeat_interleave(2, dim=-1)[..., ::2] for k, v in x.items()}
    if layout == "bdl":
        x = {k: v.transpose(1, 2).contiguous() if v.ndim == 3 else v for k, v in x.items()}
        expected = expected.transpose(1, 2)
    before = reference.RUN_ELEMENTS["cpu"]
    reference.RUN_ELEMENTS["cpu"] = run
    try:
        given_ = {k: v.requires_grad_() for k, v in x.items()}
        y = selective_scan(**given_, delta_softplus=True, layout=layout, direction=direction)
        torch.testing.assert_close(y, expected)
        y.sum().backward()
    finally:
        reference.RUN_ELEMENTS["cpu"] = before
    for name, value in given_.items():
        assert value.grad is not None, name
        assert value.grad.shape == value.shape
        assert value.grad.isfinite().all()


@pytest.mark.usefixtures("scan_backend")
@pytest.mark.parametrize("name", ["unit_mv_mixer", "unit_mv_mixer_even_conv"])
def test_reproduces_mambavisions_scan(name: str) -> None:
    golden = {
        k.removeprefix("golden.scan_"): v for k, v in load_file(GOLDENS / f"{name}.safetensors").items()
    }
    y = selective_scan(
        *(golden[k] for k in ("u", "delta", "A", "B", "C", "D")),
        delta_bias=golden["delta_bias"],
        delta_softplus=True,
        layout="bdl",
    )
    assert (y - golden["y"]).abs().max() <= 2e-6 * golden["y"].abs().max()


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2), (torch.float16, 3e-3)]
)
def test_the_state_is_float32_at_least(dtype: torch.dtype, tolerance: float) -> None:
    x = inputs(2, 300, 4, 8, dtype)
    y = selective_scan(**x, delta_softplus=True)
    assert y.dtype == dtype
    exact = {k: v.detach().double().requires_grad_() for k, v in x.items()}
    expected = selective_scan(**exact, delta_softplus=True)
    torch.testing.assert_close(y.double(), expected, atol=tolerance, rtol=tolerance)
    y.float().square().mean().backward()
    expected.square().mean().backward()
    for name in NAMES:
        a, b = x[name].grad, exact[name].grad
        assert a is not None
        assert b is not None
        assert a.dtype == dtype
        assert (a.double() - b).abs().max() <= 2 * tolerance * b.abs().max(), name


def test_autocast_changes_nothing() -> None:
    x = inputs(2, 9, 4, 8, torch.float32)
    plain = selective_scan(**x, delta_softplus=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = selective_scan(**x, delta_softplus=True)
    assert torch.equal(y, plain)


@pytest.mark.parametrize("name", NAMES)
def test_nan_in_gives_nan_out(name: str) -> None:
    x = {k: v.detach() for k, v in inputs(1, 4, 3, 2, torch.float32).items()}
    x[name].view(-1)[-1] = float("nan")
    y = selective_scan(**x, delta_softplus=True)
    assert y.isnan().any()
    assert not y.isnan().all()


def test_opcheck() -> None:
    x = inputs(2, 5, 3, 4, torch.float32)
    x = {k: v.detach()[None].requires_grad_() for k, v in x.items()}
    torch.library.opcheck(forward_operator, (*x.values(), None, True, [False], "none", "bld", True, "auto"))
    x["delta"] = x["delta"].detach().abs().requires_grad_()
    bare = tuple(x[k].detach() for k in NAMES[:5])
    torch.library.opcheck(
        forward_operator, (*bare, None, None, None, None, False, [True], "add", "bdl", False, "reference")
    )
    plain = tuple(v.detach() for v in x.values())
    options = (None, True, [True], "none", "bld", "auto", torch.empty(0), torch.empty(0))
    torch.library.opcheck(backward_operator, (torch.randn(1, 2, 5, 3), *plain, *options))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiles_without_a_break(backend: str) -> None:
    def loss(*tensors: Tensor) -> Tensor:
        y = selective_scan(*tensors, delta_softplus=True, direction="backward", layout="bdl")
        return y.square().sum()

    def arguments(b: int) -> list[Tensor]:
        x = inputs(b, 5, 3, 4, torch.float32)
        return [
            (v.detach().transpose(1, 2) if v.ndim == 3 else v.detach()).requires_grad_() for v in x.values()
        ]

    compiled = torch.compile(loss, fullgraph=True, backend=backend)
    for b in (2, 3):
        x = arguments(b)
        found = torch.autograd.grad(compiled(*x), x)
        for a, e in zip(found, torch.autograd.grad(loss(*x), x), strict=True):
            torch.testing.assert_close(a, e)


class Scan(torch.nn.Module):
    """The function as a module, for export."""

    def forward(self, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        return selective_scan(u, delta, A, B, C, delta_softplus=True)


def test_exports_with_any_batch_and_length() -> None:
    x = [v.detach() for v in list(inputs(2, 5, 3, 4, torch.float32).values())[:5]]
    b, t = torch.export.Dim("b"), torch.export.Dim("t")
    shapes = tuple(None if v.ndim == 2 else {0: b, 1: t} for v in x)
    program = torch.export.export(Scan(), tuple(x), dynamic_shapes=shapes)
    assert [n.name for n in program.graph.nodes if "selective_scan" in str(n.target)] == ["selective_scan"]
    other = [v.detach() for v in list(inputs(4, 11, 3, 4, torch.float32).values())[:5]]
    torch.testing.assert_close(program.module()(*other), Scan()(*other))


def test_the_meta_device_unrolls_nothing() -> None:
    x = {k: v.detach().to("meta").requires_grad_() for k, v in inputs(1, 1, 3, 4, torch.float32).items()}
    for name in ("u", "delta", "B", "C", "z"):
        x[name] = x[name].detach().expand(2, 10**9, -1).requires_grad_()
    y = selective_scan(**x)
    assert y.shape == (2, 10**9, 3)
    y.sum().backward()
    assert x["u"].grad is not None


class Multiplications(TorchDispatchMode):
    """Counts the multiplications of tensors elementwise."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ("mul", "mul_", "addcmul", "addcmul_"):
            self.count += out.numel()
        elif name in ("bmm", "mm"):
            self.count += out.numel() * args[0].shape[-1]
        return out


@pytest.mark.parametrize("length", [1, 5, 8])
def test_the_formula_of_its_cost(length: int) -> None:
    """tokens * channels * (4 * state + 2), as `archdsl.ops.selective_scan` documents it."""
    b, d, n = 2, 3, 4
    x = {k: v.detach() for k, v in inputs(b, length, d, n).items() if k != "z"}
    x = {k: v[None] for k, v in x.items()}
    call = Inputs(
        **x,
        z=None,
        paths=None,
        delta_softplus=True,
        reverse=(False,),
        merge="none",
        layout="bld",
    )
    with Multiplications() as mode:
        reference.forward(call, saves=False)
    assert mode.count == b * length * d * (4 * n + 2)


def test_which_kernel_serves() -> None:
    call = Call("cpu", torch.float32, 1, 8, 4, 16)
    assert chosen(call) in {c.name for c in LADDER.candidates}
    assert LADDER.choose(call, "reference").name == "reference"
    with pytest.raises(ValueError, match=r"no kernel `fastest`.*there are: auto, .*reference"):
        LADDER.choose(call, "fastest")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"delta": torch.zeros(2, 5, 4)}, r"delta is \(2, 5, 4\), expected \(2, 5, 3\)"),
        ({"B": torch.zeros(2, 4, 4)}, r"B is \(2, 4, 4\), expected \(2, 5, 4\)"),
        ({"D": torch.zeros(4)}, r"D is \(4,\), expected \(3,\)"),
        ({"A": torch.zeros(3)}, "A has 1 dimensions, expected 2"),
        ({"u": torch.zeros(2, 5, 3, dtype=torch.long)}, "u is torch.int64"),
        ({"layout": "ldb"}, "layout is `bld` or `bdl`"),
        ({"direction": "up"}, "direction is `forward`, `backward` or `both`"),
        ({"backend": "fastest"}, "no kernel `fastest`"),
    ],
)
def test_refuses_what_does_not_fit(change: dict[str, object], text: str) -> None:
    arguments: dict[str, object] = {**inputs(2, 5, 3, 4, torch.float32)} | change
    with pytest.raises(ValueError, match=text):
        selective_scan(**arguments)  # type: ignore[arg-type]


ROUTES = ("forward", "backward", "backward")


def several(b: int, length: int, d: int, n: int) -> dict[str, Tensor]:
    """Inputs of three routes; u and C are the same for all."""
    each = [inputs(b, length, d, n + k) for k in range(3)]
    stacked = {
        name: torch.stack(
            [x[name].detach()[..., :n] if name in ("A", "B", "C") else x[name].detach() for x in each]
        )
        for name in NAMES
    }
    for name in ("u", "C"):
        stacked[name] = stacked[name][:1].expand_as(stacked[name])
    return {name: value.requires_grad_() for name, value in stacked.items()}


@pytest.mark.parametrize("merge", ["none", "add", "mean"])
@pytest.mark.parametrize("along", [False, True])
@pytest.mark.parametrize("layout", ["bld", "bdl"])
@pytest.mark.parametrize("length", [5, 33])
def test_routes_are_as_many_scans(merge: str, along: bool, layout: str, length: int) -> None:
    x = several(2, length, 3, 2)
    generator = torch.Generator().manual_seed(0)
    paths = torch.stack([torch.randperm(length, generator=generator) for _ in ROUTES]) if along else None
    if merge != "none":
        x["z"] = x["z"].detach()[0].requires_grad_()

    def separately() -> Tensor:
        y = []
        for k, direction in enumerate(ROUTES):
            single = {name: value[k] for name, value in x.items() if name != "z"}
            if paths is not None:
                single = {n: v[:, paths[k]] if v.ndim == 3 else v for n, v in single.items()}
            out = selective_scan(**single, delta_softplus=True, direction=direction, backend="reference")
            y.append(out if paths is None else out[:, paths[k].argsort()])
        z = functional.silu(x["z"])
        if merge == "none":
            return torch.stack(y) * z
        return sum(y) / (3 if merge == "mean" else 1) * z  # type: ignore[return-value]

    turned = {
        n: v.transpose(-1, -2) if layout == "bdl" and n in "udeltaBCz" and v.ndim > 2 else v
        for n, v in x.items()
    }
    turned["A"] = x["A"]
    found = selective_scan(
        **turned, delta_softplus=True, direction=ROUTES, paths=paths, merge=merge, layout=layout
    )
    found = found.transpose(-1, -2) if layout == "bdl" else found
    wanted = separately()
    torch.testing.assert_close(found, wanted)
    weights = torch.randn(wanted.shape, generator=generator, dtype=wanted.dtype)
    for name, a, b in zip(
        x,
        torch.autograd.grad(found, list(x.values()), weights),
        torch.autograd.grad(wanted, list(x.values()), weights),
        strict=True,
    ):
        torch.testing.assert_close(a, b, msg=lambda text, name=name: f"{name}: {text}")


def test_saved_states_are_those_before_every_chunk() -> None:
    x = {k: v.detach()[None] for k, v in inputs(1, 70, 2, 3).items()}
    call = Inputs(**x, paths=None, delta_softplus=False, reverse=(False,), merge="none", layout="bld")
    states = reference.forward(call, saves=True).states
    h = torch.zeros(2, 3, dtype=torch.float64)
    expected = [h]
    for t in range(70):
        dt = (x["delta"][0, 0, t] + x["delta_bias"][0])[:, None]
        h = torch.exp(dt * x["A"][0]) * h + dt * x["B"][0, 0, t] * x["u"][0, 0, t][:, None]
        if t in (31, 63, 69):
            expected.append(h)
    torch.testing.assert_close(states[0, 0], torch.stack(expected).transpose(-1, -2))


@pytest.mark.parametrize(
    "paths", [torch.tensor([[0, 1, 1]]), torch.tensor([[0, 1, 3]]), torch.tensor([[-1, 0, 1]])]
)
def test_refuses_paths_that_are_no_permutations(paths: Tensor) -> None:
    x = inputs(1, 3, 2, 2, torch.float32)
    with pytest.raises(ValueError, match="visit every step once"):
        selective_scan(**x, paths=paths)
    good = torch.tensor([[2, 0, 1]])
    selective_scan(**x, paths=good)
    good[0, 0] = 1
    with pytest.raises(ValueError, match="visit every step once"):
        selective_scan(**x, paths=good)
