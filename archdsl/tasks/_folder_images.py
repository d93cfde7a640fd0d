"""Images of folders as tensors: read when they are needed, changed as timm does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from archdsl.tasks._base import RunError
from archdsl.tasks._images import Batch
from archdsl.tasks._seeds import generator, seeded

if TYPE_CHECKING:
    from archdsl.tasks.imagefolder import ImageFolder, Listing, Sample

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels, for red, green and blue."""
# At the usual magnitude of 9 timm draws posterizing to 0 bits now and then, which Pillow refuses.
_POLICIES = {"none": None, "rand_augment": "rand-m7-mstd0.5-inc1", "augmix": "augmix-m3-w3"}


class FolderImages:
    """The images of a listing.

    What is random for an image comes from seed, epoch and its place in the listing, so that it does not
    depend on how many processes read.

    Args:
        task: how training images are changed, and how many processes read.
        listing: the files.
        size: height and width of the images given.
        channels: 3.

    Raises:
        RunError: `data`, for another number of channels.
    """

    def __init__(self, task: ImageFolder, listing: Listing, size: tuple[int, int], channels: int) -> None:
        from timm.data.transforms_factory import create_transform

        if channels != 3:
            raise RunError("data", f"images have 3 channels, the architecture takes {channels}")
        self._workers = task.workers
        self._splits = {"train": listing.train, "validation": listing.validation, "test": listing.test}
        shared: dict[str, Any] = {
            "input_size": (3, *size), "mean": MEAN, "std": DEVIATION, "interpolation": "bicubic",
        }  # fmt: skip
        self._changing = create_transform(
            **shared,
            is_training=True,
            scale=(task.crop, 1.0),
            hflip=0.5 if task.flip else 0.0,
            color_jitter=task.colour,
            auto_augment=_POLICIES[task.policy],
            re_prob=task.erase,
        )
        self._plain = create_transform(**shared, is_training=False, crop_pct=1.0)

    def count(self, split: str) -> int:
        """Images in a split."""
        return len(self._splits[split])

    def train(self, seed: int, epoch: int, batch: int) -> Iterator[Batch]:
        """See `Images.train`.

        Raises:
            RunError: `data`, for a file that is no image.
        """
        samples = self._splits["train"]
        order = torch.randperm(len(samples), generator=generator(seed, "images", epoch)).tolist()
        return self._batches(_Files(samples, self._changing, (seed, epoch)), order, batch)

    def plain(self, split: str, batch: int) -> Iterator[Batch]:
        """See `Images.plain`.

        Raises:
            RunError: `data`, for a file that is no image.
        """
        samples = self._splits[split]
        return self._batches(_Files(samples, self._plain, None), range(len(samples)), batch)

    def _batches(self, files: _Files, order: Any, batch: int) -> Iterator[Batch]:
        loader: DataLoader[Any] = DataLoader(
            files, batch, sampler=order, num_workers=self._workers, collate_fn=_collated,
            generator=torch.Generator(), pin_memory=torch.cuda.is_available(),
        )  # fmt: skip
        for found in loader:
            if isinstance(found, str):
                raise RunError("data", found)
            yield found


class _Files(Dataset[tuple[Tensor, int] | str]):
    """Files as tensors with their classes, or a text that says what is wrong with one.

    Args:
        samples: the files.
        transform: from a picture to a tensor.
        draw: seed and epoch, where the transform is random.
    """

    def __init__(self, samples: tuple[Sample, ...], transform: Any, draw: tuple[int, int] | None) -> None:
        self.samples = samples
        self.transform = transform
        self.draw = draw

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int] | str:
        path, label = self.samples[index]
        try:
            with Image.open(path) as opened:
                picture = opened.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            return f"{path} can't be read: {error}"
        if self.draw is None:
            return self.transform(picture), label
        seed, epoch = self.draw
        with seeded(seed, "image", epoch, index, devices=False):
            return self.transform(picture), label


def _collated(found: list[tuple[Tensor, int] | str]) -> Batch | str:
    pairs = []
    for pair in found:
        if isinstance(pair, str):
            return pair
        pairs.append(pair)
    return torch.stack([image for image, _ in pairs]), torch.tensor([label for _, label in pairs])
