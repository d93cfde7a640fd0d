"""Files are written whole or not at all."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from archdsl.diagnostics import DiagnosticError
from archdsl.weights.files import write_bytes, write_text, written


def test_text_arrives(tmp_path: Path) -> None:
    write_text(tmp_path / "a.arch", "größe\n")
    assert (tmp_path / "a.arch").read_bytes() == "größe\n".encode()
    assert list(tmp_path.iterdir()) == [tmp_path / "a.arch"]


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "weights"
    target.write_bytes(b"old")

    def fail() -> None:
        with written(target) as temporary:
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_mode_is_kept_and_new_files_follow_the_umask(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_bytes(b"")
    old.chmod(0o640)
    write_bytes(old, b"1")
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "new", b"1")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError) as caught:
        write_bytes(tmp_path / "nowhere" / "a", b"")
    assert caught.value.diagnostics[0].code == "E508"
    assert "nowhere" in str(caught.value)


def test_writing_files_needs_no_torch() -> None:
    code = "import sys, archdsl.weights.files; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
