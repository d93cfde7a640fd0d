"""Diagnostics are printed with the caret under what they speak of, whatever the text holds."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archdsl.diagnostics import Diagnostic, DiagnosticError, Severity, Source, Span
from archdsl.diagnostics.render import render


def told(text: str, line: int, column: int, end_line: int, end_column: int) -> list[str]:
    span = Span(Source("a.arch", text), line, column, end_line, end_column)
    return render(Diagnostic("E101", "message", span, "label", ("a note",), "a step")).split("\n")


def test_the_whole_form() -> None:
    assert "\n".join(told("one\ntwo three\n", 2, 5, 2, 10)) == (
        "error[E101]: message\n"
        "  --> a.arch:2:5\n"
        "   |\n"
        "2  | two three\n"
        "   |     ^^^^^ label\n"
        "   = note: a note\n"
        "   = help: a step\n"
    )


def test_without_a_place() -> None:
    text = render(Diagnostic("E501", "cannot read a.arch", help="check the path", severity=Severity.WARNING))
    assert text == "warning[E501]: cannot read a.arch\n   = help: check the path\n"


@pytest.mark.parametrize(
    ("line", "column", "end", "carets"),
    [
        ("\tdim = 3", 2, 5, "   | \t^^^ label"),
        ("a\tb", 3, 4, "   |  \t^ label"),
        ("# 漢字 b", 6, 7, "   |        ^ label"),
        ("# 漢字", 3, 5, "   |   ^^^^ label"),
        ("e\u0301 b", 4, 5, "   |   ^ label"),
        ("ab", 3, 4, "   |   ^ label"),
        ("", 1, 2, "   | ^ label"),
        ("ab", 99, 100, "   |   ^ label"),
    ],
)
def test_carets_stand_below_their_text(line: str, column: int, end: int, carets: str) -> None:
    assert told(line, 1, column, 1, end)[4] == carets


def test_of_several_lines_the_first_is_shown() -> None:
    lines = told("f(a,  \n  b)", 1, 1, 2, 5)
    assert lines[3:5] == ["1  | f(a,", "   | ^^^^ label"]


def test_long_lines_are_cut_around_the_place() -> None:
    text = "a" * 500 + "WRONG" + "b" * 500
    line, carets = told(text, 1, 501, 1, 506)[3:5]
    assert len(line) < 180
    assert line.startswith("1  | ...a")
    assert line.endswith("b...")
    at = carets.index("^")
    assert line[at : at + 5] == "WRONG"


def test_control_characters_are_shown_and_not_sent() -> None:
    text = "\n".join(told("a\x1b[31m\x00\ud800\x7f", 1, 2, 1, 3))
    assert "\x1b" not in text
    assert "\u241b[31m\u2400\ufffd\u2421" in text
    text.encode("utf-8")


@settings(deadline=None)
@given(
    st.text(max_size=300),
    st.tuples(st.integers(1, 8), st.integers(1, 300), st.integers(0, 3), st.integers(1, 300)),
)
def test_any_text_at_any_place(text: str, place: tuple[int, int, int, int]) -> None:
    line, column, more, end = place
    out = told(text, line, column, line + more, end)
    assert all(c.isprintable() or c in "\t\ufeff" for part in out for c in part)
    "\n".join(out).encode("utf-8")
    assert sum("^" in part and part.rstrip().endswith("label") for part in out) >= 1
    shown = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in out[3])
    assert len(out[4].split("^")[0].expandtabs(1)) <= shown + 7


def test_many_diagnostics_of_a_large_text_are_quick() -> None:
    source = Source("a.arch", "x\n" * 400_000)
    found = [Diagnostic("E101", "message", Span(source, n, 1, n, 2)) for n in range(1, 400_000, 8_000)]
    assert str(DiagnosticError(*found)).count("error[E101]") == 50
