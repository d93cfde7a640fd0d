"""The contract that every operator keeps, as a test: `check_op(MyOp)`. Needs hypothesis (`archdsl[dev]`).

from archdsl.testing import check_op
from my_package.op import MyOp

def test_my_op():
    check_op(MyOp)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from importlib import import_module
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import torch
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from pydantic import ValidationError
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from archdsl.compiler.modules import module_of
from archdsl.compiler.saved import saved_bytes
from archdsl.features import Extra, Feature, Order, Word
from archdsl.graph.memory.training import Layout, Tracing
from archdsl.graph.node import Build, Node, make_node, total_macs, total_params
from archdsl.nn.stream import Stream, run
from archdsl.ops import Op, ShapeError, find
from archdsl.ops._types import SAME

Values = Mapping[str, st.SearchStrategy[Any]]
"""Strategies for the values of fields, by name."""

ORDERS = (
    *(Word(name) for name in ("forward", "backward", "both", "cross", "snake")),
    Word("reverse", (Word("columns"),)),
    (Word("rows"), Word("local", (Fraction(2),))),
    (Word("snake", (Word("columns"),)), Word("reverse", (Word("local", (Fraction(3), Word("columns"))),))),
)
NUMBERS: dict[object, tuple[object, ...]] = {
    int: tuple(Fraction(n) for n in (0, 1, 2, 3, 4, 5, 6, 8)),
    float: tuple(Fraction(n) for n in ("0", "0.00001", "0.1", "0.5", "1", "2")),
    Fraction: tuple(Fraction(n) for n in ("1/3", "1", "8/3", "2.5")),
}
PARTS: tuple[tuple[str, dict[str, object]], ...] = (
    ("silu", {}),
    ("linear", {}),
    ("rms_norm", {}),
    ("conv2d", {"kernel": 3, "depthwise": True}),
    ("linear", {"out": 6}),
    ("conv2d", {"kernel": 3, "stride": 2}),
)
"""What stands inside the combinators."""


def check_op(op: type[Op], *, values: Values | None = None, examples: int = 30) -> None:
    """Fails where an operator does not keep its contract, with small parameters and inputs that show it.

    Parameters and inputs are drawn, the same every time; where the shape rule accepts them the node is put to
    `check_node`.

    Args:
        op: the operator.
        values: of fields that need special ones; others are drawn from the type of the field.
        examples: how many that the shape rule accepts; at most ten times as many are drawn.

    Raises:
        AssertionError: with what does not hold.
    """
    check_description(op)
    fields = {name: f for name, f in op.model_fields.items() if name not in (values or {})}
    drawn = {name: field_values(f.annotation) for name, f in fields.items()} | dict(values or {})
    required = {name: s for name, s in drawn.items() if op.model_fields[name].is_required()}
    optional = {name: s for name, s in drawn.items() if name not in required}
    accepted = 0

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
    )
    @given(st.fixed_dictionaries(required, optional=optional), features(), inner_parts(op), st.data())
    def check(options: dict[str, Any], x: Feature, parts: Sequence[Build], data: st.DataObject) -> None:
        nonlocal accepted
        try:
            checked = op.model_validate(options)
            node = make_node(checked, x, parts)
        except ValidationError:
            reject()
        except ShapeError as error:
            check_refusal(error, op)
            reject()
        accepted += 1
        assert op.model_validate(dict(node.op)) == node.op, "does not validate its own values"
        assert node.op.resolved(x) == node.op, "`resolved` is not settled after the first time"
        assert node.op.model_dump_json(), "cannot be written as JSON"
        if node.op.vanishes(x):
            assert node.output == x, "vanishes and changes the shape"
            return
        check_node(node)
        other = data.draw(st.tuples(SIDES, SIDES)) if x.is_map else x.grid
        check_other_size(node, lambda f: make_node(checked, f, parts), other)

    try:
        check()
    except Unsatisfiable:
        assert accepted, "no input was accepted: give `values`"


SIDES = st.integers(1, 9)


@st.composite
def features(draw: st.DrawFn) -> Feature:
    """Maps, lists of tokens and vectors, with and without extra tokens."""
    grid = draw(st.one_of(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.tuples(SIDES), st.just(())))
    extras = []
    if grid and draw(st.booleans()):
        extras.append(Extra("registers", draw(st.integers(1, 4)), draw(st.sampled_from(["even", "middle"]))))
    if grid and draw(st.booleans()):
        at = draw(st.sampled_from(["start", "end", "both"]))
        extras.append(Extra("class_token", 2 if at == "both" else 1, at))
    return Feature(draw(st.sampled_from([4, 8, 12, 6, 5])), grid, tuple(extras))


def inner_parts(op: type[Op]) -> st.SearchStrategy[list[Build]]:
    """Networks for the parts of a combinator."""
    one = st.sampled_from([_build(name, options) for name, options in PARTS])
    if any(part.variadic for part in op.parts):
        return st.lists(one, min_size=1, max_size=3)
    return st.lists(one, min_size=len(op.parts), max_size=len(op.parts))


def _build(name: str, options: Mapping[str, object]) -> Build:
    found = find(name)
    if found is None:
        raise LookupError(name)
    op = found.model_validate(options)
    return lambda x: make_node(op, x)


def field_values(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of the language for a field of this type; not all of them have to be allowed.

    Raises:
        TypeError: for a type that is none of `archdsl.ops`.
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return field_values(inner[0])
    if origin in (Union, UnionType):
        return st.one_of([field_values(a) for a in inner])
    if origin is Literal:
        return st.sampled_from([SAME if a == "same" else Word(a) if isinstance(a, str) else a for a in inner])
    if origin is tuple and inner[0] is Order:
        return st.sampled_from(ORDERS)
    if origin is tuple and inner[-1] is Ellipsis:
        return st.lists(field_values(inner[0]), min_size=1, max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*(field_values(a) for a in inner))
    if annotation in NUMBERS:
        return st.sampled_from(NUMBERS[annotation])
    if annotation is bool:
        return st.booleans()
    if annotation in (None, NoneType):
        return st.none()
    raise TypeError(f"no values are known for a field of type {annotation}: give `values`")


def check_description(op: type[Op]) -> None:
    """Fails where an operator does not say what it is, or its module is not there."""
    text = op.__doc__ or ""
    assert op.name, "has no name"
    assert op.source, "does not tell its source"
    assert text.strip(), "has no docstring"
    explained = (*op.model_fields, *(part.name for part in op.parts if not part.variadic))
    missing = [name for name in explained if not re.search(rf"\b{name}\b", text)]
    assert not missing, f"its docstring does not explain {', '.join(missing)}"
    where, _, name = op.module.partition(":")
    module = getattr(import_module(where), name)
    assert issubclass(module, nn.Module), f"{op.module} is no torch.nn.Module"
    unknown = (op.ambient | op.training_only) - set(op.model_fields)
    assert not unknown, f"has no fields {unknown}"


def check_refusal(error: ShapeError, op: type[Op]) -> None:
    """Fails where the error of a shape rule does not tell enough."""
    assert re.fullmatch(r"E3\d\d", error.code), f"{error.code} is no code of a shape rule"
    assert error.message, "an error without a message"
    assert error.help, f"no next step: {error.message}"
    known = {*op.model_fields, *(part.name for part in op.parts), None}
    inner = {field for name, _ in PARTS for field in (find(name) or op).model_fields}
    assert error.parameter in known | inner, f"no such parameter: {error.parameter}"


def check_node(node: Node) -> None:
    """Fails where a module is not what its node declares: parameters, shape, cost; or cannot learn."""
    with torch.device("meta"):
        module = module_of(node).eval()
    trainable = sum(p.numel() for p in module.parameters() if p.requires_grad)
    declared = total_params([node])
    assert trainable == declared, f"declares {declared} parameters, its module has {trainable}"
    with FlopCounterMode(display=False) as counter:
        y = run(module, stream_of(node.input, node.input.windows, "meta"))
    _check_shape(y, node.output, node.output.windows)
    counted, macs = counter.get_total_flops() / 2, total_macs([node]).total
    assert counted == macs, f"declares {macs} multiply-accumulates, its module does {counted:g}"
    _check_values(node)
    if type(node.op).trace is not Op.trace:
        check_kept(node)


def check_kept(node: Node) -> None:
    """Fails where training does not keep what `trace` tells: of tokens in order, by channel, apart."""
    module = module_of(node).train()
    x = node.input
    in_order, by_channel = (x.tokens * x.dim, x.dim, 1), (x.tokens * x.dim, 1, x.tokens)
    apart = (x.tokens * (x.dim + 2), x.dim + 2, 1)
    for images, strides in ((2, in_order), (3, by_channel), (3, apart)):
        kept = Tracing(fused=False).of(node, Layout(None if strides == in_order else strides))
        size = images * strides[0]
        tokens = torch.randn(size).as_strided((images, x.tokens, x.dim), strides).requires_grad_()
        measured = saved_bytes(module, partial(run, module, Stream(tokens, x.grid, x.extras)))
        declared = images * (kept.inside + (kept.size if kept.output else 0)) + kept.fixed
        declared += 4 * size if kept.input else 0
        assert measured == declared, (
            f"keeps {measured} bytes of {images} images for the backward, `trace` tells {declared}: "
            f"{node.op!r} of {x}, strides {strides}"
        )


def check_other_size(node: Node, build: Callable[[Feature], Node], grid: tuple[int, ...]) -> None:
    """Fails where the module cannot take a map of another size, though the shape rule could.

    An operator whose output has another width then (a concatenation of all patches) is let off.
    """
    x = Feature(node.input.dim, grid, node.input.extras, node.input.windows)
    try:
        there = build(x)
    except ShapeError:
        return
    if there.output.dim == node.output.dim:
        with torch.device("meta"):
            module = module_of(node).eval()
        _check_shape(run(module, stream_of(x, x.windows, "meta")), there.output, there.output.windows)


def stream_of(x: Feature, batch: int, device: str = "cpu") -> Stream:
    """Random tokens of a shape."""
    return Stream(torch.randn(batch, x.tokens, x.dim, device=device), x.grid, x.extras)


def _check_shape(y: Stream, declared: Feature, batch: int) -> None:
    expected = (batch, declared.tokens, declared.dim)
    assert tuple(y.x.shape) == expected, f"declares tokens {expected}, returns {tuple(y.x.shape)}"
    assert y.grid == declared.grid, f"declares the grid {declared.grid}, returns {y.grid}"
    assert y.extras == declared.extras, f"declares the extra tokens {declared.extras}, returns {y.extras}"


def _check_values(node: Node) -> None:
    """On the CPU: images do not see each other in evaluation, half precision stays, gradients arrive."""
    windows = node.input.windows
    torch.manual_seed(0)
    module = module_of(node)
    s = stream_of(node.input, 2 * windows)
    module.eval()
    with torch.no_grad():
        both, first = run(module, s).x, run(module, s.with_x(s.x[:windows])).x
    torch.testing.assert_close(both[: len(first)], first, rtol=1e-3, atol=1e-4)
    half = run(module_of(node).eval().bfloat16(), s.with_x(s.x.bfloat16())).x
    assert half.dtype == torch.bfloat16, f"returns {half.dtype} for bfloat16"
    module.train()
    x = s.x.requires_grad_()
    y = run(module, s.with_x(x)).x
    assert y.isfinite().all(), "returns infinity or not a number"
    tensors = {"its input": x, **dict(module.named_parameters())}
    loss = (y * torch.randn_like(y)).sum()
    for name, gradient in zip(
        tensors, torch.autograd.grad(loss, [*tensors.values()], allow_unused=True), strict=True
    ):
        assert gradient is not None, f"no gradient reaches {name}"
        assert gradient.isfinite().all(), f"the gradient of {name} is not finite"
