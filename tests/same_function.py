"""Whether two architectures compute the same function of the same tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from archdsl.compiler.build import compile_model
from archdsl.graph.architecture import Architecture

IMAGES = 3


def outputs(architecture: Architecture, other: Architecture) -> tuple[list[Tensor], list[Tensor]]:
    """Feature maps and logits of both, the second with the tensors of the first, in their order."""
    torch.manual_seed(0)
    first, second = (compile_model(a, backend="reference").eval() for a in (architecture, other))
    with torch.no_grad():
        for tensor in first.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.randn_like(tensor).abs())
    tensors, names = list(first.state_dict().values()), list(second.state_dict())
    assert [t.shape for t in tensors] == [t.shape for t in second.state_dict().values()]
    second.load_state_dict(dict(zip(names, tensors, strict=True)))
    images = torch.randn(IMAGES, architecture.channels, *architecture.image)
    with torch.no_grad():
        return tuple([m.forward_features(images), m(images)] for m in (first, second))  # type: ignore[return-value]


def assert_same_function(architecture: Architecture, other: Architecture) -> None:
    """Fails where tensors or outputs differ by more than rounding."""
    for mine, theirs in zip(*outputs(architecture, other), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4 * float(mine.abs().max()))
