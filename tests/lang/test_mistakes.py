"""Every form of a syntax mistake is told in the words that stand beside it.

`mistakes/NAME.arch` and `mistakes/NAME.search` hold texts parted by lines of `----`, `mistakes/NAME.err` what
is told of each.
`UPDATE_ERR=1 pytest tests/lang/test_mistakes.py` writes the words anew; read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from archdsl.diagnostics import Diagnostic, DiagnosticError, Source
from archdsl.diagnostics.render import render
from archdsl.lang import parse, parse_expression, parse_path, parse_search

TEXTS = sorted(p for p in (Path(__file__).parent / "mistakes").iterdir() if p.suffix != ".err")


def mistakes(text: str, suffix: str) -> tuple[Diagnostic, ...]:
    source = Source(f"a{suffix}", text)
    with pytest.raises(DiagnosticError) as caught:
        parse_search(source) if suffix == ".search" else parse(source)
    return tuple(caught.value.diagnostics)


def told(text: str, suffix: str = ".arch") -> str:
    return "\n".join(render(d) for d in mistakes(text, suffix))


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.stem)
def test_told_in_these_words(path: Path) -> None:
    texts = path.read_text(encoding="utf-8").split("----\n")
    found = "----\n".join(told(text, path.suffix) for text in texts)
    golden = path.with_suffix(".err")
    if os.environ.get("UPDATE_ERR"):
        golden.write_text(found, encoding="utf-8")
    assert found == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [p for p in TEXTS if not p.stem.endswith("several")], ids=lambda p: p.stem)
def test_one_mistake_is_told_once_and_with_a_next_step(path: Path) -> None:
    for text in path.read_text(encoding="utf-8").split("----\n"):
        (d,) = mistakes(text, path.suffix)
        assert d.help, text
        assert d.label, text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unexpected end of the text"),
        ("a = b", "this is a single value"),
        ("a b", "unexpected `b`"),
        ("a; b", "unexpected `;`"),
        ("4 x", "a value is missing"),
        ("4xscan", "`4xscan` is no number"),
        ("f(a", "`(` is not closed"),
        ("stage", "`stage` is a reserved word"),
        ("True", "there is no `True`"),
    ],
)
def test_single_values(text: str, message: str) -> None:
    with pytest.raises(DiagnosticError) as caught:
        parse_expression(Source("<--set>", text))
    assert [d.message for d in caught.value.diagnostics] == [message]


@pytest.mark.parametrize("text", ["search b { arch = c }", "vary { dim in 1 .. 2 }"])
def test_a_search_that_is_read_as_a_spec_is_told_what_to_run(text: str) -> None:
    with pytest.raises(DiagnosticError) as caught:
        parse(Source("mine.search", text))
    (d,) = caught.value.diagnostics
    assert (d.code, d.help) == ("E107", "run it with `archdsl search mine.search`")


@pytest.mark.parametrize(
    "text", ["3", "a(b)", "a[b]", "a[0][1]", "a[0.5]", "a[1..2]", "a -> b", "[a]", "(a)", "-a", "a[1s]"]
)
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(DiagnosticError) as caught:
        parse_path(Source("<--set>", text))
    assert [d.code for d in caught.value.diagnostics] == ["E101"]
