"""The basic operators under torch.compile: no graph break, no warning, also when the image's size changes."""

from __future__ import annotations

import warnings

import torch

from archdsl.compiler.modules import module_of
from archdsl.features import Feature
from archdsl.graph.node import Build, Node, make_node
from archdsl.nn.stream import from_map, run
from archdsl.ops import find


def call(name: str, *builds: Build, **options: object) -> Build:
    op = find(name)
    assert op is not None
    checked = op.model_validate(options)
    return lambda f: make_node(checked, f, builds)


def residual(*builds: Build) -> Build:
    return call("residual", call("chain", *builds))


def network(x: Feature) -> Node:
    return call(
        "chain",
        call("patch_embed", patch=4, out=8),
        call("class_token", at="middle"),
        call("position", kind="learned"),
        call("registers", n=3, position="learned"),
        residual(call("rms_norm"), call("conv1d", kernel=4, causal=True), call("layer_scale", init=0.1)),
        residual(call("mlp", call("gelu", approximate="tanh")), call("drop_path", rate=0.1)),
        call("conv2d", kernel=3, out=12, stride=2),
        call("batch_norm"),
        call("split", call("silu"), call("conv2d", kernel=3, depthwise=True), merge="concat"),
        call("partial", call("conv2d", kernel=2), channels=5),
        call("branches", call("relu"), call("silu"), merge="mean"),
        call("take", what="registers"),
        call("concat", call("rms_norm"), reduce=2),
        call("linear", out=5),
    )(x)


def compiles(node: Node, *sizes: tuple[int, int]) -> None:
    """Fails at a graph break, at a warning and at any difference."""
    torch.manual_seed(0)
    module = module_of(node).eval()

    def forward(image: torch.Tensor) -> torch.Tensor:
        return run(module, from_map(image)).x

    compiled = torch.compile(forward, fullgraph=True, backend="aot_eager")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for size in sizes:
            image = torch.randn(2, 3, *size)
            torch.testing.assert_close(compiled(image), forward(image))


def test_all_operators_in_one_graph() -> None:
    compiles(network(Feature(3, (32, 32))), (32, 32))


def test_a_graph_for_every_size() -> None:
    stem = call(
        "chain",
        call("patch_embed", patch=4, out=8),
        call("registers", n=2),
        call("conv2d", kernel=3, stride=2),
        call("take", what="registers"),
    )
    compiles(stem(Feature(3, (32, 32))), (32, 32), (48, 40), (20, 37))
