"""The measured part of docs/performance.md, from docs/results: `python -m archdsl.cli.bench.page FILE`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from archdsl.cli.bench.parts import ALL

BEGIN = "<!-- measured: written by `make docs` from docs/results -->"
END = "<!-- measured: end -->"
SCANS, MODELS, TRAINING, GPU = "scan_cpu.json", "models_cpu.json", "train_cpu.json", "gpu.json"
SPACE, LATENCY = "space_cpu.json", "latency_cpu.json"
NOTHING = "Nothing is measured yet."

Row = Mapping[str, Any]


def page(text: str, results: Path) -> str:
    """The page with its measured part written anew.

    Args:
        text: the page as it is.
        results: the folder with the files of results.

    Raises:
        ValueError: where the page does not say where that part stands.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, behind = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{measured(results)}\n{END}{behind}"


def measured(results: Path) -> str:
    """All that the files hold, as Markdown."""
    parts = [
        *_scans(_read(results / SCANS)),
        *_models("Inference", _read(results / MODELS)),
        *_models("A step of training", _read(results / TRAINING)),
        *_space(_read(results / SPACE)),
        *_latency(_read(results / LATENCY)),
        *_gpu(_read(results / GPU)),
    ]
    return "\n".join(parts or [NOTHING, ""])


def _read(path: Path) -> Row | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _made_on(results: Row) -> str:
    device = results.get("device")
    machine = (
        device["name"]
        if device
        else f"{results['machine']['processor']}, {results['machine']['cores']} cores"
    )
    threads = results.get("threads")
    by = "" if threads is None else ", one thread" if threads == 1 else f", {threads} threads"
    versions = ", ".join(f"{name} {v}" for name, v in results["versions"].items() if v and name != "archdsl")
    return f"{results['date'][:10]}, {machine}{by}; {versions}."


def _scans(results: Row | None) -> list[str]:
    if results is None:
        return []
    against = results["against"]
    lines = ["### The scan on the CPU", "", _made_on(results), ""]
    lines += ["![Bars of all ways, for each shape, forward and with backward](images/scan_cpu.svg)", ""]
    lines += [f"Milliseconds, and how many times as long as `{against}`.", ""]
    groups = dict.fromkeys((r["dtype"], r["pass"]) for r in results["scans"])
    for dtype, which in groups:
        rows = [r for r in results["scans"] if (r["dtype"], r["pass"]) == (dtype, which)]
        lines += [*_table(f"{which}, {dtype}", rows, against), ""]
    for which in dict.fromkeys(r["pass"] for r in results["both_directions"]):
        rows = [r for r in results["both_directions"] if r["pass"] == which]
        lines += [*_table(f"both directions, {which}", rows, "one direction"), ""]
    lines += [f"What parts of a scan take: {results['parts']['what']}.", ""]
    lines += [*_table("parts", results["parts"]["scans"], ALL), ""]
    limits = results["limits"]
    rates = [
        f"{r / 1e9:.1f} G exponentials a second ({n})" for n, r in limits["exponentials_per_second"].items()
    ]
    rates += [
        f"{r / 1e9:.0f} GB/s read and written by a copy of {n}"
        for n, r in limits["bytes_copied_per_second"].items()
    ]
    lines += [f"The same run's limits of the machine: {'; '.join(rates)}.", ""]
    shares = [f"{share:.0%} at {shape}" for shape, share in results["share_of_exponentials"].items()]
    if shares:
        lines += [f"States a second over the best rate of exponentials: {', '.join(shares)}.", ""]
    if results["first_calls"]:
        first = {k: results["first_calls"][k]["first call"]["processor"] for k in ("cold", "warm")}
        lines += ["The first forward and backward of a process, with its proofs, in processor time:"]
        lines += [
            f"{first['cold']:.2f} s with nothing compiled, {first['warm']:.2f} s with kernels on disk.",
            "",
        ]
    return lines


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _table(title: str, rows: Sequence[Row], against: str) -> list[str]:
    names = dict.fromkeys(n for row in rows for n in row["milliseconds"])
    head = [title, *(" x ".join(map(str, row["shape"])) for row in rows)]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" + " ---: |" * len(rows)]
    for name in names:
        cells = []
        for row in rows:
            time, ratio = row["milliseconds"].get(name), row["ratios"].get(name)
            times = "" if name == against or ratio is None else f" ({ratio:.3g}x)"
            cells.append("-" if time is None else f"{_number(time['median'])}{times}")
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return lines


def _models(title: str, results: Row | None) -> list[str]:
    if results is None:
        return []
    lines = [f"### {title} on the CPU", "", _made_on(results), ""]
    lines += [
        "| model, batch | way | ms | images/s | times `archdsl` | peak memory |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in results["models"]:
        for name, time in row["milliseconds"].items():
            ratio, memory = row["ratios"].get(name), row.get("peak_bytes", {}).get(name)
            cells = [
                f"{row['model']}, {row['batch']}", name, f"{time['median']:.4g}",
                f"{row['images_per_second'][name]:.3g}", f"{ratio:.3g}x" if ratio else "-",
                f"{memory / 2**20:,.0f} MiB" if memory else "-",
            ]  # fmt: skip
            lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _space(results: Row | None) -> list[str]:
    if results is None:
        return []
    size, drawn, counted = results["space"], results["drawn"], results["counted"]
    ours = {
        "refused": drawn["wrong"] / drawn["looked_at"],
        "repeated": drawn["drawn_again"] / (drawn["drawn"] + drawn["drawn_again"]),
    }
    rows: list[tuple[str, float, Row]] = [
        ("archdsl, a point counted, with `require`", counted["per_second"], {}),
        ("archdsl, the same by its automaton", counted["by_the_automaton"], {}),
        (
            "archdsl, drawn evenly, with digest and `require`",
            drawn["per_second"],
            ours,
        ),
        *((name, row["per_second"], row) for name, row in results["peers"].items() if "missing" not in row),
    ]
    lines = ["### Candidates of a search", "", _made_on(results), ""]
    lines.append(
        f"The search `{results['search']}`: {size['points']:,} points, {size['compiling']:,} compile, "
        f"{size['distinct']:,} different architectures; read and counted in {size['seconds']:.2f} s. "
        f"Of {drawn['looked_at']:,} drawn and built again from their text, {drawn['wrong']} were wrong."
    )
    lines += ["", "| what | candidates/s | not valid | repeats |", "| --- | ---: | ---: | ---: |"]
    for name, rate, row in rows:
        shares = [f"{row[key]:.1%}" if key in row else "" for key in ("refused", "repeated")]
        shown = f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
        lines.append(f"| {' | '.join([name, shown, *shares])} |")
    return [*lines, ""]


def _latency(results: Row | None) -> list[str]:
    if results is None:
        return []
    lines = ["### Predicted latency", "", _made_on({**results, "device": None}), ""]
    lines += ["![Sums of block times against measured passes](images/latency_cpu.svg)", ""]
    lines.append(
        f"Sums of {results['blocks']} block times against measured passes, batch {results['batch']}, "
        f"{results['dtype']}. Those of like MACs lie within 15 % of the median."
    )
    lines += ["", "| architectures | median error | largest | Spearman | Spearman of the MACs |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    for name, row in results["summary"].items():
        errors = f"{row['median_error']:.1%} | {row['largest_error']:.1%}"
        ranks = f"{row['spearman']:.3f} | {row['spearman_of_macs']:.3f}"
        lines.append(f"| {row['architectures']} {name} | {errors} | {ranks} |")
    return [*lines, ""]


def _gpu(results: Row | None) -> list[str]:
    if results is None:
        return []
    lines = ["### On a GPU", "", _made_on(results), ""]
    lines += [
        "| what | (b, d, n, l) | way | ms | times `archdsl` | of the roofline |",
        "| --- | --- | --- | ---: | ---: | ---: |",
    ]
    for row in results["timed"]:
        what = ", ".join(part for part in (row["name"] or row["kind"], row["dtype"], row["pass"]) if part)
        for name, time in row["milliseconds"].items():
            ratio, share = row["ratios"].get(name), row.get("share_of_roofline", {}).get(name)
            cells = [
                what, " x ".join(map(str, row["shape"])) or "-", name, f"{time['median']:.4g}",
                f"{ratio:.3g}x" if ratio else "-", f"{share:.0%}" if share else "-",
            ]  # fmt: skip
            lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(page(path.read_text(encoding="utf-8"), path.parent / "results"), encoding="utf-8")
