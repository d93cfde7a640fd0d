"""Shipped specs and searches with slips of the pen: whatever stands there, the checker answers fully."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

import archdsl
from archdsl.diagnostics import Diagnostic
from archdsl.diagnostics.render import render
from archdsl.nas.read import check_search

ROOT = Path(__file__).parents[2]
SPECS = [p for p in sorted((ROOT / "specs").rglob("*.arch")) if p.name != "prelude.arch"]
SEARCHES = sorted((ROOT / "search").glob("*.search"))
TOKEN = re.compile(r"\w+|[^\w\s]+|\s+")
WORDS = """
( ) [ ] { } , ; = -> + - * / // % x each on off none same 0 -1 2.5 1e30 1e999 dim blocks stem head norm
scan attn mamba conv2d routed split take pool image arch mixer block let require residual use and not ==
< . .. : # 4xscan @ order windows(3) s1.blocks[0] cross reverse(rows) local(0) gated metaformer shared
concat class_token
""".split()
WORDS_OF_SEARCHES = """
( ) [ ] { } , ; = -> + - * / x each on none 0 -1 2.5 1e30 dim blocks scan attn one_of(1, 2) one_of vary in ..
... claim search use let arch task digits maximize minimize require accuracy params macs latency sampler tpe
grid stop halving budget trials time limit memory repeat seeds(2) synchronous step log train.lr s1.blocks[0]
"a" > < == <= : # @ 4M 30min not and
""".split()


def slipped(text: str, seed: int, words: list[str]) -> str:
    """The text with up to three tokens dropped, put in, replaced or swapped."""
    rng = random.Random(seed)
    tokens = TOKEN.findall(text)
    for _ in range(rng.choice([1, 1, 2, 3])):
        i, j = rng.randrange(len(tokens)), rng.randrange(len(tokens))
        match rng.randrange(4):
            case 0:
                del tokens[i]
            case 1:
                tokens.insert(i, rng.choice(words))
            case 2:
                tokens[i] = rng.choice(words)
            case _:
                tokens[i], tokens[j] = tokens[j], tokens[i]
    return "".join(tokens)


@pytest.mark.parametrize("seed", range(120))
def test_every_answer_is_complete(seed: int, tmp_path: Path) -> None:
    spec = tmp_path / "slip.arch"
    text = SPECS[seed % len(SPECS)].read_text(encoding="utf-8")
    spec.write_text(slipped(text, seed, WORDS), encoding="utf-8")
    complete(archdsl.check(spec))


@pytest.mark.parametrize("seed", range(40))
def test_every_answer_on_a_search_is_complete(seed: int, tmp_path: Path) -> None:
    search = tmp_path / "slip.search"
    text = SEARCHES[seed % len(SEARCHES)].read_text(encoding="utf-8")
    search.write_text(slipped(text, seed, WORDS_OF_SEARCHES), encoding="utf-8")
    complete(check_search(search))


def complete(told: list[Diagnostic]) -> None:
    for diagnostic in told:
        text = render(diagnostic)
        assert diagnostic.span is not None, text
        assert diagnostic.label, text
        assert diagnostic.help, text
