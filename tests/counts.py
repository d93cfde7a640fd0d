"""What the cost model counts against what a module has and does."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

import archdsl


def assert_counted(model: archdsl.Model) -> None:
    """Its parameters, also part by part, and multiply-accumulates are those of its architecture's cost.

    Args:
        model: on `meta`, to be run for one image.
    """
    architecture = model.architecture
    cost = architecture.cost()
    assert all(p.is_meta for p in model.parameters())
    assert sum(p.numel() for p in model.parameters()) == cost.params
    images = torch.empty(1, architecture.channels, *architecture.image, device="meta")
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        model.eval()(images)
    assert counted.get_total_flops() == 2 * cost.macs.total
    for path, row in zip(dict(architecture.top()), cost.rows, strict=True):
        assert sum(p.numel() for p in model.get_submodule(path).parameters()) == row.params, path
