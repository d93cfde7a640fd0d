"""Tensors in, tensors out: every operator with its reference and the kernels that serve it."""

from archdsl.kernels.conv1d import conv1d
from archdsl.kernels.linear import linear
from archdsl.kernels.mamba_inner import mamba_inner
from archdsl.kernels.selective_scan import selective_scan

__all__ = ["conv1d", "linear", "mamba_inner", "selective_scan"]
