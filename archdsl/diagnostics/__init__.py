"""What a user is told about a mistake: places, diagnostics, their catalogue and how they are printed."""

from archdsl.diagnostics.catalogue import CATALOGUE, Rule
from archdsl.diagnostics.diagnostic import Diagnostic, DiagnosticError, Severity
from archdsl.diagnostics.extras import need
from archdsl.diagnostics.span import Source, Span
from archdsl.diagnostics.suggest import closest, did_you_mean

__all__ = [
    "CATALOGUE",
    "Diagnostic",
    "DiagnosticError",
    "Rule",
    "Severity",
    "Source",
    "Span",
    "closest",
    "did_you_mean",
    "need",
]
