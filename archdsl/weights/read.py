"""Checkpoints read from files, without running anything that stands in them."""

from __future__ import annotations

import os
import pickle
import re
import warnings
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from archdsl.diagnostics import Diagnostic, DiagnosticError

WRAPPERS = ("model", "state_dict", "module", "model_state_dict", "state_dict_ema", "model_ema")
"""Keys under which training scripts put the tensors, the first found is taken."""
PREFIXES = ("module.", "_orig_mod.", "encoder.", "backbone.", "model.")
"""What wrappers put before every key."""
MAX_BYTES = 64 * 2**30


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors by key, and what the file says about itself.

    Args:
        tensors: by key, wrappers taken off.
        metadata: of a safetensors file.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)


def read_checkpoint(source: str | os.PathLike[str] | Mapping[str, object]) -> Checkpoint:
    """The tensors of a file (safetensors, or what `torch.save` wrote) or of a mapping, wrappers taken off.

    Raises:
        DiagnosticError: E501 for a file that can't be read, E504 for one that holds more than plain tensors,
            E502 where there are no tensors.
    """
    if isinstance(source, Mapping):
        return Checkpoint(_tensors(source))
    path = Path(source)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise _error("E501", f"cannot read {path}", error.strerror or str(error), "check the path") from error
    if size > MAX_BYTES:
        raise _error(
            "E504", f"{path} is too large", f"{size} bytes, at most {MAX_BYTES}", "give the weights alone"
        )
    if start[8:9] == b"{":
        return _read_safetensors(path)
    return _read_pickle(path)


def _read_safetensors(path: Path) -> Checkpoint:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = dict(file.metadata() or {})
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, OSError) as error:
        raise _error(
            "E502",
            f"{path} is no sound safetensors file",
            str(error),
            "download it again, or convert it again",
        ) from error
    return Checkpoint(_tensors(tensors), metadata)


def _read_pickle(path: Path) -> Checkpoint:
    """What `torch.save` wrote: tensors, numbers, texts, collections, settings of a training script."""
    try:
        with torch.serialization.safe_globals([Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _error(
            "E504",
            f"{path} holds more than tensors, or is no checkpoint",
            _forbidden(error),
            "convert it to safetensors where you trust its source: tensors are all that is read here",
        ) from error
    except Exception as error:  # a damaged pickle can raise anything: IndexError, for one
        raise _error(
            "E502", f"{path} is no checkpoint", _first_line(error), "give a .safetensors, .pth or .pt file"
        ) from error
    if not isinstance(loaded, Mapping):
        raise _error("E502", f"{path} holds no tensors by name", f"it holds a {type(loaded).__name__}", "")
    return Checkpoint(_tensors(loaded))


def _tensors(source: Mapping[str, object]) -> dict[str, Tensor]:
    for _ in WRAPPERS:
        inner = next((source[w] for w in WRAPPERS if isinstance(source.get(w), Mapping)), None)
        if not isinstance(inner, Mapping):
            break
        source = inner
    found = {
        key: value for key, value in source.items() if isinstance(key, str) and isinstance(value, Tensor)
    }
    if not found:
        raise _error(
            "E502", "there are no tensors in these weights", "", "give a mapping from names to tensors"
        )
    stripped = True
    while stripped:
        stripped = False
        for prefix in PREFIXES:
            if all(key.startswith(prefix) for key in found):
                found = {key.removeprefix(prefix): value for key, value in found.items()}
                stripped = True
    return found


def _forbidden(error: BaseException) -> str:
    """What the pickle asks for, without torch's advice to read it all the same."""
    found = re.search(r"GLOBAL:? ([\w.]+)", str(error))
    return f"it asks for {found[1]}" if found else ""


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _error(code: str, message: str, note: str, help: str) -> DiagnosticError:
    return DiagnosticError(Diagnostic(code, message, notes=(note,) if note else (), help=help))
