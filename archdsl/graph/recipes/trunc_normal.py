"""Weights from one cut normal distribution."""

from archdsl.graph.recipes._base import InitRecipe

TRUNC_NORMAL = InitRecipe(
    name="trunc_normal",
    summary="weights from a normal distribution cut at -2 and 2, biases 0",
    source="timm",
    function="archdsl.compiler.init.recipes.trunc_normal:trunc_normal",
    parameters=(("std", 0.02),),
)
