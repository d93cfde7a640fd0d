"""Architectures put together stretch by stretch are those that are elaborated in one go."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archdsl.diagnostics import Diagnostic, DiagnosticError, Source
from archdsl.graph.architecture import Architecture
from archdsl.graph.variation import Base, Change, Sight
from archdsl.graph.walk import Opening, Section, Walk
from archdsl.lang import parse_expression, parse_path
from archdsl.nas.candidates import VariedCandidates
from archdsl.nas.choosers import Drawn
from archdsl.nas.forms import terms
from archdsl.nas.read import read_search
from archdsl.ops import Macs

SIGHT = Sight.of(Source("nothing", ""), None, [], [])
FIXED = {"classes": Fraction(10)}


def base_of(call: str) -> Base:
    return Base.of(parse_expression(Source("call", call)), SIGHT, FIXED)


def change(path: str, text: str) -> Change:
    return parse_path(Source(path, path)), parse_expression(Source(path, text))


Stretches = tuple[Walk, list[tuple[Opening, tuple[Section, ...]]], Section, dict[str, list[Change]]]


def stretches(base: Base, changes: list[Change]) -> Stretches:
    """A variation: what is varied everywhere, then stage by stage, every term of `blocks` alone."""
    walk = base.walk([c for c in changes if base.stage_of(c[0]) is None])
    x = walk.start
    stages: list[tuple[Opening, tuple[Section, ...]]] = []
    inside = {s: [c for c in changes if base.stage_of(c[0]) == s] for s in walk.stages}
    for stage, own in inside.items():
        opening = walk.opening(stage, own, x)
        whole = [expr for path, expr in own if str(path) == f"{stage}.blocks"]
        if whole and not any("blocks[" in str(path) for path, _ in own):
            sections = tuple(walk.block(stage, own, opening, term) for term in terms(whole[-1]))
        else:
            sections = walk.written_blocks(stage, own, opening)
        stages.append((opening, sections))
        x = opening.output
    return walk, stages, walk.head(x), inside


def all_sections(found: Stretches) -> list[Section]:
    walk, stages, head, _ = found
    around = [s for o, _ in stages for s in (o.downsample, o.feature_norm) if s is not None]
    return [walk.stem, *around, *(s for _, sections in stages for s in sections), head]


def assert_same(base: Base, changes: list[Change]) -> None:
    """The same architecture, digests and costs, or mistakes on both ways."""
    expected: Architecture | None = None
    found: Stretches | None = None
    wrong: tuple[Diagnostic, ...] = ()
    told: tuple[Diagnostic, ...] = ()
    try:
        expected = base.at(changes)
    except DiagnosticError as error:
        wrong = error.diagnostics
    try:
        found = stretches(base, changes)
    except DiagnosticError as error:
        told = error.diagnostics
    assert {d.code for d in told} <= {d.code for d in wrong}
    assert all(d.span is not None for d in told)
    assert (found is None) == (expected is None)
    if found is None or expected is None:
        return
    walk, stages, head, inside = found
    made = walk.architecture(inside, stages, head)
    assert made == expected
    assert (made.parameters, made.settings) == (expected.parameters, expected.settings)
    assert [s.settings for s in made.stages] == [s.settings for s in expected.stages]
    assert walk.digest(stages, head) == expected.digest()
    counted = base.count(expected)
    assert walk.training_digest(stages, head) == counted.training
    sections = all_sections(found)
    assert sum(s.params for s in sections) == counted.cost.params
    assert sum((s.macs for s in sections), Macs()) == counted.cost.macs
    first = next((s.less for _, blocks in stages for s in blocks if s.nodes), 0)
    assert sum(s.memory for s in sections) - first == counted.cost.saved.each
    assert sum(s.fixed for s in sections) == counted.cost.saved.fixed


CALL = "hybrid(dim = 16, image = 112, registers = 2)"
SHARED = base_of(CALL)
PLACES = {
    "dim": ["16", "24"],
    "drop_path": ["0", "0.2"],
    "norm": ["layer_norm", "rms_norm", "nothing"],
    "eps": ["1e-5"],
    "init": ["vim"],
    "registers": ["1", "4"],
    "image": ["112", "[112, 224]", "7"],
    "stem": ["patch_embed(8, dim)", "patch_embed(4, 8) -> gelu"],
    "head": ["pool(mean) -> linear(classes)", "none", "linear(classes)"],
    "downsample": ["conv2d(2, dim, stride = 2)", "halve"],
    "feature_norm": ["layer_norm", "none"],
    "nobody": ["1"],
    "s1.dim": ["16", "32"],
    "s2.heads": ["2", "3"],
    "s2.blocks": ["linear_attn", "2 x scan + attn", "none", "attn(heads = 2, norm)", "3", "scan + none"],
    "s3.blocks": ["scan(order = cross)", "2 x (attn + gated_conv)", "window_attn", "window_attn(5) + scan"],
    "s3.blocks[0].norm": ["rms_norm"],
    "s3.blocks[9]": ["scan"],
    "s3.within": ["none", "windows(7)", "windows(5)"],
    "s3.eps": ["1e-3"],
    "s3.layer_scale": ["1e-5", "off"],
    "s3.downsample": ["none", "conv2d(3, dim, stride = 2)"],
    "s4.blocks[-1]": ["gated_conv", "scan", "missing"],
    "s4.heads": ["dim / 8"],
    "s3.feature_norm": ["norm", "linear(8)"],
    "s9.blocks": ["scan"],
}
CHOICES = [change(path, text) for path, texts in PLACES.items() for text in texts]


@given(st.lists(st.sampled_from(CHOICES), max_size=5))
@settings(max_examples=150, deadline=None)
def test_stretches_make_the_architecture_that_is_elaborated_in_one_go(changes: list[Change]) -> None:
    assert_same(SHARED, changes)


@pytest.mark.parametrize("one", CHOICES, ids=lambda c: f"{c[0]}={c[1].span.source.text}")
def test_every_change_alone(one: Change) -> None:
    assert_same(SHARED, [one])


@pytest.mark.parametrize("name", ["tiny_cpu", "hybrid_stages", "registers"])
def test_points_of_the_shipped_searches(name: str) -> None:
    candidates = read_search(name).candidates
    assert isinstance(candidates, VariedCandidates)
    assert candidates.base.factors() is None
    random = Random(1)
    for _ in range(25):
        values = candidates.space.values(candidates.space.draw(Drawn(random, {})))
        assert_same(candidates.base, [(line.path, value) for line, value in values if line.field is None])


def test_what_is_built_once_is_built_once() -> None:
    base = base_of("tiny")
    blocks = [change("s2.blocks", text) for text in ("scan + attn", "attn + scan + scan")]
    one, other = (stretches(base, [b]) for b in blocks)
    assert one[0] is other[0]
    assert one[1][0][0] is other[1][0][0]
    (scan, attn), (attn_too, scan_too, again) = one[1][1][1], other[1][1][1]
    assert scan is scan_too is again
    assert attn is attn_too
    assert base.at([blocks[0]]).stages[1].blocks == (*scan.nodes, *attn.nodes)


def test_settings_are_taken_over_all_stretches() -> None:
    base = base_of("tiny")
    heads, blocks = change("s1.heads", "4"), change("s1.blocks", "2 x attn")
    wrong, above = change("s1.hads", "4"), change("hads", "2")
    walk = base.walk([above])
    opening = walk.opening("s1", [heads, wrong], walk.start)
    walk.written_blocks("s1", [heads, wrong], opening)
    assert sorted(d.message for d in base.untaken()) == [
        "unknown path `hads`", "unknown path `s1.hads`", "unknown path `s1.heads`",
    ]  # fmt: skip
    walk.block("s1", [heads, wrong], opening, blocks[1])
    assert [(d.message, d.help) for d in base.untaken()] == [
        ("unknown path `hads`", "did you mean `heads`?"),
        ("unknown path `s1.hads`", "did you mean `heads`?"),
    ]


def test_texts_that_look_at_blocks_are_told() -> None:
    base = base_of("tiny")
    looking = change("s1.heads", "blocks")
    assert base.factors() is None
    assert base.factors([looking[1]]) == "`blocks` looks at `blocks`"
    assert base_of("tiny(s1.heads = blocks)").factors() == "`tiny` has a line that looks at `blocks`"


def test_a_wrong_block_is_told_at_its_own_place() -> None:
    base = base_of("tiny")
    walk = base.walk()
    opening = walk.opening("s1", [], walk.start)
    for text in ("window_attn(3)", "gated_conv + window_attn(3)"):
        _, expr = change("s1.blocks", text)
        term = terms(expr)[-1]
        for _ in range(2):
            with pytest.raises(DiagnosticError) as caught:
                walk.block("s1", [], opening, term)
            (d,) = caught.value.diagnostics
            assert d.span is not None
            assert (d.code, d.span.column) == ("E302", text.index("window") + 1)
