"""MambaOut (arXiv 2405.07992): layouts of the official checkpoints and of timm, rw variants included."""

from __future__ import annotations

from archdsl.weights.layout import SWAPPED_HALVES, Entry, Layout, weight_and_bias

_MIXER = "stages.{s}.blocks.{b}.residual.*"


def _block(theirs: str) -> tuple[Entry, ...]:
    """A gated block. fc1 makes the gate first and the value second, ours the other way round."""
    return (
        *weight_and_bias(f"{theirs}.norm", "stages.{s}.blocks.{b}.residual.norm"),
        *weight_and_bias(f"{theirs}.fc1", f"{_MIXER}.linear", SWAPPED_HALVES),
        *weight_and_bias(f"{theirs}.conv", f"{_MIXER}.split.*.conv2d.conv"),
        *weight_and_bias(f"{theirs}.fc2", f"{_MIXER}.linear_2"),
        Entry(f"{theirs}.ls.gamma", "stages.{s}.blocks.{b}.residual.layer_scale.gamma"),
    )


def _stem(theirs: str) -> tuple[Entry, ...]:
    return (
        *weight_and_bias(f"{theirs}.conv1", "stem.conv2d.conv"),
        *weight_and_bias(f"{theirs}.norm1", "stem.stem_norm"),
        *weight_and_bias(f"{theirs}.conv2", "stem.conv2d_2.conv"),
        *weight_and_bias(f"{theirs}.norm2", "stem.layer_norm"),
    )


def _down(theirs: str) -> tuple[Entry, ...]:
    return (
        *weight_and_bias(f"{theirs}.conv", "stages.{s}.downsample.conv2d.conv"),
        *weight_and_bias(f"{theirs}.norm", "stages.{s}.downsample.layer_norm"),
    )


MAMBAOUT = Layout(
    name="mambaout",
    title="MambaOut (official)",
    marks=("downsample_layers.0.conv1.weight", "stages.{s}.{b}.fc1.weight"),
    entries=(
        *_stem("downsample_layers.0"),
        *_down("downsample_layers.{s}"),
        *_block("stages.{s}.{b}"),
        *weight_and_bias("norm", "head.layer_norm"),
        *weight_and_bias("head.fc1", "head.linear"),
        *weight_and_bias("head.norm", "head.head_norm"),
        *weight_and_bias("head.fc2", "head.linear_2"),
    ),
    replaceable=("head.linear_2.*",),
)

MAMBAOUT_TIMM = Layout(
    name="mambaout_timm",
    title="MambaOut (timm)",
    marks=("stem.conv1.weight", "stages.{s}.blocks.{b}.fc1.weight"),
    entries=(
        *_stem("stem"),
        *_down("stages.{s}.downsample"),
        *_block("stages.{s}.blocks.{b}"),
        *weight_and_bias("head.norm", "head.layer_norm"),
        *weight_and_bias("head.pre_logits.fc", "head.linear"),
        *weight_and_bias("head.pre_logits.norm", "head.head_norm"),
        *weight_and_bias("head.fc", "head.linear_2"),
    ),
    replaceable=("head.linear_2.*",),
)
