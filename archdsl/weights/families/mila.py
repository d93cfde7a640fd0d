"""MILA (arXiv 2405.16605): the layout of the official checkpoints, for classes and for dense prediction."""

from __future__ import annotations

from archdsl.weights.layout import Entry, Layout, batch_norm, joined, weight_and_bias

_THEIRS = "layers.{s}.blocks.{b}"
_OURS = "stages.{s}.blocks.{b}"
_MIXER = f"{_OURS}.residual_2.*"
_INNER = f"{_MIXER}.split.*"


def _stem_conv(theirs: str, conv: str, norm: str) -> tuple[Entry, ...]:
    """A convolution without bias, and the norm behind it."""
    return (
        Entry(f"patch_embed.{theirs}.conv.weight", f"stem.{conv}.conv.weight"),
        *batch_norm(f"patch_embed.{theirs}.norm", f"stem.{norm}"),
    )


_STEM = (
    *_stem_conv("conv1", "cbr.conv2d", "cbr.batch_norm"),
    *_stem_conv("conv2.0", "residual.cbr.conv2d", "residual.cbr.batch_norm"),
    *_stem_conv("conv2.1", "residual.conv2d", "residual.batch_norm"),
    *_stem_conv("conv3.0", "cbr_2.conv2d", "cbr_2.batch_norm"),
    *_stem_conv("conv3.1", "conv2d", "batch_norm"),
    *(Entry("absolute_pos_embed", f"stem.{name}.weight") for name in ("ape", "position")),
)

_BLOCK = (
    *weight_and_bias(f"{_THEIRS}.cpe1", f"{_OURS}.residual.cpe.conv"),
    *weight_and_bias(f"{_THEIRS}.norm1", f"{_OURS}.residual_2.norm"),
    *weight_and_bias((f"{_THEIRS}.in_proj", f"{_THEIRS}.act_proj"), f"{_MIXER}.linear", joined(2)),
    *weight_and_bias(f"{_THEIRS}.dwc", f"{_INNER}.conv2d.conv"),
    *weight_and_bias(f"{_THEIRS}.attn.qk", f"{_INNER}.linear_attention.qk"),
    *weight_and_bias(f"{_THEIRS}.attn.lepe", f"{_INNER}.linear_attention.lepe"),
    *weight_and_bias(f"{_THEIRS}.out_proj", f"{_MIXER}.linear_2"),
    *weight_and_bias(f"{_THEIRS}.cpe2", f"{_OURS}.residual_3.cpe.conv"),
    *weight_and_bias(f"{_THEIRS}.norm2", f"{_OURS}.residual_4.norm"),
    *weight_and_bias(f"{_THEIRS}.mlp.fc1", f"{_OURS}.residual_4.mlp.fc1"),
    *weight_and_bias(f"{_THEIRS}.mlp.fc2", f"{_OURS}.residual_4.mlp.fc2"),
)

_MERGING = "layers.{s-1}.downsample.conv"
_DOWN = (
    *weight_and_bias(f"{_MERGING}.0.conv", "stages.{s}.downsample.conv2d.conv"),
    *weight_and_bias(f"{_MERGING}.1.conv", "stages.{s}.downsample.conv2d_2.conv"),
    *weight_and_bias(f"{_MERGING}.2.conv", "stages.{s}.downsample.conv2d_3.conv"),
    *batch_norm(f"{_MERGING}.2.norm", "stages.{s}.downsample.batch_norm"),
)

MILA = Layout(
    name="mila",
    title="MILA (official)",
    marks=("patch_embed.conv3.1.conv.weight", f"{_THEIRS}.act_proj.weight"),
    entries=(
        *_STEM,
        *_BLOCK,
        *_DOWN,
        *weight_and_bias("norm{s}", "stages.{s}.feature_norm"),
        *weight_and_bias("norm", "head.layer_norm"),
        *weight_and_bias("head", "head.linear"),
    ),
    replaceable=("head.linear.*", "head.layer_norm.*", "stages.{s}.feature_norm.*"),
    ignored=(f"{_THEIRS}.attn.rope.rotations",),
)
