"""The selective scan of Mamba: the operator, its reference and the kernels that serve it."""

from archdsl.kernels.selective_scan.candidates import LADDER, chosen
from archdsl.kernels.selective_scan.inputs import CHUNK, Call, Gradients, Inputs, Kernel, Outputs, call_of
from archdsl.kernels.selective_scan.operator import selective_scan

__all__ = [
    "CHUNK",
    "LADDER",
    "Call",
    "Gradients",
    "Inputs",
    "Kernel",
    "Outputs",
    "call_of",
    "chosen",
    "selective_scan",
]
