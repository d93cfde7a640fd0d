"""docs/performance.md says what docs/results holds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from archdsl.cli.bench.page import BEGIN, END, NOTHING, measured, page

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "performance.md"


def test_the_measured_part_is_what_the_results_hold() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text, ROOT / "docs" / "results"), "write it anew: make docs"


def test_no_times_stand_outside_of_the_measured_part() -> None:
    text = PAGE.read_text(encoding="utf-8")
    written = text.partition(BEGIN)[0] + text.partition(END)[2]
    assert not re.findall(r"\d[\d.]*\s?(?:x\b|ms\b|GB/s|images/s|%)", written)


def test_tables_show_every_way_and_shape(tmp_path: Path) -> None:
    time = {"median": 2.0, "low": 1.0, "high": 3.0, "samples": 3}
    row = {
        "dtype": "float32",
        "pass": "forward",
        "shape": [1, 2, 3, 4],
        "milliseconds": {"numba, bld": time, "C++": time},
        "ratios": {"C++": 1.25},
    }
    results = {
        "date": "2026-01-02T03:04:05",
        "machine": {"processor": "A chip", "cores": 2},
        "versions": {"torch": "9.9"},
        "threads": 1,
        "against": "numba, bld",
        "scans": [row],
        "both_directions": [],
        "parts": {"what": "forward", "scans": []},
        "limits": {"exponentials_per_second": {"numba": 2e10}, "bytes_copied_per_second": {"4 MB": 1e11}},
        "share_of_exponentials": {"1 x 2 x 3 x 4": 0.41},
        "first_calls": {k: {"first call": {"processor": 1.0, "wall": 2.0}} for k in ("cold", "warm")},
    }
    assert measured(tmp_path).strip() == NOTHING
    (tmp_path / "scan_cpu.json").write_text(json.dumps(results), encoding="utf-8")
    shown = measured(tmp_path)
    for part in ("1 x 2 x 3 x 4", "| C++ | 2 (1.25x) |", "A chip", "torch 9.9", "20.0 G exp", "41%"):
        assert part in shown
    with pytest.raises(ValueError, match="lacks"):
        page("no marks", tmp_path)
