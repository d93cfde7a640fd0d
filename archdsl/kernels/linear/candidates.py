"""The kernels that can serve a linear map, the preferred first."""

from __future__ import annotations

from torch import Tensor

from archdsl.kernels.ladder import Candidate, Ladder
from archdsl.kernels.linear import onednn, proving, reference
from archdsl.kernels.linear.inputs import Call, Kernel, Product, call_of
from archdsl.kernels.linear.timing import Race

REFERENCE = Kernel(reference.forward, reference.by_input, reference.by_weight)

LADDER: Ladder[Call, Kernel] = Ladder(
    "linear map",
    (
        Candidate(
            "onednn",
            onednn.available,
            onednn.supports,
            onednn.load,
            devices=("cpu",),
            slower=Race(onednn.load, lambda: REFERENCE).lost,
        ),
        Candidate(
            "reference",
            available=lambda: None,
            supports=lambda call: None,
            load=lambda: REFERENCE,
        ),
    ),
    proving.prove,
    proving.typical,
)
"""The reference, PyTorch's own products, serves every call on every device."""


def kernel_for(product: Product, rows_by: Tensor, weight: Tensor, backend: str = "auto") -> Kernel:
    """The kernel that serves a product.

    Args:
        product: the one asked for.
        rows_by: (m, k) or (m, n).
        weight: (n, k), or its gradient.
        backend: a name, or `auto`.

    Raises:
        ValueError: where there is no kernel of that name, and where it can't serve the product.
    """
    return LADDER.choose(call_of(product, rows_by, weight), backend).load()
