"""Candidates: what a point stands for, and when two of them are the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archdsl
from archdsl.diagnostics import DiagnosticError
from archdsl.nas.choosers import Drawn
from archdsl.nas.domains import VariedSpace
from archdsl.nas.plan import SearchPlan
from archdsl.nas.read import read_search
from archdsl.nas.space import Candidate, Refusal

HEAD = "task = digits(epochs = 9); maximize = accuracy; budget = trials(9)"
TINY = "tiny(dim = 16)"


def plan_of(folder: Path, body: str, arch: str = TINY, before: str = "", more: str = "") -> SearchPlan:
    path = folder / "example.search"
    path.write_text(f"{before}\nsearch example {{\n{HEAD}; arch = {arch}\n{body}\n{more}\n}}\n")
    return read_search(path)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> SearchPlan:
    body = "let local = window_attn(window = 2)\n vary { s2.blocks in one_of(2 x attn, 2 x local) }"
    return plan_of(tmp_path_factory.mktemp("space"), body)


def key(plan: SearchPlan, **changes: str) -> str:
    named = {name.replace("__", "."): text for name, text in changes.items()}
    return plan.candidates.with_changes(named).key


@pytest.mark.parametrize("name", ["tiny_cpu", "hybrid_stages", "registers"])
def test_candidates_are_what_load_makes_of_their_changes(name: str) -> None:
    """Sharing nodes between candidates makes no difference."""
    plan = read_search(name)
    assert isinstance(plan.space, VariedSpace)
    base = {"tiny_cpu": "tiny", "hybrid_stages": "tiny_stages", "registers": "mamba_r"}[name]
    written = {n: text for n, text, _ in (*plan.base.parameters, *plan.base.settings)}
    own = {n for n, *_ in plan.base.parameters} | ({"stem", "state"} if name == "registers" else set())
    given = {n: text for n, text in written.items() if n in own}
    random = Random(1)
    for _ in range(12):
        found = plan.candidates.at(plan.space.draw(Drawn(random, {})))
        if isinstance(found, Refusal):
            continue
        changes = {p: v.replace("cnn", "metaformer(gated_cnn)") for p, v in found.changes.items()}
        overrides = given | {p: v for p, v in changes.items() if not p.startswith("train.")}
        image = {"image": plan.base.image, "classes": 10, "channels": 1}
        alone = archdsl.load(base, overrides=overrides, **image)
        assert found.architecture == alone
        cost = alone.cost()
        assert (found.params, found.macs) == (cost.params, cost.macs.total)


blocks = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from(["attn", "gated_conv", "local"])), min_size=1, max_size=4
)


@given(blocks, blocks)
@settings(max_examples=60, deadline=None)
def test_equal_sequences_have_equal_keys_and_others_have_not(
    plan: SearchPlan, a: list[tuple[int, str]], b: list[tuple[int, str]]
) -> None:
    flat_a, flat_b = ([name for n, name in runs for _ in range(n)] for runs in (a, b))
    runs = " + ".join(f"{n} x {name}" for n, name in a)
    written_out = " + ".join(flat_a).replace("local", "window_attn(window = 2, shift = 0)")
    nested = f"({runs})"
    keys = {key(plan, s2__blocks=text) for text in (runs, written_out, nested, f"1 x ({runs})")}
    assert len(keys) == 1
    same = key(plan, s2__blocks=" + ".join(flat_b)) in keys
    assert same == (flat_a == flat_b)


def test_keys_see_what_training_sees(plan: SearchPlan) -> None:
    base = key(plan)
    others = [
        key(plan, drop_path="0.1"),
        key(plan, init="vim"),
        key(plan, layer_scale="1e-5"),
        key(plan, layer_scale="1e-4"),
        key(plan, image="32"),
        key(plan, train__lr="2e-3"),
        key(plan, dim="24"),
        key(plan, s2__drop_path="0.1"),
    ]
    assert len({base, *others}) == 1 + len(others)
    assert key(plan, drop_path="0", init="trunc_normal(0.02)", dim="8 * 2") == base
    default = plan.task.lr  # type: ignore[attr-defined]
    assert key(plan, train__lr=repr(default)) == base


def test_keys_see_the_seeds_and_the_task(tmp_path: Path) -> None:
    vary = "vary { dim in one_of(8, 16) }"
    one = plan_of(tmp_path, vary)
    two = plan_of(tmp_path, vary, more="repeat = seeds(2)")
    assert key(one) != key(two)
    long = read_search(tmp_path / "example.search", {"task": "digits(epochs = 10)", "repeat": "seeds(1)"})
    assert key(one) != key(long)


def test_equal_keys_start_from_equal_weights(plan: SearchPlan) -> None:
    import torch

    from archdsl.compiler import compile_model

    def weights(text: str) -> list[torch.Tensor]:
        torch.manual_seed(0)
        candidate = plan.candidates.with_changes({"s2.blocks": text})
        return list(compile_model(candidate.architecture).state_dict().values())

    one, other = weights("2 x local"), weights("local + metaformer(windowed(attention(4), 2))")
    assert key(plan, s2__blocks="2 x local") == key(
        plan, s2__blocks="local + metaformer(windowed(attention(4), 2))"
    )
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_point_gives_changes_as_text_and_a_task(tmp_path: Path) -> None:
    body = (
        "let slow = 1e-4\n vary { s2.blocks in 2 x each one_of(scan, attn)\n train.lr in one_of(slow, 1e-2) }"
    )
    plan = plan_of(tmp_path, body)
    found = plan.candidates.at({"s2.blocks#1": "scan", "s2.blocks#2": "attn", "train.lr": "slow"})
    assert isinstance(found, Candidate)
    assert found.changes == {"s2.blocks": "scan + attn", "train.lr": "slow"}
    assert found.task.text() == "digits(epochs = 9, lr = 0.0001)"
    assert [b.name for b in found.architecture.stages[1].blocks] == ["scan", "attn"]
    assert found.architecture.classes == 10
    assert found.architecture.channels == 1
    again = plan.candidates.with_changes(found.changes)
    assert again == replace(found, point={})
    assert (again.key, again.architecture) == (found.key, found.architecture)


def test_shapes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    body = "vary { s2.blocks in one_of(attn, window_attn(window = 3)) }"
    plan = plan_of(tmp_path, body)
    found = plan.candidates.at({"s2.blocks": "window_attn(window = 3)"})
    assert isinstance(found, Refusal)
    assert found.reason == "window does not divide the feature map: 3 does not divide 4"
    assert (found.violation, found.changes) == (1.0, {"s2.blocks": "window_attn(window = 3)"})


def test_requirements_refuse_with_their_excess(tmp_path: Path) -> None:
    body = 'vary { dim in one_of(8, 16) }\n require params <= 20K and macs <= 1M, "too large for the chip"'
    plan = plan_of(tmp_path, body)
    small, large = (plan.candidates.at({"dim": d}) for d in ("8", "16"))
    assert isinstance(small, Candidate)
    assert isinstance(large, Refusal)
    params = plan.candidates.with_changes({"dim": "16"}).params
    assert large.violation == pytest.approx((params - 20_000) / 20_000)
    assert large.reason.startswith(f"too large for the chip: params = {params:,}, macs = ")


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ("params <= 1M or macs <= 1", True),
        ("not params > 1M", True),
        ("macs / params >= 1", True),
        ("params <= most", True),
        ("1M >= params", True),
        ("min(params, macs) > 0", True),
        ("params == 1 or macs > 1M", False),
    ],
)
def test_conditions(tmp_path: Path, condition: str, met: bool) -> None:
    plan = plan_of(tmp_path, "let most = 1M\n vary { dim in 8 .. 80 }\n require params > 0")
    text = (tmp_path / "example.search").read_text().replace("require params > 0", f"require {condition}")
    (tmp_path / "example.search").write_text(text)
    plan = read_search(tmp_path / "example.search")
    assert isinstance(plan.candidates.at({"dim": 8}), Candidate if met else Refusal)


def test_variants_for_claims_ignore_requirements_and_tell_mistakes(plan: SearchPlan) -> None:
    with pytest.raises(DiagnosticError, match="E211"):
        plan.candidates.with_changes({"s9.blocks": "attn"})
    with pytest.raises(DiagnosticError, match="E404"):
        plan.candidates.with_changes({"train.lr": "-1"})
    with pytest.raises(DiagnosticError, match="E1"):
        plan.candidates.with_changes({"s2.blocks": "2 x"})


def test_an_alternative_may_need_what_another_line_brings(tmp_path: Path) -> None:
    """`s1` has no heads in the base, and 7 divides no map of it."""
    body = """vary {
      s1.blocks in one_of(2 x gated_conv, 2 x window_attn)
      s1.heads  in one_of(2, 4)
      s1.window in one_of(2, 4)
    }"""
    plan = plan_of(tmp_path, body)
    assert {d.code for d in plan.warnings} <= {"E416"}
    found = plan.candidates.at({"s1.blocks": "2 x gated_conv", "s1.heads": "2", "s1.window": "4"})
    assert isinstance(found, Candidate)


def scans(order: str) -> str:
    return f"2 x scan(order = {order}, state = 2)"


def sums(flags: str) -> str:
    return f"2 x metaformer(linear_attention(heads = 2, {flags}))"


def windows(how: str) -> str:
    return f"2 x metaformer(windowed(attention(2), {how}))"


@pytest.mark.parametrize(
    ("place", "values", "distinct"),
    [
        ("s2.blocks", [scans(o) for o in ("snake", "[snake(rows)]", "reverse(reverse(snake))")], 1),
        (
            "s2.blocks",
            [scans(o) for o in ("local(2)", "local(2, columns)", "local(3)", "reverse(local(2))")],
            4,
        ),
        ("s2.blocks", [scans(o) for o in ("cross", "[both, columns, reverse(columns)]")], 2),
        ("s2.blocks[0].order", ["both", "[forward, backward]", "cross", "[rows, reverse(rows)]"], 2),
        (
            "s2.blocks",
            [sums(f) for f in ("forget_gate", "forget_gate, causal", "causal", "gate_rank = 3")],
            3,
        ),
        (
            "s2.blocks",
            [windows(w) for w in ("row", "row, pad = on", "column", "[1, 4]", "2, extras = copy")],
            4,
        ),
        ("s2.within", ["none", "windows(row)", "windows(row, pad = on)", "windows(2)", "windows(2, 1)"], 4),
        ("feature_norm", ["none", "layer_norm", "layer_norm(affine = on)", "layer_norm(affine = off)"], 3),
    ],
    ids=["snakes", "windows", "lists", "a path", "gates", "rows", "within", "feature_norm"],
)
def test_orders_gates_and_windows_are_varied_and_equal_ones_found(
    tmp_path: Path, place: str, values: list[str], distinct: int
) -> None:
    varied = plan_of(tmp_path, f"vary {{ {place} in one_of({', '.join(values)}) }}")
    assert isinstance(varied.space, VariedSpace)
    random = Random(0)
    found = [varied.candidates.at(varied.space.draw(Drawn(random, {}))) for _ in range(60)]
    keys = {c.key for c in found if isinstance(c, Candidate)}
    assert not any(isinstance(c, Refusal) for c in found)
    assert len(keys) == distinct


@pytest.mark.parametrize(
    ("place", "value", "code"),
    [
        ("s2.blocks[0].order", "local(0)", "E205"),
        ("s2.blocks[0].order", "snake(diagonal)", "E205"),
        ("s2.blocks[1].order", "cross", "E202"),
        ("s2.blocks[2].order", "cross", "E211"),
        ("s2.within", "windows(rows)", "E213"),
        ("s2.blocks", sums("kernel = softmax"), "E213"),
    ],
)
def test_mistakes_in_orders_gates_and_windows_are_told(
    tmp_path: Path, place: str, value: str, code: str
) -> None:
    with pytest.raises(DiagnosticError) as caught:
        plan_of(tmp_path, f"vary {{ {place} in one_of({value}, both) }}")
    assert {d.code for d in caught.value.diagnostics} & {code}
    assert all(d.span is not None and d.help for d in caught.value.diagnostics)
