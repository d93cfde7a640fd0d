"""ViT (arXiv 2010.11929): the layout of timm's `VisionTransformer`, which DeiT's checkpoints share.

A model that pools first and norms after (timm's `fc_norm`) has its norm under another key, so it has a layout
of its own.

For images of another size positions are resized bicubically and not antialiased, as `position` does it. timm
antialiases unless it is told not to (`resample_abs_pos_embed(..., antialias=False)` gives our numbers), so
there its model and ours part a little, by their positions alone.
"""

from __future__ import annotations

from archdsl.weights.layout import Entry, Layout, weight_and_bias

_MIXING = "stages.0.blocks.{i}.residual"
_MLP = "stages.0.blocks.{i}.residual_2"


def _entries(norm: str) -> tuple[Entry, ...]:
    """Every tensor, with the key of the norm before the classifier."""
    return (
        *weight_and_bias("patch_embed.proj", "stem.patch_embed.proj"),
        Entry("cls_token", "stem.class_token.weight"),
        Entry("reg_token", "stem.registers.weight"),
        Entry("pos_embed", "stem.position.weight"),
        *weight_and_bias("blocks.{i}.norm1", f"{_MIXING}.norm"),
        *weight_and_bias("blocks.{i}.attn.qkv", f"{_MIXING}.*.qkv"),
        *weight_and_bias("blocks.{i}.attn.q_norm", f"{_MIXING}.*.q_norm"),
        *weight_and_bias("blocks.{i}.attn.k_norm", f"{_MIXING}.*.k_norm"),
        *weight_and_bias("blocks.{i}.attn.proj", f"{_MIXING}.*.proj"),
        Entry("blocks.{i}.ls1.gamma", f"{_MIXING}.layer_scale.gamma"),
        *weight_and_bias("blocks.{i}.norm2", f"{_MLP}.norm"),
        *weight_and_bias("blocks.{i}.mlp.fc1", f"{_MLP}.mlp.fc1"),
        *weight_and_bias("blocks.{i}.mlp.fc2", f"{_MLP}.mlp.fc2"),
        Entry("blocks.{i}.ls2.gamma", f"{_MLP}.layer_scale.gamma"),
        *weight_and_bias(norm, "head.norm"),
        *weight_and_bias("head", "head.linear"),
    )


VIT_TIMM = Layout(
    name="vit_timm",
    title="ViT (timm)",
    marks=("patch_embed.proj.weight", "blocks.{i}.attn.qkv.weight", "norm.weight"),
    entries=_entries("norm"),
    replaceable=("head.linear.*",),
    extras_first=True,
)

VIT_TIMM_POOLED = Layout(
    name="vit_timm_pooled",
    title="ViT with the norm behind the pooling (timm)",
    marks=("patch_embed.proj.weight", "blocks.{i}.attn.qkv.weight", "fc_norm.weight"),
    entries=_entries("fc_norm"),
    replaceable=("head.linear.*",),
    extras_first=True,
)
