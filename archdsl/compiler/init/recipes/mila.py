"""Initial weights of MILA."""

from __future__ import annotations

from archdsl.compiler.init.recipes._base import Recipe, normal_linears


def mila() -> Recipe:
    """MILA (arXiv 2405.16605): linears trunc_normal(0.02), biases 0; convolutions as PyTorch has them."""
    return normal_linears(0.02)
