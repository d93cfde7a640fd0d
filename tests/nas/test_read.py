"""Searches from text to plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from archdsl.diagnostics import Diagnostic, DiagnosticError, Severity
from archdsl.nas.plan import Budget, Halving, Limit, Objective, Sampler, SearchPlan
from archdsl.nas.read import check_file, check_search, read_search
from archdsl.nas.space import Candidate, Refusal

SEARCH = """\
search example {
  arch     = tiny(dim = 16)
  vary { s2.blocks in one_of(2 x attn, 2 x gated_conv) }
  task     = digits(epochs = 9)
  maximize = accuracy
  budget   = trials(2)
}
"""
MINE = """\
mixer halve(dim) = conv2d(3, dim, stride = 2) -> layer_norm
block mine(state = 4, heads) = metaformer(attention(heads))
arch small(dim = 8, state = 4) {
  image = 16
  stem  = conv2d(3, dim, stride = 2)
  stage s1 { heads = 2;  blocks = mine }
  head  = pool(mean) -> linear(classes)
}
"""


def written(folder: Path, text: str = SEARCH, name: str = "example") -> Path:
    path = folder / f"{name}.search"
    path.write_text(text)
    return path


def mistakes(folder: Path, text: str) -> list[tuple[str, str]]:
    return [(d.code, d.message) for d in check_search(written(folder, text))]


def test_what_is_left_out_has_defaults(tmp_path: Path) -> None:
    plan = read_search(written(tmp_path))
    assert plan.name == "example"
    assert plan.objectives == (Objective("accuracy", True),)
    assert plan.sampler == Sampler("tpe", 0, None)
    assert plan.halving is None
    assert plan.rungs == (9,)
    assert plan.budget == Budget(2, None, None)
    assert plan.limit == Limit(None, None)
    assert plan.seeds == (0,)
    assert plan.claims == ()
    assert plan.synchronous is False
    assert plan.warnings == ()
    assert plan.space.count == 2
    assert (plan.base.classes, plan.base.channels, plan.base.image) == (10, 1, (16, 16))
    assert plan.task.text() == "digits(epochs = 9)"


def test_settings_are_read(tmp_path: Path) -> None:
    more = """
      let epochs = 9
      sampler = nsga2(seed = 3, population = 8)
      stop    = halving(rungs = [1, 3, epochs], eta = 2.5)
      repeat  = seeds(count = 3)
      limit   = [time(90s), memory(4G)]
      minimize = [latency(batch = 16), macs, throughput]
      synchronous = on
    }"""
    text = SEARCH.rstrip("}\n").replace("trials(2)", "[trials(90), time(1.5h), epochs(500)]") + more
    plan = read_search(written(tmp_path, text))
    assert plan.sampler == Sampler("nsga2", 3, 8)
    assert plan.halving == Halving((1, 3, 9), 2.5)
    assert plan.rungs == (1, 3, 9)
    assert plan.seeds == (0, 1, 2)
    assert plan.limit == Limit(90.0, 4 * 10**9)
    assert plan.budget == Budget(90, 5400.0, 500)
    assert plan.synchronous is True
    assert [o.text for o in plan.objectives] == [
        "accuracy", "latency(batch = 16)", "macs", "throughput(batch = 64)",
    ]  # fmt: skip
    assert [o.direction for o in plan.objectives] == ["maximize", "minimize", "minimize", "minimize"]


def test_settings_are_replaced_by_text(tmp_path: Path) -> None:
    path = written(tmp_path)
    plan = read_search(path, {"budget": "trials(1)", "sampler": "random(seed = 4)", "arch": "tiny(dim = 8)"})
    assert plan.budget == Budget(1)
    assert plan.sampler == Sampler("random", 4)
    assert plan.base.stages[0].feature.dim == 8
    with pytest.raises(DiagnosticError) as error:
        read_search(path, {"budget": "trials(0)", "bugdet": "trials(2)", "stop": "halving("})
    told = {d.code: d for d in error.value.diagnostics}
    assert told.keys() == {"E403", "E402", "E102"} or told.keys() >= {"E403", "E402"}
    assert told["E403"].span is not None
    assert told["E403"].span.source.name == "<budget>"


def test_claims_become_comparisons(tmp_path: Path) -> None:
    claims = """
      repeat = seeds(3)
      claim "one" {
        accuracy(s2.blocks = 2 x attn, train.lr = 1e-3) > accuracy() + 0.01
        latency(dim = 8, batch = 16) < latency(batch = 16) - 1ms
      }
    }"""
    plan = read_search(written(tmp_path, SEARCH.rstrip("}\n") + claims))
    (claim,) = plan.claims
    assert claim.finding == "one"
    first, second = claim.comparisons
    assert first.left.changes == (("s2.blocks", "2 x attn"), ("train.lr", "1e-3"))
    assert (first.right.changes, first.right.plus, first.greater) == ((), 0.01, True)
    assert first.text == "accuracy(s2.blocks = 2 x attn, train.lr = 1e-3) > accuracy() + 0.01"
    assert (second.left.metric, second.left.batch, second.left.changes) == ("latency", 16, (("dim", "8"),))
    assert (second.right.plus, second.greater) == (-0.001, False)
    candidate = plan.candidates.with_changes(dict(first.left.changes))
    assert [b.name for b in candidate.architecture.stages[1].blocks] == ["attn", "attn"]


def test_a_search_may_only_claim(tmp_path: Path) -> None:
    text = """search claims {
      arch = tiny(dim = 8); task = digits(epochs = 1); maximize = accuracy; repeat = seeds(2)
      claim "wider is better" { accuracy(dim = 16) > accuracy() }
    }"""
    plan = read_search(written(tmp_path, text))
    assert plan.space.count == 1
    assert list(plan.space.points()) == [{}]
    candidate = plan.candidates.at({})
    assert isinstance(candidate, Candidate)
    assert candidate.architecture == plan.base


def test_values_see_the_lets_and_the_used_files(tmp_path: Path) -> None:
    (tmp_path / "mine.arch").write_text(MINE)
    text = """use "mine.arch"
    let width = 8
    search example {
      let local = window_attn(window = 4)
      arch = small(dim = width)
      vary { s1.blocks in 2 x each one_of(mine, local, mine(heads = 4))
             s1.heads  in one_of(1, 2) }
      task = digits(epochs = 9); maximize = accuracy; budget = trials(2)
    }"""
    plan = read_search(written(tmp_path, text))
    assert plan.space.count == 18
    found = plan.candidates.at({"s1.blocks#1": "local", "s1.blocks#2": "mine(heads = 4)", "s1.heads": "1"})
    assert isinstance(found, Candidate)
    ops = [n.op for b in found.architecture.stages[0].blocks for n in b.walk() if n.op.name == "attention"]
    assert [op.heads for op in ops] == [1, 4]  # type: ignore[attr-defined]


def test_an_arch_of_a_used_file_goes_before_a_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "mine.arch").write_text(MINE.replace("arch small", "arch tiny"))
    text = 'use "mine.arch"\n' + SEARCH.replace(
        "s2.blocks in one_of(2 x attn, 2 x gated_conv)", "dim in 8 .. 16"
    )
    plan = read_search(written(tmp_path, text))
    assert [s.name for s in plan.base.stages] == ["s1"]
    assert plan.space.count == 9


def test_mistakes_of_a_used_file_are_told(tmp_path: Path) -> None:
    (tmp_path / "mine.arch").write_text(MINE.replace("blocks = mine", "blocks = mien"))
    text = 'use "mine.arch"\n' + SEARCH.replace("tiny(dim = 16)", "small()").replace("s2.", "s1.")
    (d,) = check_search(written(tmp_path, text))
    assert (d.code, d.message) == ("E201", "unknown name `mien`")
    assert d.span is not None
    assert d.span.source.name.endswith("mine.arch")


def test_a_file_may_hold_several_searches(tmp_path: Path) -> None:
    text = SEARCH.replace("example", "first") + SEARCH.replace("trials(2)", "trials(1)")
    assert read_search(written(tmp_path, text)).budget.trials == 1
    assert read_search(written(tmp_path, text, "other")).name == "first"
    assert check_file(written(tmp_path, text)).sizes == (("first", "2 points"), ("example", "2 points"))
    assert mistakes(tmp_path, SEARCH + SEARCH) == [("E207", "`example` is defined twice")]


def test_what_can_not_be_read_is_told(tmp_path: Path) -> None:
    assert [d.code for d in check_search(tmp_path / "none.search")] == ["E501"]
    assert [d.code for d in check_search("tiny_cup")] == ["E509"]
    (tmp_path / "bad.search").write_bytes(b"search a { \xff }")
    assert [d.code for d in check_search(tmp_path / "bad.search")] == ["E104"]


def warnings(plan: SearchPlan) -> list[Diagnostic]:
    assert all(d.severity is Severity.WARNING for d in plan.warnings)
    return list(plan.warnings)


def test_an_alternative_that_fits_nowhere_is_a_warning_at_its_place(tmp_path: Path) -> None:
    text = SEARCH.replace("2 x gated_conv)", "window_attn(window = 3))")
    (d,) = warnings(read_search(written(tmp_path, text)))
    assert d.code == "E302"
    assert d.span is not None
    assert d.span.source.line(d.span.line)[d.span.column - 1 :].startswith("3))")


def test_few_tokens_are_told_once_for_a_stage_and_a_map(tmp_path: Path) -> None:
    text = SEARCH.replace("dim = 16", "dim = 16, image = 8")
    (d,) = warnings(read_search(written(tmp_path, text)))
    assert (d.code, d.message, d.label) == (
        "E415", "a mixer of `s2` sees 4 tokens", "`selective_scan` works on 2 x 2",
    )  # fmt: skip
    assert d.span is not None
    assert d.span.source.line(d.span.line)[d.span.column - 1 :].startswith("image = 8")
    windows = SEARCH.replace("2 x gated_conv)", "window_attn(window = 2))")
    (d,) = warnings(read_search(written(tmp_path, windows)))
    assert d.message == "a mixer of `s2` sees 4 tokens"
    assert d.span is not None
    assert d.span.source.line(d.span.line)[d.span.column - 1 :].startswith("window_attn(window = 2)")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("trials(2)", "trials(3)", "there are fewer points than trials"),
        ("trials(2)", "trials(1); sampler = grid", "the budget does not cover the grid"),
        ("trials(2)", "trials(2); stop = halving(rungs = [1, 9])", "there is too little to choose from"),
        ("trials(2)", "epochs(5)", "the budget ends before the first trial"),
        ("trials(2)", 'trials(2); claim "a" { accuracy(dim = 8) > accuracy() }', "a claim needs two seeds"),
        (
            "one_of(2 x attn, 2 x gated_conv) }",
            "one_of(2 x attn, 2 x gated_conv)\n train.lr in 1e-4 .. 1e-2 log }\n budget = trials(6000)",
            "tpe is slow over 5,000 trials",
        ),
    ],
)
def test_settings_that_hardly_fit(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = SEARCH.replace(old, new)
    if "budget = trials(6000)" in text:
        text = text.replace("budget   = trials(2)\n", "")
    (d,) = warnings(read_search(written(tmp_path, text)))
    assert (d.code, d.message) == ("E416", message)


def test_a_requirement_that_no_architecture_of_an_endless_space_meets(tmp_path: Path) -> None:
    text = SEARCH.replace(
        "2 x gated_conv) }", "2 x gated_conv)\n train.lr in 1e-4 .. 1e-2 }\n require params <= 10"
    )
    (d,) = check_search(written(tmp_path, text))
    assert (d.code, d.severity) == ("E410", Severity.ERROR)
    assert d.label == "the smallest has params = 31,238"


def test_a_requirement_that_no_drawn_point_meets_is_a_warning(tmp_path: Path) -> None:
    text = SEARCH.replace("vary { ", "vary { s2.layer_scale in 0.1 .. 0.5\n").replace(
        "trials(2)", "trials(2)\n require params <= 10"
    )
    (d,) = warnings(read_search(written(tmp_path, text)))
    assert d.code == "E408"
    assert d.label.startswith("the nearest of 50 points drawn at random has params = ")


def test_requirements_that_exclude_each_other(tmp_path: Path) -> None:
    text = SEARCH.replace("trials(2)", "trials(2)\n require params <= 32K\n require params > 32K")
    (d,) = check_search(written(tmp_path, text))
    assert (d.code, d.severity) == ("E410", Severity.ERROR)
    assert "together" in d.label


def test_identity_is_blind_to_layout_and_to_what_leaves_results_comparable(tmp_path: Path) -> None:
    plan = read_search(written(tmp_path))
    same = [
        SEARCH.replace("2 x attn,", "(2 x attn)  ,  # attention\n"),
        SEARCH.replace("trials(2)", "time(5min); limit = time(1min); synchronous = on"),
        SEARCH.replace("trials(2)", 'trials(2); claim "a" { accuracy(dim = 8) > accuracy() }'),
        SEARCH.replace("search example", "search other"),
    ]
    for text in same:
        assert read_search(written(tmp_path, text)).identity == plan.identity
    others = [
        SEARCH.replace("dim = 16", "dim = 24"),
        SEARCH.replace("dim = 16", "dim = 16, image = 32"),
        SEARCH.replace("dim = 16", "dim = 16, drop_path = 0.1"),
        SEARCH.replace("gated_conv", "conv"),
        SEARCH.replace("epochs = 9", "epochs = 9, lr = 2e-3"),
        SEARCH.replace("trials(2)", "trials(2); minimize = params"),
        SEARCH.replace("trials(2)", "trials(2); sampler = tpe(seed = 1)"),
        SEARCH.replace("trials(2)", "trials(2); sampler = random"),
        SEARCH.replace("trials(2)", "trials(2); stop = halving(rungs = [3, 9])"),
        SEARCH.replace("trials(2)", "trials(2); stop = halving(rungs = [3, 9], eta = 2)"),
        SEARCH.replace("trials(2)", "trials(2); repeat = seeds(2)"),
        SEARCH.replace("trials(2)", "trials(2); require params <= 4M"),
    ]
    found = {read_search(written(tmp_path, text)).identity for text in [SEARCH, *others]}
    assert len(found) == 1 + len(others)


def test_identity_sees_what_alternatives_are_made_of(tmp_path: Path) -> None:
    text = 'use "mine.arch"\n' + SEARCH.replace("2 x gated_conv)", "mine)")
    (tmp_path / "mine.arch").write_text(MINE)
    first = read_search(written(tmp_path, text)).identity
    (tmp_path / "mine.arch").write_text(MINE.replace("block mine", "# of my own\nblock  mine"))
    assert read_search(written(tmp_path, text)).identity == first
    (tmp_path / "mine.arch").write_text(MINE.replace("attention(heads)", "attention(heads, qkv_bias = off)"))
    assert read_search(written(tmp_path, text)).identity != first


def test_plans_can_be_compared_and_changed(tmp_path: Path) -> None:
    plan = read_search(written(tmp_path))
    assert replace(plan, budget=Budget(5)).budget.trials == 5


def test_long_sums_are_no_burden(tmp_path: Path) -> None:
    text = SEARCH.replace(
        "one_of(2 x attn, 2 x gated_conv)", "64 x each (6 x conv + 6 x conv + one_of(conv, none))"
    )
    text = text.replace("6 x conv", " + ".join(["conv"] * 6))
    plan = read_search(written(tmp_path, text))
    found = plan.candidates.at(next(plan.space.points()))
    assert isinstance(found, Candidate)
    assert len(found.architecture.stages[1].blocks) == 64 * 13


def test_a_requirement_without_a_value_refuses(tmp_path: Path) -> None:
    base = read_search(written(tmp_path)).candidates.at({"s2.blocks": "2 x attn"})
    assert isinstance(base, Candidate)
    text = SEARCH.replace("trials(2)", f"trials(2); require 1 / (params - {base.params}) < 1")
    plan = read_search(written(tmp_path, text))
    found = plan.candidates.at({"s2.blocks": "2 x attn"})
    assert isinstance(found, Refusal)
    assert found.violation == 1.0
