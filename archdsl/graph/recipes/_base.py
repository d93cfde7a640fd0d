"""What is known of a recipe for initial weights without drawing any."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InitRecipe:
    """A named way to draw initial weights.

    Args:
        name: as `init` has it.
        summary: one line.
        source: where it comes from.
        function: `module:function`, what takes the recipe's numbers and draws the weights.
        parameters: names of its numbers with their defaults.
        bounds: what every number is over, and its largest value.
    """

    name: str
    summary: str
    source: str
    function: str
    parameters: tuple[tuple[str, float], ...] = ()
    bounds: tuple[float, float] = (0.0, 1.0)
