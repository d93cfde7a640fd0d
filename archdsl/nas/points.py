"""A point as one line of text, and back."""

from __future__ import annotations

import json

from archdsl.nas.moves import domains
from archdsl.nas.space import Choice, Domain, Interval, Point, Space


def to_line(point: Point) -> str:
    """The choices as JSON on one line, by name: equal points are equal lines."""
    return json.dumps(point, sort_keys=True, ensure_ascii=False)


def from_line(text: str, space: Space) -> Point:
    """The point that a line stands for, its choices in the order of the space.

    Raises:
        ValueError: where it stands for no point of the space; says why.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"a point is JSON, `{{...}}`: {error}") from None
    if not isinstance(found, dict):
        raise ValueError("a point is JSON, `{...}`, with a value for every choice")
    try:
        asked = domains(space, found)
    except KeyError as error:
        raise ValueError(f"this is no point of the space: {error.args[0]}") from None
    unknown = found.keys() - {d.name for d in asked}
    if unknown:
        raise ValueError(f"the point has choices that are not made there: {', '.join(sorted(unknown))}")
    return {d.name: _checked(d, found[d.name]) for d in asked}


def _checked(domain: Domain, value: object) -> Choice:
    if not isinstance(domain, Interval):
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{domain.name} is a number, found {value!r}")
    if not domain.low <= value <= domain.high:
        raise ValueError(f"{domain.name} is from {domain.low:g} to {domain.high:g}, found {value:g}")
    if domain.step is not None:
        steps = (value - domain.low) / domain.step
        if abs(steps - round(steps)) > 1e-6:
            raise ValueError(f"{domain.name} goes in steps of {domain.step:g}, found {value:g}")
    return round(value) if domain.whole else value
