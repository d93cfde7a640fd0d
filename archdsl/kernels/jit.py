"""Functions that Numba compiles at their first call and that later processes load from a file.

Numba's own cache looks only at the file of the function, not at those of the functions and intrinsics it is
made of, and fails where no folder can be written. Here the name of the file holds all that the machine code
depends on, and trouble with files never reaches the caller: see `archdsl.kernels.cache`.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np

from archdsl.kernels import cache

P = ParamSpec("P")
R = TypeVar("R")

FASTMATH = {"contract", "nsz"}
"""No `reassoc`: it undoes the rounding that exp2 rests on. No `nnan`, `ninf`: NaN in gives NaN out."""

_WITHOUT_EFFECT = {"CACHE_DIR", "CACHE_LOCATOR_CLASSES", "DEBUG_CACHE", "COLOR_SCHEME", "THREADING_LAYER"}
"""Settings of Numba that don't change machine code (nor do the counts of threads)."""


class Kernel(Generic[P, R]):
    """A function compiled by Numba at its first call, for the types of its arguments.

    Other compiled functions can call it. Arguments are positional. Numba is imported at the first call.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = function.__name__
        self._dispatcher: Any = None
        self._addresses: dict[tuple[object, ...], int] = {}

    def __call__(self, *args: P.args, **named: P.kwargs) -> R:
        result: R = (self._dispatcher or self.dispatcher)(*args, **named)
        return result

    @property
    def dispatcher(self) -> Any:
        """Numba's object for the function."""
        if self._dispatcher is None:
            from numba.core.compiler_lock import global_compiler_lock

            with global_compiler_lock:
                if self._dispatcher is None:
                    dispatcher = self._made(called_by_python=True)
                    dispatcher._cache = _Files(self)
                    self._dispatcher = dispatcher
        return self._dispatcher

    @functools.cached_property
    def inner(self) -> Any:
        """Numba's object for use in other kernels, which hold its machine code in their own files."""
        return self._made(called_by_python=False)

    def _made(self, called_by_python: bool) -> Any:
        """What Python and C call a function by holds a copy of it each: only what is used is compiled."""
        import numba

        njit: Any = numba.njit
        return njit(
            self.function,
            nogil=True,
            boundscheck=False,
            error_model="numpy",
            fastmath=FASTMATH,
            no_cfunc_wrapper=True,
            no_cpython_wrapper=not called_by_python,
        )

    def address(self, *args: Any) -> int:
        """Where the machine code for these arguments is, in Numba's own convention of calls."""
        kinds = tuple(map(_kind, args))
        found = self._addresses.get(kinds)
        if found is None:
            types = tuple(map(self.dispatcher.typeof_pyval, args))
            self.dispatcher.compile(types)
            compiled = self.dispatcher.overloads[types]
            found = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
            self._addresses[kinds] = found
        return found

    @property
    def _numba_type_(self) -> Any:
        """What Numba takes the object for where compiled code names it."""
        return self.inner._numba_type_

    def __repr__(self) -> str:
        return f"<kernel {self.function.__module__}.{self.function.__qualname__}>"


def _kind(value: object) -> object:
    """What arguments of one type for Numba have in common; quicker than asking it."""
    if isinstance(value, np.ndarray):
        return value.dtype, value.ndim, value.flags.num
    return tuple(map(_kind, value)) if isinstance(value, tuple) else type(value)


def kernel(function: Callable[P, R]) -> Kernel[P, R]:
    """Have a function compiled by Numba, without the GIL, without checks of bounds, kept in files.

    Its globals and what it closes over are constants: numbers, strings, tuples of them, other kernels.
    """
    return Kernel(function)


def missing() -> str | None:
    """Why kernels can't be compiled here, None where they can; imports nothing."""
    if importlib.util.find_spec("numba") is None:
        return "Numba is not installed"
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return "NUMBA_DISABLE_JIT is set"
    return None


class _Files:
    """The place of Numba's cache in a dispatcher: one file for each function, types and machine."""

    cache_path = None

    def __init__(self, owner: Kernel[..., Any]) -> None:
        self.owner = owner

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The compiled function, None where it has to be compiled.

        Of what Numba would set up (`target.refresh()`, 0.3 s of imports) machine code from a file
        needs only the runtime that counts references.
        """
        from numba.core.compiler import CompileResult
        from numba.core.runtime import rtsys  # type: ignore[attr-defined]

        rtsys.initialize(target)
        name = self._name(signature, target.codegen())
        content = name and cache.read(name)
        if not content:
            return None
        try:
            return CompileResult._rebuild(target, *pickle.loads(content))  # type: ignore[no-untyped-call]
        except Exception:  # another build of the same versions: whatever it can't read is compiled again
            return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep the compiled function, where it can be kept."""
        name = self._name(signature, compiled.codegen)
        if name is None or compiled.lifted or compiled.library.has_dynamic_globals:
            return
        from numba.core.serialize import dumps

        try:
            content = dumps(compiled._reduce())  # type: ignore[no-untyped-call]
        except (AttributeError, TypeError, pickle.PicklingError) as error:
            cache.notice(f"Numba can't write {self.owner!r}: {error}")
            return
        cache.write(name, content)

    def enable(self) -> None:
        """Part of the interface; it is never off."""

    def disable(self) -> None:
        """Part of the interface; it is never off."""

    def flush(self) -> None:
        """Part of the interface; files are told apart by name, none needs to go."""

    def _name(self, signature: Any, codegen: Any) -> str | None:
        try:
            constants = [*_constants(self.owner, set())]
        except _UnknownError:
            return None
        made_by = _origin(codegen)
        if not made_by:
            return None
        parts = [made_by, *constants, repr(signature)]
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        return f"{self.owner.name}-{digest[:40]}"


def origin() -> str:
    """What all compiled kernels depend on, as text: sources, compiler, its settings, the processor.

    Empty where the sources can't be read. Imports Numba.
    """
    from numba.core.registry import cpu_target

    return _origin(cpu_target.target_context.codegen())


def _origin(codegen: Any) -> str:
    from numba.core import config

    if not cache.fingerprint():
        return ""
    settings = [
        f"{key}={value!r}"
        for key, value in sorted(vars(config).items())
        if key.isupper() and isinstance(value, bool | int | float | str)
        if key not in _WITHOUT_EFFECT and "NUM_THREADS" not in key
    ]
    return "\n".join([cache.fingerprint(), *map(repr, codegen.magic_tuple()), *settings])


class _UnknownError(Exception):
    """A constant that can't be told apart from others."""


def _constants(owner: Kernel[..., Any], seen: set[int]) -> Iterator[str]:
    """What the code of a kernel depends on beyond the sources of this package, as text."""
    if id(owner) in seen:
        return
    seen.add(id(owner))
    function = owner.function
    assert isinstance(function, FunctionType)
    yield f"{function.__module__}.{function.__qualname__}:{function.__code__.co_firstlineno}"
    if not function.__module__.startswith("archdsl.kernels."):
        yield _file_digest(function.__code__.co_filename)
    for name in sorted(_names(function.__code__)):
        value = function.__globals__.get(name)
        if isinstance(value, Kernel):
            yield from _constants(value, seen)
        else:
            plain = _plain(value)
            if plain is not None:
                yield f"{name}={plain}"
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        value = cell.cell_contents
        if isinstance(value, Kernel):
            yield from _constants(value, seen)
        else:
            plain = _plain(value)
            if plain is None:
                raise _UnknownError
            yield f"{name}={plain}"


def _names(code: CodeType) -> set[str]:
    inner = (c for c in code.co_consts if isinstance(c, CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _plain(value: object) -> str | None:
    """The text of a number, a string, or a tuple of them."""
    if isinstance(value, tuple):
        parts = [_plain(v) for v in value]
        return None if None in parts else repr(parts)
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    if isinstance(value, np.ndarray | np.generic):
        return f"{value.dtype}{value.shape}{value.tobytes()!r}"
    return None


def _file_digest(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        raise _UnknownError from None
