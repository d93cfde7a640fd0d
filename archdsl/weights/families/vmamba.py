"""VMamba (arXiv 2401.10166): the layout of the official checkpoints.

The four scans of a mixer lie stacked in one tensor of each kind. Stem and downsample may be of the first
version (one convolution of 4 x 4, patch merging) or of those of the published models.
"""

from __future__ import annotations

from collections.abc import Iterator

from archdsl.weights.layout import Entry, Layout, Piece, weight_and_bias

_THEIRS = "layers.{s}.blocks.{b}"
_OURS = "stages.{s}.blocks.{b}"
_MIXER = f"{_OURS}.residual.*"
_INSIDE = (_MIXER, f"{_MIXER}.split.*")
"""What lies between the two projections: all of it, or one half of a gate."""

_ROUTES = (
    ("rows",),
    ("columns", "rows_2"),
    ("rows_reverse", "rows_3"),
    ("columns_reverse", "rows_reverse_2", "rows_4"),
)
"""In the order in which they are stacked, with every name that a scan has there: among rows and columns,
among rows both ways, among rows one way."""
_LINES = ("windowed", "windowed_2")
"""Every row, then every column, each both ways."""


def _scan(ours: str, index: int) -> tuple[Entry, ...]:
    """The tensors of one scan of four."""
    stacked, joined = Piece(index, 4, stacked=True), Piece(index, 4)
    return (
        Entry(f"{_THEIRS}.op.x_proj_weight", f"{ours}.x_proj.weight", piece=stacked),
        Entry(f"{_THEIRS}.op.dt_projs_weight", f"{ours}.dt_proj.weight", piece=stacked),
        Entry(f"{_THEIRS}.op.dt_projs_bias", f"{ours}.dt_proj.bias", piece=stacked),
        Entry(f"{_THEIRS}.op.A_logs", f"{ours}.A_log", piece=joined),
        Entry(f"{_THEIRS}.op.Ds", f"{ours}.D", piece=joined),
    )


def _scans() -> Iterator[Entry]:
    """Every scan, wherever its mixer has it."""
    for inside in _INSIDE:
        for index, names in enumerate(_ROUTES):
            for name in names:
                yield from _scan(f"{inside}.*.{name}", index)
        for index in range(4):
            name = ("rows", "rows_reverse")[index % 2]
            yield from _scan(f"{inside}.*.{_LINES[index // 2]}.*.{name}", index)


def _mixer() -> Iterator[Entry]:
    yield Entry(f"{_THEIRS}.op.in_proj.weight", f"{_MIXER}.linear.weight")
    for inside in _INSIDE:
        yield from weight_and_bias(f"{_THEIRS}.op.conv2d", f"{inside}.*.conv")
        yield from weight_and_bias(f"{_THEIRS}.op.out_norm", f"{inside}.layer_norm")
    yield Entry(f"{_THEIRS}.op.out_proj.weight", f"{_MIXER}.linear_2.weight")


_DOWN = "layers.{s-1}.downsample"

VMAMBA = Layout(
    name="vmamba",
    title="VMamba (official)",
    marks=("layers.{s}.blocks.{b}.op.x_proj_weight", "classifier.norm.weight"),
    entries=(
        *weight_and_bias("patch_embed.0", "stem.conv2d.conv"),
        *weight_and_bias("patch_embed.0", "stem.patch_embed.proj"),
        *weight_and_bias("patch_embed.2", "stem.layer_norm"),
        *weight_and_bias("patch_embed.5", "stem.conv2d_2.conv"),
        *weight_and_bias("patch_embed.7", "stem.layer_norm_2"),
        *weight_and_bias(f"{_THEIRS}.norm", f"{_OURS}.residual.norm"),
        *_mixer(),
        *_scans(),
        *weight_and_bias(f"{_THEIRS}.norm2", f"{_OURS}.residual_2.norm"),
        *weight_and_bias(f"{_THEIRS}.mlp.fc1", f"{_OURS}.residual_2.mlp.fc1"),
        *weight_and_bias(f"{_THEIRS}.mlp.fc2", f"{_OURS}.residual_2.mlp.fc2"),
        *weight_and_bias(f"{_DOWN}.1", "stages.{s}.downsample.conv2d.conv"),
        *weight_and_bias(f"{_DOWN}.1", "stages.{s}.downsample.patch_embed.proj"),
        *weight_and_bias(f"{_DOWN}.3", "stages.{s}.downsample.layer_norm"),
        *weight_and_bias(f"{_DOWN}.norm", "stages.{s}.downsample.norm"),
        Entry(f"{_DOWN}.reduction.weight", "stages.{s}.downsample.linear.weight"),
        *weight_and_bias("classifier.norm", "head.layer_norm"),
        *weight_and_bias("classifier.head", "head.linear"),
    ),
    replaceable=("head.linear.*",),
)
