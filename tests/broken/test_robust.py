"""Texts that try to fill the memory or the day: a clear error within a second and 300 MB.

All run in one process of their own with a bound on its address space; time and memory are bounded generously
here, for slow machines.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
SECONDS, MEGABYTES = 5, 300
AT_ONCE = {"round_brackets", "square_brackets", "ten_megabytes", "many_blocks", "wide"}
"""Refused within a second; the others take longer to read, and have the time above."""
CHECK_EACH = """
import json, pathlib, re, sys, time
import archdsl
from archdsl.diagnostics.render import render
status = pathlib.Path("/proc/self/status")
for path in sys.argv[1:]:
    start = time.process_time()
    told = [(d.code, len(render(d))) for d in archdsl.check(path)]
    seconds = time.process_time() - start
    peak = re.search(r"VmHWM:\\s+(\\d+)", status.read_text() if status.exists() else "")
    megabytes = int(peak[1]) / 1024 if peak else 0
    print(json.dumps([path, told, seconds, megabytes]), flush=True)
"""


class Told(NamedTuple):
    """What a check of one file said and what it cost: codes with lengths of their texts, seconds, peak."""

    texts: list[tuple[str, int]]
    seconds: float
    megabytes: float


def arch(lines: str, stage: str = "blocks = 2 x scan", before: str = "") -> str:
    return (
        f"{before}arch big(dim = 64) {{\n  stem = patch_embed(16, dim)\n  {lines}\n"
        f"  stage trunk {{ {stage} }}\n  head = layer_norm -> pool(mean) -> linear(classes)\n}}\n"
    )


def doubled(times: int) -> str:
    lets = ["let b0 = 2 x scan", *(f"let b{i + 1} = b{i} + b{i}" for i in range(times))]
    return arch("\n  ".join(lets), f"blocks = b{times}")


def doubled_mixers(times: int) -> str:
    lines = ["mixer m0 = gelu", *(f"mixer m{i + 1} = m{i} -> m{i}" for i in range(times))]
    return arch("", f"blocks = 2 x metaformer(m{times})", "\n".join(lines) + "\n")


def nested_branches(times: int) -> str:
    lines = [
        "mixer m0 = gelu",
        *(f"mixer m{i + 1} = branches(m{i}, m{i}, merge = add)" for i in range(times)),
    ]
    return arch("", f"blocks = 2 x metaformer(m{times})", "\n".join(lines) + "\n")


def squared(times: int) -> str:
    lets = ["let a0 = 999", *(f"let a{i + 1} = a{i} * a{i}" for i in range(times))]
    return arch("\n  ".join(lets), f"blocks = a{times} x scan")


def routes(levels: int) -> str:
    part = "selective_scan(1)"
    for _ in range(levels):
        part = f"routed({part}, order = [{'rows, ' * 64}])"
    return arch("", f"blocks = metaformer({part})")


def lists_of_lists(levels: int) -> str:
    lets = ["let o0 = [" + "cross, " * 64 + "]"]
    lets += [f"let o{i + 1} = [{f'o{i}, ' * 64}]" for i in range(levels)]
    return arch("\n  ".join(lets), f"blocks = metaformer(routed(linear, order = o{levels}))")


def turned(times: int) -> str:
    lets = ["let r0 = rows", *(f"let r{i + 1} = reverse(r{i})" for i in range(times))]
    return arch("", f"blocks = metaformer(routed(linear, order = r{times}))", "\n".join(lets) + "\n")


TEXTS = {
    "round_brackets": (arch("let a = " + "(" * 10_000 + "1" + ")" * 10_000), "E105"),
    "square_brackets": (arch("let a = " + "[" * 10_000 + "]" * 10_000), "E105"),
    "open_brackets": ("(" * 10_000, "E105"),
    "braces": ("arch a {" * 10_000, "E105"),
    "calls": (arch("let a = " + "f(" * 10_000 + ")" * 10_000), "E105"),
    "minus_signs": (arch("let a = " + "-" * 10_000 + "1"), "E105"),
    "repeats_of_repeats": (arch("", "blocks = " + "2 x " * 5_000 + "scan"), "E105 E218"),
    "nots": (arch("require " + "not " * 10_000 + "1 == 1"), "E105"),
    "members": (arch("let a = b" + ".c" * 10_000), "E105"),
    "a_long_sum": (arch("let a = " + " + ".join(["1"] * 60_000)), "E105"),
    "a_long_pipeline": (arch("", f"blocks = metaformer({' -> '.join(['gelu'] * 60_000)})"), "E218"),
    "many_branches": (arch("", f"blocks = metaformer(branches({'gelu, ' * 60_000}merge = add))"), "E218"),
    "ten_megabytes": ("# nothing\n" * 1_000_000, "E105"),
    "a_long_line": ("let a = [" + "1, " * 300_000 + "]", "E105"),
    "a_million_mistakes": ("@ " * 400_000, "E101 E105"),
    "a_thousand_mistakes": (arch("", "blocks = " + " + ".join(f"scna{i}" for i in range(1_000))), "E105"),
    "digits": (arch("let a = " + "9" * 100_000), "E106"),
    "an_exponent": (arch("let a = 1e999999999"), "E106"),
    "a_large_number": (arch("", "blocks = 2 x scan(state = 1e999)"), "E205 E218 E310"),
    "a_power_tower": (squared(40), "E218"),
    "many_blocks": (arch("", "blocks = 1000000000000 x scan"), "E218"),
    "many_blocks_in_many": (arch("", "blocks = 9999 x (9999 x (9999 x scan))"), "E218"),
    "lists_of_lists": (lists_of_lists(20), "E218"),
    "an_order_turned_round_and_round": (turned(3_000), "E218"),
    "more_routes_than_a_list_has": (arch("", f"blocks = scan(order = [{'both, ' * 40}])"), "E205 E310"),
    "routes_of_routes": (routes(3), "E218"),
    "many_stages": (arch("\n  ".join(f"stage s{i} {{ blocks = 999 x scan }}" for i in range(99))), "E218"),
    "doubled_blocks": (doubled(60), "E218"),
    "doubled_mixers": (doubled_mixers(60), "E105 E218"),
    "nested_branches": (nested_branches(40), "E105 E218"),
    "wide": (arch("").replace("dim = 64", "dim = 100T"), "E310"),
    "wide_and_deep": (arch("", "blocks = 9999 x scan").replace("dim = 64", "dim = 1000000"), "E310"),
    "a_large_image": (arch("image = 100000000"), "E310 E218 E205"),
    "many_registers": (arch("").replace("dim)\n", "dim) -> registers(1000000000000)\n", 1), "E205 E218 E310"),
    "a_long_chain_of_variants": (
        arch("") + "".join(f"arch v{i} = {f'v{i - 1}' if i else 'big'}()\n" for i in range(5_000)),
        "E218",
    ),
    "a_long_chain_of_mixers": (
        arch(
            "",
            "blocks = metaformer(m4999)",
            "".join(f"mixer m{i} = {f'm{i - 1}' if i else 'gelu'}\n" for i in range(5_000)),
        ),
        "E105 E218",
    ),
}


def limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    folder = tmp_path_factory.mktemp("robust")
    for name, (text, _) in TEXTS.items():
        (folder / f"{name}.arch").write_text(text)
    chain = folder / "a_long_chain_of_files.arch"
    chain.write_text('use "f0.arch"\n')
    for i in range(60):
        (folder / f"f{i}.arch").write_text(f'use "f{i + 1}.arch"\n')
    os.mkfifo(folder / "pipe.arch")
    (folder / "a_pipe.arch").write_text('use "pipe.arch"\n')
    (folder / "zero.arch").symlink_to("/dev/zero")
    (folder / "a_device.arch").write_text('use "zero.arch"\n')
    (folder / "a_folder.arch").write_text('use "."\n')
    (folder / "secret.arch").symlink_to("/etc/passwd")
    (folder / "a_link.arch").write_text('use "secret.arch"\n')
    names = [*TEXTS, "a_long_chain_of_files", "a_pipe", "a_device", "a_folder", "a_link"]
    done = subprocess.run(
        [sys.executable, "-c", CHECK_EACH, *(f"{name}.arch" for name in names)],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=SECONDS * len(names),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=limit_memory,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"after {lines[-1:]}: {done.stderr[-2000:]}"
    return {Path(path).stem: Told(*rest) for path, *rest in lines}


@pytest.mark.parametrize("name", TEXTS)
def test_large_texts_are_refused(name: str, told: dict[str, Told]) -> None:
    found = told[name]
    assert found.texts
    assert {code for code, _ in found.texts} <= set(TEXTS[name][1].split())
    assert found.seconds < (1 if name in AT_ONCE else SECONDS)
    assert found.megabytes < MEGABYTES
    assert sum(size for _, size in found.texts) < 10_000


@pytest.mark.parametrize("name", ["a_long_chain_of_files", "a_pipe", "a_device", "a_folder", "a_link"])
def test_use_reads_plain_files_below_its_own(name: str, told: dict[str, Told]) -> None:
    assert [code for code, _ in told[name].texts] == ["E209"]
    assert told[name].seconds < SECONDS
