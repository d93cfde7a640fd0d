"""Whole spaces at once: points counted, architectures told apart, costs ranged, failures explained.

What acts on the whole architecture is enumerated. Behind that an architecture is a walk from the stem over
the stages to the head, and what follows a stage depends on what leaves it only. So a space is an automaton
with a path for every point that compiles, and counts, ranges and shares are sums over it.
"""

from archdsl.nas.factored.space import Drawn, FactoredSpace

__all__ = ["Drawn", "FactoredSpace"]
