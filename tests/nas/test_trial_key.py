"""The key of a trial sees what training sees, the digest does not."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest

import archdsl
from archdsl.graph.architecture import Architecture
from archdsl.graph.digest import training_digest
from archdsl.graph.recipes import init_recipes
from archdsl.nas.trial_key import trial_key
from archdsl.ops import find, names
from archdsl.tasks import read_task

TASK = read_task("digits(epochs = 9)")
SPEC = """
arch a(dim = 16) {{
  image = 32
  classes = 10
  drop_path = {drop_path}
  layer_scale = {layer_scale}
  init = {init}
  stem = patch_embed(4, dim)
  stage s {{ blocks = {blocks} }}
  head = pool(mean) -> linear(classes)
}}
"""
PLAIN = {
    "drop_path": "0.1",
    "layer_scale": "1e-4",
    "init": "vim",
    "blocks": "2 x attn(heads = 2)",
}


def loaded(folder: Path, **changes: str) -> Architecture:
    path = folder / "a.arch"
    path.write_text(SPEC.format(**(PLAIN | changes)), encoding="utf-8")
    return archdsl.load(path)


def key(architecture: Architecture) -> str:
    return trial_key(training_digest(architecture), TASK, (0,))


TRAINING_ONLY = {
    ("drop_path", "drop_path"): {"drop_path": "0.2"},
    ("drop_path", "rate"): {"blocks": "2 x residual(linear -> drop_path({}))"},
    ("layer_scale", "layer_scale"): {"layer_scale": "1e-5"},
    ("layer_scale", "init"): {"blocks": "2 x residual(linear -> layer_scale({}))"},
}


def test_every_field_that_only_training_sees_is_known_here() -> None:
    declared = {(name, f) for name in names() if (op := find(name)) is not None for f in op.training_only}
    assert declared == TRAINING_ONLY.keys()


@pytest.mark.parametrize("field", TRAINING_ONLY, ids=".".join)
def test_fields_that_only_training_sees_change_the_key_alone(tmp_path: Path, field: tuple[str, str]) -> None:
    change = TRAINING_ONLY[field]
    blocks = change.get("blocks")
    first, second = (
        loaded(tmp_path, **({"blocks": blocks.format(value)} if blocks else given))
        for value, given in (("0.3", {}), ("0.4", change))
    )
    assert first.digest() == second.digest()
    assert key(first) != key(second)


def test_recipes_of_initial_weights_change_the_key_alone(tmp_path: Path) -> None:
    texts = [*init_recipes(), "trunc_normal(0.01)"]
    found = [loaded(tmp_path, init=text) for text in texts]
    assert len({a.digest() for a in found}) == 1
    assert len({key(a) for a in found}) == len(texts)
    written = [loaded(tmp_path, init=text) for text in ("trunc_normal", "trunc_normal(std = 2e-2)")]
    assert len({key(a) for a in written}) == 1


def test_the_image_changes_the_key_alone(tmp_path: Path) -> None:
    first = loaded(tmp_path)
    second = archdsl.load(tmp_path / "a.arch", image=48)
    assert first.digest() == second.digest()
    assert key(first) != key(second)


DEFINITIONS = """
block one { residual linear -> drop_path }
block two { residual gelu -> drop_path }
block both { one
             two }
block plain { residual linear }
block plains { plain
               plain }
"""


def test_the_depth_of_what_drops_paths_changes_the_key_alone(tmp_path: Path) -> None:
    """Two blocks drop by 0 and by 0.1, both as one by 0; one of four by a third, one of three by half."""
    path = tmp_path / "a.arch"
    found = {}
    pairs = (
        ("one + two", "both"),
        ("one + both", "one + one + two"),
        ("plain + one + plains", "plain + one + plain + plain"),
    )
    for blocks in chain.from_iterable(pairs):
        path.write_text(DEFINITIONS + SPEC.format(**(PLAIN | {"blocks": blocks})), encoding="utf-8")
        found[blocks] = archdsl.load(path)
    for first, second in pairs:
        assert found[first].digest() == found[second].digest()
        assert key(found[first]) != key(found[second])


def test_where_nothing_is_dropped_blocks_may_be_regrouped(tmp_path: Path) -> None:
    definition = "block both { residual linear -> drop_path\n residual gelu -> drop_path(0.2) }\n"
    keys = set()
    for blocks in ("residual(linear) + residual(gelu -> drop_path(0.2))", "both"):
        path = tmp_path / "a.arch"
        path.write_text(definition + SPEC.format(**(PLAIN | {"blocks": blocks, "drop_path": "0"})))
        keys.add(key(archdsl.load(path)))
    assert len(keys) == 1


CHANGED = {
    "epochs": 10, "batch": 32, "lr": 2e-3, "optimizer": "sgd", "weight_decay": 0.1, "schedule": "constant",
    "warmup": 2.0, "smoothing": 0.2, "mixup": 0.5, "clip": 2.0, "shift": 2.0, "rotate": 5.0,
    "zoom": 0.2,
}  # fmt: skip


@pytest.mark.parametrize("name", type(TASK).model_fields)
def test_every_field_of_the_task_changes_it(name: str) -> None:
    other = TASK.changed({name: CHANGED[name]})
    assert trial_key("x", other, (0,)) != trial_key("x", TASK, (0,))
    assert trial_key("x", other.changed({name: getattr(TASK, name)}), (0,)) == trial_key("x", TASK, (0,))


def test_seeds_change_it() -> None:
    assert len({trial_key("x", TASK, seeds) for seeds in ((0,), (1,), (0, 1))}) == 3
