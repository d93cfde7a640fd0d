"""Linear maps: the operator, PyTorch's own products as its reference, and the kernels that are faster."""

from archdsl.kernels.linear.candidates import LADDER, kernel_for
from archdsl.kernels.linear.inputs import Call, Kernel, Product
from archdsl.kernels.linear.operator import choice, linear

__all__ = ["LADDER", "Call", "Kernel", "Product", "choice", "kernel_for", "linear"]
