"""The selective scan inside torch.compile and torch.export, with every kernel that this machine has."""
# ruff: noqa: N803 (mamba_ssm's names of arguments)

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from scans import NAMES, TOLERANCE, Case, assert_near, backends, gradients
from torch import Tensor, nn

from archdsl.kernels.selective_scan.operator import backward_operator, forward_operator

every_backend = pytest.mark.parametrize("backend", backends())
CASES = [
    Case(batch=2, length=5, channels=3, state=4, direction=("backward",)),
    Case(2, 34, 17, 2, ("forward", "backward"), single=False, merge="mean", paths=True, layout="bdl"),
    Case(1, 5, 3, 4, ("forward", "forward"), single=False, given=(), softplus=False, dtype=torch.bfloat16),
]


@every_backend
@pytest.mark.parametrize("case", CASES, ids=["one", "routes", "low"])
def test_opcheck(case: Case, backend: str) -> None:
    arguments = case.arguments()
    if case.layout == "bdl":
        arguments = {
            k: v.transpose(-1, -2) if k in ("u", "delta", "B", "C", "z") else v for k, v in arguments.items()
        }
    if case.single:
        arguments = {k: v.unsqueeze(0) for k, v in arguments.items()}
    arguments = {k: v.detach().requires_grad_() for k, v in arguments.items()}
    tensors = [arguments.get(name) for name in NAMES]
    reverse = [word == "backward" for word in case.direction]
    options = (case.options["paths"], case.softplus, reverse, case.merge, case.layout)
    torch.library.opcheck(forward_operator, (*tensors, *options, True, backend))
    plain = [None if v is None else v.detach() for v in tensors]
    y, states, ungated = forward_operator(*plain, *options, True, backend)
    given = (torch.ones_like(y), *plain, *options, backend, states, ungated)
    torch.library.opcheck(backward_operator, given, test_utils=("test_schema", "test_faketensor"))


def compiled_gives_the_same(case: Case, backend: str, compiler: str) -> None:
    def loss(arguments: dict[str, Tensor]) -> Tensor:
        return case.scan({k: v * 1 for k, v in arguments.items()}, backend).float().square()

    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend=compiler)
    for batch in (2, 3):
        arguments = replace(case, batch=batch).arguments()
        wanted, found = loss(arguments), compiled(arguments)
        assert_near(found, wanted.double(), TOLERANCE[case.dtype])
        mine, theirs = gradients(found, arguments), gradients(wanted, arguments)
        for name in theirs:
            assert_near(mine[name], theirs[name].double(), TOLERANCE[case.dtype], name)


@every_backend
@pytest.mark.parametrize(
    ("compiler", "case"),
    [("eager", CASES[1]), *(("aot_eager", case) for case in CASES)],
    ids=["eager", "one", "routes", "low"],
)
def test_compiles_without_a_break(case: Case, backend: str, compiler: str) -> None:
    compiled_gives_the_same(case, backend, compiler)


@every_backend
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_compiles_with_inductor(backend: str) -> None:
    compiled_gives_the_same(CASES[1], backend, "inductor")


class Scan(nn.Module):
    """The function as a module, for export."""

    def __init__(self, case: Case, backend: str) -> None:
        super().__init__()
        self.case, self.backend = case, backend

    def forward(self, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        return self.case.scan({"u": u, "delta": delta, "A": A, "B": B, "C": C}, self.backend)


@every_backend
@pytest.mark.parametrize("layout", ["bld", "bdl"])
def test_exports_with_any_batch_and_length(backend: str, layout: str) -> None:
    """Also from fewer steps than a chunk of saved states has, to more."""
    case = Case(length=20, given=(), layout=layout, direction=("backward",))
    along = 1 if layout == "bld" else 2
    dims = {0: torch.export.Dim("b"), along: torch.export.Dim("t")}
    given = [v.detach() for v in case.arguments().values()]
    module = Scan(case, backend)
    shapes = tuple(dims if v.ndim == 3 else None for v in given)
    program = torch.export.export(module, tuple(given), dynamic_shapes=shapes)
    assert [n.name for n in program.graph.nodes if "selective_scan" in str(n.target)] == ["selective_scan"]
    for batch, length in ((3, 5), (2, 31), (2, 32), (4, 33), (2, 70)):
        other = Case(batch, length, given=(), layout=layout, direction=("backward",))
        arguments = [v.detach() for v in other.arguments().values()]
        assert torch.equal(program.module()(*arguments), module(*arguments))


FIRST = """
import sys, torch
from archdsl.kernels import selective_scan
u = torch.randn(1, 4, 3, requires_grad=True)
selective_scan(u, u, -torch.ones(3, 2), u[..., :2], u[..., :2], backend="reference").sum().backward()
assert u.grad is not None
print([m for m in ("torch._dynamo", "sympy", "numba", "triton") if m in sys.modules])
"""


def test_a_first_call_imports_no_compiler() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", FIRST], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
