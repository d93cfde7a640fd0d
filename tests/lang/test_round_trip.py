"""Text to tree to text: nothing is lost, whatever the layout."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from lark import Token

from archdsl.diagnostics import Source, Span
from archdsl.lang import format_source, parse, parse_expression, parse_search, to_text
from archdsl.lang import tree as t
from archdsl.lang.grammar import ARCH, SEARCH, grammar_of, start
from archdsl.lang.limits import children
from archdsl.lang.to_text import number_text

NOWHERE = Span(Source("", ""), 1, 1, 1, 1)
RESERVED = """
use mixer block arch stage let require residual and or not x each on off none same
claim in search vary true false null
"""
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True).filter(
    lambda name: name not in RESERVED.split()
)
NUMBERS = st.from_regex(
    r"[0-9]{1,4}(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?(K|M|G|T|ms|us|s|min|h)?", fullmatch=True
)


def number(text: str) -> t.Expr:
    return parse_expression(Source("", text))


def leaves() -> st.SearchStrategy[t.Expr]:
    return st.one_of(
        NAMES.map(lambda n: t.Name(NOWHERE, n)),
        NUMBERS.map(number),
        st.text(
            st.characters(codec="utf-8", exclude_categories=["Cc"]) | st.sampled_from('"\\\n\t'), max_size=6
        ).map(lambda s: t.String(NOWHERE, s)),
        st.sampled_from([True, False, None]).map(lambda c: t.Constant(NOWHERE, c)),
        st.just(t.Same(NOWHERE)),
    )


def paths() -> st.SearchStrategy[t.Path]:
    step = st.builds(t.PathStep, st.just(NOWHERE), NAMES, st.none() | st.integers(-9, 99))
    return st.lists(step, min_size=1, max_size=3).map(lambda steps: t.Path(NOWHERE, tuple(steps)))


def larger(inner: st.SearchStrategy[t.Expr]) -> st.SearchStrategy[t.Expr]:
    at = st.just(NOWHERE)
    argument = st.builds(t.Argument, at, st.none() | paths(), inner)
    return st.one_of(
        st.builds(t.List, at, st.lists(inner, max_size=3).map(tuple)),
        st.builds(
            t.Call, at, NAMES.map(lambda n: t.Name(NOWHERE, n)), st.lists(argument, max_size=3).map(tuple)
        ),
        st.builds(t.Index, at, inner, inner),
        st.builds(t.Slice, at, inner, inner, inner),
        st.builds(t.Member, at, inner, NAMES),
        st.builds(t.Unary, at, st.just("-"), inner),
        st.builds(t.Binary, at, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner, inner),
        st.builds(t.Repeat, at, inner, inner, st.booleans()),
        st.builds(t.Parens, at, inner),
        st.builds(t.Pipeline, at, st.lists(inner, min_size=2, max_size=4).map(tuple)),
        st.builds(t.Compare, at, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), inner, inner),
        st.builds(t.Logic, at, st.sampled_from(["and", "or"]), inner, inner),
        st.builds(t.Not, at, inner),
    )


EXPRESSIONS = st.recursive(leaves(), larger, max_leaves=12)


def bare(node: object) -> object:
    """A tree as nested lists without parentheses."""
    if isinstance(node, t.Parens):
        return bare(node.inner)
    if isinstance(node, tuple):
        return [bare(item) for item in node]
    if isinstance(node, t.Node):
        skipped = {"span", "name_span", "source", "text"}
        fields = [name for name in type(node).__dataclass_fields__ if name not in skipped]
        return [type(node).__name__, *(bare(getattr(node, name)) for name in fields)]
    return node


@settings(max_examples=60, deadline=None)
@given(EXPRESSIONS)
def test_any_value_as_text_is_that_value(value: t.Expr) -> None:
    text = to_text(t.Parens(NOWHERE, value))
    again = parse_expression(Source("", text))
    assert bare(again) == bare(value)
    assert to_text(again) == text
    assert parse_expression(Source("", to_text(again))) == again


@settings(deadline=None)
@given(st.fractions(min_value=-(10**9), max_value=10**9))
def test_numbers_made_by_a_program(value: Fraction) -> None:
    made = to_text(t.Number(NOWHERE, value, ""))
    assert Fraction(made.replace(" ", "")) == value if "/" in made else Fraction(made) == value
    assert number_text(Fraction(8, 3)) == "8 / 3"
    assert number_text(Fraction(5, 4)) == "1.25"


@st.composite
def files(draw: st.DrawFn) -> str:
    """A file in the plainest layout: one token list, lines ended by newlines."""
    value = EXPRESSIONS.map(lambda e: f"({to_text(e)})") | NAMES

    def pipeline() -> str:
        return draw(st.lists(value, min_size=1, max_size=3).map(" -> ".join))

    def parameters() -> str:
        given = draw(st.none() | st.lists(st.tuples(NAMES, st.none() | value), max_size=3))
        if given is None:
            return ""
        return "(" + ", ".join(n if v is None else f"{n} = {v}" for n, v in given) + ")"

    def lines(kinds: list[str]) -> str:
        return "".join(line(draw(st.sampled_from(kinds))) + "\n" for _ in range(draw(st.integers(0, 3))))

    def line(kind: str) -> str:
        name = draw(NAMES)
        match kind:
            case "setting":
                return f"{name} = {pipeline()}"
            case "let":
                return f"let {name} = {pipeline()}"
            case "require":
                return f"require {draw(value)}" + draw(st.sampled_from(["", ', "why"']))
            case "residual":
                return f"residual {pipeline()}"
            case "pipeline":
                return f"{name} -> {pipeline()}"
            case "stage":
                return f"stage {name} {{\n{lines(['setting', 'let', 'require'])}}}"
            case "use":
                return 'use "a.arch"'
            case "mixer":
                return f"mixer {name}{parameters()} = {pipeline()}"
            case "block":
                body = lines(["residual", "pipeline", "let", "require"])
                return draw(
                    st.sampled_from([f"block {name}{parameters()} {{\n{body}}}", f"block {name} = {name}"])
                )
            case "arch":
                return f"arch {name}{parameters()} {{\n{lines(['setting', 'let', 'require', 'stage'])}}}"
        return f"arch {name} = {draw(NAMES)}(s3.a = {pipeline()})"

    return lines(["use", "let", "mixer", "block", "arch", "variant"])


@st.composite
def searches(draw: st.DrawFn) -> str:
    """A search in the plainest layout."""
    value = EXPRESSIONS.map(lambda e: f"({to_text(e)})") | NAMES
    compare = st.tuples(value, st.sampled_from(["<", ">", "<=", "=="]), value).map(" ".join)

    def domain() -> str:
        step = st.sampled_from(["", " log", " step 4", " step 0.5 log", " log step 2M"])
        span = st.tuples(NUMBERS | value, st.just(" .. "), NUMBERS | value, step).map("".join)
        choices = st.lists(value, min_size=1, max_size=3).map(lambda items: f"one_of({', '.join(items)})")
        other = paths().map(str)
        named = (
            st.builds("one_of({0}, 2 * {0})".format, other) | st.builds("({}) x scan".format, other) | other
        )
        return draw(span | choices | st.builds("4 x each {}".format, choices) | value | named)

    def lines(kinds: list[str]) -> str:
        return "".join(line(draw(st.sampled_from(kinds))) + "\n" for _ in range(draw(st.integers(0, 3))))

    def line(kind: str) -> str:
        name = draw(NAMES)
        match kind:
            case "use":
                return 'use "a.arch"'
            case "let":
                return f"let {name} = {draw(value)} -> residual({draw(NAMES)})"
            case "setting":
                return f"{name} = {draw(value)}"
            case "require":
                return f"require {draw(compare)}" + draw(st.sampled_from(["", ', "why"']))
            case "vary":
                return f"vary {{\n{lines(['variation'])}}}"
            case "variation":
                return f"{draw(paths())} in {domain()}"
            case "claim":
                return f'claim "found" {{\n{lines(["compare"])}}}'
            case "compare":
                return draw(compare)
        return f"search {name} {{\n{lines(['setting', 'let', 'vary', 'require', 'claim'])}}}"

    return lines(["use", "let", "search", "search"])


@st.composite
def scattered(draw: st.DrawFn, grammar: str = ARCH) -> str:
    """A file in a wild layout: blanks, comments, blank lines, `;` and line breaks wherever they may stand."""
    blank = st.sampled_from([" ", " ", "  ", "\t", "    "])
    remark = st.sampled_from(["# a remark", "#", '# ->  { ( " x'])
    broken = st.tuples(blank, st.none() | remark, st.integers(1, 3), blank).map(
        lambda p: p[0] + (p[1] or "") + "\n" * p[2] + p[3]
    )
    out, depth = "", 0
    plain = draw(searches() if grammar == SEARCH else files())
    tokens: list[Token] = start("file", plain, grammar)[1]
    for n, token in enumerate(tokens):
        kind = token.type
        if kind == "END":
            behind = tokens[n + 1].type if n + 1 < len(tokens) else "END"
            out += draw(st.sampled_from([";", " ; ", ";\n"]) | broken | broken)
            out += "" if behind not in ("ARROW", "PLUS") else ";"
            continue
        goes_on = depth > 0 or (kind in ("ARROW", "PLUS") and out.rstrip(" \t")[-1:] not in ("", ";", "{"))
        out += draw(blank | broken) if goes_on and n else draw(blank)
        depth += (kind in ("LPAR", "LSQB")) - (kind in ("RPAR", "RSQB"))
        out += token
    return out + draw(st.sampled_from(["", "\n", "\n\n", " # end"]))


def remarks(source: Source) -> list[str]:
    tokens = start("file", source.text, grammar_of(source.name))[1]
    return [token.rstrip() for token in tokens if token.type == "COMMENT"]


def keeps_and_settles(text: str, name: str, entrance: Callable[[Source], t.Node]) -> None:
    source = Source(name, text)
    once = Source(name, format_source(source))
    assert entrance(once) == entrance(source)
    assert remarks(once) == remarks(source)
    assert format_source(once) == once.text
    assert "\n\n\n" not in once.text
    assert all(line == line.rstrip() for line in once.text.split("\n"))
    assert once.text == "" or (once.text.endswith("\n") and not once.text.startswith("\n"))


@settings(max_examples=40, deadline=None)
@given(scattered())
def test_the_formatter_keeps_the_tree_and_the_comments_and_settles(text: str) -> None:
    keeps_and_settles(text, "f.arch", parse)


@settings(max_examples=40, deadline=None)
@given(scattered(SEARCH))
def test_and_so_it_does_with_searches(text: str) -> None:
    keeps_and_settles(text, "f.search", parse_search)


@settings(max_examples=20, deadline=None)
@given(scattered())
def test_spans_lie_in_one_another_and_begin_where_their_text_begins(text: str) -> None:
    file = parse(Source("f", text))
    offsets = [0]
    for line in text.split("\n"):
        offsets.append(offsets[-1] + len(line) + 1)

    def ends(node: t.Node) -> tuple[int, int]:
        span = node.span
        return offsets[span.line - 1] + span.column - 1, offsets[span.end_line - 1] + span.end_column - 1

    waiting: list[t.Node] = [file]
    while waiting:
        node = waiting.pop()
        begin, end = ends(node)
        assert begin < end or isinstance(node, t.File)
        for child in children(node):
            assert begin <= ends(child)[0]
            assert ends(child)[1] <= end
            waiting.append(child)
        if isinstance(node, t.Name | t.Number | t.Constant | t.Same):
            assert text[begin:end] == to_text(node)
        elif isinstance(
            node, t.Call | t.Parens | t.List | t.Pipeline | t.Binary | t.Repeat | t.Index | t.Member
        ):
            assert parse_expression(Source("", text[begin:end])) == node
