"""What the tests of all shipped architectures know of each family: a file `<family>.toml`.

- `[params]`: exact parameters by arch.
- `[small]`: arguments that make every arch of the family small; `[small.overrides]`: paths, in the language;
  `[small.ablations]`: arguments for the archs of `specs/ablations/<family>.arch`, where they differ.
- `[any_image.overrides]`: paths that let the archs take images of any size, where by themselves they don't.
- `[idle]`: by arch, the ends of the paths of parameters that can have no gradient, with the reason.
- `[compiled]`: `names` of the archs that the quick tests compile; `trained`, those of them that they compile
  for training too.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Family:
    """One file."""

    name: str
    params: dict[str, int] = field(default_factory=dict)
    small: dict[str, Any] = field(default_factory=dict)
    overrides: dict[str, str] = field(default_factory=dict)
    ablations: dict[str, Any] = field(default_factory=dict)
    any_image: dict[str, str] = field(default_factory=dict)
    idle: dict[str, list[str]] = field(default_factory=dict)
    compiled: tuple[str, ...] = ()
    trained: tuple[str, ...] = ()


def _read(path: Path) -> Family:
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    small = dict(data.get("small", {}))
    overrides = small.pop("overrides", {})
    ablations = small.pop("ablations", small)
    any_image = data.get("any_image", {}).get("overrides", {})
    compiled = data.get("compiled", {})
    names, trained = (tuple(compiled.get(key, ())) for key in ("names", "trained"))
    idle = data.get("idle", {})
    return Family(
        path.stem, data.get("params", {}), small, overrides, ablations, any_image, idle, names, trained
    )


FAMILIES = {path.stem: _read(path) for path in sorted(Path(__file__).parent.glob("*.toml"))}


def family_of(arch: str) -> Family:
    """The family of a shipped arch, by the longest name that it begins with."""
    return FAMILIES[max((f for f in FAMILIES if arch.startswith(f)), key=len)]
