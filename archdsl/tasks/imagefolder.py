"""Images of one's own: a folder for every class, as torchvision's ImageFolder reads them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from archdsl.diagnostics import Diagnostic, DiagnosticError
from archdsl.ops._types import Flag, Natural, Rate, Real
from archdsl.tasks._images import Images
from archdsl.tasks._recipe import ImageClassification

if TYPE_CHECKING:
    from archdsl.graph.architecture import Architecture

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})
"""Endings of files that are taken for images, torchvision's."""
MAX_IMAGES = 10_000_000


class ImageFolder(ImageClassification):
    """Images in `train/<class>/` and `val/<class>/`, and in `test/<class>/` where there is such a folder.

    Without `test/`, every second image of each class of `val/`, sorted by name, is kept for the test. Images
    are RGB, resized to the architecture's image and normalised as ImageNet is. Training images are changed as
    timm does: a random crop, a flip, colours, a policy, an erased rectangle; the defaults are timm's.

    Args:
        path: of the folder; a relative one is relative to the current folder.
        crop: least share of an image's area that a random crop keeps.
        flip: half of the images are mirrored.
        colour: strength of random brightness, contrast and saturation.
        policy: timm's random operations on a training image, in the place of `colour`.
        erase: how often a random rectangle is erased.
        workers: processes that read images; 0 reads them in the process that trains.
    """

    name: ClassVar[str] = "imagefolder"

    path: Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(lambda p: str(_absolute(p)))]
    crop: Annotated[Real, Field(gt=0, le=1)] = 0.08
    flip: Flag = True
    colour: Annotated[Real, Field(ge=0, le=1)] = 0.4
    policy: Literal["none", "rand_augment", "augmix"] = "none"
    erase: Rate = 0.0
    workers: Annotated[Natural, Field(le=256)] = 0

    @property
    def classes(self) -> int:
        """One for every folder in `train/`.

        Raises:
            DiagnosticError: E418 where the folders can't be read.
        """
        return len(listed(self.path).names)

    @property
    def images(self) -> tuple[int, int, int]:
        """How many images train, validate and test.

        Raises:
            DiagnosticError: E418 where the folders can't be read.
        """
        found = listed(self.path)
        return len(found.train), len(found.validation), len(found.test)

    def prepare(self) -> None:
        """Lists the folders."""
        listed(self.path)

    def load(self, architecture: Architecture) -> Images:
        """The images as the architecture takes them."""
        from archdsl.tasks._folder_images import FolderImages

        return FolderImages(self, listed(self.path), architecture.image, architecture.channels)


Sample = tuple[str, int]
"""A file and the number of its class."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder holds.

    Args:
        names: of the classes, sorted.
        train, validation, test: files with their classes, sorted by class, then by name.
    """

    names: tuple[str, ...]
    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    test: tuple[Sample, ...]


@lru_cache(maxsize=4)
def listed(path: str) -> Listing:
    """The images below a folder, without opening them.

    Raises:
        DiagnosticError: E418 where folders are missing or empty, or classes differ between them.
    """
    root = Path(path)
    if not _is_folder(root):
        raise _unreadable(
            f"there is no folder {path}", "check `path`; a relative one starts at the current folder"
        )
    train = _classes(root / "train")
    names = tuple(train)
    validation = _classes(root / "val", names)
    if _is_folder(root / "test"):
        test = _classes(root / "test", names)
    else:
        test = {name: files[1::2] for name, files in validation.items()}
        validation = {name: files[::2] for name, files in validation.items()}
    splits = [
        tuple((str(file), index) for index, name in enumerate(names) for file in split.get(name, ()))
        for split in (train, validation, test)
    ]
    for split, what in zip(splits, ("train", "val", "test"), strict=True):
        if not split:
            raise _unreadable(f"no image is left to {what} in {path}", "give every class more images")
    return Listing(names, *splits)


def _classes(folder: Path, known: tuple[str, ...] = ()) -> dict[str, list[Path]]:
    """The image files of every class of a split, sorted."""
    if not _is_folder(folder):
        raise _unreadable(
            f"there is no folder {folder}", "put images in train/<class>/ and val/<class>/ below the path"
        )
    try:
        found = {
            entry.name: sorted(f for f in entry.iterdir() if f.suffix.lower() in SUFFIXES and f.is_file())
            for entry in sorted(folder.iterdir())
            if entry.is_dir() and not entry.name.startswith(".")
        }
    except OSError as error:
        raise _unreadable(f"{folder} can't be read: {error.strerror}", "check who may read it") from None
    if strange := sorted(set(found) - set(known)) if known else []:
        raise _unreadable(f"{folder / strange[0]} has no counterpart in train/", "use the same class folders")
    if empty := [name for name, files in found.items() if not files]:
        raise _unreadable(
            f"there is no image in {folder / empty[0]}", f"expected {', '.join(sorted(SUFFIXES))}"
        )
    if len(found) < 2 and not known:
        raise _unreadable(
            f"{folder} has fewer than two class folders", "put each class into a folder of its own"
        )
    if sum(map(len, found.values())) > MAX_IMAGES:
        raise _unreadable(f"{folder} has more than {MAX_IMAGES:,} images", "use a part of them")
    return found


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # too long a name, or a folder that may not be entered
        return False


def _unreadable(message: str, help: str) -> DiagnosticError:
    return DiagnosticError(Diagnostic("E418", message, help=help))


def _absolute(path: str) -> Path:
    if "\0" in path:
        raise ValueError("a path has no zero bytes")
    return Path(path).expanduser().absolute()
