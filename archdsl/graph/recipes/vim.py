"""Initial weights of Vim and Mamba-R."""

from archdsl.graph.recipes._base import InitRecipe

VIM = InitRecipe(
    name="vim",
    summary="Vim and Mamba-R: the last linear of a branch divided by the root of the depth",
    source="arXiv 2401.09417",
    function="archdsl.compiler.init.recipes.vim:vim",
)
