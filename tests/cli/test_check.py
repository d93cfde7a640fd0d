"""`archdsl check`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from archdsl.graph.library import folder
from archdsl.nas.library import folder as searches

SPECS = sorted(str(p) for p in folder().glob("*.arch"))


def test_the_shipped_specs_hold(archdsl: Any) -> None:
    done = archdsl("check", folder())
    assert done.status == 0
    assert re.fullmatch(r"[0-9]+ files checked: no mistakes\n", done.out)
    assert done.err == ""


def test_every_mistake_is_told_on_stderr(archdsl: Any, broken: str) -> None:
    done = archdsl("check", broken, SPECS[0])
    assert done.status == 2
    assert done.out == "2 files checked: 2 errors\n"
    assert "error[E302]" in done.err
    assert "error[E201]" in done.err
    assert f"{broken}:4:27" in done.err
    assert "\x1b" not in done.err


def test_json_has_a_row_for_every_diagnostic(archdsl: Any, broken: str) -> None:
    done = archdsl("check", "--json", broken)
    assert done.status == 2
    rows = json.loads(done.out)
    assert [row["code"] for row in rows] == ["E302", "E201"]
    assert rows[1]["file"] == broken
    assert (rows[1]["line"], rows[1]["column"], rows[1]["end_line"], rows[1]["end_column"]) == (4, 27, 4, 36)
    assert rows[1].keys() >= {"severity", "message", "label", "notes", "help"}
    assert "gated_conv" in rows[1]["help"]


def test_a_missing_file_does_not_hide_the_others(archdsl: Any, tmp_path: Path, broken: str) -> None:
    done = archdsl("check", tmp_path / "none.arch", broken)
    assert done.status == 2
    assert "error[E501]" in done.err
    assert "error[E302]" in done.err
    assert archdsl("check", tmp_path).err.startswith("error[E501]: there is no .arch or .search file in")


def test_colours_only_where_they_are_wanted(broken: str) -> None:
    def err(**environment: str) -> str:
        command = [sys.executable, "-m", "archdsl", "check", broken]
        env = {**os.environ, **environment}
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False).stderr

    plain = err()
    painted = err(FORCE_COLOR="1")
    assert "\x1b" not in plain
    assert "\x1b[1;31merror[E302]\x1b[0m" in painted
    assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == plain


def test_loads_neither_torch_nor_networkx() -> None:
    code = (
        "import sys\n"
        "from archdsl.cli.main import run\n"
        f"status = run(['check', *{[*SPECS, 'tiny_cpu']!r}])\n"
        "slow = {'torch', 'networkx', 'numpy', 'rich', 'timm', 'numba', 'PIL', 'safetensors'}\n"
        "slow |= {'optuna', 'ray', 'sklearn'}\n"
        "print(status, sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_takes_the_name_of_a_shipped_arch(archdsl: Any) -> None:
    done = archdsl("check", "mamba_r_tiny")
    assert (done.status, done.out) == (0, "1 file checked: no mistakes\n")
    done = archdsl("check", "mamba_r_tyny")
    assert done.status == 2
    assert "E501" in done.err


def test_takes_searches_and_tells_the_size_of_their_spaces(archdsl: Any) -> None:
    done = archdsl("check", "registers", *sorted(str(p) for p in searches().glob("*.search")))
    assert done.status == 0
    assert "registers: 16 points\n" in done.out
    assert re.search(
        r"tiny_cpu: infinitely many points \(train.lr is a real number; [0-9]+ without\)", done.out
    )
    assert done.out.endswith("3 files checked: no mistakes\n")


def test_mistakes_of_a_search_are_told_like_those_of_a_spec(archdsl: Any, tmp_path: Path) -> None:
    path = tmp_path / "wrong.search"
    path.write_text("search wrong { arch = tiny(dim = 16)\n samples = tpe }\n")
    done = archdsl("check", path)
    assert done.status == 2
    assert "error[E402]: a search has no setting `samples`" in done.err
    assert "error[E401]: the search `wrong` has no `task` and `maximize` and `vary`" in done.err
    assert done.out == "1 file checked: 2 errors\n"


def test_spaces_are_told_in_json_too(archdsl: Any) -> None:
    done = archdsl("check", "--json", "registers")
    assert done.status == 0
    (row,) = json.loads(done.out)
    assert (row["severity"], row["code"], row["message"]) == ("info", "", "registers: 16 points")
    assert row["notes"][0] == "every point compiles (proved); 15 different architectures"
    space = row["space"]
    assert (space["points"], space["compiling"], space["distinct"], space["reason"]) == (16, 16, 15, None)
    assert space["params"] == [13354, 15370]
