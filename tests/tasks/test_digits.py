"""The digits: the same images in the same split on every machine."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from archdsl.tasks import digits
from archdsl.tasks._digits_images import DigitImages
from archdsl.tasks._images import SPLITS
from archdsl.tasks.digits import SIZES, Digits, Table, table

INDICES = "1e9460052c2dedd40b94062cb3d4fb90f1ee4fc9df81de537666b78b3030468b"


def test_the_split_is_fixed() -> None:
    rows = [table().indices(split) for split in SPLITS]
    assert tuple(map(len, rows)) == SIZES
    found = hashlib.sha256(",".join(str(i) for part in rows for i in part.tolist()).encode()).hexdigest()
    assert found == INDICES


def test_the_images_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    theirs = load_digits()
    assert np.array_equal(table().pixels.reshape(-1, 64), theirs.data)
    assert np.array_equal(table().labels, theirs.target)


def test_no_image_is_in_two_splits() -> None:
    rows = [set(table().indices(split).tolist()) for split in SPLITS]
    assert sum(map(len, rows)) == len(set.union(*rows)) == 1797
    assert len(np.unique(table().pixels.reshape(-1, 64), axis=0)) == 1797


def test_every_digit_is_in_every_split_alike() -> None:
    all_of = np.bincount(table().labels, minlength=10)
    for split, size in zip(SPLITS, SIZES, strict=True):
        counts = np.bincount(table().labels[table().indices(split)], minlength=10)
        assert np.abs(counts - all_of * size / 1797).max() < 1.5


def test_images_have_the_size_and_channels_of_the_architecture() -> None:
    images = DigitImages(Digits(), (12, 20), 3)
    for pixels, labels in images.plain("validation", 100):
        assert pixels.shape[1:] == (3, 12, 20)
        assert len(pixels) == len(labels) <= 100
        assert pixels.isfinite().all()
        assert torch.equal(pixels[:, 0], pixels[:, 2])


def test_images_are_normalised() -> None:
    images = DigitImages(Digits(), (8, 8), 1)
    pixels = torch.cat([x for x, _ in images.plain("train", 500)])
    assert abs(float(pixels.mean())) < 1e-4
    assert abs(float(pixels.std()) - 1) < 1e-3


def test_what_trains_follows_from_the_training_images_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = list(DigitImages(Digits(shift=4), (32, 32), 1).train(0, 0, 2000))
    known = table()
    pixels = known.pixels.copy()
    for split in ("validation", "test"):
        pixels[known.indices(split)] *= -100
    monkeypatch.setattr("archdsl.tasks._digits_images.table", lambda: Table(pixels, known.labels))
    after = list(DigitImages(Digits(shift=4), (32, 32), 1).train(0, 0, 2000))
    (images, labels), (same, written) = before[0], after[0]
    assert torch.equal(images, same)
    assert torch.equal(labels, written)


def epoch(task: Digits, seed: int, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    batches = list(DigitImages(task, (16, 16), 1).train(seed, number, 64))
    assert [len(x) for x, _ in batches] == [64] * 16 + [53]
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])


def test_order_and_changes_depend_on_seed_and_epoch_alone() -> None:
    task = Digits()
    assert all(torch.equal(a, b) for a, b in zip(epoch(task, 1, 2), epoch(task, 1, 2), strict=True))
    assert not torch.equal(epoch(task, 1, 2)[1], epoch(task, 1, 3)[1])
    assert not torch.equal(epoch(task, 1, 2)[1], epoch(task, 2, 2)[1])


def test_changed_images_are_still_digits() -> None:
    plain, labels = epoch(Digits(shift=0, rotate=0, zoom=0), 0, 0)
    changed, same = epoch(Digits(), 0, 0)
    assert torch.equal(labels, same)
    assert not torch.equal(plain, changed)
    assert changed.isfinite().all()
    assert float(plain.min()) - 0.5 <= float(changed.min())
    assert float((plain - changed).abs().mean()) < 0.8


def test_a_shift_moves_by_pixels_of_the_original() -> None:
    images = DigitImages(Digits(shift=1, rotate=0, zoom=0), (8, 8), 1)
    still = DigitImages(Digits(shift=0, rotate=0, zoom=0), (8, 8), 1)
    moved = torch.cat([x for x, _ in images.train(0, 0, 2000)])
    plain = torch.cat([x for x, _ in still.train(0, 0, 2000)])
    columns = torch.arange(8.0)

    def centre(pixels: torch.Tensor) -> torch.Tensor:
        ink = pixels[:, 0] - pixels.min()
        return (ink.sum(1) * columns).sum(1) / ink.sum((1, 2))

    far = (centre(moved) - centre(plain)).abs()
    assert float(far.max()) < 1.3
    assert float(far.mean()) > 0.2


def test_the_table_is_read_without_importing_scikit_learn() -> None:
    code = (
        "import sys\nfrom archdsl.tasks.digits import table\n"
        "table()\nprint(sorted({'sklearn', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


def test_without_the_file_scikit_learn_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = table()
    monkeypatch.setattr(digits, "_file", lambda: None)
    table.cache_clear()
    found = table()
    table.cache_clear()
    assert np.array_equal(found.pixels, expected.pixels)
    assert np.array_equal(found.labels, expected.labels)


def test_without_scikit_learn_the_extra_is_named() -> None:
    code = (
        "import sys\nsys.modules['sklearn'] = None\nfrom archdsl.tasks.digits import table\n"
        "from archdsl.diagnostics import DiagnosticError\n"
        "try:\n    table()\nexcept DiagnosticError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "error[E506]: `sklearn` is not installed" in done.stdout, done.stderr
    assert "help: pip install 'archdsl[digits]'" in done.stdout
