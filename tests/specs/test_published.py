"""The shipped published figures: complete, beside counts that are ours, every difference explained."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from families import FAMILIES

from archdsl.diagnostics import DiagnosticError
from archdsl.graph.comparison import Comparison, compare_with_published
from archdsl.graph.elaboration.files import Unit, load_file
from archdsl.graph.listing import Papers
from archdsl.graph.load import load
from archdsl.graph.published import SUFFIX, Published, beside, read_published

SPECS = Path(__file__).parents[2] / "specs"
FIGURES = sorted(SPECS.rglob(f"*{SUFFIX}"))
ABLATIONS = sorted((SPECS / "ablations").glob("*.arch"))

_OF_A_COUNT = re.compile(r"\b(param(eter)?s?|MACs|FLOPs|counts?|counted|[0-9.]+ ?[MG])\b")
_NOT_KNOWN = re.compile(r"\bnot (found|known|given|described|stated|said|told)\b|\bunknown\b")


def _spec(figures: Path) -> Path:
    return figures.with_name(figures.name.removesuffix(SUFFIX) + ".arch")


def _name(path: Path) -> str:
    return path.relative_to(SPECS).as_posix()


def _read(spec: Path) -> tuple[Unit, Published]:
    unit = load_file(spec)
    return unit, read_published(spec, tuple(unit.arches))


def _compared(spec: Path) -> Iterator[tuple[str, Comparison]]:
    for arch, figures in _read(spec)[1].rows.items():
        architecture = load(spec, arch)
        yield arch, compare_with_published(architecture, architecture.cost(), figures)


def _unexplained(spec: Path) -> list[str]:
    """Counts that differ without a word, and words about counts although both are printed and agree."""
    out = []
    for arch, compared in _compared(spec):
        note = compared.figures.note
        if compared.disagreements and not note:
            out += [f"{arch}: {said}" for said in compared.disagreements]
        silent = compared.params is None or compared.macs is None or _NOT_KNOWN.search(note)
        if _OF_A_COUNT.search(note) and not compared.disagreements and not silent:
            out.append(f"{arch}: {note}")
    return out


def test_some_are_shipped() -> None:
    assert {"mamba_r.published.toml", "ablations/mamba_r.published.toml"} <= set(map(_name, FIGURES))
    assert all(_spec(figures).is_file() for figures in FIGURES)


@pytest.mark.parametrize("family", [f.name for f in FAMILIES.values() if f.params])
def test_every_published_family_has_its_figures(family: str) -> None:
    assert _read(SPECS / f"{family}.arch")[1].rows


@pytest.mark.parametrize("spec", ABLATIONS, ids=_name)
def test_every_ablation_has_its_row(spec: Path) -> None:
    unit, published = _read(spec)
    papers = Papers(unit)
    assert published.source
    for arch in unit.arches:
        figures = papers.figures(arch)
        assert figures is not None, arch
        assert figures.row, arch
        assert figures.top1 is not None, arch


@pytest.mark.parametrize("figures", FIGURES, ids=_name)
def test_every_difference_is_explained_and_nothing_else(figures: Path) -> None:
    assert _unexplained(_spec(figures)) == []


@pytest.mark.parametrize("figures", FIGURES, ids=_name)
def test_every_row_says_where_it_is_from(figures: Path) -> None:
    _, published = _read(_spec(figures))
    for arch in published.rows:
        row = published.of(arch)
        assert row is not None
        assert row.source, arch
        assert row.row, arch


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """MambaOut's figures beside a copy of its spec."""
    spec = tmp_path / "mambaout.arch"
    shutil.copy(SPECS / "mambaout.arch", spec)
    shutil.copy(beside(SPECS / "mambaout.arch"), beside(spec))
    return spec


def _edit(spec: Path, old: str, new: str) -> None:
    text = beside(spec).read_text(encoding="utf-8")
    assert old in text
    beside(spec).write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "arch"),
    [
        ('"26.5M"', '"26.6M"', "mambaout_tiny"),
        ('"9.1M"', '"9.10M"', "mambaout_kobe"),
        ('"15.8G"', '"15.7G"', "mambaout_base"),
        (
            '"1.5G"\nmacs_of = ["linear", "conv", "attention", ',
            '"1.5G"\nmacs_of = ["linear", ',
            "mambaout_kobe",
        ),
        ("top1 = 80.0", 'top1 = 80.0\nnote = "More parameters than printed."', "mambaout_kobe"),
    ],
)
def test_wrong_figures_are_seen(copy: Path, old: str, new: str, arch: str) -> None:
    assert _unexplained(copy) == []
    _edit(copy, old, new)
    assert [said.split(":")[0] for said in _unexplained(copy)] == [arch]


def test_rows_of_nothing_are_seen(copy: Path) -> None:
    _edit(copy, "[mambaout_kobe]", "[mambaout_kyoto]")
    with pytest.raises(DiagnosticError, match=r"mambaout.arch has no architecture `mambaout_kyoto`"):
        _read(copy)
