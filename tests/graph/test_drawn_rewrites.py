"""Random networks written in two ways have one digest; edited ones have others."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import torch
from drawn_pipelines import ON_MAPS, Tree, Writer, draw, leaf
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from same_function import assert_same_function

import archdsl
from archdsl.compiler.build import compile_model
from archdsl.graph.architecture import Architecture
from archdsl.graph.digest import training_digest

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
RANDOMS = st.integers(0, 2**63).map(Random)


def loaded(folder: Path, text: str) -> Architecture:
    path = folder / "drawn.arch"
    path.write_text(text, encoding="utf-8")
    return archdsl.load(path)


def drawn_blocks(rng: Random) -> list[Tree]:
    trees = [draw(rng) for _ in range(rng.randrange(1, 3))]
    return [rng.choice(trees) for _ in range(rng.randrange(1, 4))]


@QUICK
@given(rng=RANDOMS)
def test_two_ways_to_write_a_network_have_one_digest(tmp_path: Path, rng: Random) -> None:
    trees = drawn_blocks(rng)
    first, second = (loaded(tmp_path, Writer(rng).spec(trees)) for _ in range(2))
    assert first.digest() == second.digest()


@settings(QUICK, max_examples=40)
@given(rng=RANDOMS)
def test_rewrites_that_train_alike_have_one_digest_of_training(tmp_path: Path, rng: Random) -> None:
    trees = drawn_blocks(rng)
    texts = [Writer(rng, trains_alike=True).spec(trees, "init = vim") for _ in range(2)]
    first, second = (loaded(tmp_path, text) for text in texts)
    assert training_digest(first) == training_digest(second)


@pytest.mark.parametrize("seed", range(8))
def test_they_compute_one_function_and_start_alike(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    trees = drawn_blocks(rng)
    assert_same_function(*(loaded(tmp_path, Writer(rng).spec(trees)) for _ in range(2)))
    starts = []
    for _ in range(2):
        text = Writer(rng, trains_alike=True).spec(trees, "init = vim")
        torch.manual_seed(0)
        starts.append(list(compile_model(loaded(tmp_path, text)).state_dict().values()))
    assert all(torch.equal(a, b) for a, b in zip(*starts, strict=True))


@QUICK
@given(rng=RANDOMS)
def test_an_edit_changes_the_digest(tmp_path: Path, rng: Random) -> None:
    trees = drawn_blocks(rng)
    changed = edited(rng, trees)
    assume([t.flat for t in trees] != [t.flat for t in changed])
    first, second = (loaded(tmp_path, Writer(rng).spec(t)) for t in (trees, changed))
    assert first.digest() != second.digest()
    assert training_digest(first) != training_digest(second)


def edited(rng: Random, trees: list[Tree]) -> list[Tree]:
    """Another number of blocks, another order, or one block with a change somewhere inside."""
    match rng.randrange(5):
        case 0:
            return [*trees, rng.choice(trees)]
        case 1:
            return trees[::-1]
    at = rng.randrange(len(trees))
    return [*trees[:at], inside(rng, trees[at]), *trees[at + 1 :]]


def inside(rng: Random, tree: Tree) -> Tree:
    if tree.parts and rng.random() < 0.6:
        at = rng.randrange(len(tree.parts))
        return Tree(
            tree.kind, (*tree.parts[:at], inside(rng, tree.parts[at]), *tree.parts[at + 1 :]), tree.given
        )
    match tree.kind:
        case "seq" | "branches" | "split":
            return Tree(tree.kind, tree.parts[::-1], tree.given)
        case "windowed":
            return Tree("windowed", tree.parts, (tree.given[0], 1 - int(tree.given[1])))
        case "leaf":
            return leaf(rng, tree.given[0] in ON_MAPS)
        case "routed":
            return Tree("residual", (tree,))
    return tree.parts[0] if tree.parts else tree
