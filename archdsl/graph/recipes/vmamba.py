"""Initial weights of VMamba and of its ablation."""

from archdsl.graph.recipes._base import InitRecipe

VMAMBA = InitRecipe(
    name="vmamba",
    summary="VMamba: linears trunc_normal(0.02), dt as in Mamba for every route",
    source="arXiv 2401.10166",
    function="archdsl.compiler.init.recipes.vmamba:vmamba",
)

VMAMBA_RAND = InitRecipe(
    name="vmamba_rand",
    summary="VMamba's ablation: as vmamba, but A and dt of the scans normal",
    source="arXiv 2401.10166",
    function="archdsl.compiler.init.recipes.vmamba:vmamba_rand",
)

VMAMBA_ZERO = InitRecipe(
    name="vmamba_zero",
    summary="VMamba's ablation: as vmamba, but A of the scans -1, dt uniform",
    source="arXiv 2401.10166",
    function="archdsl.compiler.init.recipes.vmamba:vmamba_zero",
)
