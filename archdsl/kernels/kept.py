"""Proofs that earlier processes made, in files beside the compiled kernels that they hold for.

Only a test that was passed on the CPU is kept, under a name that holds all it depends on: the sources of the
kernels, the compiler, its settings, the processor, torch. A file that is torn, foreign or of other sources
counts as none, see `archdsl.kernels.cache`. A driver or a device can change without a trace, so a test on a
GPU is made in every process.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import torch

from archdsl.kernels import cache
from archdsl.kernels.proof import Measured, Proof


def proof(origin: Callable[[], str], holds_for: tuple[str, ...], test: Callable[[], Proof]) -> Proof:
    """What a file tells of a test that was passed; else what the test shows, kept where it is passed.

    Args:
        origin: what the kernel's machine code is made from and by, empty where that is not known.
        holds_for: the operator, the kernel, the type and the layout.
    """
    try:
        name = _name(origin(), holds_for)
    except Exception:  # of a compiler that is not all there: the test tells
        name = None
    found = None if name is None else _read(name)
    if found is not None:
        return found
    made = test()
    if name is not None and made.reason is None and made.lasting and made.worst is not None:
        cache.write(name, json.dumps([*made.worst, made.seconds]).encode())
    return made


def _name(origin: str, holds_for: tuple[str, ...]) -> str | None:
    if not origin:
        return None
    threads = "one thread" if torch.get_num_threads() == 1 else "threads"
    parts = (origin, torch.__version__, threads, *holds_for)
    return f"proof-{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:40]}"


def _read(name: str) -> Proof | None:
    content = cache.read(name)
    if content is None:
        return None
    try:
        what, error, allowed, seconds = json.loads(content)
        worst = Measured(str(what), float(error), float(allowed))
        return Proof(None, worst, float(seconds)) if worst.share <= 1 else None
    except (ValueError, TypeError, ZeroDivisionError):
        return None
