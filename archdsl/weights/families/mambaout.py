"""MambaOut (arXiv 2405.07992): layouts of the official checkpoints and of timm, rw variants included."""

from __future__ import annotations

from archdsl.weights.layout import SWAPPED_HALVES, UNCHANGED, Entry, Layout

_MIXER = "stages.{s}.blocks.{b}.residual.*"


def _both(theirs: str, ours: str, halves_swapped: bool = False) -> tuple[Entry, Entry]:
    """Weight and bias of a module."""
    conversion = SWAPPED_HALVES if halves_swapped else UNCHANGED
    weight, bias = (Entry(f"{theirs}.{p}", f"{ours}.{p}", conversion) for p in ("weight", "bias"))
    return weight, bias


def _block(theirs: str) -> tuple[Entry, ...]:
    """A gated block. fc1 makes the gate first and the value second, ours the other way round."""
    return (
        *_both(f"{theirs}.norm", "stages.{s}.blocks.{b}.residual.norm"),
        *_both(f"{theirs}.fc1", f"{_MIXER}.linear", halves_swapped=True),
        *_both(f"{theirs}.conv", f"{_MIXER}.split.*.conv2d.conv"),
        *_both(f"{theirs}.fc2", f"{_MIXER}.linear_2"),
        Entry(f"{theirs}.ls.gamma", "stages.{s}.blocks.{b}.residual.layer_scale.gamma"),
    )


def _stem(theirs: str) -> tuple[Entry, ...]:
    return (
        *_both(f"{theirs}.conv1", "stem.conv2d.conv"),
        *_both(f"{theirs}.norm1", "stem.stem_norm"),
        *_both(f"{theirs}.conv2", "stem.conv2d_2.conv"),
        *_both(f"{theirs}.norm2", "stem.layer_norm"),
    )


def _down(theirs: str) -> tuple[Entry, ...]:
    return (
        *_both(f"{theirs}.conv", "stages.{s}.downsample.conv2d.conv"),
        *_both(f"{theirs}.norm", "stages.{s}.downsample.layer_norm"),
    )


MAMBAOUT = Layout(
    name="mambaout",
    title="MambaOut (official)",
    marks=("downsample_layers.0.conv1.weight", "stages.{s}.{b}.fc1.weight"),
    entries=(
        *_stem("downsample_layers.0"),
        *_down("downsample_layers.{s}"),
        *_block("stages.{s}.{b}"),
        *_both("norm", "head.layer_norm"),
        *_both("head.fc1", "head.linear"),
        *_both("head.norm", "head.head_norm"),
        *_both("head.fc2", "head.linear_2"),
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
        *_both("head.norm", "head.layer_norm"),
        *_both("head.pre_logits.fc", "head.linear"),
        *_both("head.pre_logits.norm", "head.head_norm"),
        *_both("head.fc", "head.linear_2"),
    ),
    replaceable=("head.linear_2.*",),
)
