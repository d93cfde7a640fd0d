"""A model that trains in a second."""

from __future__ import annotations

import pytest

import archdsl
from archdsl.graph.architecture import Architecture
from archdsl.graph.elaboration.files import load_file

TINY = """\
arch tiny(dim = 8, drop_path = 0.3) {
  stem = patch_embed(4, dim)
  stage s1 { heads = 2;  blocks = scan(state = 2) + attn(mlp_ratio = 1) }
  head = layer_norm -> pool(mean) -> linear(classes)
}
"""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Architecture:
    """A scan and an attention on four tokens, with drop path."""
    spec = tmp_path_factory.mktemp("specs") / "tiny.arch"
    spec.write_text(TINY)
    assert load_file(spec)
    return archdsl.load(spec, image=8, channels=1, classes=10)
