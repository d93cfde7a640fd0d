"""Initial weights of MambaVision."""

from archdsl.graph.recipes._base import InitRecipe

MAMBAVISION = InitRecipe(
    name="mambavision",
    summary="MambaVision: every linear trunc_normal(0.02), that of dt included",
    source="arXiv 2407.08083",
    function="archdsl.compiler.init.recipes.mambavision:mambavision",
)
