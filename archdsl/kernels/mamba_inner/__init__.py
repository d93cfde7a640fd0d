"""What stands in a Mamba mixer between its two outer projections, as one operator."""

from archdsl.kernels.mamba_inner.inputs import Inputs
from archdsl.kernels.mamba_inner.operator import mamba_inner

__all__ = ["Inputs", "mamba_inner"]
