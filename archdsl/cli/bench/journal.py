"""Measurements kept as they are made, so that a run that was broken off goes on where it stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import typer

from archdsl.cli.bench.results import write
from archdsl.cli.messages import mistake

Row = dict[str, object]


class Journal:
    """The rows of one run, by key. With a file to write, each goes into `FILE.part` once it is measured.

    The part is a line of JSON for what the run is and one for each row; a last line cut off by a crash is
    forgotten. A part of another run (other settings, machine or versions) is begun anew, which is said.

    Args:
        settings: what makes rows of two runs comparable; has to survive JSON.
        out: the file of results, None where nothing is written.
    """

    def __init__(self, settings: Mapping[str, object], out: Path | None) -> None:
        self.settings: Row = json.loads(json.dumps(settings))
        self.out = out
        self.rows: dict[str, Row] = {}
        self.kept = 0
        if out is None:
            return
        self._part = out.with_name(out.name + ".part")
        if self._part.exists():
            self._take_up()
        if not self.kept:
            self._start()

    def row(self, key: str, measure: Callable[[], Row]) -> Row:
        """The row of that key: from the part, or measured now and kept."""
        if key not in self.rows:
            self.rows[key] = json.loads(json.dumps(measure()))
            self._append({"key": key, "row": self.rows[key]})
        return self.rows[key]

    def finish(self, results: Mapping[str, object]) -> None:
        """Writes the file of results and removes the part."""
        write(results, self.out)
        if self.out is not None:
            self._part.unlink(missing_ok=True)

    def _take_up(self) -> None:
        lines = self._part.read_text(encoding="utf-8").split("\n")
        if lines.pop():
            with self._part.open("r+", encoding="utf-8") as file:
                file.truncate(sum(len(line.encode()) + 1 for line in lines))
        try:
            head, *entries = [json.loads(line) for line in lines] or [None]
            same = head == self.settings
            rows = {entry["key"]: entry["row"] for entry in entries}
        except (ValueError, TypeError, KeyError):
            same, rows = False, {}
        if same:
            self.rows, self.kept = rows, len(rows)
            if rows:
                typer.echo(f"{self._part} holds {len(rows)} measurements of this run: going on", err=True)
        else:
            typer.echo(f"{self._part} is of another run: starting anew", err=True)

    def _start(self) -> None:
        try:
            self._part.parent.mkdir(parents=True, exist_ok=True)
            self._part.write_text(json.dumps(self.settings) + "\n", encoding="utf-8")
        except OSError as error:
            raise _unwritable(self._part, error) from error

    def _append(self, entry: Row) -> None:
        if self.out is None:
            return
        try:
            with self._part.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unwritable(self._part, error) from error


def _unwritable(path: Path, error: OSError) -> Exception:
    return mistake(
        "E508",
        f"cannot write {path}",
        notes=(error.strerror or str(error),),
        help="check that the folder may be written to and that the disk has room",
    )
