"""Shipped specs with slips of the pen: whatever stands there, the checker answers in full sentences."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

import archdsl
from archdsl.diagnostics.render import render

ROOT = Path(__file__).parents[2]
SPECS = [p for p in sorted((ROOT / "specs").rglob("*.arch")) if p.name != "prelude.arch"]
TOKEN = re.compile(r"\w+|[^\w\s]+|\s+")
WORDS = """
( ) [ ] { } , ; = -> + - * / // % x each on off none same 0 -1 2.5 1e30 1e999 dim blocks stem head norm
scan attn mamba conv2d routed split take pool image arch mixer block let require residual use and not ==
< . .. : # 4xscan @ order windows(3) s1.blocks[0] cross reverse(rows) local(0) gated metaformer shared
concat class_token
""".split()


def slipped(text: str, seed: int) -> str:
    """The text with up to three tokens dropped, put in, replaced or swapped."""
    rng = random.Random(seed)
    tokens = TOKEN.findall(text)
    for _ in range(rng.choice([1, 1, 2, 3])):
        i, j = rng.randrange(len(tokens)), rng.randrange(len(tokens))
        match rng.randrange(4):
            case 0:
                del tokens[i]
            case 1:
                tokens.insert(i, rng.choice(WORDS))
            case 2:
                tokens[i] = rng.choice(WORDS)
            case _:
                tokens[i], tokens[j] = tokens[j], tokens[i]
    return "".join(tokens)


@pytest.mark.parametrize("seed", range(120))
def test_every_answer_is_complete(seed: int, tmp_path: Path) -> None:
    spec = tmp_path / "slip.arch"
    spec.write_text(slipped(SPECS[seed % len(SPECS)].read_text(encoding="utf-8"), seed), encoding="utf-8")
    for diagnostic in archdsl.check(spec):
        text = render(diagnostic)
        assert diagnostic.span is not None, text
        assert diagnostic.label, text
        assert diagnostic.help, text
