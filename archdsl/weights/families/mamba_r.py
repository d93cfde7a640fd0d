"""Mamba-R (arXiv 2405.14858): the layout of the official checkpoints."""

from __future__ import annotations

from archdsl.weights.families._mamba import BLOCKS
from archdsl.weights.layout import Entry, Layout, weight_and_bias

MAMBA_R = Layout(
    name="mamba_r",
    title="Mamba-R (official)",
    marks=("pos_embed_cls", "layers.{i}.mixer.A_b_log"),
    entries=(
        *weight_and_bias("patch_embed.proj", "stem.patch_embed.proj"),
        Entry("pos_embed", "stem.position.weight"),
        Entry("cls_token", "stem.registers.weight"),
        Entry("pos_embed_cls", "stem.registers.position"),
        *BLOCKS,
        *weight_and_bias("norm_f", "head.norm"),
        Entry("neck.weight", "head.concat.neck.weight"),
        *weight_and_bias("norm_neck", "head.concat.norm"),
        *weight_and_bias("head", "head.linear"),
    ),
    replaceable=("head.linear.*", "head.concat.*.*", "stem.registers.*"),
)
