"""From tree to graph: names and values, calls and settings, stages and shapes.

It starts in `elaborate`: `files` finds definitions, `variants` and `overrides` put values in their places,
`evaluate` and `calls` give names their values, `build` opens definitions and puts operators behind
each other.
"""
