"""Folders of images: found, split, read; what is wrong with them is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from archdsl.diagnostics import DiagnosticError
from archdsl.graph.architecture import Architecture
from archdsl.tasks import RunError, read_task
from archdsl.tasks.imagefolder import ImageFolder, listed

MODES = ["RGB", "L", "RGBA", "P", "CMYK", "1", "I;16"]


def fill(folder: Path, count: int, shade: int, modes: tuple[str, ...] = ("RGB",)) -> None:
    folder.mkdir(parents=True)
    for index in range(count):
        noise = np.random.default_rng(index).integers(0, 100, (9 + index, 12, 3), dtype=np.uint8)
        picture = Image.fromarray(noise + np.uint8(shade))
        mode = modes[index % len(modes)]
        suffix = "tif" if mode in ("CMYK", "I;16") else "png"
        if mode == "I;16":
            picture = Image.fromarray(np.asarray(picture.convert("L"), dtype=np.uint16))
        else:
            picture = picture.convert(mode)
        picture.save(folder / f"{index}.{suffix}")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for shade, name in ((0, "dark"), (150, "light")):
        fill(root / "train" / name, 12, shade)
        fill(root / "val" / name, 6, shade)
    return root


def task(root: Path, **more: object) -> ImageFolder:
    return ImageFolder(path=str(root), epochs=2, batch=8, lr=1e-2, warmup=0, **more)


def test_classes_are_folders(photos: Path) -> None:
    (photos / "train" / ".hidden").mkdir()
    (photos / "train" / "dark" / "notes.txt").write_text("no image")
    found = task(photos)
    assert listed(str(photos)).names == ("dark", "light")
    assert (found.classes, found.channels, found.images) == (2, 3, (24, 6, 6))


def test_a_test_folder_is_taken_where_there_is_one(photos: Path) -> None:
    fill(photos / "test" / "dark", 3, 0)
    assert task(photos).images == (24, 12, 3)


def test_no_file_is_in_two_splits(photos: Path) -> None:
    found = listed(str(photos))
    files = [file for split in (found.train, found.validation, found.test) for file, _ in split]
    assert len(files) == len(set(files)) == 36


@pytest.mark.parametrize("policy", ["none", "rand_augment", "augmix"])
def test_it_trains_the_same_twice_and_with_readers(photos: Path, coloured: Architecture, policy: str) -> None:
    more = {"policy": policy, "erase": 0.5}
    runs = [task(photos, **more, workers=n).start(coloured, 0) for n in (0, 0, 1)]
    for run in runs:
        run.advance(1)
    assert runs[0].curve == runs[1].curve == runs[2].curve


def test_a_restored_run_goes_on_bit_by_bit(photos: Path, coloured: Architecture, tmp_path: Path) -> None:
    whole = task(photos).start(coloured, 0)
    whole.advance(2)
    first = task(photos).start(coloured, 0)
    first.advance(1)
    first.save(tmp_path / "1.ckpt")
    second = task(photos).start(coloured, 0)
    second.restore(tmp_path / "1.ckpt")
    second.advance(2)
    assert second.curve == whole.curve
    assert second.scores("test") == whole.scores("test")


def test_images_of_all_kinds_become_rgb(tmp_path: Path, coloured: Architecture) -> None:
    for split in ("train", "val"):
        for shade, name in ((0, "a"), (100, "b")):
            fill(tmp_path / split / name, len(MODES), shade, tuple(MODES))
    run = task(tmp_path).start(coloured, 0)
    run.advance(1)
    assert 0 <= run.scores()["accuracy"] <= 1


def test_images_fit_an_oblong_architecture(photos: Path, coloured: Architecture) -> None:
    images = task(photos).load(replace(coloured, image=(8, 16)))
    for split in ("train", "validation"):
        for pixels, _ in images.plain(split, 5):
            assert pixels.shape[1:] == (3, 8, 16)
    assert all(x.shape[1:] == (3, 8, 16) for x, _ in images.train(0, 0, 5))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 50], ids=repr)
def test_a_broken_image_is_named(photos: Path, coloured: Architecture, content: bytes, workers: int) -> None:
    (photos / "train" / "dark" / "3.png").write_bytes(content)
    with pytest.raises(RunError, match=r"train/dark/3\.png can't be read") as caught:
        task(photos, workers=workers).start(coloured, 0).advance(1)
    assert caught.value.kind == "data"


def test_a_cut_off_image_is_named(photos: Path, coloured: Architecture) -> None:
    file = photos / "train" / "dark" / "3.png"
    file.write_bytes(file.read_bytes()[:-60])
    with pytest.raises(RunError, match=r"3\.png can't be read"):
        task(photos).start(coloured, 0).advance(1)


def test_grey_architectures_are_refused(photos: Path, coloured: Architecture) -> None:
    with pytest.raises(RunError, match="images have 3 channels, the architecture takes 1"):
        task(photos).start(replace(coloured, channels=1), 0)


def told(root: Path) -> str:
    listed.cache_clear()
    with pytest.raises(DiagnosticError) as caught:
        task(root).prepare()
    (d,) = caught.value.diagnostics
    assert d.code == "E418"
    assert d.help
    return d.message


def test_what_is_wrong_with_folders_is_told(photos: Path, tmp_path: Path) -> None:
    assert told(tmp_path / "nowhere") == f"there is no folder {tmp_path}/nowhere"
    assert told(photos / "train") == f"there is no folder {photos}/train/train"
    assert told(tmp_path / ("x" * 300)).startswith("there is no folder")
    (photos / "val" / "grey").mkdir()
    assert told(photos) == f"{photos}/val/grey has no counterpart in train/"
    (photos / "val" / "grey").rmdir()
    (photos / "train" / "empty").mkdir()
    assert told(photos) == f"there is no image in {photos}/train/empty"


def test_one_class_is_too_few(tmp_path: Path) -> None:
    fill(tmp_path / "train" / "all", 3, 0)
    assert told(tmp_path) == f"{tmp_path}/train has fewer than two class folders"


def test_too_few_images_to_test_are_told(tmp_path: Path) -> None:
    for name in ("a", "b"):
        fill(tmp_path / "train" / name, 2, 0)
        fill(tmp_path / "val" / name, 1, 0)
    assert told(tmp_path) == f"no image is left to test in {tmp_path}"


def test_paths_are_texts_and_become_absolute(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos.parent)
    read = read_task('imagefolder(path = "photos", epochs = 2)')
    assert read.text() == f'imagefolder(epochs = 2, path = "{photos}")'
    monkeypatch.chdir(photos)
    assert read_task(read.text()) == read
    for text, message in {
        "imagefolder()": "`imagefolder` needs `path`",
        "imagefolder(path = 3)": "wrong value for `path` of `imagefolder`",
        'imagefolder(path = "")': "wrong value for `path` of `imagefolder`",
    }.items():
        with pytest.raises(DiagnosticError) as caught:
            read_task(text)
        assert [(d.code, d.message) for d in caught.value.diagnostics] == [("E404", message)]


def test_a_picture_too_large_is_told(photos: Path, coloured: Architecture) -> None:
    bomb = Image.new("1", (20_000, 20_000))
    bomb.save(photos / "train" / "dark" / "3.png")
    with pytest.raises(RunError, match=r"3\.png can't be read.*exceeds limit"):
        task(photos).start(coloured, 0).advance(1)
    assert torch.is_inference_mode_enabled() is False
