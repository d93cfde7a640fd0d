"""One architecture in many variations: what is shared between them makes no difference."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archdsl.diagnostics import DiagnosticError, Source
from archdsl.graph.variation import Base, Change, Sight
from archdsl.lang import parse_expression, parse_path

SIGHT = Sight.of(Source("nothing", ""), None, [], [])
CALL = parse_expression(Source("call", "hybrid(dim = 16, image = 112, registers = 2)"))
FIXED = {"classes": Fraction(10)}
SHARED = Base.of(CALL, SIGHT, FIXED)
"""Built again and again; a base of its own for every variation would share nothing."""

# Expressions are parsed once: what is shared goes by the text that stands there.
PLACES = {
    "dim": ["16", "24"],
    "drop_path": ["0", "0.2"],
    "norm": ["layer_norm", "rms_norm"],
    "eps": ["1e-5", "1e-6"],
    "registers": ["1", "4"],
    "image": ["112", "[112, 224]"],
    "s1.dim": ["16", "32"],
    "s2.heads": ["2", "4"],
    "s2.blocks": ["linear_attn", "2 x scan + attn", "none", "attn(heads = 2, norm)"],
    "s3.blocks": ["scan(order = cross)", "2 x (attn + gated_conv)", "window_attn"],
    "s3.blocks[0].norm": ["rms_norm"],
    "s3.within": ["none", "windows(7)"],
    "s3.eps": ["1e-3"],
    "s3.layer_scale": ["1e-5", "off"],
    "s4.blocks[-1]": ["gated_conv", "scan"],
    "downsample": ["conv2d(2, dim, stride = 2)", "halve"],
    "feature_norm": ["layer_norm", "none"],
    "s3.feature_norm": ["norm", "linear(8)"],
    "head": ["pool(mean) -> linear(classes)"],
}
CHOICES = [
    (parse_path(Source(path, path)), parse_expression(Source(path, text)))
    for path, texts in PLACES.items()
    for text in texts
]


def mistakes(base: Base, changes: list[Change]) -> list[str]:
    try:
        base.at(changes)
    except DiagnosticError as error:
        return [d.message for d in error.diagnostics]
    return []


@given(st.lists(st.sampled_from(CHOICES), max_size=5))
@settings(max_examples=120, deadline=None)
def test_variations_are_the_same_with_and_without_shared_nodes(changes: list[Change]) -> None:
    alone = Base.of(CALL, SIGHT, FIXED)
    wrong = mistakes(alone, changes)
    assert mistakes(SHARED, changes) == wrong
    if wrong:
        return
    expected = alone.at(changes)
    found = SHARED.at(changes)
    assert found == expected
    assert found.parameters == expected.parameters
    counted = SHARED.count(found)
    assert counted.cost == expected.cost()
    assert counted.training == alone.count(expected).training


def test_settings_that_only_some_variations_take_are_no_mistakes() -> None:
    base = Base.of(parse_expression(Source("call", "tiny")), SIGHT, {})
    heads = parse_path(Source("a", "s1.heads")), parse_expression(Source("a", "4"))
    blocks = parse_path(Source("b", "s1.blocks")), parse_expression(Source("b", "2 x attn"))
    wrong = parse_path(Source("c", "s1.hads")), parse_expression(Source("c", "4"))
    base.at([heads])
    assert [d.code for d in base.untaken()] == ["E211"]
    base.at([heads, blocks, wrong])
    (d,) = base.untaken()
    assert (d.message, d.help) == ("unknown path `s1.hads`", "did you mean `heads`?")


def test_what_is_shared_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archdsl.graph.variation.KEPT", 10)
    base = Base.of(parse_expression(Source("call", "tiny")), SIGHT, {})
    blocks = parse_path(Source("b", "s1.blocks"))
    costs = []
    for _ in range(2):
        for n in range(1, 12):
            changes = [(blocks, parse_expression(Source("b", f"{n} x gated_conv")))]
            costs.append(base.count(base.at(changes)).cost.params)
    assert costs[:11] == costs[11:] == sorted(set(costs))
