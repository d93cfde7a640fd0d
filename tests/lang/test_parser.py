"""Texts become the trees they say."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from archdsl.diagnostics import Source
from archdsl.lang import parse, parse_expression, parse_path, read
from archdsl.lang import tree as t

SPECS = sorted(Path(__file__).parents[2].glob("specs/**/*.arch"))


def value(text: str) -> t.Expr:
    return parse_expression(Source("<value>", text))


def seen(span: t.Span) -> str:
    lines = span.source.text.split("\n")[span.line - 1 : span.end_line]
    lines[-1] = lines[-1][: span.end_column - 1]
    lines[0] = lines[0][span.column - 1 :]
    return "\n".join(lines)


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.name)
def test_shipped_specs_parse(path: Path) -> None:
    assert parse(read(path)).statements


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("8", Fraction(8), ""),
        ("2.5", Fraction(5, 2), ""),
        ("1e-5", Fraction(1, 100_000), ""),
        ("4M", Fraction(4_000_000), ""),
        ("1.2G", Fraction(1_200_000_000), ""),
        ("10ms", Fraction(1, 100), "s"),
        ("2min", Fraction(120), "s"),
        ("3us", Fraction(3, 1_000_000), "s"),
    ],
)
def test_numbers_are_exact(text: str, amount: Fraction, unit: str) -> None:
    number = value(text)
    assert isinstance(number, t.Number)
    assert (number.value, number.unit, number.text) == (amount, unit, text)


def test_precedence_from_loosest() -> None:
    tree = value("a -> 2 x b + -c * d[0].e")
    assert isinstance(tree, t.Pipeline)
    plus = tree.parts[1]
    assert isinstance(plus, t.Binary)
    assert isinstance(plus.left, t.Repeat)
    times = plus.right
    assert isinstance(times, t.Binary)
    assert times.operator == "*"
    assert isinstance(times.left, t.Unary)
    assert isinstance(times.right, t.Member)
    assert isinstance(times.right.base, t.Index)


def test_repetition_of_draws() -> None:
    once, each = value("8 x one_of(a, b)"), value("8 x each one_of(a, b)")
    assert isinstance(once, t.Repeat)
    assert isinstance(each, t.Repeat)
    assert (once.each, each.each) == (False, True)


def test_residual_as_line_and_as_call() -> None:
    file = parse(Source("f", "block b { residual (a -> c) -> d; residual(a); let y = residual(a) }"))
    block = file.statements[0]
    assert isinstance(block, t.BlockDef)
    assert isinstance(block.body, tuple)
    first, second, let = block.body
    assert isinstance(first, t.BlockLine)
    assert first.residual
    assert isinstance(first.pipeline, t.Pipeline)
    assert isinstance(second, t.BlockLine)
    assert isinstance(second.pipeline, t.Parens)
    assert isinstance(let, t.Let)
    assert isinstance(let.value, t.Call)


def test_lines_go_on() -> None:
    text = "let a = b\n # why\n\n -> c\n + 2 x d(\n  1,\n )\nmixer e =\n  f\n"
    assert parse(Source("f", text)) == parse(Source("f", "let a = b -> c + 2 x d(1); mixer e = f"))


@pytest.mark.parametrize("text", ["", "\n", ";", "# nothing", "\ufeff# mark\r\nlet a = 1\r\n", "let a = 1"])
def test_layout_of_little_texts(text: str) -> None:
    parse(Source("f", text))


def test_path_steps_and_spans() -> None:
    path = parse_path(Source("<path>", "s3.blocks[2].state"))
    assert str(path) == "s3.blocks[2].state"
    assert [seen(s.span) for s in path.steps] == ["s3", "blocks[2]", "state"]
    assert str(parse_path(Source("<path>", "trunk.blocks[-1]"))) == "trunk.blocks[-1]"


def test_spans_are_exact() -> None:
    text = (
        'arch a(n = [1, 2]) {\n  require n % 2 == 0, "even"\n'
        '  stage s { blocks = (n // 2) x f(g, x1 = "t")\n    -> h }\n}\n'
    )
    arch = parse(Source("f", text)).statements[0]
    assert isinstance(arch, t.ArchDef)
    require, stage = arch.body
    assert seen(arch.span) == text.rstrip()
    assert seen(arch.name_span) == "a"
    assert seen(arch.parameters[0].span) == "n = [1, 2]"
    assert seen(require.span) == 'require n % 2 == 0, "even"'
    assert isinstance(stage, t.StageDef)
    assert seen(stage.body[0].span) == 'blocks = (n // 2) x f(g, x1 = "t")\n    -> h'
    setting = stage.body[0]
    assert isinstance(setting, t.Setting)
    assert isinstance(setting.value, t.Pipeline)
    repeat = setting.value.parts[0]
    assert isinstance(repeat, t.Repeat)
    assert seen(repeat.count.span) == "(n // 2)"
    assert isinstance(repeat.body, t.Call)
    assert [seen(a.span) for a in repeat.body.arguments] == ["g", 'x1 = "t"']
