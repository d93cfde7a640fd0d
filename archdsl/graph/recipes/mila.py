"""Initial weights of MILA."""

from archdsl.graph.recipes._base import InitRecipe

MILA = InitRecipe(
    name="mila",
    summary="MILA: linears trunc_normal(0.02), convolutions as in PyTorch",
    source="arXiv 2405.16605",
    function="archdsl.compiler.init.recipes.mila:mila",
)
