"""Published figures of architectures: the file `<stem>.published.toml` beside a spec."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from archdsl.diagnostics import Diagnostic, DiagnosticError, Source, Span, did_you_mean
from archdsl.graph.tables import tables
from archdsl.lang import read

SUFFIX = ".published.toml"
NOT_FOUND = "not found"
"""What stands in the place of a figure that was looked for and is in no source."""

CountClass = Literal["linear", "conv", "attention", "scan", "scan9", "norms"]
"""What a paper counts: classes of `Macs`, and what `archdsl.graph.cost` has as `scan9` and `norms`."""
CONVENTIONS: Mapping[str, str] = {
    "scan9": "scans as 9 x tokens x channels x state + tokens x channels",
    "norms": "5 for each number of a layer norm, 2 for each of a batch norm",
}
"""Counts that no class of `Macs` has, in words."""
ALL_BUT_SCANS: tuple[CountClass, ...] = ("linear", "conv", "attention")

_COUNT = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,6})? ?[KMGT]?|[0-9]{1,3}(?:,[0-9]{3})+)")
_HEADER = re.compile(r"""\s*\[\s*["']?([^]"'.]*)["']?""")

MAX_TOLD = 20
"""Mistakes of one file that are told."""


def _count(text: str) -> str:
    if text != NOT_FOUND and _COUNT.fullmatch(text) is None:
        raise ValueError("no count")
    return text


def _percentage(value: float | str) -> float | str:
    if (
        isinstance(value, str)
        and value != NOT_FOUND
        and re.fullmatch(r"[0-9]{1,2}(\.[0-9]+)?", value) is None
    ):
        raise ValueError("no percentage")
    if isinstance(value, float) and not 0 <= value <= 100:
        raise ValueError("no percentage")
    return value


def _text(text: str) -> str:
    """Without line breaks, and without what a terminal would act on."""
    line = " ".join(text.split())
    if not line.isprintable():
        raise ValueError("no plain text")
    return line


Text = Annotated[str, AfterValidator(_text)]
"""Plain text; blanks and line breaks count as one blank."""


class Figures(BaseModel):
    """What is published of one architecture. Texts are as printed.

    Args:
        row: what the paper calls it.
        table: where it stands.
        source: the paper, where it is not that of the whole file.
        params: parameters: `29M`; a number alone counts millions.
        macs: multiply-accumulates: `4.5G`; a number alone counts billions (the papers print FLOPs).
        macs_of: what the paper counts; all but scans where left out.
        top1: accuracy in per cent, or `not found`.
        note: why a count differs from ours, or what is not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    row: Text = ""
    table: Text = ""
    source: Text = ""
    params: Annotated[str, AfterValidator(_count)] | None = None
    macs: Annotated[str, AfterValidator(_count)] | None = None
    macs_of: Annotated[tuple[CountClass, ...], Field(strict=False, min_length=1)] = ALL_BUT_SCANS
    top1: Annotated[float | str, AfterValidator(_percentage)] | None = None
    note: Text = ""


@dataclass(frozen=True, slots=True)
class Published:
    """The published figures of a spec's architectures.

    Args:
        source: the paper they are from.
        rows: by architecture.
    """

    source: str = ""
    rows: Mapping[str, Figures] = field(default_factory=dict)

    def of(self, arch: str) -> Figures | None:
        """The figures of an architecture, with their source written out; None where there are none."""
        found = self.rows.get(arch)
        if found is None or found.source or not self.source:
            return found
        return found.model_copy(update={"source": self.source})


def beside(spec: Path) -> Path:
    """Where the published figures of a spec are, if there are any."""
    return spec.with_name(spec.stem + SUFFIX)


def read_published(spec: Path, arches: Sequence[str]) -> Published:
    """The published figures beside a spec; none where there is no such file.

    Args:
        spec: the `.arch` file.
        arches: the architectures it defines.

    Raises:
        DiagnosticError: E511 with all that is wrong in the file; E104, E105 and E501 where it can't be read.
    """
    path = beside(spec)
    if not path.is_file():
        return Published()
    if path.resolve().parent not in (spec.parent.resolve(), spec.resolve().parent):
        raise DiagnosticError(_elsewhere(path))
    source = read(path)
    data = tables(source)
    wrong: list[Diagnostic] = []
    rows: dict[str, Figures] = {}
    paper = data.pop("source", "")
    try:
        paper = Figures.model_validate({"source": paper}).source
    except ValidationError:
        wrong.append(_refused(source, "", "source", "string_type", paper))
    for arch, row in data.items():
        if not isinstance(row, dict):
            wrong.append(_no_row(source, arch, arches))
        elif arch not in arches:
            wrong.append(_unknown_arch(source, arch, spec, arches))
        else:
            try:
                rows[arch] = Figures.model_validate(row)
            except ValidationError as error:
                wrong += islice(_all_refused(source, arch, row, error), MAX_TOLD)
        if len(wrong) >= MAX_TOLD:
            break
    if wrong:
        raise DiagnosticError(*sorted(wrong, key=_line))
    return Published(paper, rows)


def _elsewhere(path: Path) -> Diagnostic:
    return Diagnostic(
        "E511", f"{path} leads out of the spec's folder", notes=("it is a link",),
        help="put the file itself there, or a link to one beside it",
    )  # fmt: skip


def _line(diagnostic: Diagnostic) -> int:
    return 0 if diagnostic.span is None else diagnostic.span.line


def _no_row(source: Source, key: str, arches: Sequence[str]) -> Diagnostic:
    """A key above all rows that is none, or an arch that has no row of its own."""
    if key in arches:
        return Diagnostic(
            "E511", f"`{key}` has no row", _place(source, key), "a row is one table, with figures below it",
            help=f"write `[{key}]` in a line of its own, and its figures below",
        )  # fmt: skip
    if key in Figures.model_fields:
        return Diagnostic(
            "E511", f"`{key}` stands above all rows", _place(source, "", key),
            "only source is for the whole file",
            help=f"write `[{arches[0] if arches else 'name_of_an_arch'}]` in a line above it",
        )  # fmt: skip
    return _unknown_key(source, "", key, ["source"])


def _unknown_arch(source: Source, arch: str, spec: Path, arches: Sequence[str]) -> Diagnostic:
    return Diagnostic(
        "E511", f"{spec.name} has no architecture `{arch}`", _place(source, arch), "not defined there",
        help=did_you_mean(arch, arches, f"it has: {', '.join(arches)}" if arches else "define it"),
    )  # fmt: skip


def _unknown_key(source: Source, arch: str, key: str, keys: Sequence[str]) -> Diagnostic:
    where = f"`[{arch}]`" if arch else "the file"
    rows = "; figures stand below `[name_of_an_arch]`" if not arch else ""
    return Diagnostic(
        "E511", f"{where} has no key `{key}`", _place(source, arch, key),
        f"expected {'one of: ' if len(keys) > 1 else ''}{', '.join(keys)}{rows}",
        help=did_you_mean(key, keys, "name one of them, or leave it out"),
    )  # fmt: skip


def _all_refused(
    source: Source, arch: str, row: dict[str, Any], error: ValidationError
) -> Iterator[Diagnostic]:
    told: set[str] = set()
    for e in error.errors():
        key = str(e["loc"][0])
        if key in told:
            continue
        told.add(key)
        if e["type"] == "extra_forbidden":
            yield _unknown_key(source, arch, key, list(Figures.model_fields))
        else:
            yield _refused(source, arch, key, e["type"], e["input"] if len(e["loc"]) > 1 else row[key])


_HELP = {
    "params": 'write it as it is printed: `params = "29M"`, or "not found"',
    "macs": 'write it as it is printed: `macs = "4.5G"`, or "not found"',
    "macs_of": 'name some in a list, `macs_of = ["linear", "conv"]`: ' + ", ".join(get_args(CountClass)),
    "top1": 'write per cent: `top1 = 82.3`, or "not found"',
}


def _refused(source: Source, arch: str, key: str, kind: str, value: object) -> Diagnostic:
    step = _HELP.get(key, f'write a text: `{key} = "..."`')
    if kind == "literal_error" and isinstance(value, str):
        step = did_you_mean(value, get_args(CountClass), step)
    return Diagnostic(
        "E511", f"`{key}` has a value that it can't have", _place(source, arch, key, value=True),
        f"found {_shown(value)}", help=step,
    )  # fmt: skip


def _shown(value: object) -> str:
    """A value as TOML has it, cut where it is long."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value[:9]))}{', ...' if value[9:] else ''}]"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else f"{text[:36]} ..."


def _place(source: Source, arch: str, key: str = "", *, value: bool = False) -> Span:
    """Where a row, a key of it or the value of that key stands; an empty `arch` means above all rows."""
    inside = ""
    row = Span(source, 1, 1, 1, 2)
    for number, line in enumerate(source.text.split("\n"), 1):
        if header := _HEADER.match(line):
            inside = header[1].strip()
        begins = (header if inside == arch else None) or (
            _assigned(arch, line) if arch and not inside else None
        )
        if begins:
            row = _span(source, number, begins, 1)
        elif inside == arch and (found := _assigned(key, line)):
            return _span(source, number, found, 2 if value and found[2] else 1)
    return row


def _assigned(key: str, line: str) -> re.Match[str] | None:
    return re.match(rf"""\s*(["']?{re.escape(key)}["']?)\s*[=.]\s*(.*?)\s*$""", line) if key else None


def _span(source: Source, number: int, found: re.Match[str], group: int) -> Span:
    return Span(source, number, found.start(group) + 1, number, found.end(group) + 1)
