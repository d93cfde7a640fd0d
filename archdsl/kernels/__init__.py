"""Tensors in, tensors out: every operator with its reference and the kernels that serve it."""

from archdsl.kernels.selective_scan import selective_scan

__all__ = ["selective_scan"]
