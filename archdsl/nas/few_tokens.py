"""Warnings for mixers that see few tokens."""

from __future__ import annotations

from dataclasses import dataclass, field

from archdsl.diagnostics import Diagnostic, Severity, Span
from archdsl.graph.architecture import Architecture
from archdsl.graph.elaboration.report import Report

FEW_TOKENS = 16


@dataclass(slots=True)
class FewTokens:
    """Tells of mixers that see few tokens, once for every stage and size of its map.

    Args:
        report: for the warnings.
    """

    report: Report
    _told: set[tuple[str, tuple[int, ...]]] = field(default_factory=set)

    def look(self, architecture: Architecture, span: Span) -> None:
        """E415 at a place for what an architecture has that was not told yet."""
        for stage in architecture.stages:
            for node in (n for block in stage.blocks for n in block.walk()):
                grid = node.input.grid
                if not node.op.mixes_tokens or not grid or node.input.patches >= FEW_TOKENS:
                    continue
                if (stage.name, grid) in self._told:
                    continue
                self._told.add((stage.name, grid))
                shape = " x ".join(map(str, grid))
                self.report.add(
                    Diagnostic(
                        "E415", f"a mixer of `{stage.name}` sees {_tokens(node.input.patches)}", span,
                        f"`{node.op.name}` works on {shape}",
                        ("so few tells little about a mixer",),
                        f"give it {FEW_TOKENS} or more: a larger `image`, a finer stem, wider windows",
                        Severity.WARNING,
                    )
                )  # fmt: skip


def _tokens(tokens: int) -> str:
    """`1 token`, `4 tokens`."""
    return "1 token" if tokens == 1 else f"{tokens} tokens"
