"""Nodes replaced within an architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from archdsl.graph.architecture import Architecture, Stage
from archdsl.graph.node import Node

Rewrite = Callable[[Node], Node]


def rewrite(node: Node, change: Rewrite) -> Node:
    """The node with `change` applied to everything inside it, then to itself."""
    parts = tuple(rewrite(p, change) for p in node.parts)
    return change(node if parts == node.parts else replace(node, parts=parts))


def rewrite_stage(stage: Stage, change: Rewrite) -> Stage:
    """The stage with its downsample, every block and the norm of its maps rewritten."""
    return replace(
        stage,
        downsample=None if stage.downsample is None else rewrite(stage.downsample, change),
        blocks=tuple(rewrite(block, change) for block in stage.blocks),
        feature_norm=None if stage.feature_norm is None else rewrite(stage.feature_norm, change),
    )


def rewrite_all(architecture: Architecture, change: Rewrite) -> Architecture:
    """The architecture with every node rewritten."""
    return replace(
        architecture,
        stem=rewrite(architecture.stem, change),
        stages=tuple(rewrite_stage(stage, change) for stage in architecture.stages),
        head=None if architecture.head is None else rewrite(architecture.head, change),
    )
