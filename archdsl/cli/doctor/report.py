"""What the doctor found, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from archdsl.cli.doctor.advice import Advice, Machine, advice
from archdsl.cli.doctor.packages import Package, State
from archdsl.cli.tables import console

if TYPE_CHECKING:
    from archdsl.cli.doctor.kernels import Tried, Unserved

WIDE = 90
"""Under so many columns tables hold less."""
_STATES = {State.IMPORTS: "green", State.INSTALLED: "green", State.MISSING: "dim", State.BROKEN: "red"}
_RESULTS = {
    "serves": "bold green",
    "proved": "green",
    "failed": "red",
    "does not fit": "dim",
    "not here": "dim",
}


@dataclass
class Report:
    """What was found.

    Args:
        conditions: machine, date and versions.
        devices: with descriptions.
        cache: the folder of compiled kernels, None where none can be written; `not_kept` tells why others
            can't.
        named: the kernel that ARCHDSL_BACKEND names.
        operators: names of all.
        elsewhere: kernels for devices that are not here, `mamba_ssm (cuda)`, by operator.
    """

    conditions: dict[str, object]
    packages: list[Package]
    devices: list[tuple[str, str]] = field(default_factory=list)
    cache: str | None = None
    not_kept: str = ""
    named: str | None = None
    operators: list[str] = field(default_factory=list)
    elsewhere: dict[str, list[str]] = field(default_factory=dict)
    tried: list[Tried] = field(default_factory=list)
    unserved: list[Unserved] = field(default_factory=list)

    @property
    def well(self) -> bool:
        """Whether every operator has a kernel that serves on every device in every type."""
        return bool(self.operators) and not self.unserved

    @property
    def advice(self) -> list[Advice]:
        """Commands that would help."""
        failed = [f"{t.kernel} ({t.place.text})" for t in self.tried if t.result == "failed"]
        machine = Machine(
            cuda=any(name.startswith("cuda") for name, _ in self.devices),
            cache=not self.operators or self.cache is not None,
            failed=tuple(dict.fromkeys(failed)),
            named=self.named if self.unserved else None,
        )
        return list(advice(self.packages, machine))

    def as_json(self) -> dict[str, object]:
        """Everything."""
        return {
            **self.conditions,
            "packages": [
                {"name": p.wanted.name, "state": p.state, "version": p.version, "reason": p.reason}
                for p in self.packages
            ],
            "devices": [{"name": name, "description": text} for name, text in self.devices],
            "cache": {"folder": self.cache, "others": self.not_kept},
            "backend": self.named,
            "kernels": [{**t.place._asdict(), **_without_place(t)} for t in self.tried],
            "elsewhere": self.elsewhere,
            "unserved": [{**u.place._asdict(), "reason": u.reason} for u in self.unserved],
            "advice": [a._asdict() for a in self.advice],
            "well": self.well,
        }

    def show(self) -> None:
        """Prints everything."""
        out = console()
        for line in self._head():
            out.print(escape(line), soft_wrap=True)
        out.print(self._packages(wide=out.width >= WIDE))
        if self.operators:
            out.print(self._kernels(wide=out.width >= WIDE))
        for line in self._reasons():
            out.print(line, soft_wrap=True)
        for operator, kernels in self.elsewhere.items():
            text = f"{operator}: for devices that are not here there are {', '.join(kernels)}"
            out.print(escape(text), style="dim", soft_wrap=True)
        self._close(out)

    def _head(self) -> Iterator[str]:
        machine, versions = self.conditions["machine"], self.conditions["versions"]
        assert isinstance(machine, dict)
        assert isinstance(versions, dict)
        yield f"archdsl {versions['archdsl']}, Python {versions['python']}, {machine['system']}"
        yield f"processor  {machine['processor']}, {machine['cores']} cores"
        for name, text in self.devices:
            yield f"device     {name}: {text}"
        if self.operators:
            yield f"cache      {self.cache or 'none: compiled kernels are not kept'}"
            if self.not_kept:
                yield f"           not {self.not_kept}"
        if self.named is not None:
            yield f"ARCHDSL_BACKEND names {self.named}"

    def _reasons(self) -> Iterator[str]:
        """Why kernels do not serve; a line for types of the same reason."""
        types: dict[tuple[str, ...], list[str]] = {}
        for t in self.tried:
            if t.reason:
                key = (t.kernel, t.result, t.place.operator, t.place.device, t.reason)
                types.setdefault(key, []).append(t.place.dtype)
        for (kernel, result, operator, device, reason), names in types.items():
            listed = ", ".join(dict.fromkeys(names))
            text = f"{operator} on {device} in {listed}: {reason}"
            yield f"[{_RESULTS[result]}]{escape(kernel)}[/] {escape(text)}"

    def _packages(self, wide: bool) -> Table:
        table = _table("package", "version", "", *(["what for"] if wide else []))
        for p in self.packages:
            colour = _STATES[p.state]
            state = f"[{colour}]{p.state}[/]" + (f": {escape(p.reason)}" if p.reason else "")
            table.add_row(p.wanted.name, p.version or "-", state, *([p.wanted.use] if wide else []))
        return table

    def _kernels(self, wide: bool) -> Table:
        table = _table()
        table.add_column("operator", min_width=9)
        table.add_column("on", min_width=len("bfloat16"))
        table.add_column("kernel", no_wrap=True)
        table.add_column("", no_wrap=True)
        for heading in ("error", "allowed", "first", "again") if wide else ("error", "first"):
            table.add_column(heading, justify="right", no_wrap=True)
        for t in self.tried:
            place = f"{t.place.device} {t.place.dtype}" + ("" if t.place.layout == "bld" else " bdl")
            error, allowed = (_number(t.error), _number(t.allowed))
            times = (_time(t.first), _time(t.again))
            cells = (error, allowed, *times) if wide else (error, times[0])
            table.add_row(t.place.operator, place, t.kernel, f"[{_RESULTS[t.result]}]{t.result}[/]", *cells)
        return table

    def _close(self, out: Console) -> None:
        for u in self.unserved:
            out.print(f"[bold red]nothing serves[/] {u.place.text}: {escape(u.reason)}", soft_wrap=True)
        found = self.advice
        if found:
            out.print("\nwhat would help")
        for command, reason in found:
            out.print(f"  [bold]{escape(command)}[/]\n      {escape(reason)}", soft_wrap=True)
        if self.well:
            count = len(self.operators)
            out.print(f"\n{'Every operator has' if count > 1 else 'The operator has'} a kernel that serves.")
        elif not self.operators:
            out.print("\nPyTorch can't be imported: no kernel was tried.", style="bold red")


def _without_place(t: Tried) -> dict[str, object]:
    return {name: value for name, value in asdict(t).items() if name != "place"}


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.0f} ms"
