"""Initial weights: named recipes, chosen by `init` in an arch and described in `archdsl.graph.recipes`."""

from archdsl.compiler.init.draw import initialise

__all__ = ["initialise"]
