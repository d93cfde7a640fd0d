"""Bytes of parameters and buffers, told by the graph, against those of the model."""

from __future__ import annotations

import pytest
import torch

import archdsl
from archdsl.graph import library
from archdsl.graph.memory.weights import DTYPES

SHIPPED = sorted(name for name, path in library.index().items() if path.parent.name != "ablations")


def _bytes(model: archdsl.Model) -> int:
    return sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))


@pytest.mark.parametrize("name", SHIPPED)
def test_weights_take_what_the_cost_says(name: str) -> None:
    model = archdsl.build(name, device="meta")
    cost = model.architecture.cost()
    assert cost.weight_bytes == _bytes(model)
    for path, row in zip(dict(model.architecture.top()), cost.rows, strict=True):
        assert row.kept.size() == _bytes(model.get_submodule(path)), path  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["mambavision_t", "vmamba_t", "tiny"])
def test_whole_numbers_keep_their_type(name: str) -> None:
    for dtype in ("bfloat16", "float64"):
        model = archdsl.build(name, device="meta").to(getattr(torch, dtype))
        assert model.architecture.cost().kept.size(dtype) == _bytes(model)


def test_types_are_as_wide_as_in_torch() -> None:
    for name, width in DTYPES.items():
        assert width == getattr(torch, "float32" if name == "tf32" else name).itemsize
