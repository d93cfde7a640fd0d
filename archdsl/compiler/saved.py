"""What autograd saves in a forward pass, measured."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def saved_bytes(module: nn.Module, forward: Callable[[], object]) -> int:
    """Bytes of all memory that tensors saved for the backward lie in, weights and buffers apart.

    Memory that several of them lie in counts once, and whole, however small the view that was saved. Under
    `FakeTensorMode` nothing is computed or allocated, and the answer is that of the device named.

    Args:
        module: whose parameters and buffers are there anyway.
        forward: a forward pass through it.
    """
    own = {v.untyped_storage()._cdata for v in (*module.parameters(), *module.buffers())}
    found: dict[int, torch.UntypedStorage] = {}

    def pack(v: Tensor) -> Tensor:
        storage = v.untyped_storage()
        if storage._cdata not in own:
            found[storage._cdata] = storage
        return v

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda v: v):
        result = forward()
    del result
    return sum(storage.nbytes() for storage in found.values())
