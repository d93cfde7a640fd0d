"""Variants and overrides: values put into places of an architecture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import archdsl
from archdsl.diagnostics import DiagnosticError
from archdsl.graph import Node

Write = Callable[..., Path]
ARCH = """\
mixer halve(dim) = conv2d(3, dim, stride = 2)
mixer mine = conv2d(3)
arch a(dim = 16, depth = 2, act = gelu) {
  eps = 1e-6
  let wide = 2 * dim
  stem = patch_embed(4, dim)
  downsample = halve
  stage s1 { dim = dim; blocks = depth x gated_conv }
  stage s2 { dim = wide; heads = 4; let n = 3; blocks = 2 x (attn + scan(order = both)) }
  head = norm -> pool(mean) -> linear(classes)
}
"""


@pytest.fixture
def path(write: Write) -> Path:
    return write(ARCH)


def values(block: Node) -> dict[str, tuple[str, str]]:
    return {name: (text, origin.kind) for name, text, origin in block.calls[0].values}


def codes(error: pytest.ExceptionInfo[DiagnosticError]) -> list[str]:
    return [d.code for d in error.value.diagnostics]


def test_parameters_and_the_image(path: Path) -> None:
    a = archdsl.load(path, dim=8, depth=3, act="silu", image=(64, 96), classes=10, channels=1)
    assert (a.image, a.channels, a.classes) == ((64, 96), 1, 10)
    assert (a.stages[0].feature.dim, len(a.stages[0].blocks)) == (8, 3)
    assert a.stages[1].feature.grid == (8, 12)
    assert {n: (v, o.kind) for n, v, o in a.parameters}["depth"] == ("3", "given")


def test_python_values(path: Path) -> None:
    a = archdsl.load(
        path, overrides={"drop_path": 0.1, "layer_scale": False, "s2.heads": 8, "downsample": "halve"}
    )
    assert a.drop_path == 0.1
    with pytest.raises(DiagnosticError) as error:
        archdsl.load(path, dim=object())
    assert codes(error) == ["E205"]


def test_a_slot_that_the_arch_does_not_set(path: Path) -> None:
    a = archdsl.load(path, overrides={"norm": "rms_norm", "init": "vim"})
    assert a.head is not None
    assert a.head.parts[0].op.name == "rms_norm"
    assert a.init.name == "vim"


def test_a_value_reads_as_if_it_stood_there(path: Path) -> None:
    a = archdsl.load(
        path, overrides={"s2.blocks": "n x metaformer(mine)", "stem": "patch_embed(8, wide) -> linear(dim)"}
    )
    assert len(a.stages[1].blocks) == 3
    assert a.stem.parts[0].output.dim == 32


def test_one_block(path: Path) -> None:
    a = archdsl.load(
        path,
        overrides={"s2.blocks[1].state": 8, "s2.blocks[-1]": "gated_conv", "s2.blocks[0].heads": "n - 1"},
    )
    names = [b.name for b in a.stages[1].blocks]
    assert names == ["attn", "scan", "attn", "gated_conv"]
    assert values(a.stages[1].blocks[1])["state"][0] == "8"
    assert values(a.stages[1].blocks[1])["order"][0] == "both"
    assert values(a.stages[1].blocks[0])["heads"][0] == "2"
    assert values(a.stages[1].blocks[2])["heads"][0] == "4"


def test_a_new_setting_that_a_call_takes(path: Path) -> None:
    a = archdsl.load(path, overrides={"s1.kernel": 3})
    assert values(a.stages[0].blocks[0])["kernel"] == (
        "3",
        "stage",
    )


@pytest.mark.parametrize(
    ("path_text", "value", "code"),
    [
        ("s3.heads", 4, "E211"),
        ("s2", 4, "E211"),
        ("s2.n", 4, "E211"),
        ("wide", 4, "E211"),
        ("s2.hedas", 4, "E211"),
        ("depht", 4, "E211"),
        ("s2.blocks[9]", "scan", "E211"),
        ("s2.blocks[0].stat", 4, "E202"),
        ("s2.blocks[0].heads.deep", 4, "E211"),
        ("s2.heads[0]", 4, "E211"),
        ("s2.blocks[0]", "mine", "E216"),
        ("s2.blocks", "mamba", "E216"),
        ("s2.blocks", "scna", "E201"),
        ("dim", "1 +", "E101"),
        ("a b", 1, "E101"),
        ("init", "vin", "E213"),
        ("image", 100_000, "E310"),
        ("image", [1, 2, 3], "E205"),
        ("classes", 0.5, "E205"),
        ("drop_path", 1, "E218"),
        ("dim", 10**14, "E310"),
        ("s1.blocks", "2 x 3", "E215"),
    ],
)
def test_refused(path: Path, path_text: str, value: object, code: str) -> None:
    with pytest.raises(DiagnosticError) as error:
        archdsl.load(path, overrides={path_text: value})
    assert codes(error) == [code]
    assert error.value.diagnostics[0].span is not None
    assert error.value.diagnostics[0].help


def test_variants_accumulate_and_later_values_win(write: Write) -> None:
    path = write(
        ARCH
        + "arch b = a(8, s2.heads = 2, image = 64)\n"
        + "arch c = b(depth = 4, s2.heads = 8, s2.blocks[0] = gated_conv)\n"
        + "arch d = c(s2.blocks = attn)\n"
    )
    c = archdsl.load(path, "c")
    assert (c.stages[0].feature.dim, len(c.stages[0].blocks), c.image) == (8, 4, (64, 64))
    assert {n: v for n, v, _ in c.stages[1].settings}["heads"] == "8"
    assert [b.name for b in c.stages[1].blocks] == ["gated_conv", "scan", "attn", "scan"]
    assert [b.name for b in archdsl.load(path, "d").stages[1].blocks] == ["attn"]
    assert archdsl.check(path) == []


def test_a_variant_of_a_used_arch_sees_its_own_definitions(write: Write) -> None:
    write(ARCH, "base.arch")
    path = write(
        'use "base.arch"\nmixer mine = conv2d(5)\nblock theirs { residual mine }\n'
        "arch b = a(s1.blocks = depth x theirs, act = mine)\n",
        "b.arch",
    )
    block = archdsl.load(path).stages[0].blocks[1]
    assert block.parts[0].parts[0].op.model_dump()["kernel"] == 5
    assert archdsl.check(path) == []


def test_a_setting_left_alone_by_other_blocks_is_no_mistake(path: Path) -> None:
    assert archdsl.load(path, overrides={"s2.blocks": "4 x gated_conv"})


def test_a_variant_may_leave_settings_of_a_used_file_without_use(write: Write) -> None:
    path = write('use "mila.arch"\narch scans = mila_t(s4.blocks = 2 x scan)\n')
    assert archdsl.check(path) == []
    assert archdsl.load(path).stages[3].settings


def test_an_own_setting_that_nobody_takes_is_not_suggested(write: Write) -> None:
    path = write(
        "arch base(heads = [2]) {\n  stem = patch_embed(16, 8)\n"
        "  stage s1 { heads = heads[0];  blocks = scan }\n  head = none\n}\n"
    )
    (told,) = archdsl.check(path)
    assert told.code == "E206"
    assert "did you mean `heads`" not in told.help


def test_no_head(path: Path) -> None:
    assert archdsl.load(path, overrides={"head": None}).head is None
    assert archdsl.load(path, classes=0).head is None


def test_several_mistakes_at_once(path: Path) -> None:
    with pytest.raises(DiagnosticError) as error:
        archdsl.load(path, overrides={"s1.blocks": "2 x scna", "s2.heads": 5, "s9.y": 1})
    assert sorted(codes(error)) == ["E201", "E211", "E303"]


@pytest.mark.parametrize("overrides", [{3: 4}, [("dim", 4)], "dim = 4"])
def test_overrides_that_map_no_paths_are_refused_in_words(path: Path, overrides: Any) -> None:
    with pytest.raises(TypeError, match=r"^(overrides map paths|a path in overrides is)"):
        archdsl.load(path, overrides=overrides)


@pytest.mark.parametrize("value", [None, True, "conv2d(3)"])
def test_a_wrong_value_is_told_once_though_a_requirement_reads_it(value: object) -> None:
    with pytest.raises(DiagnosticError) as error:
        archdsl.load("mamba_r_tiny", dim=value)
    assert [d.span.source.name for d in error.value.diagnostics if d.span] == ["<override dim>"]


def test_a_requirement_without_a_value_of_its_own_fault_is_told(write: Write) -> None:
    with pytest.raises(DiagnosticError) as error:
        archdsl.load(write(ARCH.replace("  eps", "  require dim % none == 0\n  eps")))
    assert codes(error) == ["E215"]
