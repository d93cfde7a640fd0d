"""MambaVision (arXiv 2407.08083): the layout of the official checkpoints, dense prediction included."""

from __future__ import annotations

from archdsl.weights.layout import Entry, Layout, batch_norm, weight_and_bias

_BLOCK = "levels.{s}.blocks.{b}"
_OURS = "stages.{s}.blocks.{b}"
_MIXING = f"{_OURS}.residual.*"
_CONV_STAGES = ("0", "1")
"""Their blocks are convolutions; the key of their layer scale is another than in the later stages."""


def _conv_block(stage: str) -> tuple[Entry, ...]:
    theirs, ours = f"levels.{stage}.blocks.{{b}}", f"stages.{stage}.blocks.{{b}}.residual"
    return (
        *weight_and_bias(f"{theirs}.conv1", f"{ours}.conv2d.conv"),
        *batch_norm(f"{theirs}.norm1", f"{ours}.batch_norm"),
        *weight_and_bias(f"{theirs}.conv2", f"{ours}.conv2d_2.conv"),
        *batch_norm(f"{theirs}.norm2", f"{ours}.batch_norm_2"),
        Entry(f"{theirs}.gamma", f"{ours}.layer_scale.gamma"),
    )


def _mixer() -> tuple[Entry, ...]:
    """A split with the scan in its first half, a short convolution alone in the second."""
    theirs, scan = f"{_BLOCK}.mixer", f"{_MIXING}.split.chain.selective_scan"
    return (
        Entry(f"{theirs}.A_log", f"{scan}.A_log"),
        Entry(f"{theirs}.D", f"{scan}.D"),
        Entry(f"{theirs}.in_proj.weight", f"{_MIXING}.linear.weight"),
        Entry(f"{theirs}.x_proj.weight", f"{scan}.x_proj.weight"),
        *weight_and_bias(f"{theirs}.dt_proj", f"{scan}.dt_proj"),
        Entry(f"{theirs}.out_proj.weight", f"{_MIXING}.linear_2.weight"),
        Entry(f"{theirs}.conv1d_x.weight", f"{_MIXING}.split.chain.conv1d.weight"),
        Entry(f"{theirs}.conv1d_z.weight", f"{_MIXING}.split.chain_2.conv1d.weight"),
    )


def _attention() -> tuple[Entry, ...]:
    parts = ("qkv", "proj", "q_norm", "k_norm")
    return tuple(e for p in parts for e in weight_and_bias(f"{_BLOCK}.mixer.{p}", f"{_MIXING}.{p}"))


MAMBAVISION = Layout(
    name="mambavision",
    title="MambaVision (official)",
    marks=("patch_embed.conv_down.0.weight", f"{_BLOCK}.mlp.fc1.weight"),
    entries=(
        Entry("patch_embed.conv_down.0.weight", "stem.conv2d.conv.weight"),
        *batch_norm("patch_embed.conv_down.1", "stem.batch_norm"),
        Entry("patch_embed.conv_down.3.weight", "stem.conv2d_2.conv.weight"),
        *batch_norm("patch_embed.conv_down.4", "stem.batch_norm_2"),
        Entry("levels.{s-1}.downsample.reduction.0.weight", "stages.{s}.downsample.conv.weight"),
        *(entry for stage in _CONV_STAGES for entry in _conv_block(stage)),
        *weight_and_bias(f"{_BLOCK}.norm1", f"{_OURS}.residual.norm"),
        *_mixer(),
        *_attention(),
        Entry(f"{_BLOCK}.gamma_1", f"{_OURS}.residual.layer_scale.gamma"),
        *weight_and_bias(f"{_BLOCK}.norm2", f"{_OURS}.residual_2.norm"),
        *weight_and_bias(f"{_BLOCK}.mlp.fc1", f"{_OURS}.residual_2.mlp.fc1"),
        *weight_and_bias(f"{_BLOCK}.mlp.fc2", f"{_OURS}.residual_2.mlp.fc2"),
        Entry(f"{_BLOCK}.gamma_2", f"{_OURS}.residual_2.layer_scale.gamma"),
        *weight_and_bias("outnorm{s}", "stages.{s}.feature_norm"),
        *batch_norm("norm", "head.batch_norm"),
        *weight_and_bias("head", "head.linear"),
    ),
)
