"""The statements of a routine as LLVM instructions, see `archdsl.kernels.simd.routines`."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from llvmlite import ir
from numba.core import cgutils

from archdsl.kernels.simd.arithmetic import BIT, Arithmetic, is_value
from archdsl.kernels.simd.elements import element_of
from archdsl.kernels.simd.memory import LONG, place
from archdsl.kernels.simd.vector import Builder, Operation, Value

BUILTINS: dict[str, Any] = {"min": min, "max": max}


class Integers(NamedTuple):
    """An array of int64 that a kernel was given."""

    address: Value


class Slot(NamedTuple):
    """A name that is assigned more than once: a place on the stack, which LLVM turns into registers."""

    place: Value


class Source(NamedTuple):
    """A routine as it was read."""

    body: list[ast.stmt]
    parameters: list[str]
    changing: frozenset[str]
    """Names that are assigned more than once."""


class Routine:
    """A function that is not compiled by Numba."""

    def __init__(self, function: FunctionType) -> None:
        self.function = function
        self.name = function.__name__

    @functools.cached_property
    def source(self) -> Source:
        """Its statements, read at the first use."""
        tree = ast.parse(textwrap.dedent(inspect.getsource(self.function))).body[0]
        assert isinstance(tree, ast.FunctionDef)
        ast.increment_lineno(tree, self.function.__code__.co_firstlineno - 1)
        parameters = [a.arg for a in tree.args.args]
        stored = [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
        stepped = [n.target for n in ast.walk(tree) if isinstance(n, ast.AugAssign)]
        seen, changing = set(parameters), {t.id for t in stepped if isinstance(t, ast.Name)}
        for name in stored:
            changing |= {name} & seen
            seen.add(name)
        body = tree.body if ast.get_docstring(tree) is None else tree.body[1:]
        return Source(body, parameters, frozenset(changing))


class Emission(Arithmetic):
    """One call of a routine: its names, and its statements as instructions at the builder's place."""

    def __init__(self, builder: Builder, own: Routine, arguments: list[Any]) -> None:
        super().__init__(builder)
        self.own = own
        self.names: dict[str, Any] = {}
        if len(arguments) != len(own.source.parameters):
            raise TypeError(f"{own.name} takes {len(own.source.parameters)} arguments, not {len(arguments)}")
        for name, argument in zip(own.source.parameters, arguments, strict=True):
            self.assign(name, argument)

    def run(self) -> Any:
        """All statements; the value that is returned."""
        *before, last = self.own.source.body
        self.statements(before)
        if isinstance(last, ast.Return):
            return None if last.value is None else self.value(last.value)
        self.statements([last])
        return None

    # Statements

    def statements(self, body: list[ast.stmt]) -> None:
        for statement in body:
            method = getattr(self, f"do_{type(statement).__name__}", None)
            try:
                if method is None:
                    raise TypeError(f"no {type(statement).__name__} in a routine")
                method(statement)
            except TypeError as error:
                error.add_note(
                    f"in {self.own.name}, line {statement.lineno} of {self.own.function.__module__}"
                )
                raise

    def do_Expr(self, node: ast.Expr) -> None:  # noqa: N802 names of ast
        self.value(node.value)

    def do_Assign(self, node: ast.Assign) -> None:  # noqa: N802
        value = self.value(node.value)
        for target in node.targets:
            self.bind(target, value)

    def do_AugAssign(self, node: ast.AugAssign) -> None:  # noqa: N802
        assert isinstance(node.target, ast.Name)
        value = self.binary(type(node.op), self.name(node.target), self.value(node.value))
        self.assign(node.target.id, value)

    def do_If(self, node: ast.If) -> None:  # noqa: N802
        test = self.truth(self.value(node.test))
        if not is_value(test):
            self.statements(node.body if test else node.orelse)
        elif node.orelse:
            with self.builder.if_else(test) as (then, otherwise):
                with then:
                    self.statements(node.body)
                with otherwise:
                    self.statements(node.orelse)
        else:
            with self.builder.if_then(test):
                self.statements(node.body)

    def do_While(self, node: ast.While) -> None:  # noqa: N802
        self.loop(lambda: self.truth(self.value(node.test)), lambda: self.statements(node.body))

    def do_For(self, node: ast.For) -> None:  # noqa: N802
        call = node.iter
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range"):
            raise TypeError("a loop is over a range")
        assert isinstance(node.target, ast.Name)
        given = [self.value(v) for v in call.args]
        start, stop, step = (0, given[0], 1) if len(given) == 1 else (*given, 1)[:3]
        if is_value(step):
            raise TypeError("the step of a range is a number")
        counter = self.slot(self.integer(start))
        end = self.integer(stop)

        def test() -> Value:
            return self.builder.icmp_signed("<" if step > 0 else ">", self.builder.load(counter.place), end)

        def body() -> None:
            at = self.builder.load(counter.place)
            self.assign(node.target.id, at)  # type: ignore[attr-defined]
            self.statements(node.body)
            self.builder.store(self.builder.add(at, ir.Constant(LONG, step)), counter.place)

        self.loop(test, body)

    def loop(self, test: Callable[[], Value], body: Callable[[], None]) -> None:
        """Instructions for a loop that tests before its body."""
        look, work, after = (self.builder.append_basic_block(n) for n in ("look", "work", "after"))
        self.builder.branch(look)
        self.builder.position_at_end(look)
        self.builder.cbranch(test(), work, after)
        self.builder.position_at_end(work)
        body()
        self.builder.branch(look)
        self.builder.position_at_end(after)

    # Names

    def bind(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Tuple):
            for part, v in zip(target.elts, value, strict=True):
                self.bind(part, v)
        elif isinstance(target, ast.Name):
            self.assign(target.id, value)
        else:
            raise TypeError("only names are assigned")

    def assign(self, name: str, value: Any) -> None:
        if name not in self.own.source.changing:
            self.names[name] = value
            return
        found = self.names.get(name)
        if isinstance(found, Slot):
            self.builder.store(self.as_type(value, found.place.type.pointee), found.place)
        else:
            self.names[name] = self.slot(self.as_value(value))

    def slot(self, value: Value) -> Slot:
        """A place on the stack with a value in it."""
        place = cgutils.alloca_once(self.builder, value.type)
        self.builder.store(value, place)
        return Slot(place)

    def name(self, node: ast.Name) -> Any:
        if node.id in self.names:
            found = self.names[node.id]
            return self.builder.load(found.place) if isinstance(found, Slot) else found
        known = self.own.function.__globals__
        if node.id in known:
            return known[node.id]
        if node.id in BUILTINS:
            return BUILTINS[node.id]
        raise TypeError(f"no value for `{node.id}` here")

    # Values

    def value(self, node: ast.expr) -> Any:
        method = getattr(self, f"of_{type(node).__name__}", None)
        if method is None:
            raise TypeError(f"no {type(node).__name__} in a routine")
        return method(node)

    def of_Constant(self, node: ast.Constant) -> Any:  # noqa: N802
        return node.value

    def of_Name(self, node: ast.Name) -> Any:  # noqa: N802
        return self.name(node)

    def of_Tuple(self, node: ast.Tuple) -> Any:  # noqa: N802
        return tuple(self.value(v) for v in node.elts)

    def of_Attribute(self, node: ast.Attribute) -> Any:  # noqa: N802
        found = self.value(node.value)
        if not isinstance(found, tuple | ModuleType):
            raise TypeError(f"no attribute `{node.attr}`")
        return getattr(found, node.attr)

    def of_Subscript(self, node: ast.Subscript) -> Any:  # noqa: N802
        found, index = self.value(node.value), self.value(node.slice)
        if isinstance(found, Integers):
            return self.builder.load(place(self.builder, found.address, self.integer(index), LONG), align=8)
        if isinstance(found, tuple) and isinstance(index, int):
            return found[index]
        raise TypeError("no element of it")

    def of_BinOp(self, node: ast.BinOp) -> Any:  # noqa: N802
        return self.binary(type(node.op), self.value(node.left), self.value(node.right))

    def of_UnaryOp(self, node: ast.UnaryOp) -> Any:  # noqa: N802
        value = self.value(node.operand)
        if isinstance(node.op, ast.Not):
            test = self.truth(value)
            return self.builder.not_(test) if is_value(test) else not test
        if not isinstance(node.op, ast.USub):
            raise TypeError("no such sign")
        if not is_value(value):
            return -value
        return self.builder.neg(value) if value.type == LONG else self.builder.fneg(value)

    def of_Compare(self, node: ast.Compare) -> Any:  # noqa: N802
        if len(node.ops) != 1:
            raise TypeError("compare two at a time")
        a, b = self.value(node.left), self.value(node.comparators[0])
        if isinstance(node.ops[0], ast.In | ast.NotIn):
            tests = [self.compared(ast.Eq, a, v) for v in b]
            found = functools.reduce(self.joined, tests)
            if isinstance(node.ops[0], ast.In):
                return found
            return self.builder.not_(found) if is_value(found) else not found
        return self.compared(type(node.ops[0]), a, b)

    def of_BoolOp(self, node: ast.BoolOp) -> Any:  # noqa: N802
        """The right side is computed only where the left one does not decide."""
        ends = isinstance(node.op, ast.Or)
        first, *rest = node.values
        test = self.truth(self.value(first))
        if not rest:
            return test
        others = ast.BoolOp(node.op, rest)
        if not is_value(test):
            return ends if bool(test) is ends else self.of_BoolOp(others)
        decided = ir.Constant(BIT, int(ends))
        return self.either(
            test,
            lambda: decided if ends else self.of_BoolOp(others),
            lambda: self.of_BoolOp(others) if ends else decided,
        )

    def of_IfExp(self, node: ast.IfExp) -> Any:  # noqa: N802
        test = self.truth(self.value(node.test))
        if not is_value(test):
            return self.value(node.body if test else node.orelse)
        return self.either(test, lambda: self.value(node.body), lambda: self.value(node.orelse))

    def of_Call(self, node: ast.Call) -> Any:  # noqa: N802
        called = self.value(node.func)
        arguments = [self.value(v) for v in node.args]
        if node.keywords:
            raise TypeError("arguments go by place")
        if called in (min, max):
            return self.extreme(called is min, *arguments)
        own = getattr(called, "routine", None)
        if isinstance(own, Routine):
            return Emission(self.builder, own, arguments).run()
        built = getattr(called, "operation", None)
        if isinstance(built, Operation):
            return self.operation(node, built, arguments)
        if isinstance(called, type) and issubclass(called, tuple):
            return called(*arguments)
        raise TypeError("only routines and operations on vectors are called")

    def operation(self, node: ast.AST, built: Operation, arguments: list[Any]) -> Any:
        wanted = len(built.arguments)
        element = arguments[wanted:]
        if len(arguments) < wanted or len(element) > int(built.in_memory):
            raise TypeError(f"an operation of {wanted} arguments")
        values = [self.as_numba(v, t) for v, t in zip(arguments, built.arguments, strict=False)]
        if built.in_memory:
            values.append(element[0] if element else element_of(None))
        result = built.build(self.builder, *values)
        return tuple(result) if isinstance(result, list) else result
