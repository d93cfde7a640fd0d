"""Axes: a range of values with ticks where people expect them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

LOG_FROM = 20.0
"""Positive values that lie so many times apart get a logarithmic axis."""
PADDING = 0.05
_PREFIXES = ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"), (1.0, ""))
_TIMES = ((3600.0, " h"), (60.0, " min"), (1.0, " s"), (1e-3, " ms"), (1e-6, " µs"))


@dataclass(frozen=True, slots=True)
class Axis:
    """A range.

    Args:
        low, high: of the range, with some room beyond the values.
        log: whether equal ratios are equally long.
        ticks: values with their labels.
    """

    low: float
    high: float
    log: bool
    ticks: tuple[tuple[float, str], ...]

    def place(self, value: float) -> float:
        """Where a value lies, 0 at the low end and 1 at the high one; at the end where it lies beyond."""
        value = min(self.high, max(self.low, value))
        if self.log:
            return log10(value / self.low) / log10(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def axis_of(
    values: Iterable[float],
    metric: str = "",
    *,
    core: Collection[float] = (),
    whole: bool = False,
    wanted: int = 6,
) -> Axis:
    """The axis that shows all finite values.

    Args:
        core: the values that matter: others may take as much room as these, on either side, and lie beyond
            the axis where they are further off.
        metric: as in `Objective`, for the unit of the labels; `seconds` for a time.
        whole: values are whole numbers, and so are the ticks.
        wanted: about how many ticks.
    """
    finite = [v for v in values if isfinite(v)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if core and min(core) < max(core):
        room = max(core) - min(core)
        low, high = max(low, min(core) - room), min(high, max(core) + room)
    kind = metric.partition("(")[0]
    if low > 0 and high / low >= LOG_FROM and not whole:
        room = (high / low) ** PADDING
        low, high = low / room, high * room
        return Axis(low, high, True, _log_ticks(low, high, kind))
    room = (high - low) * PADDING or (0.5 if whole else abs(low) * PADDING or 1.0)
    low, high = low - room, high + room
    step = _step(high - low, wanted)
    if whole:
        step = max(1.0, step)
    first = ceil(low / step - 1e-9)
    values = [i * step for i in range(first, floor(high / step + 1e-9) + 1)]
    return Axis(low, high, False, tuple((v, _label(v, step, max(abs(low), abs(high)), kind)) for v in values))


def _step(span: float, wanted: int) -> float:
    """1, 2 or 5 times a power of ten."""
    rough = span / wanted
    power = 10.0 ** floor(log10(rough))
    return next(m for m in (1.0, 2.0, 5.0, 10.0) if m * power >= rough * (1 - 1e-9)) * power


def _label(value: float, step: float, largest: float, kind: str) -> str:
    size, unit = _unit(largest, kind)
    digits = max(0, ceil(-log10(step / size) - 1e-9))
    if digits > 6:
        return f"{value:.4g}"
    return f"{value / size + 0.0:.{digits}f}{unit}"


def _log_ticks(low: float, high: float, kind: str) -> tuple[tuple[float, str], ...]:
    decades = log10(high / low)
    steps = (1.0, 2.0, 5.0) if decades < 3.5 else (1.0,)
    every = max(1, ceil(decades / 8))
    values = [
        m * 10.0**power for power in range(floor(log10(low)), ceil(log10(high)) + 1, every) for m in steps
    ]
    out = []
    for value in values:
        if low <= value <= high:
            size, unit = _unit(value, kind)
            out.append((value, f"{value / size:.3g}{unit}"))
    return tuple(out)


def _unit(value: float, kind: str) -> tuple[float, str]:
    """A size and its name, so that the number before it is small."""
    table = _TIMES if kind in ("latency", "seconds") else _PREFIXES
    if kind not in ("latency", "seconds", "params", "macs", "throughput") and value < 1e4:
        return 1.0, ""
    return next(((size, unit) for size, unit in table if value >= size * (1 - 1e-9)), table[-1])
