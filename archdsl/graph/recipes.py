"""Names of the initial weights that `init` chooses in an arch; `archdsl.compiler.init` draws them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from archdsl.features import Word


@dataclass(frozen=True, slots=True)
class InitRecipe:
    """A named way to draw initial weights.

    Args:
        summary: one line.
        source: where it comes from.
        parameters: names of its numbers with their defaults.
        bounds: what every number is over, and its largest value.
    """

    summary: str
    source: str
    parameters: tuple[tuple[str, float], ...] = ()
    bounds: tuple[float, float] = (0.0, 1.0)


INIT_RECIPES: dict[str, InitRecipe] = {
    "trunc_normal": InitRecipe(
        "weights from a normal distribution cut at -2 and 2, biases 0", "timm", (("std", 0.02),)
    ),
    "vim": InitRecipe(
        "Vim and Mamba-R: the last linear of a branch divided by the root of the depth", "arXiv 2401.09417"
    ),
    "mambavision": InitRecipe(
        "MambaVision: every linear trunc_normal(0.02), that of dt included", "arXiv 2407.08083"
    ),
    "vmamba": InitRecipe(
        "VMamba: linears trunc_normal(0.02), dt as in Mamba for every route", "arXiv 2401.10166"
    ),
    "vmamba_rand": InitRecipe(
        "VMamba's ablation: as vmamba, but A and dt of the scans normal", "arXiv 2401.10166"
    ),
    "vmamba_zero": InitRecipe(
        "VMamba's ablation: as vmamba, but A of the scans -1, dt uniform", "arXiv 2401.10166"
    ),
    "mila": InitRecipe("MILA: linears trunc_normal(0.02), convolutions as in PyTorch", "arXiv 2405.16605"),
}
"""By name."""

DEFAULT_INIT = Word("trunc_normal", (Fraction(1, 50),))
"""The recipe of an arch that names none."""


def init_arguments(word: Word) -> tuple[float, ...]:
    """The numbers of a recipe, defaults filled in.

    Raises:
        ValueError: for a name that is no recipe or numbers it does not take, in words for users.
    """
    recipe = INIT_RECIPES.get(word.name)
    if recipe is None:
        raise ValueError(f"expected one of {', '.join(INIT_RECIPES)}, found `{word}`")
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
