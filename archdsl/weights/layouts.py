"""All layouts known, and which of them a checkpoint has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from pkgutil import iter_modules

from archdsl.diagnostics import Diagnostic, DiagnosticError
from archdsl.weights import families
from archdsl.weights.layout import Layout


def _found() -> Iterator[Layout]:
    """The layouts in the files of `families`."""
    for module in sorted(m.name for m in iter_modules(families.__path__)):
        values = vars(import_module(f"{families.__name__}.{module}")).values()
        yield from (value for value in values if isinstance(value, Layout))


LAYOUTS: tuple[Layout, ...] = tuple(_found())

OWN = "archdsl"
"""Name of the layout in which archdsl writes weights: the keys of the model itself."""


def recognise(keys: Iterable[str], own: Iterable[str]) -> Layout | None:
    """The layout of a checkpoint; None for archdsl's own.

    Args:
        keys: of the checkpoint.
        own: of the model.

    Raises:
        DiagnosticError: E502 where it is none that is known.
    """
    listed = list(keys)
    common = set(listed) & set(own)
    if 2 * len(common) >= len(listed):
        return None
    for layout in LAYOUTS:
        if layout.recognises(listed):
            return layout
    if common:
        return None
    known = ", ".join(layout.title for layout in LAYOUTS)
    raise DiagnosticError(
        Diagnostic(
            "E502",
            "the layout of these weights is not known",
            notes=(f"they begin with {', '.join(sorted(listed)[:4])}",),
            help=f"known are {known}, and what archdsl saved for the same architecture",
        )
    )


def layout_named(name: str) -> Layout | None:
    """The layout of that name; None for archdsl's own.

    Raises:
        ValueError: where there is none.
    """
    if name == OWN:
        return None
    for layout in LAYOUTS:
        if layout.name == name:
            return layout
    raise ValueError(f"no layout {name!r}; there are {OWN}, {', '.join(x.name for x in LAYOUTS)}")
