"""MILA (arXiv 2405.16605): the layout of the official checkpoints, for classes and for dense prediction."""

from __future__ import annotations

from archdsl.weights.layout import UNCHANGED, Conversion, Entry, Layout, joined

_THEIRS = "layers.{s}.blocks.{b}"
_OURS = "stages.{s}.blocks.{b}"
_MIXER = f"{_OURS}.residual_2.*"
_INNER = f"{_MIXER}.split.*"


def _both(theirs: str | tuple[str, ...], ours: str, conversion: Conversion = UNCHANGED) -> tuple[Entry, ...]:
    """Weight and bias of a module, or of several that are one of ours."""
    keys = (theirs,) if isinstance(theirs, str) else theirs
    return tuple(
        Entry(tuple(f"{key}.{p}" for key in keys), f"{ours}.{p}", conversion) for p in ("weight", "bias")
    )


def _batch_norm(theirs: str, ours: str) -> tuple[Entry, ...]:
    """Weight, bias and statistics."""
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    return (*_both(theirs, ours), *(Entry(f"{theirs}.{p}", f"{ours}.{p}") for p in statistics))


def _stem_conv(theirs: str, conv: str, norm: str) -> tuple[Entry, ...]:
    """A convolution without bias, and the norm behind it."""
    return (
        Entry(f"patch_embed.{theirs}.conv.weight", f"stem.{conv}.conv.weight"),
        *_batch_norm(f"patch_embed.{theirs}.norm", f"stem.{norm}"),
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
    *_both(f"{_THEIRS}.cpe1", f"{_OURS}.residual.cpe.conv"),
    *_both(f"{_THEIRS}.norm1", f"{_OURS}.residual_2.norm"),
    *_both((f"{_THEIRS}.in_proj", f"{_THEIRS}.act_proj"), f"{_MIXER}.linear", joined(2)),
    *_both(f"{_THEIRS}.dwc", f"{_INNER}.conv2d.conv"),
    *_both(f"{_THEIRS}.attn.qk", f"{_INNER}.linear_attention.qk"),
    *_both(f"{_THEIRS}.attn.lepe", f"{_INNER}.linear_attention.lepe"),
    *_both(f"{_THEIRS}.out_proj", f"{_MIXER}.linear_2"),
    *_both(f"{_THEIRS}.cpe2", f"{_OURS}.residual_3.cpe.conv"),
    *_both(f"{_THEIRS}.norm2", f"{_OURS}.residual_4.norm"),
    *_both(f"{_THEIRS}.mlp.fc1", f"{_OURS}.residual_4.mlp.fc1"),
    *_both(f"{_THEIRS}.mlp.fc2", f"{_OURS}.residual_4.mlp.fc2"),
)

_MERGING = "layers.{s-1}.downsample.conv"
_DOWN = (
    *_both(f"{_MERGING}.0.conv", "stages.{s}.downsample.conv2d.conv"),
    *_both(f"{_MERGING}.1.conv", "stages.{s}.downsample.conv2d_2.conv"),
    *_both(f"{_MERGING}.2.conv", "stages.{s}.downsample.conv2d_3.conv"),
    *_batch_norm(f"{_MERGING}.2.norm", "stages.{s}.downsample.batch_norm"),
)

MILA = Layout(
    name="mila",
    title="MILA (official)",
    marks=("patch_embed.conv3.1.conv.weight", f"{_THEIRS}.act_proj.weight"),
    entries=(
        *_STEM,
        *_BLOCK,
        *_DOWN,
        *_both("norm{s}", "stages.{s}.feature_norm"),
        *_both("norm", "head.layer_norm"),
        *_both("head", "head.linear"),
    ),
    replaceable=("head.linear.*", "head.layer_norm.*", "stages.{s}.feature_norm.*"),
    ignored=(f"{_THEIRS}.attn.rope.rotations",),
)
