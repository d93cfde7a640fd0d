"""Alignment: tokens that stood in one column in neighbouring lines stay in one column."""

from __future__ import annotations

from dataclasses import dataclass, field

from archdsl.lang.spacing import Line, gap, written_gap

_JOINED = {"EQUALS", "IN"}
_SIGNS = {*_JOINED, "LBRACE"}


@dataclass(slots=True)
class _Column:
    """Tokens of neighbouring rows that are written below each other.

    Args:
        kind: EQUALS, IN, LBRACE, or END for what stands behind a `;`.
        written: the column they had in the text; of `=` and `in`, the first of them.
        members: row and token.
        wide: two blanks before them, not one.
    """

    kind: str
    written: int
    members: list[tuple[Line, int]] = field(default_factory=list)
    wide: bool = False


def place_rows(lines: list[Line], first: int, indent: int) -> None:
    """Gives columns to row `first` and to all that stand in a group with it."""
    rows = _group(lines, first)
    for column in sorted(_columns(rows), key=lambda c: (c.kind == "END", c.written)):
        behind_cell = column.kind == "END"  # two blanks there, where one is enough before a sign
        at = max(_place_until(row, n, indent) for row, n in column.members) + behind_cell
        for row, _ in column.members:
            row.columns.append(at)
    for row in rows:
        _place_until(row, len(row.tokens), indent)


def _place_until(row: Line, n: int, indent: int) -> int:
    """Places the tokens before token `n` that have no column yet; where `n` itself would go."""
    done = len(row.columns)
    at = row.columns[-1] + len(row.tokens[done - 1]) if done else indent
    for i in range(done, n):
        at += gap(row, i)
        row.columns.append(at)
        at += len(row.tokens[i])
    return at + (gap(row, n) if n < len(row.tokens) else 0)


def _group(lines: list[Line], first: int) -> list[Line]:
    """The row and those that follow it in the same body, up to a blank line, a comment or the body's end."""
    rows = [lines[first]]
    for line in lines[first + 1 :]:
        if line.blank or not line.tokens or line.body < rows[0].body:
            break
        if line.row and line.body == rows[0].body and line.tokens[0].type != "RBRACE":
            rows.append(line)
    return rows


def _columns(rows: list[Line]) -> list[_Column]:
    """The columns of a group of rows: one for every run of tokens below each other."""
    out: list[_Column] = []
    above: dict[tuple[str, int], _Column] = {}
    for row in rows:
        here: dict[tuple[str, int], _Column] = {}
        for n in _points(row):
            kind = row.tokens[n].type if row.tokens[n].type in _SIGNS else "END"
            written = row.tokens[n].column or 0
            wide = written_gap(row, n) > 1
            column = above.get((kind, written))
            if column is None:
                column = _Column(kind, written)
                out.append(column)
            column.members.append((row, n))
            column.wide |= wide
            here[kind, written] = column
        above = here
    return _joined(out)


def _joined(columns: list[_Column]) -> list[_Column]:
    """A `=` or `in` that missed its neighbours, with two blanks or more before it, joins one next to it."""
    out: list[_Column] = []
    lost: _Column | None = None  # such a sign with none above
    for column in columns:
        if column.kind not in _JOINED:
            out.append(column)
            continue
        above = next((c for c in reversed(out) if c.kind == column.kind), None)
        if len(column.members) == 1 and column.wide and above is not None:
            above.members += column.members
            above.wide, lost = True, None
        elif lost is not None and above is lost:
            lost.members += column.members
            lost = None
        else:
            out.append(column)
            lost = column if column.wide and len(column.members) == 1 else None
    return [column for column in out if column.wide]


def _points(row: Line) -> list[int]:
    """The tokens of a row that may be aligned: its first `=`, `in` or `{`, and what stands behind a `;`."""
    out: list[int] = []
    depth = 0
    opened = False
    for n, token in enumerate(row.tokens):
        depth += (token.type in ("LPAR", "LSQB")) - (token.type in ("RPAR", "RSQB"))
        if depth or n == 0:
            continue
        begins_value = token.type in _SIGNS and not opened
        if begins_value or row.tokens[n - 1].type == "END":
            opened = True
            out.append(n)
    return out


def align_comments(lines: list[Line]) -> None:
    """Gives columns to the comments behind lines; those that stood below each other stay so."""
    run: list[Line] = []
    for line in [*lines, Line()]:
        aligned = (
            bool(run)
            and line.comment is not None
            and run[-1].comment is not None
            and line.comment.column == run[-1].comment.column
            and not line.blank
        )
        if not aligned or not line.tokens:
            at = max((_end(member) + 2 for member in run), default=0)
            for member in run:
                member.comment_column = at
            run = []
        if line.comment is not None and line.tokens:
            run.append(line)


def _end(line: Line) -> int:
    return line.columns[-1] + len(line.tokens[-1])
