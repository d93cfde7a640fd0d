"""Whatever a text holds, the answer is a tree or diagnostics, soon."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archdsl.diagnostics import DiagnosticError, Source
from archdsl.lang import format_source, parse, parse_expression, parse_path, parse_search, read
from archdsl.lang import tree as t
from archdsl.lang.text import decode

ROOT = Path(__file__).parents[2]
SPECS = [read(p) for p in sorted(ROOT.glob("specs/**/*.arch"))]
SEARCHES = [
    read(p) for p in sorted([*ROOT.glob("search/*.search"), *ROOT.glob("tests/data/searches/*.search")])
]
WORDS = """
use mixer block arch stage let require residual and or not x each on off none same true if for class a
search vary claim in one_of step log accuracy task maximize
b dim s3 4 2.5 1e-5 4M 10ms 4xscan 3. 50% -> + - * / // % = == != < <= > >= , . .. ( ) [ ] { } ; : # " 'a'
"text" "open \\ Name $ → × é _ @ `
"""
BLANKS = [" ", "\n", "\n\n", "\t", "\r\n", "\r", "\ufeff", "\x0b", "\u2028", "\x1b"]
PIECES = st.sampled_from(WORDS.split()) | st.sampled_from(BLANKS)


def survives(text: str) -> None:
    """Each entrance answers with a tree, or with E1 diagnostics in the order of the text."""
    for entrance in (parse, parse_search, parse_expression, parse_path):
        source = Source("f.search" if entrance is parse_search else "f.arch", text)
        try:
            entrance(source)
        except DiagnosticError as error:
            found = error.diagnostics
            assert 1 <= len(found) <= 50
            lines = text.split("\n")
            for d in found:
                assert d.code in {"E101", "E102", "E103", "E104", "E105", "E106", "E107"}
                assert d.message[0] not in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                assert not d.message.endswith(".")
                assert d.label
                assert d.span is not None
                assert 1 <= d.span.line <= len(lines)
                assert 1 <= d.span.column <= len(lines[d.span.line - 1]) + 1
            places = [(d.span.line, d.span.column) for d in found if d.span]
            assert places == sorted(places)
            str(error).encode("utf-8")
        else:
            if entrance in (parse, parse_search):
                once = Source(source.name, format_source(source))
                assert entrance(once) == entrance(source)
                assert format_source(once) == once.text


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    survives(text)


@settings(max_examples=60, deadline=None)
@given(st.lists(PIECES, max_size=40))
def test_any_words_of_the_language(pieces: list[str]) -> None:
    survives(" ".join(pieces))
    survives("arch a {\n" + "".join(pieces) + "\n}")
    survives("search a {\n" + " ".join(pieces) + "\n}")
    survives("search a {\n vary {\n" + " ".join(pieces) + "\n}\n}")
    survives('search a {\n claim "b" {\n' + " ".join(pieces) + "\n}\n}")


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_specs_with_mistakes(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(SPECS) | st.sampled_from(SEARCHES)).text
    begin = data.draw(st.integers(0, max(0, len(text) - 400)))
    text = text[begin : begin + 800]
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        until = at + data.draw(st.sampled_from([0, 1, 1, 3, 30]))
        text = text[:at] + data.draw(PIECES | st.just("")) + text[until:]
    survives(text)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        with pytest.raises(DiagnosticError) as caught:
            decode("f.arch", data)
        assert [d.code for d in caught.value.diagnostics] == ["E104"]
    else:
        assert decode("f.arch", data).text == text
        survives(text)


def codes(text: str, entrance: Callable[[Source], t.Node] = parse) -> list[str]:
    try:
        entrance(Source("f.arch", text))
    except DiagnosticError as error:
        return [d.code for d in error.diagnostics]
    return []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("let a = " + "(" * 10_000 + ")" * 10_000, "E105"),
        ("let a = " + "[" * 10_000, "E105"),
        ("let a = " + "f(" * 10_000 + ")" * 10_000, "E105"),
        ("arch a " + "{" * 10_000, "E105"),
        ("let a = " + "-" * 10_000 + "1", "E105"),
        ("let a = " + "- " * 150 + "1", "E105"),
        ("let a = 1" + " + 1" * 10_000, "E105"),
        ("let a = 1" + " + f(1)" * 10_000, "E105"),
        ("let a = " + "2 x " * 10_000 + "b", "E105"),
        ("let a = b" + ".b" * 10_000, "E105"),
        ("let a = b" + "[0]" * 10_000, "E105"),
        ("arch a { require " + "not " * 10_000 + "b }", "E105"),
        ("arch a { require a" + " and a" * 10_000 + " }", "E105"),
        ("# " + "é" * 500_000, "E105"),
        ("let a = 1; " * 60_000, "E105"),
        ("let a = " + "9" * 5_000, "E106"),
        ("let a = 1e999999999", "E106"),
        ("let a = b\0", "E104"),
        ("let a = \ud800", "E104"),
    ],
    ids=lambda value: value if len(value) == 4 else value[:20],
)
def test_limits_are_told_soon(text: str, code: str) -> None:
    begin = time.perf_counter()
    assert codes(text) == [code]
    assert time.perf_counter() - begin < 5


@pytest.mark.parametrize(
    "text",
    [
        "let a = " + "(" * 99 + "b" + ")" * 99,
        "let a = " + "-" * 98 + "1",
        "let a = b" + " + b" * 98,
        "let a = b" + " -> b" * 5_000,
        "let a = [" + "1, " * 5_000 + "]",
    ],
    ids=lambda text: text[:20],
)
def test_what_is_within_the_limits_passes_and_can_be_walked(text: str) -> None:
    file = parse(Source("f", text))
    assert parse(Source("f", format_source(Source("f", text)))) == file
    assert repr(file)
    assert hash(file) == hash(parse(Source("f", text)))


@pytest.mark.parametrize(
    "text",
    [
        "# remark\n" * 40_000 + "let a = 1",
        "let a = f(# remark\n" + "# remark\n" * 40_000 + "b)",
        "arch a {\n" + "stage s {\n a = 1\n}\n" * 8_000 + "}",
        "arch a { " + "b = 1;  " * 20_000 + "}",
        "let a = b" + "\n -> b" * 20_000,
        "search a { vary {\n" + "b   in 1 .. 2 log\n" * 20_000 + "} }",
        "search a { vary { b in f(" + "c[1 .. 2], " * 10_000 + ") } }",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_large_texts_are_formatted_soon(text: str) -> None:
    begin = time.perf_counter()
    format_source(Source("f.search" if text.startswith("search") else "f", text))
    assert time.perf_counter() - begin < 20


@pytest.mark.parametrize(
    "text",
    [
        "let a = $\n" * 20_000,
        "stage a {\n" * 90,
        "let a = f(\n" * 90 + "let b = 3\n" * 5_000,
        "a" + " :" * 40_000,
        "arch\n" * 40_000,
        "arch " * 40_000 + "}",
        "search a {\n" * 90,
        "vary {\n" * 90,
        "search a { vary { " + "b = 1;" * 20_000,
        "search a { vary { b in 1" + " .. 1" * 20_000,
        "search a { vary { b : " + ": " * 20_000,
        "claim\n" * 20_000,
        "search a\n" * 20_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_many_mistakes_are_told_soon(text: str) -> None:
    begin = time.perf_counter()
    assert 1 <= len(codes(text)) <= 50
    assert 1 <= len(codes(text, parse_search)) <= 50
    assert time.perf_counter() - begin < 5


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.arch"
    with path.open("wb") as file:
        file.truncate(10_000_000_000)
    with pytest.raises(DiagnosticError) as caught:
        read(path)
    assert caught.value.diagnostics[0].code == "E105"


def test_files_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.arch"
    path.write_bytes(b"# gr\xfcn\nlet a = 1")
    with pytest.raises(DiagnosticError) as caught:
        read(path)
    (d,) = caught.value.diagnostics
    assert (d.code, str(d.span)) == ("E104", f"{path}:1:5")
    path.write_bytes(b"\xef\xbb\xbflet a = 1\r\n")
    assert read(path).text == "let a = 1\r\n"
    for unreadable in (tmp_path, tmp_path / "none.arch", "a\0b"):
        with pytest.raises(DiagnosticError) as caught:
            read(unreadable)
        assert caught.value.diagnostics[0].code == "E501"
