"""Source texts: reading them, and what is refused before any work is done."""

from __future__ import annotations

import re
from pathlib import Path

from archdsl.diagnostics import Diagnostic, DiagnosticError, Source, Span

MAX_BYTES = 1_000_000
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


def read(path: str | Path) -> Source:
    """The text of a file, without a byte order mark; its size is looked at before it is read.

    Raises:
        DiagnosticError: E501 where it can't be read, E105 where it is too large, E104 where it is not UTF-8.
    """
    name = str(path)
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise DiagnosticError(
            Diagnostic("E501", f"cannot read {name}: {reason.lower()}", help="check the path")
        ) from None
    if len(data) > MAX_BYTES:
        raise DiagnosticError(_too_large(name))
    return decode(name, data)


def decode(name: str, data: bytes) -> Source:
    """Bytes as a source.

    Raises:
        DiagnosticError: E104 where they are not UTF-8.
    """
    try:
        return Source(name, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        skip = len(data) - len(data.removeprefix(b"\xef\xbb\xbf"))
        before = data[skip:][: error.start].decode("utf-8", "replace")
        source = Source(name, data[skip:].decode("utf-8", "replace"))
        byte = error.object[error.start] if error.start < len(error.object) else 0
        raise DiagnosticError(
            Diagnostic(
                "E104",
                "the file is not UTF-8",
                _place(source, len(before)),
                f"byte 0x{byte:02x} is no part of a character",
                help="save the file as UTF-8",
            )
        ) from None


def check_text(source: Source) -> None:
    """Refuses texts that are too large or are no text.

    Raises:
        DiagnosticError: E105 or E104.
    """
    text = source.text
    if len(text) > MAX_BYTES or (not text.isascii() and len(text.encode("utf-8", "replace")) > MAX_BYTES):
        raise DiagnosticError(_too_large(source.name))
    if found := _NO_TEXT.search(text):
        what = "a zero byte" if found[0] == "\0" else "half of a surrogate pair"
        raise DiagnosticError(
            Diagnostic(
                "E104",
                "this is not text",
                _place(source, found.start()),
                f"found {what}",
                help=f"is this {_kind(source.name)}?",
            )
        )


def _too_large(name: str) -> Diagnostic:
    kind = _kind(name)
    split = "" if name.endswith(".toml") else "split it and join the parts with `use`; "
    return Diagnostic(
        "E105", f"{name} is larger than {MAX_BYTES:,} bytes", help=f"{split}is it {kind} at all?"
    )


def _kind(name: str) -> str:
    if name.endswith(".toml"):
        return "a file of published figures"
    return "a .search file" if name.endswith(".search") else "an .arch file"


def _place(source: Source, offset: int) -> Span:
    before = source.text[:offset]
    line = before.count("\n") + 1
    column = offset - (before.rfind("\n") + 1) + 1
    return Span(source, line, column, line, column + 1)
