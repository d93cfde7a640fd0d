"""Vim (arXiv 2401.09417): layouts of the official checkpoints, with one class token or none, and with two.

A position embedding has a row for each place of the sequence, so the class token's stands among those of the
patches: behind floor(N / 2) of them where the token is in the middle. For a grid of another size that row is
taken out, those of the patches are resized, and it is put back. The official code takes row 0 for the class
token's wherever the token stands, so it keeps the first patch's row as it is and resizes the class token's
among the patches. The official models at stride 8 started their fine-tuning from such a table; one resized
here differs from it. Their checkpoints hold a table of their own grid, which is loaded as it is.
"""

from __future__ import annotations

from torch import Tensor

from archdsl.weights.families._mamba import BLOCKS
from archdsl.weights.layout import UNCHANGED, Conversion, Entry, Layout, joined, weight_and_bias

_MARKS = ("patch_embed.proj.weight", "layers.{i}.mixer.A_log")


def _one(tensor: Tensor) -> tuple[Tensor, ...]:
    if tensor.shape[1] != 1:
        raise ValueError(f"{tensor.shape[1]} class tokens where the layout has one")
    return (tensor,)


_ONE_TOKEN = Conversion(UNCHANGED.to_ours, _one)
"""A table (1, 1, C)."""


def _entries(class_token: Entry) -> tuple[Entry, ...]:
    return (
        *weight_and_bias("patch_embed.proj", "stem.patch_embed.proj"),
        class_token,
        Entry("pos_embed", "stem.position.weight"),
        *BLOCKS,
        *weight_and_bias("norm_f", "head.norm"),
        *weight_and_bias("head", "head.linear"),
    )


VIM = Layout(
    name="vim",
    title="Vim (official)",
    marks=_MARKS,
    absent=("pos_embed_cls", "cls_token_head", "cls_token_tail"),
    entries=_entries(Entry("cls_token", "stem.class_token.weight", _ONE_TOKEN)),
    replaceable=("head.linear.*",),
)

VIM_DOUBLE = Layout(
    name="vim_double",
    title="Vim with two class tokens (official)",
    marks=(*_MARKS, "cls_token_head", "cls_token_tail"),
    absent=("pos_embed_cls",),
    entries=_entries(
        Entry(("cls_token_head", "cls_token_tail"), "stem.class_token.weight", joined(2, axis=1))
    ),
    replaceable=("head.linear.*",),
)
