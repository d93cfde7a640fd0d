"""Other tools that draw from a space or count what an architecture costs: NePS, PyGlove, fvcore."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from archdsl.graph.architecture import Architecture

INSTALL = "pip install 'archdsl[bench-space]'"

Choices = Mapping[str, tuple[object, ...]]
"""Names with their values, all of them independent of each other."""
Drawing = Callable[[], Mapping[str, object]]
"""Gives a value for every name."""


@dataclass(frozen=True, slots=True)
class SpaceTool:
    """A tool that draws from a space of independent choices.

    Args:
        name: in tables and files.
        what: what is called.
        module: what has to be importable.
        prepare: a drawing from a space, repeatable for a seed where the tool has one.
    """

    name: str
    what: str
    module: str
    prepare: Callable[[Choices, int], Drawing]

    def missing(self) -> str:
        """Why it is not here, with the command that would bring it; empty where it is here."""
        return "" if find_spec(self.module) else f"not installed: {INSTALL}"


def _neps(choices: Choices, seed: int) -> Drawing:
    import random

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        neps = import_module("neps")
    names = {f"choice_{i}": name for i, name in enumerate(choices)}
    fields = {key: neps.Categorical(tuple(choices[name])) for key, name in names.items()}
    space = type("Drawn", (neps.PipelineSpace,), fields)()
    random.seed(seed)

    def draw() -> Mapping[str, object]:
        _, values = space.sample()
        return {names[key]: value for key, value in values.items()}

    return draw


def _pyglove(choices: Choices, seed: int) -> Drawing:
    pg = import_module("pyglove")
    fields = {f"choice_{i}": pg.oneof(list(values)) for i, values in enumerate(choices.values())}
    template = pg.template(pg.Dict(fields))
    generator = pg.geno.Random(seed)
    generator.setup(template.dna_spec())

    def draw() -> Mapping[str, object]:
        found = template.decode(generator.propose())
        return {name: found[f"choice_{i}"] for i, name in enumerate(choices)}

    return draw


SPACE_TOOLS = (
    SpaceTool("NePS", "`PipelineSpace.sample`, a `Categorical` for every choice", "neps", _neps),
    SpaceTool("PyGlove", "`oneof` for every choice, `geno.Random` and `decode`", "pyglove", _pyglove),
)


def fvcore_missing() -> str:
    """Why fvcore is not here, with the command that would bring it; empty where it is here."""
    return "" if find_spec("fvcore") else f"not installed: {INSTALL}"


def fvcore_counter(architecture: Architecture) -> tuple[Callable[[], object], Callable[[], object]]:
    """Counting by fvcore: with building the module, and the tracing alone."""
    import torch

    from archdsl.compiler import compile_model

    analysis: Any = import_module("fvcore.nn").FlopCountAnalysis
    for name in ("fvcore.nn.jit_analysis", "fvcore"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    height, width = architecture.image
    images = torch.zeros(1, architecture.channels, height, width)

    def count(model: torch.nn.Module) -> object:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            flops = analysis(model, images).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            return flops.total(), sum(p.numel() for p in model.parameters())

    built = compile_model(architecture).eval()
    return lambda: count(compile_model(architecture).eval()), partial(count, built)
