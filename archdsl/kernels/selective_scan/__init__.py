"""The selective scan of Mamba: the operator, its reference and the kernels that serve it."""

from archdsl.kernels.selective_scan.candidates import CANDIDATES, Candidate, choose, chosen
from archdsl.kernels.selective_scan.inputs import Call, Gradients, Inputs
from archdsl.kernels.selective_scan.operator import call_of, selective_scan

__all__ = [
    "CANDIDATES",
    "Call",
    "Candidate",
    "Gradients",
    "Inputs",
    "call_of",
    "choose",
    "chosen",
    "selective_scan",
]
