"""Next steps for numbers that do not divide."""

from __future__ import annotations


def divisors_near(n: int, wanted: int, most: int = 4) -> str:
    """The divisors of `n` over 1 nearest to `wanted`, as words: "7 or 14"; '' where there are none."""
    found = [d for d in range(2, n + 1) if n % d == 0]
    nearest = sorted(sorted(found, key=lambda d: abs(d - wanted))[:most])
    if len(nearest) < 2:
        return "".join(map(str, nearest))
    return f"{', '.join(map(str, nearest[:-1]))} or {nearest[-1]}"
