"""The inside of a Mamba mixer from the kernels of its parts: convolution, products of matrices, scan.

The backward computes the convolution and the step sizes again; what was projected to few channels, and the
scan's states, are kept. Keeping the convolution's result too would make what is saved nearly half as large
again, and a training step of Mamba-R-tiny on the CPU 3 to 4 % faster with one image, no faster with 16.
"""

from __future__ import annotations

import torch
from torch import Tensor

from archdsl.kernels.conv1d import Inputs as Convolution
from archdsl.kernels.conv1d import call_of as convolution_call
from archdsl.kernels.conv1d import kernel_for
from archdsl.kernels.linear import Product
from archdsl.kernels.linear import kernel_for as product_for
from archdsl.kernels.mamba_inner.inputs import Gradients, Inputs, Outputs
from archdsl.kernels.mamba_inner.inputs import projected as empty_projected
from archdsl.kernels.selective_scan import LADDER as SCANS
from archdsl.kernels.selective_scan import Inputs as Scan
from archdsl.kernels.selective_scan import call_of as scan_call
from archdsl.kernels.selective_scan.saved import given_or_found


def forward(x: Inputs, saves: bool, backend: str) -> Outputs:
    """The result, with what the backward needs where `saves`; `backend` names the kernel of the scan."""
    with torch.autocast(x.xz.device.type, enabled=False):
        u = _convolved(x, backend)
        projected = _projected(x, u)
        scan = _scan(x, u, projected)
        kernel = SCANS.choose(scan_call(scan), backend).load()
        y, states, ungated = kernel.forward(scan, saves)
        return Outputs(y, states, ungated, projected if saves else x.xz.new_empty(0))


def backward(
    dout: Tensor, x: Inputs, states: Tensor, ungated: Tensor, projected: Tensor, backend: str
) -> Gradients:
    """Gradients for the gradient `dout` (b, l, e) of the result."""
    with torch.autocast(x.xz.device.type, enabled=False):
        u = _convolved(x, backend)
        scan = _scan(x, u, projected)
        kernel = SCANS.choose(scan_call(scan), backend).load()
        saved = given_or_found(kernel, scan, states, ungated)
        du, ddelta, dA, dB, dC, dD, dz, dbias = kernel.backward(dout, scan, *saved)
        assert dD is not None
        assert dbias is not None

        rank, state = x.rank, x.state
        dprojected = empty_projected(x)
        dx_proj, ddt_proj = (w.new_empty(w.shape) for w in (x.x_proj, x.dt_proj))
        for k in range(x.routes):
            rows, low, dlow = _rows(ddelta[k]), _rows(projected[k]), _rows(dprojected[k])
            dlow[:, :rank] = product_for(Product.INPUT, rows, x.dt_proj[k]).by_input(rows, x.dt_proj[k])
            by_weight = product_for(Product.WEIGHT, rows, ddt_proj[k]).by_weight
            ddt_proj[k] = by_weight(rows, low[:, :rank])
        dprojected[..., rank : rank + state] = dB
        dprojected[..., rank + state :] = dC

        dconv: Tensor | None = None
        dconv_bias: Tensor | None = None
        if x.conv is not None:
            for k in range(x.routes):
                rows, read = _rows(dprojected[k]), _rows(u[k])
                dx_proj[k] = product_for(Product.WEIGHT, rows, dx_proj[k]).by_weight(rows, read)
                by_input = product_for(Product.INPUT, rows, x.x_proj[k]).by_input
                by_input(rows, x.x_proj[k], _rows(du[k]))
            given = _convolution(x, x.conv)
            found = kernel_for(convolution_call(given), backend).backward(du, given)
            dx, dconv, dconv_bias = found.x, found.weight.unsqueeze(2), found.bias
        else:
            rows = _rows(dprojected.permute(1, 2, 0, 3).flatten(2))
            weight, dweight = x.x_proj.flatten(0, 1), dx_proj.view(-1, x.channels)
            dweight.copy_(product_for(Product.WEIGHT, rows, dweight).by_weight(rows, _rows(x.x)))
            dx = du.sum(0) if x.routes > 1 else du[0]
            product_for(Product.INPUT, rows, weight).by_input(rows, weight, _rows(dx))
        return Gradients(
            dx if dz is None else torch.cat([dx, dz], dim=-1),
            dconv,
            dconv_bias,
            dx_proj,
            ddt_proj,
            dbias.mul_(x.dt_bias_times).to(x.dt_bias.dtype),
            dA.mul_(scan.A).to(x.A_log.dtype),
            dD.to(x.D.dtype),
        )


def _convolution(x: Inputs, weight: Tensor) -> Convolution:
    bias = None if x.conv_bias is None else x.conv_bias.contiguous()
    return Convolution(x.x, weight.squeeze(2).contiguous(), bias, x.behind, True, x.reverse, x.paths)


def _convolved(x: Inputs, backend: str) -> Tensor:
    """What the scans read (r, b, l, e); one sequence for all routes, expanded, without a convolution."""
    if x.conv is None:
        return x.x.expand(x.routes, -1, -1, -1)
    given = _convolution(x, x.conv)
    return kernel_for(convolution_call(given), backend).forward(given)


def _projected(x: Inputs, u: Tensor) -> Tensor:
    """Step sizes of low rank, B and C, side by side (r, b, l, q + 2 n)."""
    found = empty_projected(x)
    if x.conv is None:
        together = _rows(found.permute(1, 2, 0, 3).flatten(2))
        rows, weight = _rows(x.x), x.x_proj.flatten(0, 1)
        product_for(Product.FORWARD, rows, weight).forward(rows, weight, None, together)
        return found
    for k in range(x.routes):
        rows, weight = _rows(u[k]), x.x_proj[k]
        product_for(Product.FORWARD, rows, weight).forward(rows, weight, None, _rows(found[k]))
    return found


def _scan(x: Inputs, u: Tensor, projected: Tensor) -> Scan:
    """The scan of all routes, its step sizes computed."""
    rank, state = x.rank, x.state
    delta = u.new_empty(u.shape)
    for k in range(x.routes):
        torch.mm(_rows(projected[k])[:, :rank], x.dt_proj[k].T, out=_rows(delta[k]))
    kept = torch.promote_types(u.dtype, torch.float32)
    bias = x.dt_bias.to(kept)
    return Scan(
        u,
        delta,
        x.A_log.to(kept).exp().neg_().contiguous(),
        projected[..., rank : rank + state],
        projected[..., rank + state :],
        x.D.to(kept).contiguous(),
        x.z,
        (bias if x.dt_bias_times == 1 else bias * x.dt_bias_times).contiguous(),
        x.paths,
        True,
        x.reverse,
        "mean" if x.mean else "add",
        "bld",
    )


def _rows(v_bld: Tensor) -> Tensor:
    """Steps of all images as rows of one matrix, a view."""
    return v_bld.view(-1, v_bld.shape[-1])
