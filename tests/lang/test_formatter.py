"""The formatter keeps what a text says, and settles at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from archdsl.diagnostics import Source
from archdsl.lang import format_source, parse, parse_search, read

ROOT = Path(__file__).parents[2]
SPECS = sorted(ROOT.glob("specs/**/*.arch"))
SEARCHES = sorted(ROOT.glob("search/*.search"))
SAMPLE = ROOT / "tests" / "data" / "searches" / "mixers_of_two_stages.search"


def formatted(text: str) -> str:
    return format_source(Source("f.arch", text))


def formatted_search(text: str) -> str:
    return format_source(Source("f.search", text))


@pytest.mark.parametrize("path", SPECS + SEARCHES, ids=lambda p: p.name)
def test_shipped_specs_are_formatted(path: Path) -> None:
    assert format_source(read(path)) == read(path).text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("\n\n\n", ""),
        ("# only a remark   \n", "# only a remark\n"),
        ("let a=b->c", "let a = b -> c\n"),
        ("let a = - 3 -  - b*-(c)", "let a = -3 - -b * -(c)\n"),
        (
            "let a = f ( x1 , y = [ 1,2 , ] , ) [ 0 ] . z [ 1 .. 3 ]",
            "let a = f(x1, y = [1, 2])[0].z[1..3]\n",
        ),
        ("let a = 3 .b", "let a = 3 .b\n"),
        ("\ufefflet a = 1\r\n\r\n\r\nlet b = 2\r\n", "let a = 1\n\nlet b = 2\n"),
        ("block b{residual(a->c)->d;;residual a;}", "block b { residual (a -> c) -> d; residual a }\n"),
        ("mixer m=a->residual (b)", "mixer m = a -> residual(b)\n"),
        ("arch a{ }", "arch a {}\n"),
        ('arch a {\n\n  dim=3\n\n\n  require (dim>2)and not(dim==3) ,"why"\n\n}', None),
        ("arch a {\n# one\nstage s {# two\nb = 1 # three\n# four\n}\n# five\n}\n# six", None),
        ("mixer m =\na\n->b\n + c", "mixer m =\n  a\n  -> b\n  + c\n"),
        ("arch a {\nstem = a\n-> b\n}", "arch a {\n  stem = a\n      -> b\n}\n"),
        ("mixer m =\na\n; -> b", "mixer m =\n  a\n  -> b\n"),
        ("let a = 1\n;\nlet b = 2\n\n; ;\n\nlet c = 3", "let a = 1\nlet b = 2\n\nlet c = 3\n"),
        ("let a = 2 x(b+c) + 3 x each [d]", "let a = 2 x (b + c) + 3 x each [d]\n"),
    ],
)
def test_layout(before: str, after: str | None) -> None:
    expected = {
        'arch a {\n\n  dim=3\n\n\n  require (dim>2)and not(dim==3) ,"why"\n\n}': (
            'arch a {\n  dim = 3\n\n  require (dim > 2) and not (dim == 3), "why"\n}\n'
        ),
        "arch a {\n# one\nstage s {# two\nb = 1 # three\n# four\n}\n# five\n}\n# six": (
            "arch a {\n  # one\n  stage s {  # two\n    b = 1  # three\n    # four\n  }\n  # five\n}\n# six\n"
        ),
    }
    after = expected[before] if after is None else after
    assert formatted(before) == after
    assert formatted(after) == after


def test_equals_signs_stay_aligned_where_they_were() -> None:
    text = "arch a {\n  init     = b\n  downsample    = c\n  stem = d\n    -> e\n}\n"
    assert formatted(text) == "arch a {\n  init       = b\n  downsample = c\n  stem = d\n      -> e\n}\n"


def test_groups_behind_semicolons_stay_aligned() -> None:
    text = (
        "arch a {\n"
        "  stage s1 { dim = dim;          blocks = f }\n"
        "  stage s2 { dim = 16 * dim;   heads = 4; blocks = g }\n"
        "}\n"
    )
    assert formatted(text) == (
        "arch a {\n"
        "  stage s1 { dim = dim;  blocks = f }\n"
        "  stage s2 { dim = 16 * dim;  heads = 4; blocks = g }\n"
        "}\n"
    )
    aligned = (
        "arch a {\n"
        "  stage s1 { dim = dim;                  blocks = f }\n"
        "  stage s2 { dim = 2 * dim;  heads = 4;  blocks = g }\n"
        "}\n"
    )
    assert formatted(aligned) == aligned
    assert (
        formatted(aligned.replace("heads = 4;  ", "heads = 4;     ").replace("dim;     ", "dim;        "))
        == aligned
    )


def test_lines_inside_brackets() -> None:
    text = "arch a(b = 1,\nc = 2) {\n  stem = f(\ng,\nh)\n -> split(\n x1,\n y\n )\n}\n"
    assert formatted(text) == (
        "arch a(b = 1,\n       c = 2) {\n  stem = f(\n    g,\n    h)\n"
        "      -> split(\n           x1,\n           y\n         )\n}\n"
    )


def test_comments_behind_lines_stay_aligned() -> None:
    assert formatted("let a = 1   # x\nlet bc=2    # y\n") == "let a = 1   # x\nlet bc = 2  # y\n"


def test_the_tree_stays() -> None:
    for path in SPECS:
        source = read(path)
        squeezed = Source("f", source.text.replace("  ", " "))
        assert parse(Source("f", format_source(squeezed))) == parse(source)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("search a{}", "search a {}\n"),
        ('use   "b.arch";search a{arch=b}', 'use "b.arch"; search a { arch = b }\n'),
        (
            "search a {\nvary{\ns3.dim in 4..16 step 4\n}\n}",
            "search a {\n  vary {\n    s3.dim in 4 .. 16 step 4\n  }\n}\n",
        ),
        (
            "search a { vary { c[ 0 ].d in - 1 .. -y[1 .. 2]   log } }",
            "search a { vary { c[0].d in -1 .. -y[1..2] log } }\n",
        ),
        (
            "search a {\nvary {\n# one\nb in\nf(c,# d\ne)\n+ f\n}\n}",
            "search a {\n  vary {\n    # one\n    b in\n      f(c,  # d\n        e)\n      + f\n  }\n}\n",
        ),
        (
            'search a {\nclaim   "x"{\n\nb( c=1 )>b( )+1;d<e # why\n}\n}',
            'search a {\n  claim "x" {\n    b(c = 1) > b() + 1; d < e  # why\n  }\n}\n',
        ),
        ("search a { arch = b(stem=residual (c)->d) }", "search a { arch = b(stem = residual(c) -> d) }\n"),
        (
            "search a {\n  vary {\n    s3.b    in 1 .. 2\n    s3.long   in 3 .. 4\n    c in 1 .. 2\n  }\n}\n",
            "search a {\n  vary {\n    s3.b    in 1 .. 2\n    s3.long in 3 .. 4\n    c in 1 .. 2\n  }\n}\n",
        ),
    ],
)
def test_layout_of_searches(before: str, after: str) -> None:
    assert formatted_search(before) == after
    assert formatted_search(after) == after


def test_a_search_written_by_hand_hardly_changes() -> None:
    source = read(SAMPLE)
    once = format_source(source)
    assert parse_search(Source("f.search", once)) == parse_search(source)
    assert formatted_search(once) == once
    assert [line.split() for line in once.splitlines()] == [line.split() for line in source.text.splitlines()]
    column = "    s3.blocks    in 8", "    s3.within    in one", "    train.lr     in 1e-4 .. 3e-3 log\n"
    assert all(part in once for part in column)
