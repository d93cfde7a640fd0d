"""Stochastic depth that grows with depth."""

from __future__ import annotations

from dataclasses import replace

from archdsl.graph.architecture import Architecture
from archdsl.graph.node import Node


def ramp_drop_path(architecture: Architecture) -> Architecture:
    """Writes the rate of its block into every `drop_path`: 0 at the first block, the arch's rate at the last.

    Block i of n gets rate * i / (n - 1), over the whole arch (arXiv 1603.09382); a single block gets 0.
    A rate that was given in a call, `drop_path(0.1)`, stays.
    """
    last = sum(len(stage.blocks) for stage in architecture.stages) - 1
    at = 0
    stages = []
    for stage in architecture.stages:
        blocks = []
        for block in stage.blocks:
            rate = architecture.drop_path * at / last if last > 0 else 0.0
            blocks.append(_with_rate(block, rate))
            at += 1
        stages.append(replace(stage, blocks=tuple(blocks)))
    return replace(architecture, stages=tuple(stages))


def _with_rate(block: Node, rate: float) -> Node:
    if block.op.name == "drop_path":
        return replace(block, op=block.op.model_copy(update={"drop_path": rate}))
    parts = tuple(_with_rate(part, rate) for part in block.parts)
    return block if parts == block.parts else replace(block, parts=parts)
