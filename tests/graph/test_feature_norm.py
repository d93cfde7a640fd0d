"""The slot `feature_norm`: where it comes from, what it counts, where it is seen."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest

import archdsl
from archdsl.diagnostics import DiagnosticError
from archdsl.graph.digest import training_digest

NORM = {"feature_norm": "layer_norm"}
TEXT = """
mixer halve(dim) = conv2d(3, dim, stride = 2)
mixer twice = rms_norm -> layer_norm
arch maps(dim = 8) {
  image = 32
  eps = 1e-4
  stem = patch_embed(4, dim)
  downsample = halve
  feature_norm = layer_norm
  stage s1 { dim = dim;  blocks = conv }
  stage s2 { dim = 2 * dim;  eps = 1e-2;  blocks = conv }
  stage s3 { dim = 4 * dim;  feature_norm = none;  blocks = conv }
  stage s4 { dim = 8 * dim;  feature_norm = twice;  blocks = 2 x conv }
  head = none
}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "maps.arch"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_every_stage_has_its_own_with_its_width_and_settings(spec: Path) -> None:
    stages = archdsl.load(spec).stages
    norms = [stage.feature_norm for stage in stages]
    assert [None if n is None else n.input for n in norms] == [
        stages[0].feature, stages[1].feature, None, stages[3].feature
    ]  # fmt: skip
    assert [n and n.op.name for n in norms] == ["layer_norm", "layer_norm", None, "chain"]
    assert [Fraction(str(n.op.model_dump()["eps"])) for n in norms[:2] if n] == [
        Fraction("0.0001"), Fraction("0.01")
    ]  # fmt: skip


def test_it_counts_in_its_stage_and_stands_behind_the_blocks(spec: Path) -> None:
    a = archdsl.load(spec)
    without = archdsl.load(spec, overrides={"feature_norm": None, "s4.feature_norm": None})
    more = [x.params - y.params for x, y in zip(a.cost().stages, without.cost().stages, strict=True)]
    assert more == [0, 2 * 8, 2 * 16, 0, 3 * 64]
    paths = [path for path, _ in a.top()]
    assert [p for p in paths if "norm" in p] == [f"stages.s{i}.feature_norm" for i in (1, 2, 4)]
    assert paths.index("stages.s4.feature_norm") == len(paths) - 1
    assert a.cost().saved == without.cost().saved


@pytest.mark.parametrize("name", ["tiny", "mamba_r_tiny", "hybrid"])
def test_it_is_set_where_the_arch_did_not_write_it(name: str) -> None:
    a = archdsl.load(name, overrides=NORM)
    assert all(stage.feature_norm is not None for stage in a.stages)
    widths = sum(stage.feature.dim for stage in a.stages)
    assert a.cost().params == archdsl.load(name).cost().params + 2 * widths


def test_a_path_reaches_one_stage_and_a_stage_wins(spec: Path) -> None:
    one = archdsl.load("tiny", overrides={"s2.feature_norm": "rms_norm"})
    assert [s.feature_norm is None for s in one.stages] == [True, False]
    other = archdsl.load(spec, overrides={"feature_norm": "rms_norm"})
    assert [s.feature_norm and s.feature_norm.op.name for s in other.stages] == [
        "rms_norm", "rms_norm", None, "chain"
    ]  # fmt: skip


def test_a_variant_gives_it(tmp_path: Path) -> None:
    path = tmp_path / "dense.arch"
    path.write_text(
        'use "mambaout.arch"\n'
        "arch dense = mambaout_femto(head = none, feature_norm = layer_norm, s1.feature_norm = none)\n",
        encoding="utf-8",
    )
    assert archdsl.check(path) == []
    a = archdsl.load(path)
    assert [s.feature_norm is None for s in a.stages] == [True, False, False, False]


def test_the_digest_sees_it(spec: Path) -> None:
    plain = archdsl.load("tiny")
    normed = archdsl.load("tiny", overrides=NORM)
    assert plain.digest() != normed.digest()
    assert training_digest(plain) != training_digest(normed)
    one = archdsl.load("tiny", overrides={"s1.feature_norm": "layer_norm"})
    two = archdsl.load("tiny", overrides={"s2.feature_norm": "layer_norm"})
    assert len({plain.digest(), normed.digest(), one.digest(), two.digest()}) == 4
    both = archdsl.load("tiny", overrides={f"s{i}.feature_norm": "layer_norm" for i in (1, 2)})
    assert both.digest() == normed.digest()


def test_the_source_keeps_it(spec: Path, tmp_path: Path) -> None:
    a = archdsl.load(spec)
    written = tmp_path / "written.arch"
    written.write_text(a.to_source(), encoding="utf-8")
    assert archdsl.check(written) == []
    again = archdsl.load(written)
    assert again.digest() == a.digest()
    assert again.to_source() == a.to_source()


def test_it_is_drawn(spec: Path) -> None:
    a = archdsl.load(spec)
    lines = a.summary().splitlines()
    told = [line for line in lines if "; maps:" in line]
    assert [line.split()[0] for line in told] == ["s1", "s2", "s4"]
    assert "2 x conv; maps: twice" in told[2]
    assert a.to_svg().count("of feature maps") == 3


def test_nothing_receives_from_it(spec: Path) -> None:
    graph = archdsl.load(spec).to_networkx()
    norms = [n for n in graph if re.search(r"\.feature_norm(\.layer_norm)?$", n)]
    assert len(norms) == 3
    assert [list(graph.successors(n)) for n in norms] == [[], [], []]
    for stage, after in zip(("s1", "s2"), ("s2", "s3"), strict=True):
        (before,) = graph.predecessors(f"stages.{stage}.feature_norm")
        assert f"stages.{after}.downsample" in set(graph.successors(before))
    assert sum(graph.nodes[n]["params"] for n in graph) == archdsl.load(spec).cost().params


@pytest.mark.parametrize(
    "text", ["linear(8)", "conv2d(3, stride = 2)", "pool(mean)", "take(patches) -> registers(2)"]
)
def test_it_keeps_the_shape(text: str) -> None:
    with pytest.raises(DiagnosticError) as caught:
        archdsl.load("tiny", overrides={"feature_norm": text})
    (told,) = caught.value.diagnostics
    assert told.code == "E307"
    assert told.message == "`feature_norm` changes the shape"
    assert told.span is not None
    assert (told.span.line, told.span.column) == (1, 1)
    assert "layer_norm" in told.help


def test_no_parameter_takes_its_name(tmp_path: Path) -> None:
    path = tmp_path / "hidden.arch"
    path.write_text(TEXT.replace("(dim = 8)", "(dim = 8, feature_norm = none)"), encoding="utf-8")
    assert {d.code for d in archdsl.check(path)} >= {"E214"}
