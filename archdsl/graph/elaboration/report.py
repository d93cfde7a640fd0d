"""Mistakes on their way to the user: raised where they are found, collected where the work can go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from archdsl.diagnostics import Diagnostic, DiagnosticError, Severity, Span


class SpecError(Exception):
    """Raised by everything in this layer that meets mistakes of the user; carries at least one diagnostic."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__(diagnostics[0].message)
        self.diagnostics = diagnostics


def mistake(
    code: str,
    message: str,
    span: Span | None,
    label: str = "",
    *,
    notes: Sequence[str] = (),
    help: str = "",
) -> SpecError:
    """A mistake with one diagnostic."""
    return SpecError(Diagnostic(code, message, span, label, tuple(notes), help))


class Report:
    """What was found so far; the same mistake is kept once.

    Attributes:
        diagnostics: the mistakes, each once.
        faults: how often something was found wrong, known mistakes included.
        shapes: whether mistakes about shapes are kept; not where the shapes themselves are a guess.
    """

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.faults = 0
        self.shapes = True
        self._seen: set[tuple[object, ...]] = set()

    def add(self, *diagnostics: Diagnostic) -> None:
        """Keeps diagnostics that were not there yet.

        A second mistake about shapes or bounds at the same place is a consequence of the first.
        """
        for d in diagnostics:
            self.faults += 1
            if d.code.startswith("E3") and not self.shapes:
                continue
            place = _place(d.span)
            kind = "size" if d.code.startswith("E3") or d.code in ("E205", "E218") else d.code
            key: tuple[object, ...] = (kind, *place) if d.span else (d.code, d.message)
            if d.code in ("E203", "E217"):
                key = (*key, d.message)
            if key not in self._seen:
                self._seen.add(key)
                self.diagnostics.append(d)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Collects the mistakes of what runs inside and ends it there."""
        try:
            yield
        except (SpecError, DiagnosticError) as error:
            self.add(*error.diagnostics)

    @contextmanager
    def of(self, arch: str, place: Span) -> Iterator[None]:
        """Names the architecture in mistakes found inside whose place is in another file than it.

        Args:
            arch: its name.
            place: where it is defined.
        """
        before = len(self.diagnostics)
        try:
            yield
        finally:
            note = f"in `{arch}`, {place.source.name.rsplit('/')[-1]}:{place.line}"
            for i, d in enumerate(self.diagnostics[before:], before):
                if d.span is not None and _in_a_file(d.span) and d.span.source is not place.source:
                    self.diagnostics[i] = replace(d, notes=(*d.notes, note))

    @property
    def failed(self) -> bool:
        """Whether there is an error among them."""
        return any(d.severity is Severity.ERROR for d in self.diagnostics)

    def sorted(self) -> tuple[Diagnostic, ...]:
        """By file, line and column."""
        return tuple(sorted(self.diagnostics, key=lambda d: (_place(d.span), d.code)))


def _place(span: Span | None) -> tuple[str, int, int]:
    return ("", 0, 0) if span is None else (span.source.name, span.line, span.column)


def _in_a_file(span: Span) -> bool:
    """Whether the place is in a file, not in a text given from outside."""
    return not span.source.name.startswith("<")
