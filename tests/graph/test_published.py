"""Files of published figures: what they say, what is wrong with them, and how printed counts compare."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

import archdsl
from archdsl.diagnostics import DiagnosticError, Source
from archdsl.graph.comparison import Compared, compare_with_published
from archdsl.graph.cost import norms, scan9
from archdsl.graph.elaboration.files import load_file
from archdsl.graph.listing import Papers, about
from archdsl.graph.published import Figures, Published, read_published

ARCHES = ("small", "wide")


def _read(folder: Path, text: str) -> Published:
    (folder / "spec.published.toml").write_text(text, encoding="utf-8")
    return read_published(folder / "spec.arch", ARCHES)


def test_no_file_is_no_figures(tmp_path: Path) -> None:
    assert read_published(tmp_path / "spec.arch", ARCHES) == Published()


def test_rows_have_the_source_of_the_file_unless_they_have_their_own(tmp_path: Path) -> None:
    published = _read(
        tmp_path,
        'source = "one"\n[small]\nrow = "a"\nparams = "7.1M"\ntop1 = 82\n'
        '[wide]\nsource = "two"\ntop1 = "82.60"\n',
    )
    assert published.of("small") == Figures(source="one", row="a", params="7.1M", top1=82)
    assert published.of("wide") == Figures(source="two", top1="82.60")
    assert published.of("other") is None
    assert Figures().macs_of == ("linear", "conv", "attention")


# What is wrong, where (line, column), what is said of it, and the next step.
WRONG = [
    ("[small]\nparams = 29\n", (2, 10), "found 29", "as it is printed"),
    ('[small]\nparams = "29 millions"\n', (2, 10), 'found "29 millions"', "as it is printed"),
    ('[small]\nmacs = "-1G"\n', (2, 8), 'found "-1G"', "as it is printed"),
    ('[small]\nparms = "29M"\n', (2, 1), "expected one of: row, table", "did you mean `params`?"),
    ('[wide]\nrow = "a"\n[small]\n  row = 3\n', (4, 9), "found 3", 'row = "..."'),
    ('[small]\nmacs_of = ["linear", "scans"]\n', (2, 11), 'found "scans"', "did you mean `scan`?"),
    ("[small]\nmacs_of = []\n", (2, 11), "found []", "name some in a list"),
    ('[small]\nmacs_of = "scan"\n', (2, 11), 'found "scan"', "name some in a list"),
    ("[small]\ntop1 = 101.0\n", (2, 8), "found 101.0", "per cent"),
    ("[small]\ntop1 = nan\n", (2, 8), "found nan", "per cent"),
    ('[small]\ntop1 = "good"\n', (2, 8), 'found "good"', "per cent"),
    ("[small]\ntop1 = true\n", (2, 8), "found true", "per cent"),
    ('[wid]\nrow = "a"\n', (1, 2), "not defined there", "did you mean `wide`?"),
    ("source = 3\n", (1, 10), "found 3", 'source = "..."'),
    ('sauce = "x"\n', (1, 1), "expected source", "did you mean `source`?"),
    ("small = { row = 3 }\n", (1, 1), "found 3", 'row = "..."'),
    ("[small.row]\na = 1\n", (1, 2), "found a table", 'row = "..."'),
    ("[small\n", (1, 7), "expected ']'", "[name_of_an_arch]"),
    ("[small]\nrow = \n", (2, 7), "invalid value", "[name_of_an_arch]"),
    ('[small]\nrow = "a', (2, 9), "unterminated string", "[name_of_an_arch]"),
    ("[small]\n[small]\n", (2, 7), "small is there already", "each arch once"),
    ("[small]\nrow = '1'\nrow = '2'\n", (3, 10), "it is there already", "each key of it"),
    ("[small]\ntop1 = " + "9" * 5000 + "\n", (2, 8), "so long", "as it is printed"),
    ("[small]\nnote = ['a', true]\n", (2, 8), 'found ["a", true]', 'note = "..."'),
    ('[small]\nrow = "\\u001b[31mred"\n', (2, 7), "found", 'row = "..."'),
    ('source = "\\u0007"\n', (1, 10), "found", 'source = "..."'),
    ("[[small]]\nrow = 'a'\n", (1, 1), "one table", "write `[small]`"),
    ('params = "3M"\n', (1, 1), "only source is for the whole file", "write `[small]` in a line above it"),
    ("a = " + "[" * 5000, (1, 1), "nested too deep", "[name_of_an_arch]"),
    ("a." * 90_000 + "a = 1\n", (1, 1), "nested too deep", "[name_of_an_arch]"),
    ("a = " + "{a.b.c.d = " * 200 + "1" + "}" * 200, (1, 1), "nested too deep", "[name_of_an_arch]"),
    ("[small]\ntop1 = 0x" + "f" * 5000, (2, 8), "is so long", "as it is printed"),
    ("[small]\ntop1 = 9223372036854775808\n", (2, 8), "is so long", "as it is printed"),
    ("#" * 200_001, (1, 1), "more than 200,000 characters", "leave out"),
    ('[small]\nnote = "\\u001b[2J"\n', (2, 8), "found", 'note = "..."'),
    ('source = "\\u202e"\n', (1, 10), "found", 'source = "..."'),
]


@pytest.mark.parametrize(("text", "place", "label", "step"), WRONG, ids=[w[0][:30] for w in WRONG])
def test_mistakes_have_a_place_and_a_next_step(
    tmp_path: Path, text: str, place: tuple[int, int], label: str, step: str
) -> None:
    with pytest.raises(DiagnosticError) as caught:
        _read(tmp_path, text)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E511"
    assert diagnostic.span is not None
    assert diagnostic.span.source.name == str(tmp_path / "spec.published.toml")
    assert (diagnostic.span.line, diagnostic.span.column) == place
    assert label in diagnostic.label
    assert step in diagnostic.help


def test_all_mistakes_are_told_in_their_order(tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError) as caught:
        _read(tmp_path, "source = 1\n[small]\nrow = 1\nmacs_of = [1, 2]\n[other]\n")
    assert [d.span.line for d in caught.value.diagnostics if d.span] == [1, 3, 4, 5]


@pytest.mark.parametrize("line", ["[x{}]\n", "x{} = 1\n"], ids=["archs", "keys"])
@pytest.mark.parametrize("above", ["", "[small]\n"], ids=["above all", "in a row"])
def test_of_thousands_of_mistakes_the_first_are_told(tmp_path: Path, above: str, line: str) -> None:
    with pytest.raises(DiagnosticError) as caught:
        _read(tmp_path, above + "".join(line.format(i) for i in range(15_000)))
    assert len(caught.value.diagnostics) == 20


def test_a_note_is_one_line(tmp_path: Path) -> None:
    published = _read(tmp_path, '[small]\nnote = """\none\n\n  two"""\n')
    assert published.rows["small"].note == "one two"


def test_links_stay_in_the_folder_of_the_spec(tmp_path: Path) -> None:
    folder = tmp_path / "specs"
    folder.mkdir()
    (tmp_path / "outside.toml").write_text('password = "12345"\n')
    (folder / "figures.toml").write_text('source = "beside"\n')
    link = folder / "spec.published.toml"
    link.symlink_to(tmp_path / "outside.toml")
    with pytest.raises(DiagnosticError, match="leads out of the spec's folder") as caught:
        read_published(folder / "spec.arch", ARCHES)
    assert [d.code for d in caught.value.diagnostics] == ["E511"]
    assert "12345" not in str(caught.value)
    link.unlink()
    link.symlink_to("figures.toml")
    assert read_published(folder / "spec.arch", ARCHES) == Published("beside")


def test_only_plain_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "spec.published.toml")
    assert read_published(tmp_path / "spec.arch", ARCHES) == Published()


@pytest.mark.parametrize(("content", "code"), [(b"\xff\xfe", "E104"), (b"#" * 1_000_001, "E105")])
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, code: str) -> None:
    (tmp_path / "spec.published.toml").write_bytes(content)
    with pytest.raises(DiagnosticError) as caught:
        read_published(tmp_path / "spec.arch", ARCHES)
    assert caught.value.diagnostics[0].code == code
    assert "`use`" not in caught.value.diagnostics[0].help


# 9,264,232 parameters and 1,365,453,312 multiply-accumulates without scans.
COUNTS = [
    ("params", "9M", ""),
    ("params", "9.3M", ""),
    ("params", "9.26 M", ""),
    ("params", "9.2M", "cut off, not rounded"),
    ("params", "10M", "rounded up"),
    ("params", "9.27", "rounded up"),
    ("params", "9.26", ""),
    ("params", "9.264232M", ""),
    ("params", "9,264,232", ""),
    ("params", "9,264,231", "-0.0 %"),
    ("params", "9264K", ""),
    ("params", "0.01G", ""),
    ("params", "31.8M", "+243.3 %"),
    ("params", "not found", None),
    ("macs", "1.4G", ""),
    ("macs", "1.3G", "cut off, not rounded"),
    ("macs", "1.37", ""),
    ("macs", "1365M", ""),
    ("macs", "5.1G", "+273.5 %"),
]


@pytest.mark.parametrize(("key", "printed", "difference"), COUNTS)
def test_printed_counts_are_ours_rounded_to_their_digits(
    key: str, printed: str, difference: str | None
) -> None:
    architecture = archdsl.load("mamba_r_tiny")
    cost = architecture.cost()
    compared = compare_with_published(architecture, cost, Figures(**{key: printed}))
    ours = cost.params if key == "params" else cost.macs.total
    expected = None if difference is None else Compared(printed, ours, not difference, difference)
    assert getattr(compared, key) == expected
    assert bool(compared.disagreements) == bool(difference)


def test_half_a_digit_is_rounded_up() -> None:
    architecture = archdsl.load("mamba_r_tiny")
    half = replace(architecture.cost(), params=2_500_000)
    assert not compare_with_published(architecture, half, Figures(params="3M")).disagreements
    assert compare_with_published(architecture, half, Figures(params="2M")).disagreements


@pytest.mark.parametrize(
    ("classes", "ours"),
    [
        (("linear",), "linear"),
        (("linear", "conv"), "linear conv"),
        (("linear", "conv", "attention", "scan"), "linear conv attention scan"),
    ],
)
def test_papers_are_compared_by_what_they_count(classes: tuple[str, ...], ours: str) -> None:
    architecture = archdsl.load("hybrid")
    cost = architecture.cost()
    compared = compare_with_published(
        architecture, cost, Figures.model_validate({"macs": "1G", "macs_of": classes})
    )
    assert compared.macs is not None
    assert compared.macs.ours == sum(getattr(cost.macs, name) for name in ours.split())


def test_scans_as_papers_print_them() -> None:
    tokens, inner, state, blocks = 14 * 14 + 12, 2 * 192, 16, 24
    both = 2 * (9 * tokens * inner * state + tokens * inner)
    tiny = archdsl.load("mamba_r_tiny")
    assert scan9(tiny) == blocks * both
    assert scan9(archdsl.load("mambaout_tiny")) == 0
    figures = Figures.model_validate({"macs": "1.4G", "macs_of": ["linear", "conv", "scan9"]})
    compared = compare_with_published(tiny, tiny.cost(), figures)
    assert compared.macs is not None
    assert compared.macs.ours == tiny.cost().macs.total + scan9(tiny)


@pytest.mark.parametrize(
    ("name", "measured"), [("mila_t", "4.149"), ("mila_s", "7.278"), ("mila_b", "16.157")]
)
def test_norms_as_fvcore_counts_them(name: str, measured: str) -> None:
    architecture = archdsl.load(name)
    cost = architecture.cost()
    figures = Figures.model_validate(
        {"macs": f"{measured}G", "macs_of": ["linear", "conv", "attention", "norms"]}
    )
    compared = compare_with_published(architecture, cost, figures)
    assert compared.macs is not None
    assert compared.macs.ours == cost.macs.total + norms(architecture)
    assert compared.macs.agrees


def test_scans_in_windows_are_counted_in_each() -> None:
    text = """
        block scanning { residual MIXER }
        arch a(dim = 8) {
          image = 64
          stem = patch_embed(4, dim)
          stage s { blocks = scanning }
          head = none
        }"""
    plain, windows = (
        archdsl.load(Source("a", text.replace("MIXER", mixer)))
        for mixer in ("selective_scan", "windowed(selective_scan, 4)")
    )
    assert scan9(plain) == scan9(windows) == 16 * 16 * 8 * (9 * 16 + 1)


def test_another_name_has_the_same_figures(tmp_path: Path) -> None:
    body = "stem = patch_embed(4, dim)\n stage s { blocks = scan }\n head = none"
    (tmp_path / "spec.arch").write_text(
        "# A spec: the first\n# sentence of arXiv 1234.56789. The second.\n\n# Not this.\n"
        f"arch spec(dim = 8) {{\n {body}\n}}\n"
        "arch spec_t = spec()\narch other = spec_t\narch wide = spec(dim = 16)\n"
    )
    (tmp_path / "spec.published.toml").write_text('[spec_t]\nparams = "1M"\n')
    unit = load_file(tmp_path / "spec.arch")
    papers = Papers(unit)
    assert papers.figures("spec") == papers.figures("spec_t") == papers.figures("other") is not None
    assert papers.figures("wide") is None
    assert about(unit) == "A spec: the first sentence of arXiv 1234.56789"


def test_figures_of_a_used_file_are_found(tmp_path: Path) -> None:
    (tmp_path / "mine.arch").write_text('use "mamba_r.arch"\narch mine = mamba_r_tiny(depth = 2)\n')
    papers = Papers(load_file(tmp_path / "mine.arch"))
    found = papers.figures("mamba_r_tiny")
    assert found is not None
    assert found.params == "9M"
    assert papers.figures("mine") is None
