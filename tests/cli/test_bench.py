"""`archdsl bench check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def test_results_name_machine_versions_and_date(archdsl: Any, tmp_path: Path) -> None:
    path = tmp_path / "results" / "check.json"
    done = archdsl("bench", "check", "--repeats", 1, "--out", path)
    assert done.status == 0, done.err
    assert "archdsl check, process" in done.out
    results = json.loads(path.read_text(encoding="utf-8"))
    assert {"date", "machine", "versions", "seconds", "bounds", "repeats"} <= set(results)
    assert {"python", "archdsl", "lark", "pydantic", "typer"} <= set(results["versions"])
    assert results["bounds"].keys() < results["seconds"].keys()
    assert "mambaout.arch, one architecture" in results["bounds"]
    assert all(seconds > 0 for seconds in results["seconds"].values())
