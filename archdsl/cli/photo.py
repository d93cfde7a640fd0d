"""Photographs as input: decoded, bounded, resized and normalised as timm does it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from archdsl.cli.messages import mistake
from archdsl.diagnostics import DiagnosticError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

MAX_FILE = 64 * 1024 * 1024
MAX_PIXELS = 100_000_000


def open_photo(path: Path) -> Image:
    """The picture in a file, decoded, as RGB.

    Raises:
        DiagnosticError: E501 where the file can't be read, E507 where it is no picture or too large a one.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        size = path.stat().st_size
        if size > MAX_FILE:
            raise _unreadable(
                path, f"it has {size >> 20} MiB", f"give a file of at most {MAX_FILE >> 20} MiB"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise _unreadable(
                        path,
                        f"it has {width} x {height} pixels",
                        f"give one of at most {MAX_PIXELS:,} pixels",
                    )
                return ImageOps.exif_transpose(image).convert("RGB")
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise mistake(
            "E501", f"cannot read {path}", notes=(error.strerror or "",), help="check the path"
        ) from error
    except DiagnosticError:
        raise
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        note = "it is no picture that PIL knows" if isinstance(error, UnidentifiedImageError) else str(error)
        raise _unreadable(path, note, "give a photograph as JPEG, PNG or WebP") from error


def to_tensor(photo: Image, size: tuple[int, int]) -> Tensor:
    """The photograph as (1, 3, height, width), by timm's transforms for evaluation."""
    from timm.data.config import resolve_data_config
    from timm.data.transforms_factory import create_transform

    config = resolve_data_config({"input_size": (3, *size)})  # type: ignore[no-untyped-call]
    transform = create_transform(**config, is_training=False)
    tensor: Tensor = transform(photo)
    return tensor.unsqueeze(0)


def _unreadable(path: Path, note: str, help: str) -> DiagnosticError:
    return mistake("E507", f"cannot take {path} as a picture", notes=(note,), help=help)
