"""Functions that are put into the kernels that call them, as lines of source, before Numba sees them.

Numba compiles every function that a kernel calls by itself as well, a tenth of a second each, and its own way
of putting them in takes longer than that. Here a kernel of many small parts is compiled as the one function
that it would be if it had been written without them.
"""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import textwrap
from collections.abc import Callable
from types import FunctionType
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Part(Generic[P, R]):
    """A function for kernels only, see `part`."""

    def __init__(self, function: Callable[P, R]) -> None:
        self.function = function
        self.__doc__ = function.__doc__

    def __call__(self, *args: P.args, **named: P.kwargs) -> R:
        return self.function(*args, **named)

    @functools.cached_property
    def _numba_type_(self) -> Any:
        """What Numba takes the part for where it was not put in."""
        import numba

        dispatcher: Any = numba.njit(self.function)
        return dispatcher._numba_type_


def part(function: Callable[P, R]) -> Part[P, R]:
    """Have a function put into the kernels that call it.

    It is called by its name, as a statement or as all of the right side of an assignment, with one argument
    for each parameter, by place. It returns at its end or not at all, and defines no functions.
    """
    return Part(function)


def merged(function: Callable[P, R]) -> Callable[P, R]:
    """The function with its parts, and theirs, put in; the function itself where it calls none.

    Raises:
        TypeError: for a call of a part in any other place than `part` allows.
    """
    assert isinstance(function, FunctionType)
    if not any(isinstance(v, Part) for v in _globals(function).values()):
        return function
    merger = _Merger()
    try:
        tree = _parsed(function)
    except OSError:  # without source every part is compiled by itself
        return function
    tree.decorator_list = []
    tree.body = merger.lines(tree.body, function, {})
    module = ast.fix_missing_locations(ast.Module([tree], []))
    place = {**merger.names, "__name__": function.__module__}
    exec(compile(module, inspect.getsourcefile(function) or "<kernel>", "exec"), place)
    result = place[function.__name__]
    result.__module__, result.__qualname__ = function.__module__, function.__qualname__
    return result  # type: ignore[no-any-return]


def _globals(function: FunctionType) -> dict[str, Any]:
    names = set(function.__code__.co_names) - set(function.__code__.co_varnames)
    return {name: function.__globals__[name] for name in names if name in function.__globals__}


def _parsed(function: FunctionType) -> ast.FunctionDef:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    ast.increment_lineno(tree, function.__code__.co_firstlineno - 1)
    tree.returns = None
    for argument in tree.args.args:
        argument.annotation = None
    if ast.get_docstring(tree) is not None:
        tree.body = tree.body[1:]
    return tree


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


class _Merger:
    """One kernel: the global names of all its parts, and how many parts were put in."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}
        self.count = 0

    def lines(
        self, body: list[ast.stmt], function: FunctionType, locals_: dict[str, ast.expr]
    ) -> list[ast.stmt]:
        """The body with other names for locals, and parts put in."""
        names = dict(locals_)
        for name, value in _globals(function).items():
            if not isinstance(value, Part):
                names.setdefault(name, _name(self._global(name, value)))
        renamed = _Names(names)
        return self._put_in([renamed.visit(copy.deepcopy(line)) for line in body], function)

    def _global(self, name: str, value: Any) -> str:
        """A name for a global value: its own, or one with a number where that means another value already."""
        alias, number = name, 0
        while alias in self.names and self.names[alias] is not value:
            number += 1
            alias = f"{name}_{number}_"
        self.names[alias] = value
        return alias

    def _put_in(self, body: list[ast.stmt], function: FunctionType) -> list[ast.stmt]:
        result: list[ast.stmt] = []
        for line in body:
            called = self._called(line, function)
            if called is not None:
                result += self._part(line, *called)
                continue
            for field in ("body", "orelse"):
                inner = getattr(line, field, None)
                if inner:
                    setattr(line, field, self._put_in(inner, function))
            self._check(line, function)
            result.append(line)
        return result

    def _called(self, line: ast.stmt, function: FunctionType) -> tuple[Part[..., Any], ast.Call] | None:
        call = line.value if isinstance(line, ast.Expr | ast.Assign) else None
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            value = function.__globals__.get(call.func.id)
            if isinstance(value, Part):
                return value, call
        return None

    def _check(self, line: ast.stmt, function: FunctionType) -> None:
        inner = (
            [line]
            if not hasattr(line, "body")
            else [v for v in vars(line).values() if isinstance(v, ast.expr)]
        )
        for node in (n for part in inner for n in ast.walk(part)):
            if isinstance(node, ast.Name) and isinstance(function.__globals__.get(node.id), Part):
                raise TypeError(f"{function.__qualname__}: the part `{node.id}` is used within an expression")

    def _part(self, line: ast.stmt, called: Part[..., Any], call: ast.Call) -> list[ast.stmt]:
        """The lines of a part in the place of its call."""
        function = called.function
        assert isinstance(function, FunctionType)
        self.count += 1
        tree = _parsed(function)
        parameters = [a.arg for a in tree.args.args]
        if call.keywords or len(call.args) != len(parameters):
            raise TypeError(f"the part `{function.__name__}` takes {len(parameters)} arguments by place")
        assigned = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        names: dict[str, ast.expr] = {
            name: _name(f"{name}__{self.count}") for name in {*assigned, *parameters}
        }
        result: list[ast.stmt] = []
        for parameter, argument in zip(parameters, call.args, strict=True):
            if isinstance(argument, ast.Name | ast.Constant) and parameter not in assigned:
                names[parameter] = argument
            else:
                target = ast.Name(f"{parameter}__{self.count}", ast.Store())
                result.append(ast.copy_location(ast.Assign([target], argument), line))
        body = tree.body
        returned = body[-1].value if body and isinstance(body[-1], ast.Return) else None
        if returned is not None:
            names["result"] = _name(f"result__{self.count}")
            body = [
                *body[:-1],
                ast.copy_location(ast.Assign([ast.Name("result", ast.Store())], returned), line),
            ]
        if any(isinstance(n, ast.Return) for statement in body for n in ast.walk(statement)):
            raise TypeError(f"the part `{function.__name__}` returns before its end")
        result += self.lines(body, function, names)
        if isinstance(line, ast.Assign):
            result.append(ast.copy_location(ast.Assign(line.targets, names["result"]), line))
        return result


class _Names(ast.NodeTransformer):
    """Other names, or constants, for names."""

    def __init__(self, names: dict[str, ast.expr]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        found = self.names.get(node.id)
        if found is None:
            return node
        if isinstance(found, ast.Name):
            return ast.copy_location(ast.Name(found.id, node.ctx), node)
        return ast.copy_location(copy.deepcopy(found), node)
