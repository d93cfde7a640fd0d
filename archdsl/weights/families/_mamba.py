"""Blocks with scans both ways, whose tensors Vim and Mamba-R name alike."""

from __future__ import annotations

from archdsl.weights.layout import Entry, weight_and_bias

_MIXER = "layers.{i}.mixer"
_BLOCK = "stages.0.blocks.{i}.residual"


def _route(name: str, suffix: str, a_log: str) -> tuple[Entry, ...]:
    """The tensors of one direction; the official code tells the backward one by a suffix."""
    ours = f"{_BLOCK}.*.split.*.{name}"
    scan = f"{ours}.selective_scan"
    return (
        *weight_and_bias(f"{_MIXER}.conv1d{suffix}", f"{ours}.conv1d"),
        Entry(f"{_MIXER}.x_proj{suffix}.weight", f"{scan}.x_proj.weight"),
        *weight_and_bias(f"{_MIXER}.dt_proj{suffix}", f"{scan}.dt_proj"),
        Entry(f"{_MIXER}.{a_log}", f"{scan}.A_log"),
        Entry(f"{_MIXER}.D{suffix}", f"{scan}.D"),
    )


BLOCKS = (
    *weight_and_bias("layers.{i}.norm", f"{_BLOCK}.norm"),
    Entry(f"{_MIXER}.in_proj.weight", f"{_BLOCK}.*.linear.weight"),
    *_route("rows", "", "A_log"),
    *_route("rows_reverse", "_b", "A_b_log"),
    Entry(f"{_MIXER}.out_proj.weight", f"{_BLOCK}.*.linear_2.weight"),
    Entry(f"{_MIXER}.gamma", f"{_BLOCK}.layer_scale.gamma"),
)
"""Every tensor of the trunk."""
