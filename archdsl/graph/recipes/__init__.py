"""Recipes for initial weights that `init` chooses in an arch: what stands in a file here is known by it.

The functions that draw the weights have files of the same names in `archdsl.compiler.init.recipes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import lru_cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from archdsl.features import Word
from archdsl.graph.recipes._base import InitRecipe

__all__ = ["DEFAULT_INIT", "InitRecipe", "init_arguments", "init_recipes"]

DEFAULT_INIT = Word("trunc_normal", (Fraction(1, 50),))
"""The recipe of an arch that names none."""


@lru_cache(maxsize=1)
def init_recipes() -> Mapping[str, InitRecipe]:
    """Every recipe by its name, in alphabetical order."""
    return MappingProxyType({recipe.name: recipe for recipe in sorted(_found(), key=lambda r: r.name)})


def _found() -> Iterator[InitRecipe]:
    for module in iter_modules(__path__):
        values = vars(import_module(f"{__name__}.{module.name}")).values()
        yield from (value for value in values if isinstance(value, InitRecipe))


def init_arguments(word: Word) -> tuple[float, ...]:
    """The numbers of a recipe, defaults filled in.

    Raises:
        ValueError: for a name that is no recipe or numbers it does not take, in words for users.
    """
    recipe = init_recipes().get(word.name)
    if recipe is None:
        raise ValueError(f"expected one of {', '.join(init_recipes())}, found `{word}`")
    names = [name for name, _ in recipe.parameters]
    if len(word.args) > len(names):
        raise ValueError(f"`{word.name}` takes {len(names) or 'no'} numbers, found {len(word.args)}")
    given = dict(zip(names, word.args, strict=False))
    for name, value in word.kwargs:
        if name not in names or name in given:
            raise ValueError(f"`{word.name}` takes no `{name}` here")
        given[name] = value
    numbers = []
    low, high = recipe.bounds
    for name, default in recipe.parameters:
        value = given.get(name, default)
        if (
            isinstance(value, bool)
            or not isinstance(value, Fraction | int | float)
            or not low < value <= high
        ):
            raise ValueError(f"`{name}` of `{word.name}` is a number over {low:g}, at most {high:g}")
        numbers.append(float(value))
    return tuple(numbers)
