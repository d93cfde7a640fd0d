"""`archdsl cost`: what it prints, to the letter, and what it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SPEC = """\
# Two of one kind: to be printed (arXiv 0000.00000). And more.
arch pair_small(dim = 16) {
  stem = patch_embed(8, dim) -> registers(2, at = even, position = learned)
  stage s1 { blocks = 2 x scan(order = both, state = 4) }
  head = pool(mean) -> layer_norm -> linear(classes)
}
arch pair_wide = pair_small(dim = 32)
arch pair_also = pair_wide()
"""

FIGURES = """\
source = "A paper"

[pair_small]
row = "small"
table = "table 1"
params = "26K"
macs = "0.007G"
macs_of = ["linear", "conv", "attention", "scan9"]
top1 = 50.0

[pair_wide]
row = "wide"
table = "table 2"
params = "57K"
macs = "not found"
top1 = "not found"
note = "Printed cut off, not rounded."
"""

PRINTED = """\
pair.arch  Two of one kind: to be printed (arXiv 0000.00000)
224 x 224 image, published in A paper

                              scan published         published published  counted
 arch       params    MACs    MACs as        in         params      MACs likewise     top-1 note
 ───────────────────────────────────────────────────────────────────────────────────────────────
 pair_small 26,008 6.248 M 1.811 M small     table 1       26K  0.007G ≠  9.970 M      50.0    1
 pair_wide  57,672 17.73 M 3.622 M wide      table 2     57K ≠ not found          not found    2
 pair_also  57,672 17.73 M 3.622 M wide      table 2     57K ≠ not found          not found    2

1 0.007G MACs are printed, 9,970,048 counted (-29.8 %)
2 Printed cut off, not rounded.

≠: our count of the same, rounded to as many digits, is another
counted likewise: what is counted there: linear, conv, attention, scan9
scan9: scans as 9 x tokens x channels x state + tokens x channels
MACs are multiply-accumulates (papers often print them as FLOPs); scans are counted apart
"""


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A spec without an arch of its own name, and its published figures."""
    spec = tmp_path / "pair.arch"
    spec.write_text(SPEC, encoding="utf-8")
    (tmp_path / "pair.published.toml").write_text(FIGURES, encoding="utf-8")
    return spec


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_a_file_without_an_arch_of_its_name_is_printed_whole(
    archdsl: Any, pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(pair.parent)
    done = archdsl("cost", pair.name)
    assert (done.status, done.err) == (0, "")
    assert _lines(done.out) == _lines(PRINTED)
    assert archdsl("cost", pair.name, "--all").out == done.out


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 120, 200])
def test_lines_stay_within_the_terminal(
    archdsl: Any, pair: Path, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out = archdsl("cost", pair).out
    assert max(map(len, out.replace(str(pair), "").splitlines())) <= columns
    assert "26,008" in out
    assert "57,672" in out
    assert out.count("pair_wide") == 1
    assert ("57K ≠" in out) == (columns >= 60)
    assert ("table 2" in out) == (columns >= 100)


def test_columns_without_room_are_named_and_names_stay_whole(
    archdsl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = _lines(archdsl("cost", "specs/ablations/mambavision.arch").out)
    assert "too narrow for: scan MACs, published as, in" in lines
    assert sum(line.startswith(" mambavision_") for line in lines) == 12
    assert not any("too narrow" in line for line in _lines(archdsl("cost", "specs/vim.arch").out))


def test_files_with_definitions_alone_are_passed_by(archdsl: Any, pair: Path) -> None:
    done = archdsl("cost", "--all", "specs/prelude.arch", pair)
    assert done.status == 0
    assert "specs/prelude.arch has definitions alone, no architecture to count" in _lines(done.out)
    assert "pair_wide" in done.out
    assert len(json.loads(archdsl("cost", "--json", "specs/prelude.arch", pair).out)) == 3
    for specs in (["specs/prelude.arch"], ["specs/prelude.arch", "specs/prelude.arch"]):
        alone = archdsl("cost", *specs)
        assert (alone.status, alone.out) == (2, "")
        assert alone.err.startswith("error[E509]: specs/prelude.arch defines no architecture")


def test_tables_of_files_stand_apart(archdsl: Any, pair: Path) -> None:
    lines = _lines(archdsl("cost", pair, pair).out)
    second = lines.index(lines[0], 1)
    assert lines[second - 1] == ""


def test_one_arch_has_its_published_line_under_its_stages(archdsl: Any, pair: Path) -> None:
    lines = _lines(archdsl("cost", pair, "--arch", "pair_small").out)
    at = next(i for i, line in enumerate(lines) if line.startswith("published"))
    assert lines[at] == (
        "published in A paper, table 1: 26K parameters, 0.007G ≠ MACs (9.970 M counted likewise), top-1 50.0"
    )
    assert lines[at + 1] == "  0.007G MACs are printed, 9,970,048 counted (-29.8 %)"
    assert lines[at + 2 : at + 5] == _lines(PRINTED)[-4:-1]
    assert lines[2].split() == ["stage", "blocks", "grid", "dim", "tokens", "params", "MACs", "scan", "MACs"]
    named = _lines(archdsl("cost", pair, "--arch", "pair_wide").out)
    assert "published in A paper, table 2: 57K ≠ parameters, MACs not found, top-1 not found" in named
    assert "  Printed cut off, not rounded." in named
    assert any(
        line.startswith("published in MILA, arXiv 2405.16605, table 3: ")
        for line in _lines(archdsl("cost", "mila_t").out)
    )


@pytest.mark.parametrize("change", [("--set", "dim=32"), ("--image", "224"), ("--classes", "10")])
def test_what_was_changed_is_not_what_was_published(
    archdsl: Any, pair: Path, change: tuple[str, str]
) -> None:
    assert "publish" not in archdsl("cost", pair, *change).out


def test_classes_in_the_place_of_published_figures(archdsl: Any, pair: Path) -> None:
    out = archdsl("cost", pair, "--by-class").out
    headings = next(line for line in out.splitlines() if "arch" in line and "params" in line)
    assert headings.split() == ["arch", "params", "MACs", "MACs", "linear", "conv", "activations"]
    assert "≠" not in out


def test_files_are_printed_one_by_one_and_single_archs_together(archdsl: Any, pair: Path, small: str) -> None:
    lines = _lines(archdsl("cost", "mambaout_tiny", pair, "mamba_r_tiny").out)
    first = [line.split()[0] for line in lines if line.startswith((" mamba", " pair", str(pair)))]
    assert first == ["mambaout_tiny", "mamba_r_tiny", str(pair), "pair_small", "pair_wide", "pair_also"]
    assert "published in A paper" not in "\n".join(_lines(archdsl("cost", small, "--all").out))


def test_everything_is_in_the_json(archdsl: Any, pair: Path) -> None:
    small, wide, also = json.loads(archdsl("cost", pair, "--json").out)
    assert small["published"] == {
        "source": "A paper",
        "row": "small",
        "table": "table 1",
        "params": {"printed": "26K", "ours": 26_008, "agrees": True, "difference": ""},
        "macs": {"printed": "0.007G", "ours": 9_970_048, "agrees": False, "difference": "-29.8 %"},
        "macs_of": ["linear", "conv", "attention", "scan9"],
        "top1": 50.0,
    }
    assert wide["published"] == also["published"]
    assert wide["published"]["macs"] == wide["published"]["top1"] == "not found"
    assert wide["published"]["params"]["difference"] == "cut off, not rounded"
    assert wide["published"]["note"] == "Printed cut off, not rounded."


def test_mistakes_in_the_figures_have_their_place(archdsl: Any, pair: Path) -> None:
    figures = pair.with_name("pair.published.toml")
    figures.write_text(FIGURES.replace('params = "57K"', "params = 57"), encoding="utf-8")
    done = archdsl("cost", pair)
    assert done.status == 2
    assert done.out == ""
    assert done.err.startswith("error[E511]: `params` has a value that it can't have")
    assert f"--> {figures}:14:10" in done.err
    checked = archdsl("check", pair)
    assert (checked.status, checked.out) == (2, "1 file checked: 1 error\n")
    assert checked.err == done.err


def test_a_printed_count_that_cannot_be_right_is_told(archdsl: Any) -> None:
    lines = _lines(archdsl("cost", "mambavision_pattern_last_quarter").out)
    at = next(i for i, line in enumerate(lines) if line.startswith("published in MambaVision"))
    assert "31.8M ≠ parameters" in lines[at]
    assert "31.8 M can't be right" in lines[at + 1]
    assert "30.6 M" in " ".join(lines[at + 1 :])
    assert lines[0].startswith("mambavision_pattern_last_quarter  30,619,208 parameters")


def test_the_shipped_ablations_are_printed_without_torch() -> None:
    code = (
        "import glob, sys\n"
        "from archdsl.cli.main import run\n"
        "status = run(['cost', *sorted(glob.glob('specs/ablations/*.arch'))])\n"
        "print(status, sorted({'torch', 'networkx', 'numba', 'timm'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.endswith("0 []\n")
    for spec in sorted((root / "specs" / "ablations").glob("*.arch")):
        assert f"{spec.relative_to(root)}  " in done.stdout
