"""Tensors without numbers: what a forward pass in PyTorch keeps for the backward, told without torch.

`Tensor` is a shape with its strides and the memory it lies in; the functions of this package do to it what
those of the same names do in PyTorch: make views or copies, and keep on the `Tape` what autograd would save.
Operators describe their modules with them (`Op.trace`), `archdsl.graph.memory` adds up what was kept.

Told for float32 on the CPU, as PyTorch 2.11 does it, and for batches of two or more images: one image alone
is contiguous in memory where several are not, so that some copies fall away.
"""

from archdsl.tape.flow import Flow, Part, joined
from archdsl.tape.functions import (
    add,
    amax,
    attention,
    batch_norm,
    cat,
    conv2d,
    div,
    exp,
    index_select,
    layer_norm,
    linear,
    matmul,
    moved,
    mul,
    pad,
    parameter,
    reduced,
    relu,
    rms_norm,
    scaled,
    stack,
    unary,
    where,
    zeros,
)
from archdsl.tape.scans import MixerRoute, decay_rates, mamba_inner, selective_scan
from archdsl.tape.tensor import IMAGES, Memory, Tape, Tensor, fresh, keep

__all__ = [
    "IMAGES",
    "Flow",
    "Memory",
    "MixerRoute",
    "Part",
    "Tape",
    "Tensor",
    "add",
    "amax",
    "attention",
    "batch_norm",
    "cat",
    "conv2d",
    "decay_rates",
    "div",
    "exp",
    "fresh",
    "index_select",
    "joined",
    "keep",
    "layer_norm",
    "linear",
    "mamba_inner",
    "matmul",
    "moved",
    "mul",
    "pad",
    "parameter",
    "reduced",
    "relu",
    "rms_norm",
    "scaled",
    "selective_scan",
    "stack",
    "unary",
    "where",
    "zeros",
]
