"""Kernels of the selective scan that are the reference with one thing wrong, to be put into its ladder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from archdsl.kernels.ladder import Candidate
from archdsl.kernels.selective_scan import Call, Gradients, Inputs, Kernel, Outputs, reference

Planted = Candidate[Call, Kernel]


def planted(
    kernel: Kernel | None = None,
    *,
    name: str = "planted",
    available: Callable[[], str | None] = lambda: None,
    supports: Callable[[Call], str | None] = lambda call: None,
    load: Callable[[], Kernel] | None = None,
    devices: tuple[str, ...] = (),
) -> Planted:
    """A candidate; the reference under another name where nothing is given."""
    found = right() if kernel is None else kernel
    return Candidate(name, available, supports, load or (lambda: found), devices)


def right() -> Kernel:
    """The reference."""
    return Kernel(reference.forward, reference.backward)


def with_forward(change: Callable[[Inputs, Outputs], Outputs]) -> Kernel:
    """A kernel whose forward is changed."""

    def forward(x: Inputs, saves: bool) -> Outputs:
        return change(x, reference.forward(x, saves))

    return Kernel(forward, reference.backward)


def with_y(change: Callable[[Inputs, Tensor], Tensor]) -> Kernel:
    """A kernel whose y is changed."""
    return with_forward(lambda x, out: out._replace(y=change(x, out.y)))


def with_inputs(change: Callable[[Inputs], Inputs]) -> Kernel:
    """A kernel that computes something else."""

    def forward(x: Inputs, saves: bool) -> Outputs:
        return reference.forward(change(x), saves)

    def backward(dout: Tensor, x: Inputs, states: Tensor, ungated: Tensor) -> Gradients:
        return reference.backward(dout, change(x), states, ungated)

    return Kernel(forward, backward)


def with_gradient(name: str, change: Callable[[Tensor], Tensor | None]) -> Kernel:
    """A kernel with one gradient changed."""

    def backward(dout: Tensor, x: Inputs, states: Tensor, ungated: Tensor) -> Gradients:
        gradients = reference.backward(dout, x, states, ungated)
        found = getattr(gradients, name)
        return gradients if found is None else gradients._replace(**{name: change(found)})

    return Kernel(reference.forward, backward)


def raises(error: BaseException) -> Callable[..., Any]:
    """A function that raises."""

    def function(*anything: object) -> Any:
        raise error

    return function


def _doubled(x: Inputs, y: Tensor) -> Tensor:
    return y * 2


def _spoiled(x: Inputs, saves: bool) -> Outputs:
    x.delta[..., 0] += 1
    return reference.forward(x, saves)


def _spoiling(dout: Tensor, x: Inputs, states: Tensor, ungated: Tensor) -> Gradients:
    found = reference.backward(dout, x, states, ungated)
    dout.mul_(2)
    return found


def _last_steps(x: Inputs, y: Tensor) -> Tensor:
    y[..., 64:, :] += 1
    return y


def _last_channels(x: Inputs, y: Tensor) -> Tensor:
    y[..., 32:] = 0
    return y


def _even_only(x: Inputs, y: Tensor) -> Tensor:
    return y * 2 if x.u.shape[-1] % 16 == 0 else y


def _few_states(x: Inputs) -> Inputs:
    return x._replace(B=x.B * (torch.arange(x.B.shape[-1]) < 16))


def _forwards(x: Inputs) -> Inputs:
    return x._replace(reverse=(False,) * len(x.reverse))


def _rows(x: Inputs) -> Inputs:
    return x._replace(paths=None)


def _added(x: Inputs) -> Inputs:
    return x._replace(merge="add" if x.merge == "mean" else x.merge)


def _no_softplus(x: Inputs) -> Inputs:
    return x._replace(delta_softplus=False)


def _without_saving(x: Inputs, saves: bool) -> Outputs:
    out = reference.forward(x, saves)
    return out if saves else out._replace(y=out.y * 2)


WRONG: dict[str, tuple[Planted, str]] = {
    "forward": (planted(with_y(_doubled)), "y is off by"),
    "last steps": (planted(with_y(_last_steps)), "y is off by"),
    "last channels": (planted(with_y(_last_channels)), "y is off by"),
    "even shapes": (planted(with_y(_even_only)), "y is off by"),
    "last states": (planted(with_inputs(_few_states)), "is off by"),
    "direction": (planted(with_inputs(_forwards)), "is (off by|not finite)"),
    "path": (planted(with_inputs(_rows)), "is off by"),
    "merge": (planted(with_inputs(_added)), "is off by"),
    "softplus": (planted(with_inputs(_no_softplus)), "is (off by|not finite)"),
    "nan": (planted(with_y(lambda x, y: y * float("nan"))), "y is not finite"),
    "zero for nan": (planted(with_y(lambda x, y: y.nan_to_num())), "y behind a NaN is not finite, or finite"),
    "one nan for all": (planted(with_y(lambda x, y: y + 0 * x.u.sum())), "y behind a NaN"),
    "saving nothing": (
        planted(Kernel(_without_saving, reference.backward)),
        "y where nothing is saved is off",
    ),
    "shape": (planted(with_y(lambda x, y: y[..., :-1])), r"y is \(.*, expected \("),
    "type": (planted(with_y(lambda x, y: y.double())), "y is .* float64 on cpu, expected .* on cpu"),
    "no gradient": (planted(with_gradient("B", lambda g: None)), "there is no gradient of B"),
    "changes an input": (planted(Kernel(_spoiled, reference.backward)), "it changes its input delta"),
    "changes dout": (planted(Kernel(reference.forward, _spoiling)), "it changes its input dout"),
    "raises": (planted(Kernel(raises(RuntimeError("no\nluck")), reference.backward)), "RuntimeError: no$"),
    "backward raises": (planted(Kernel(reference.forward, raises(KeyError("x")))), "KeyError: 'x'"),
    "import": (planted(load=raises(ImportError("libcudart.so"))), "ImportError: libcudart.so"),
    "exit": (planted(load=raises(SystemExit(3))), "SystemExit: 3"),
    "available": (planted(available=raises(OSError("no driver"))), "it raises OSError: no driver"),
    "supports": (planted(supports=raises(OSError("no driver"))), "it raises OSError: no driver"),
}
"""With a pattern of the reason that each is refused for."""
