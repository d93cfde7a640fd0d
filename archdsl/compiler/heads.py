"""What a model needs to know about its head."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from archdsl.compiler.modules import Placed
from archdsl.graph.architecture import Architecture
from archdsl.graph.node import Node
from archdsl.nn.chain import Chain
from archdsl.nn.stream import Stream, run

_NORMS = (nn.LayerNorm, nn.RMSNorm, nn.BatchNorm1d)


def leading_norm(head: nn.Module | None) -> nn.Module | None:
    """The norm over all tokens that the head begins with, or None."""
    while type(head) is Chain:
        head = next(iter(head.parts()), None)
    return head if isinstance(head, _NORMS) else None


def last(head: Placed) -> Placed:
    """The operator that the head ends in."""
    while head.node.op.name == "chain" and head.parts:
        head = head.parts[-1]
    return head


def run_head(head: nn.Module, s: Stream, pre_logits: bool = False) -> Stream:
    """The head, or all of it but its last linear."""
    if not pre_logits:
        return run(head, s)
    if isinstance(head, nn.Linear):
        return s
    if type(head) is not Chain:
        return run(head, s)
    *before, end = head.parts()
    for part in before:
        s = run(part, s)
    return run_head(end, s, pre_logits)


def with_classes(architecture: Architecture, classes: int) -> Architecture:
    """The architecture with another number of classes.

    Raises:
        ValueError: where the head does not end in a linear, or for fewer than one class.
    """
    if classes < 1:
        raise ValueError(f"a classifier has at least 1 class, not {classes}")
    if architecture.head is None:
        raise ValueError("the architecture has no head")
    parameters = tuple(
        (name, str(classes) if name == "classes" else value, origin)
        for name, value, origin in architecture.parameters
    )
    head = _ending_in(architecture.head, classes)
    return replace(architecture, head=head, classes=classes, parameters=parameters)


def _ending_in(node: Node, classes: int) -> Node:
    """The same head with another width at its end."""
    output = replace(node.output, dim=classes)
    if node.op.name == "linear":
        return replace(node, op=node.op.model_copy(update={"out": classes}), output=output)
    if node.op.name == "chain" and node.parts:
        return replace(node, parts=(*node.parts[:-1], _ending_in(node.parts[-1], classes)), output=output)
    raise ValueError(f"the head ends in {node.op.name}, not in a linear")
