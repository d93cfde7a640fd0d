"""An operator from outside: found through its entry point, built, counted and trained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from archdsl import ops

EXTENSION = Path(__file__).parents[1] / "data" / "ssd_extension"

BUILD = """
import json, sys
import torch
from torch.utils.flop_counter import FlopCounterMode
from archdsl import ops
from archdsl.compiler.modules import module_of
from archdsl.features import Extra, Feature
from archdsl.graph.node import make_node, total_macs, total_params
from archdsl.nn.stream import Stream
from archdsl.ops.routed import Routed
from archdsl.features import Word

ssd = ops.find("ssd")
x = Feature(12, (4, 4), (Extra("registers", 2, "even"),))
node = make_node(Routed(order=Word("both")), x, [lambda f: make_node(ssd(heads=3, state=5), f)])
with torch.device("meta"):
    meta = module_of(node)
    with FlopCounterMode(display=False) as counter:
        meta(Stream(torch.empty(1, 18, 12), x.grid, x.extras))
module = module_of(node)
tokens = torch.randn(2, 18, 12)
optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
losses = []
for _ in range(5):
    loss = module(Stream(tokens, x.grid, x.extras)).x.square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())

part = module.get_submodule("rows").double()
u = tokens.double()
with torch.no_grad():
    B, C, dt = part.proj(u).split([5, 5, 3], -1)
    dt = torch.nn.functional.softplus(dt + part.dt_bias)
    h = torch.zeros(2, 3, 4, 5, dtype=torch.float64)
    error = 0.0
    y = part(u).view(2, 18, 3, 4)
    for t in range(18):
        v = u[:, t].view(2, 3, 4)
        h = torch.exp(-part.A_log.exp() * dt[:, t])[..., None, None] * h
        h = h + (dt[:, t, :, None] * v)[..., None] * B[:, t, None, None]
        step = (h * C[:, t, None, None]).sum(-1) + part.D[:, None] * v
        error = max(error, (step - y[:, t]).abs().max().item())
print(json.dumps({
    "names": "ssd" in ops.names(),
    "params": [total_params([node]), sum(p.numel() for p in module.parameters())],
    "macs": [total_macs([node]).total, counter.get_total_flops() / 2],
    "without_gradient": [n for n, p in module.named_parameters() if p.grad is None or not p.grad.any()],
    "losses": losses,
    "error": error,
}))
"""

SPEC = """
mixer mamba2(dim, heads, state = 8) =
  gated(routed(conv1d(4, causal) -> silu -> ssd(heads, state), order = both), expand = 2)
block duality(heads, norm = layer_norm) { residual norm -> mamba2(heads) -> drop_path }
arch dual(dim = 24, registers = 2, heads = 4) {
  norm = rms_norm
  stem = patch_embed(4, dim) -> position(learned) -> registers(registers, at = even)
  stage trunk { blocks = 2 x duality }
  head = norm -> take(registers) -> concat -> linear(classes)
}
"""

TRAIN = """
import json
import torch
from torch.utils.flop_counter import FlopCounterMode
import archdsl
from archdsl.compiler import compile_model
from archdsl.diagnostics import DiagnosticError

architecture = archdsl.load("dual.arch", image=32, classes=10)
with FlopCounterMode(display=False) as counter:
    compile_model(architecture, device="meta")(torch.empty(1, 3, 32, 32, device="meta"))
model = compile_model(architecture)
model.train()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
images, labels = torch.randn(4, 3, 32, 32), torch.randint(10, (4,))
losses = []
for _ in range(3):
    loss = torch.nn.functional.cross_entropy(model(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
compiled = torch.compile(model.eval(), fullgraph=True, backend="aot_eager")
cost = architecture.cost()
try:
    archdsl.load("dual.arch", image=32, classes=10, heads=5)
    mistake = None
except DiagnosticError as error:
    mistake = str(error)
print(json.dumps({
    "params": [cost.params, sum(p.numel() for p in model.parameters())],
    "macs": [cost.macs.total, counter.get_total_flops() / 2],
    "without_gradient": [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()],
    "losses": losses,
    "compiled": (compiled(images) - model(images)).abs().max().item(),
    "mistake": mistake,
}))
"""


def outside(program: str, tmp_path: Path) -> dict[str, object]:
    """Runs a program in a process that has the extension installed; what it prints as JSON."""
    path = os.pathsep.join([str(EXTENSION), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_it_is_unknown_here() -> None:
    assert ops.find("ssd") is None
    assert "ssd" not in ops.names()


def test_it_is_found_counted_and_trained(tmp_path: Path) -> None:
    result = outside(BUILD, tmp_path)
    assert result["names"]
    params, macs, losses = result["params"], result["macs"], result["losses"]
    assert isinstance(params, list)
    assert isinstance(macs, list)
    assert isinstance(losses, list)
    assert params[0] == params[1]
    assert macs[0] == macs[1]
    assert result["without_gradient"] == []
    assert losses[-1] < losses[0]
    assert result["error"] == pytest.approx(0, abs=1e-12)


def test_it_stands_in_a_spec(tmp_path: Path) -> None:
    (tmp_path / "dual.arch").write_text(SPEC)
    result = outside(TRAIN, tmp_path)
    params, macs, losses = result["params"], result["macs"], result["losses"]
    assert isinstance(params, list)
    assert isinstance(macs, list)
    assert isinstance(losses, list)
    assert params[0] == params[1]
    assert macs[0] == macs[1]
    assert result["without_gradient"] == []
    assert losses[-1] < losses[0]
    assert result["compiled"] == pytest.approx(0, abs=1e-5)
    assert "E303" in str(result["mistake"])
    assert "5 does not divide 48" in str(result["mistake"])
