"""What is done with models: copied, pickled, saved, moved, run on other types and batches."""

from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path

import pytest
import torch

import archdsl
from archdsl.compiler import Model

TEXT = """
mixer lines(window) =
  windowed(routed(selective_scan(1), order = both, merge = add, restore = off), window, extras = copy)
mixer folded(dim) = fold(2) -> layer_norm(affine = off) -> linear(dim)

block windows_of_routes {
  residual layer_norm -> gated(routed(
    conv1d(3, causal) -> silu -> selective_scan(2),
    order = [local(3, columns), reverse(local(2))]))
}
block cascade { residual layer_norm -> lines(row) -> lines(column) }
block forgetting {
  residual layer_norm -> linear_attention(heads = 2, input_gate, forget_gate, shortcut)
  residual layer_norm -> linear_attention(heads = 1, forget_gate, normalize = off, kernel = identity)
}
block summing { residual layer_norm -> linear_attention(heads = 2, key_dim = 4, causal, kernel = relu, lepe) }
block gated_sums { residual layer_norm -> linear_attention(heads = 2, input_gate, shortcut, rope) }

arch mixed(dim = 16, mixing = cascade) {
  image      = 20
  classes    = 4
  stem       = pad(3) -> patch_embed(3, dim) -> class_token(middle)
  downsample = folded
  stage s1 { blocks = mixing }
  stage s2 { dim = 2 * dim;  heads = 4;  within = windows(row);  blocks = attn(mlp_ratio = 1) }
  feature_norm = layer_norm
  head = layer_norm -> pool(mean) -> linear(classes)
}
"""
MIXERS = ("windows_of_routes", "cascade", "forgetting", "summing", "gated_sums")


@pytest.fixture(scope="module", params=MIXERS)
def spec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("handling") / "mixed.arch"
    path.write_text(TEXT.replace("mixing = cascade", f"mixing = {request.param}"))
    return path


@pytest.fixture(scope="module")
def model(spec: Path) -> Model:
    torch.manual_seed(0)
    return archdsl.build(spec).eval()


IMAGES = torch.linspace(-1, 1, 2 * 3 * 20 * 20).view(2, 3, 20, 20)


def test_copies_compute_the_same(spec: Path, model: Model) -> None:
    expected = model(IMAGES)
    assert torch.equal(model(IMAGES), expected)
    assert torch.equal(copy.deepcopy(model)(IMAGES), expected)
    assert torch.equal(pickle.loads(pickle.dumps(model))(IMAGES), expected)
    torch.manual_seed(0)
    assert torch.equal(archdsl.build(spec).eval()(IMAGES), expected)
    saved = io.BytesIO()
    torch.save(model.state_dict(), saved)
    saved.seek(0)
    other = archdsl.build(spec).eval()
    other.load_state_dict(torch.load(saved, weights_only=True))
    assert torch.equal(other(IMAGES), expected)


def test_a_model_without_storage_takes_weights(spec: Path, model: Model) -> None:
    empty = archdsl.build(spec, device="meta").eval()
    assert empty(IMAGES.to("meta")).shape == (2, 4)
    filled = empty.to_empty(device="cpu")
    for module in filled.modules():
        if any(True for _ in module.buffers(recurse=False)) and hasattr(module, "reset_parameters"):
            module.reset_parameters()
    filled.load_state_dict(model.state_dict())
    torch.testing.assert_close(filled(IMAGES), model(IMAGES))


def test_other_types_and_batches(model: Model) -> None:
    expected = model(IMAGES)
    double = copy.deepcopy(model).double()(IMAGES.double())
    torch.testing.assert_close(double.float(), expected, atol=1e-4, rtol=1e-3)
    half = copy.deepcopy(model).bfloat16()(IMAGES.bfloat16())
    torch.testing.assert_close(half.float(), expected, atol=0.1, rtol=0.1)
    torch.testing.assert_close(model(IMAGES[:1]), expected[:1])
    assert model(IMAGES[:0]).shape == (0, 4)
    maps = model.forward_intermediates(IMAGES[:0], intermediates_only=True)
    assert [tuple(m.shape) for m in maps] == [(0, 16, 7, 7), (0, 32, 4, 4)]


def test_mixed_precision_trains_every_parameter(model: Model) -> None:
    trained = copy.deepcopy(model).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = trained(IMAGES).float().square().mean()
    loss.backward()
    for name, parameter in trained.named_parameters():
        if "feature_norm" not in name:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_compiled_and_exported_whole(model: Model) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(IMAGES), model(IMAGES))
        exported = torch.export.export(model, (IMAGES,)).module()
        torch.testing.assert_close(exported(IMAGES), model(IMAGES))
