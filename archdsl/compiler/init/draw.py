"""Initial weights drawn for everything that was built."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import torch

from archdsl.compiler.init.recipes._base import Recipe
from archdsl.compiler.init.roles import roles
from archdsl.compiler.modules import Placed
from archdsl.features import Word
from archdsl.graph.recipes import init_arguments, init_recipes


@torch.no_grad()
def initialise(placed: Mapping[str, Placed], recipe: Word) -> None:
    """Writes the initial weights that a recipe names into modules fresh from their constructors.

    The same seed of torch gives the same weights.

    Args:
        placed: what was built, by path, see `Model`.
        recipe: the `init` of an architecture.

    Raises:
        ValueError: for a recipe that does not exist, see `archdsl.graph.recipes.init_arguments`.
    """
    arguments = init_arguments(recipe)
    where, _, name = init_recipes()[recipe.name].function.partition(":")
    write: Recipe = getattr(import_module(where), name)(*arguments)
    for module, role in roles(placed):
        write(module, role)
