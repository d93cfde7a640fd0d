"""Peak rates of devices by name: `devices.toml` beside this file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt

from archdsl.diagnostics import Diagnostic, DiagnosticError, did_you_mean

FILE = "devices.toml"


class Figure(BaseModel):
    """A rate and where it was taken from.

    Args:
        rate: a second.
        kind: `published` by the vendor, `measured`, or `assumed`.
        source: where it stands, how it was measured, or what it rests on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: PositiveFloat
    kind: Literal["published", "measured", "assumed"]
    source: str


class Device(BaseModel):
    """What a device does at most.

    Args:
        name: in full.
        units: its cores or multiprocessors.
        matrix: floating-point operations in products of matrices, by type.
        vector: floating-point operations in float32 elsewhere.
        bandwidth: bytes of memory, read and written.
        exponentials: values of exp and the like.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    units: PositiveInt
    matrix: dict[str, Figure]
    vector: Figure
    bandwidth: Figure
    exponentials: Figure


@lru_cache(maxsize=1)
def devices() -> dict[str, Device]:
    """All that are known, by short name."""
    text = files("archdsl.graph").joinpath(FILE).read_text(encoding="utf-8")
    return {name: Device.model_validate(table) for name, table in tomllib.loads(text).items()}


def find_device(name: str, dtype: str) -> Device:
    """The device of that short name.

    Args:
        name: `cpu-2core`, `a100`, `h100`, `h200`.
        dtype: a type that it multiplies matrices in.

    Raises:
        DiagnosticError: E515 where there is no such device, or it does not compute in that type.
    """
    found = devices().get(name)
    if found is None:
        raise _unknown(f"no rates are known of a device `{name}`", _choice(name, devices()))
    if dtype not in found.matrix:
        raise _unknown(f"no rate of {name} is known in `{dtype}`", _choice(dtype, found.matrix))
    return found


def _choice(name: str, known: Iterable[str]) -> str:
    return did_you_mean(name, known, f"use one of {', '.join(known)}")


def _unknown(message: str, help: str) -> DiagnosticError:
    return DiagnosticError(Diagnostic("E515", message, help=help))
