"""What a model needs to know about its head."""

from __future__ import annotations

from torch import nn

from archdsl.compiler.modules import Placed
from archdsl.nn.stream import Stream, run

_NORMS = frozenset({"layer_norm", "rms_norm", "batch_norm"})


def leading_norm(head: Placed | None) -> nn.Module | None:
    """The norm over all tokens that the head begins with, or None."""
    while head is not None and head.node.op.name == "chain" and head.parts:
        head = head.parts[0]
    return head.module if head is not None and head.node.op.name in _NORMS else None


def run_head(head: Placed, s: Stream, pre_logits: bool = False) -> Stream:
    """The head, or all of it but its last linear."""
    if not pre_logits:
        return run(head.module, s)
    if head.node.op.name == "linear":
        return s
    if head.node.op.name != "chain":
        return run(head.module, s)
    for part in head.parts[:-1]:
        s = run(part.module, s)
    return run_head(head.parts[-1], s, pre_logits)
