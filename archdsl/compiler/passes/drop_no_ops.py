"""Operators that do nothing are left out."""

from __future__ import annotations

from dataclasses import replace

from archdsl.compiler.passes.rewrite import rewrite_all
from archdsl.graph.architecture import Architecture
from archdsl.graph.node import Node


def drop_no_ops(architecture: Architecture) -> Architecture:
    """Takes what vanishes (a `drop_path` of rate 0) out of its sequence, unless nothing else is there."""
    return rewrite_all(architecture, _without_no_ops)


def _without_no_ops(node: Node) -> Node:
    if not node.op.sequence:
        return node
    kept = tuple(part for part in node.parts if not part.op.vanishes(part.input))
    return node if not kept or len(kept) == len(node.parts) else replace(node, parts=kept)
