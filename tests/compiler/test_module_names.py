"""Names of modules: every part has one of its own, whatever names were written."""

from __future__ import annotations

from pathlib import Path

import pytest

import archdsl


@pytest.mark.parametrize(
    ("mixers", "pipeline", "names"),
    [
        (("m", "m_2"), "m -> m_2 -> m", ["m", "m_2", "m_3"]),
        (("m", "m_2"), "m -> m -> m_2", ["m", "m_2", "m_2_2"]),
        (("half", "half_"), "half -> half_", ["half_", "half__2"]),
    ],
)
def test_no_part_takes_the_place_of_another(
    mixers: tuple[str, ...], pipeline: str, names: list[str], tmp_path: Path
) -> None:
    definitions = "".join(f"mixer {name} = linear -> silu\n" for name in mixers)
    path = tmp_path / "a.arch"
    path.write_text(
        f"{definitions}block b {{ residual {pipeline} }}\n"
        "arch a(dim = 8) {\n  stem = patch_embed(16, dim)\n  stage s { blocks = b }\n"
        "  head = pool(mean) -> linear(classes)\n}\n"
    )
    model = archdsl.build(path, image=32, classes=3)
    cost = archdsl.load(path, image=32, classes=3).cost()
    assert sum(p.numel() for p in model.parameters()) == cost.params
    residual = model.get_submodule("stages.s.blocks.0.residual")
    assert [name for name, _ in residual.named_children()] == names
