"""Stochastic depth that grows with depth."""

from __future__ import annotations

from dataclasses import replace

from archdsl.graph.architecture import Architecture
from archdsl.graph.node import Node
from archdsl.ops.drop_path import DropPath


def ramp_drop_path(architecture: Architecture) -> Architecture:
    """Writes the rate of its block into every `drop_path`: 0 at the first block, the arch's rate at the last.

    Block i of n gets rate * i / (n - 1), over the whole arch (arXiv 1603.09382); a single block gets 0. The
    rate is the arch's, or that of a stage which sets its own.
    A rate that was given in a call, `drop_path(0.1)`, stays.
    """
    last = sum(len(stage.blocks) for stage in architecture.stages) - 1
    at = 0
    stages = []
    for stage in architecture.stages:
        blocks = []
        for block in stage.blocks:
            blocks.append(_scaled(block, at / last if last > 0 else 0.0))
            at += 1
        stages.append(replace(stage, blocks=tuple(blocks)))
    return replace(architecture, stages=tuple(stages))


def _scaled(block: Node, share: float) -> Node:
    op = block.op
    if isinstance(op, DropPath):
        return replace(block, op=op.model_copy(update={"drop_path": op.drop_path * share}))
    parts = tuple(_scaled(part, share) for part in block.parts)
    return block if parts == block.parts else replace(block, parts=parts)
