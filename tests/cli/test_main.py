"""The command line as a whole: help, wrong use, pipes, interruption."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import archdsl as package
from archdsl.cli.main import COMMANDS


def test_without_arguments_it_prints_its_help(archdsl: Any) -> None:
    done = archdsl()
    assert done.status == 0
    for name in COMMANDS:
        assert name in done.out


def test_a_group_without_a_command_prints_its_help(archdsl: Any) -> None:
    done = archdsl("bench")
    assert done.status == 0
    assert "check" in done.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(archdsl: Any, name: str) -> None:
    done = archdsl(name, "--help")
    assert done.status == 0
    assert f"archdsl {name}" in done.out


def test_version(archdsl: Any) -> None:
    assert archdsl("--version").out.strip() == f"archdsl {package.__version__}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bild"], "there is no command `bild`"),
        (["check"], "missing argument"),
        (["check", "--jason", "x.arch"], "no such option: --jason"),
        (["build", "hybrid", "--batch", "0"], "invalid value for '--batch'"),
        (["build", "hybrid", "--batch", "many"], "invalid value for '--batch'"),
        (["build", "hybrid", "--dtype", "int8"], "invalid value for '--dtype': 'int8' is not one of"),
        (["cost", ""], "SPEC is empty"),
        (["cost", "hybrid", "--image", "wide"], "`--image wide` is no size"),
        (["cost", "hybrid", "--image", "224x"], "`--image 224x` is no size"),
        (["cost", "hybrid", "--set", "registers"], "`--set registers` is no setting"),
        (["cost", "hybrid", "--set", "=8"], "`--set =8` is no setting"),
        (["explain", "E999"], "there is no code E999"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_is_a_diagnostic(archdsl: Any, arguments: list[str], message: str) -> None:
    done = archdsl(*arguments)
    assert done.status == 2
    assert done.out == ""
    assert done.err.startswith(f"error[E510]: {message}")
    assert "= help: " in done.err


def test_a_misspelt_command_is_suggested(archdsl: Any) -> None:
    assert "did you mean `build`?" in archdsl("bild").err


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "archdsl", "show", "hybrid"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(60) == 141


def test_interruption_ends_with_130(tmp_path: Path) -> None:
    pipe = tmp_path / "endless.arch"
    os.mkfifo(pipe)
    # A suite started in the background of a shell passes on that interrupts are ignored.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heed}; from archdsl.cli.main import main; main()"
    process = subprocess.Popen([sys.executable, "-c", code, "check", pipe], stderr=subprocess.PIPE)
    assert process.stderr is not None
    with pipe.open("wb"):  # returns once the command has opened the other end
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert b"Traceback" not in process.stderr.read()


def test_explain_prints_the_rule_and_lists_all(archdsl: Any) -> None:
    rule = archdsl("explain", "e302").out
    assert rule.startswith("E302: ")
    assert "Wrong:" in rule
    assert "Right:" in rule
    listed = archdsl("explain").out.splitlines()
    assert any(line.startswith("E101  ") for line in listed)
    assert any(line.startswith("E510  ") for line in listed)
