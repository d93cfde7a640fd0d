"""Mamba-R (arXiv 2405.14858): the layout of the official checkpoints."""

from __future__ import annotations

from archdsl.weights.layout import Entry, Layout

_BLOCK = "stages.0.blocks.{i}.residual"


def _route(name: str, suffix: str, a_log: str) -> tuple[Entry, ...]:
    """The tensors of one direction; the official code tells the backward one by a suffix."""
    ours = f"{_BLOCK}.*.split.*.{name}"
    theirs = "layers.{i}.mixer"
    scan = f"{ours}.selective_scan"
    return (
        *(Entry(f"{theirs}.conv1d{suffix}.{p}", f"{ours}.conv1d.{p}") for p in ("weight", "bias")),
        Entry(f"{theirs}.x_proj{suffix}.weight", f"{scan}.x_proj.weight"),
        *(Entry(f"{theirs}.dt_proj{suffix}.{p}", f"{scan}.dt_proj.{p}") for p in ("weight", "bias")),
        Entry(f"{theirs}.{a_log}", f"{scan}.A_log"),
        Entry(f"{theirs}.D{suffix}", f"{scan}.D"),
    )


MAMBA_R = Layout(
    name="mamba_r",
    title="Mamba-R (official)",
    marks=("pos_embed_cls", "layers.{i}.mixer.A_b_log"),
    entries=(
        *(Entry(f"patch_embed.proj.{p}", f"stem.patch_embed.proj.{p}") for p in ("weight", "bias")),
        Entry("pos_embed", "stem.position.weight"),
        Entry("cls_token", "stem.registers.weight"),
        Entry("pos_embed_cls", "stem.registers.position"),
        *(Entry(f"layers.{{i}}.norm.{p}", f"{_BLOCK}.norm.{p}") for p in ("weight", "bias")),
        Entry("layers.{i}.mixer.in_proj.weight", f"{_BLOCK}.*.linear.weight"),
        *_route("rows", "", "A_log"),
        *_route("rows_reverse", "_b", "A_b_log"),
        Entry("layers.{i}.mixer.out_proj.weight", f"{_BLOCK}.*.linear_2.weight"),
        *(Entry(f"norm_f.{p}", f"head.norm.{p}") for p in ("weight", "bias")),
        Entry("neck.weight", "head.concat.neck.weight"),
        *(Entry(f"norm_neck.{p}", f"head.concat.norm.{p}") for p in ("weight", "bias")),
        *(Entry(f"head.{p}", f"head.linear.{p}") for p in ("weight", "bias")),
    ),
    replaceable=("head.linear.*", "head.concat.*.*", "stem.registers.*"),
)
