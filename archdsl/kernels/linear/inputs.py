"""What a linear map is given, and what is known of it before it runs.

m rows with k inputs and n outputs each: the weight is (n, k), as `torch.nn.Linear` has it.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Product(Enum):
    """One of the three products of matrices."""

    FORWARD = "forward"
    INPUT = "gradient of the input"
    WEIGHT = "gradient of the weight"


class Forward(Protocol):
    """x weight^T + bias (m, n) for x (m, k); written to `out`, which is returned, where that is given."""

    def __call__(
        self, x: Tensor, weight: Tensor, bias: Tensor | None = None, out: Tensor | None = None
    ) -> Tensor: ...


class ByInput(Protocol):
    """The gradient of x (m, k) for the gradient `dout` (m, n) of the result, in any order in memory; added to
    `onto`, which is returned, where that is given."""

    def __call__(self, dout: Tensor, weight: Tensor, onto: Tensor | None = None) -> Tensor: ...


class ByWeight(Protocol):
    """The gradient of the weight (n, k), in any order in memory."""

    def __call__(self, dout: Tensor, x: Tensor) -> Tensor: ...


class Kernel(NamedTuple):
    """The three products. Strides of what they are given are free."""

    forward: Forward
    by_input: ByInput
    by_weight: ByWeight


class Call(NamedTuple):
    """What a kernel needs to know to tell whether it serves.

    Args:
        device: type of the device (`cpu`, `cuda`).
        dtype: of all tensors.
        product: the one asked for.
        rows, inputs, outputs: m, k, n.
        threads: of torch.
        exact: whether float32 is to be multiplied as such (`torch.set_float32_matmul_precision`).
        layout: of memory, always `bld`: channels last.
    """

    device: str
    dtype: torch.dtype
    product: Product
    rows: int
    inputs: int
    outputs: int
    threads: int
    exact: bool = True
    layout: str = "bld"

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.rows * self.inputs * self.outputs


def call_of(product: Product, rows_by: Tensor, weight: Tensor) -> Call:
    """What decides about the kernel.

    Args:
        product: the one asked for.
        rows_by: (m, k) or (m, n).
        weight: (n, k), or its gradient.
    """
    outputs, inputs = weight.shape
    exact = torch.get_float32_matmul_precision() == "highest"
    kind, threads = rows_by.device.type, torch.get_num_threads()
    return Call(kind, rows_by.dtype, product, rows_by.shape[0], inputs, outputs, threads, exact)
