"""The backward of the selective scan in Numba, against the recurrence in float64, one step at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import scan_by_steps
import torch
from torch import Tensor

from archdsl.kernels.selective_scan.inputs import Gradients, Inputs, empty

pytest.importorskip("numba")

from archdsl.kernels.selective_scan.numba.backward import backward, groups_of

ALL = ("D", "z", "delta_bias")


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def drawn(
    shape: tuple[int, int, int, int, int],
    *,
    dtype: torch.dtype = torch.float32,
    layout: str = "bld",
    options: tuple[str, ...] = ALL,
    softplus: bool = True,
    paths: bool = False,
    merge: str = "none",
    reverse: tuple[bool, ...] | None = None,
) -> tuple[Tensor, Inputs]:
    """The gradient of the output, and inputs; `shape` is r, b, l, d, n. NaN lies around every sequence."""
    r, b, length, d, n = shape
    rng = np.random.default_rng(sum(shape))

    def sequence(*sizes: int, lowest: float = -9.0, scale: float = 1.0) -> Tensor:
        numbers = np.maximum(scale * rng.standard_normal(sizes), lowest)
        room = torch.full((*sizes[:-2], sizes[-2] + 4, sizes[-1] + 4), torch.nan, dtype=dtype)
        if layout == "bdl":
            room = room.transpose(-1, -2).contiguous().transpose(-1, -2)
        room[..., 2:-2, 2:-2] = torch.tensor(numbers)
        return room[..., 2:-2, 2:-2]

    def projected() -> Tensor:
        return torch.tensor(rng.standard_normal((r, b, length, 2 * n + 1))).to(dtype)[..., n : 2 * n]

    def parameter(*sizes: int) -> Tensor:
        return torch.tensor(rng.standard_normal(sizes), dtype=torch.float32)

    output = (r, b, length, d) if merge == "none" else (b, length, d)
    x = Inputs(
        u=sequence(r, b, length, d),
        delta=sequence(r, b, length, d, lowest=-9.0 if softplus else 0.01, scale=0.5),
        A=-torch.exp(0.5 * parameter(r, d, n)),
        B=projected(),
        C=projected(),
        D=parameter(r, d) if "D" in options else None,
        z=sequence(*output) if "z" in options else None,
        delta_bias=(parameter(r, d) - 2 if softplus else parameter(r, d).abs() / 10)
        if "delta_bias" in options
        else None,
        paths=torch.tensor(np.stack([rng.permutation(length) for _ in range(r)])) if paths else None,
        delta_softplus=softplus,
        reverse=reverse or tuple(k % 2 == 1 for k in range(r)),
        merge=merge,
        layout=layout,
    )
    return sequence(*output), x


def by_steps(x: Inputs) -> scan_by_steps.Scan:
    arrays = (None if v is None else v.double().numpy() for v in x[:8])
    paths = None if x.paths is None else x.paths.numpy()
    return scan_by_steps.Scan(*arrays, paths, x.delta_softplus, x.reverse, x.merge)


def saved(x: Inputs) -> tuple[Tensor, Tensor]:
    """States and ungated output as a forward leaves them."""
    values = scan_by_steps.forward(by_steps(x))
    if x.z is None:
        return torch.tensor(values.states, dtype=torch.float32), x.u.new_empty(0)
    ungated = empty(values.ungated.shape, x.u.dtype, x.layout, x.u)
    return torch.tensor(values.states, dtype=torch.float32), ungated.copy_(torch.tensor(values.ungated))


def assert_right(dout: Tensor, x: Inputs, tolerance: float = 5e-6) -> Gradients:
    """Every gradient within a part of its largest number, or of 1; its type, shape and memory order."""
    found = backward(dout, x, *saved(x))
    expected = scan_by_steps.gradients(dout.double().numpy(), by_steps(x))
    assert {name for name, g in found._asdict().items() if g is not None} == set(expected)
    for name, values in expected.items():
        gradient: Tensor = getattr(found, name)
        given: Tensor = getattr(x, name)
        assert (gradient.dtype, gradient.shape) == (given.dtype, given.shape)
        bound = tolerance * max(1.0, np.abs(values).max())
        np.testing.assert_allclose(gradient.double().numpy(), values, rtol=0, atol=bound, err_msg=name)
        if name in ("u", "delta", "z"):
            ordered = gradient if x.layout == "bld" else gradient.transpose(-1, -2)
            assert ordered.is_contiguous()
    return found


@pytest.mark.parametrize("layout", ["bld", "bdl"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("d", [1, 17, 48])
def test_odd_shapes(d: int, reverse: bool, layout: str) -> None:
    for length in (1, 31, 32, 33, 65):
        for n in (1, 3, 16):
            assert_right(*drawn((1, 2, length, d, n), layout=layout, reverse=(reverse,)))


@pytest.mark.parametrize("layout", ["bld", "bdl"])
def test_long_sequences(layout: str) -> None:
    """Longer than what one block of channels goes through at once."""
    assert_right(*drawn((2, 1, 300, 20, 16), layout=layout))


def test_many_states_and_channels() -> None:
    assert_right(*drawn((1, 1, 40, 40, 64)))
    assert_right(*drawn((2, 1, 34, 16 * 9, 5)))


@pytest.mark.parametrize("layout", ["bld", "bdl"])
@pytest.mark.parametrize("paths", [False, True])
@pytest.mark.parametrize("merge", ["none", "add", "mean"])
def test_routes(merge: str, paths: bool, layout: str) -> None:
    for options in (ALL, (), ("z",), ("D",), ("delta_bias",)):
        for softplus in (False, True):
            given = drawn(
                (3, 2, 45, 20, 5), layout=layout, options=options, softplus=softplus, paths=paths, merge=merge
            )
            assert_right(*given)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 8e-3), (torch.float16, 1e-3)])
@pytest.mark.parametrize("layout", ["bld", "bdl"])
def test_low_precision(dtype: torch.dtype, tolerance: float, layout: str) -> None:
    for paths in (False, True):
        given = drawn((2, 2, 45, 36, 5), dtype=dtype, layout=layout, paths=paths, merge="add")
        assert_right(*given, tolerance=tolerance)


def test_sequences_shared_by_routes() -> None:
    dout, x = drawn((1, 2, 40, 20, 4), options=("D", "delta_bias"))
    shared = {name: getattr(x, name).expand(3, 2, 40, -1) for name in ("u", "delta", "B", "C")}
    parameters = {
        name: getattr(x, name).expand(3, *getattr(x, name).shape[1:]).contiguous()
        for name in ("A", "D", "delta_bias")
    }
    x = x._replace(**shared, **parameters, reverse=(False, True, False), merge="mean")
    assert_right(dout[0], x)


@pytest.mark.parametrize("shape", [(1, 1, 70, 200, 5), (2, 3, 40, 40, 1), (1, 40, 33, 17, 3)])
def test_threads_change_nothing(shape: tuple[int, int, int, int, int]) -> None:
    dout, x = drawn(shape)
    states, ungated = saved(x)
    one = backward(dout, x, states, ungated)
    torch.set_num_threads(3)
    several = backward(dout, x, states, ungated)
    for a, b in zip(one, several, strict=True):
        assert a is not None
        assert torch.equal(a, b)


def test_groups_come_from_shapes() -> None:
    assert groups_of(1, 1, 384) == 6
    assert groups_of(1, 64, 384) == 1
    assert groups_of(1, 64, 1024) == 2
    assert groups_of(2, 2, 1) == 1


@pytest.mark.parametrize("name", ["u", "delta", "B", "C", "z"])
def test_nan_flows_where_it_does_by_hand(name: str) -> None:
    dout, x = drawn((1, 1, 40, 20, 3))
    getattr(x, name)[0, 0, 35, 1] = torch.nan
    found = backward(dout, x, *saved(x))
    expected = scan_by_steps.gradients(dout.double().numpy(), by_steps(x))
    for key, values in expected.items():
        nan = np.isnan(values)
        np.testing.assert_array_equal(getattr(found, key).isnan().numpy(), nan, err_msg=key)


@pytest.mark.parametrize("merge", ["none", "add", "mean"])
@pytest.mark.parametrize("paths", [False, True])
def test_the_recurrence_itself(merge: str, paths: bool) -> None:
    """Values and gradients by hand against autograd, in float64."""
    for softplus in (False, True):
        for options in (ALL, (), ("z",)):
            dout, x = drawn((2, 2, 6, 3, 2), options=options, softplus=softplus, paths=paths, merge=merge)
            scan = by_steps(x)
            arrays = {k: v for k, v in scan._asdict().items() if isinstance(v, np.ndarray) and k != "paths"}
            tensors = {k: torch.tensor(v).requires_grad_() for k, v in arrays.items()}
            y = plainly(tensors, x)
            np.testing.assert_allclose(scan_by_steps.forward(scan).y, y.detach().numpy())
            wanted = torch.autograd.grad(y, list(tensors.values()), dout.double())
            found = scan_by_steps.gradients(dout.double().numpy(), scan)
            for key, gradient in zip(tensors, wanted, strict=True):
                np.testing.assert_allclose(found[key], gradient.numpy(), err_msg=key)


def plainly(t: dict[str, Tensor], x: Inputs) -> Tensor:
    """The output of a scan as a graph for autograd."""
    outputs = []
    for k, backwards in enumerate(x.reverse):
        step = t["delta"][k] + t["delta_bias"][k] if "delta_bias" in t else t["delta"][k]
        step = torch.nn.functional.softplus(step) if x.delta_softplus else step
        rows = list(range(step.shape[1])) if x.paths is None else x.paths[k].tolist()
        h = torch.zeros((), dtype=torch.float64)
        out = dict.fromkeys(rows, h)
        for row in reversed(rows) if backwards else rows:
            grown = (step[:, row] * t["u"][k][:, row]).unsqueeze(-1) * t["B"][k][:, row].unsqueeze(-2)
            h = torch.exp(step[:, row].unsqueeze(-1) * t["A"][k]) * h + grown
            out[row] = (h * t["C"][k][:, row].unsqueeze(-2)).sum(-1)
            if "D" in t:
                out[row] = out[row] + t["D"][k] * t["u"][k][:, row]
        outputs.append(torch.stack([out[row] for row in range(len(rows))], 1))
    y = torch.stack(outputs)
    if x.merge != "none":
        y = y.sum(0) * x.share
    return y * torch.nn.functional.silu(t["z"]) if "z" in t else y
