"""A model that trains in a second."""

from __future__ import annotations

from pathlib import Path

import pytest

import archdsl
from archdsl.graph.architecture import Architecture

TINY = """\
arch tiny(dim = 8, drop_path = 0.3) {
  stem = patch_embed(4, dim)
  stage s1 { heads = 2;  blocks = scan(state = 2) + attn(mlp_ratio = 1) }
  head = layer_norm -> pool(mean) -> linear(classes)
}
"""


@pytest.fixture(scope="session")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of that model."""
    path = tmp_path_factory.mktemp("specs") / "tiny.arch"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def tiny(spec: Path) -> Architecture:
    """A scan and an attention on four tokens, with drop path, for grey digits."""
    return archdsl.load(spec, image=8, channels=1, classes=10)


@pytest.fixture(scope="session")
def coloured(spec: Path) -> Architecture:
    """The same for two classes of coloured images."""
    return archdsl.load(spec, image=8, channels=3, classes=2)
