"""Class tokens."""

from __future__ import annotations

from archdsl.nn.registers import Registers


class ClassToken(Registers):
    """Adds a token `weight` (1, 1, C), or one at each end (1, 2, C).

    Args:
        dim: C.
        at: where it stands, as in `Extra`.
        position: `learned` or None.
    """

    def __init__(self, dim: int, at: str = "start", position: str | None = None) -> None:
        super().__init__(dim, 2 if at == "both" else 1, at, position, kind="class_token")
