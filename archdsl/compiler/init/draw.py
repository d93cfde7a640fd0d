"""Initial weights drawn for everything that was built."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from archdsl.compiler.init.recipes import RECIPES
from archdsl.compiler.init.roles import roles
from archdsl.compiler.modules import Placed
from archdsl.features import Word
from archdsl.graph.recipes import init_arguments


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
    write = RECIPES[recipe.name](*arguments)
    for module, role in roles(placed):
        write(module, role)
