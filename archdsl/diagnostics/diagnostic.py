"""One mistake, told once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from archdsl.diagnostics.span import Span


class Severity(Enum):
    """How bad it is: an error stops the command, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A mistake in a text or a command.

    Args:
        code: a key of the catalogue, `E302`.
        message: one line, lower case, without a full stop.
        span: where; None where no text is to blame (a missing file).
        label: what stands next to the caret: what was found there, against what was expected.
        notes: how it came about ("s3 receives 14 x 14: 224, stem / 4, two downsamples").
        help: the next step ("use 7 or 14, or pad = on").
        severity: error or warning.
    """

    code: str
    message: str
    span: Span | None = None
    label: str = ""
    notes: tuple[str, ...] = ()
    help: str = ""
    severity: Severity = Severity.ERROR


class DiagnosticError(Exception):
    """Raised with every diagnostic of the phase that failed; at least one is an error.

    Its text is the diagnostics as printed, so that an uncaught one reads well.
    """

    def __init__(self, *diagnostics: Diagnostic) -> None:
        self.diagnostics = diagnostics
        super().__init__(*diagnostics)

    def __str__(self) -> str:
        from archdsl.diagnostics.render import render

        return "\n" + "\n".join(render(d) for d in self.diagnostics)
