"""Command lines run in this process: status, stdout and stderr."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from archdsl.cli.main import run

BROKEN = """\
arch broken(dim = 32) {
  stem = patch_embed(16, dim)
  stage s1 { heads = 2;  window = 5;  blocks = window_attn }
  stage s2 { blocks = 2 x gated_con }
  head = pool(mean) -> linear(classes)
}
"""

SMALL = """\
arch small(dim = 16) {
  stem = patch_embed(8, dim) -> registers(2, at = even, position = learned)
  stage s1 { blocks = 2 x scan(order = both, state = 4) }
  stage s2 { dim = 2 * dim;  downsample = conv2d(3, dim, stride = 2);  heads = 2;  blocks = attn }
  head = pool(mean) -> layer_norm -> linear(classes)
}

arch wide = small(dim = 32)
"""


@dataclass(frozen=True, slots=True)
class Done:
    """What a command line left."""

    status: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def archdsl(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `archdsl` with the arguments given, its output a pipe of no set width (xdist sets one)."""
    monkeypatch.delenv("COLUMNS", raising=False)

    def command(*arguments: object) -> Done:
        status = run([str(a) for a in arguments])
        seen = capsys.readouterr()
        return Done(status, seen.out, seen.err)

    return command


@pytest.fixture
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A spec with two small architectures."""
    path = tmp_path_factory.mktemp("specs") / "small.arch"
    path.write_text(SMALL, encoding="utf-8")
    return str(path)


@pytest.fixture
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A spec with two mistakes."""
    path = tmp_path_factory.mktemp("specs") / "broken.arch"
    path.write_text(BROKEN, encoding="utf-8")
    return str(path)
