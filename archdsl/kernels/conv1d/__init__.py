"""The depthwise convolution along the sequence: the operator, its reference and the kernels that serve it."""

from archdsl.kernels.conv1d.candidates import LADDER, kernel_for
from archdsl.kernels.conv1d.inputs import Backward, Call, Forward, Gradients, Inputs, Kernel, call_of
from archdsl.kernels.conv1d.operator import conv1d

__all__ = [
    "LADDER",
    "Backward",
    "Call",
    "Forward",
    "Gradients",
    "Inputs",
    "Kernel",
    "call_of",
    "conv1d",
    "kernel_for",
]
