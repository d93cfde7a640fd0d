"""Handwritten digits: 1,797 real images of 8 x 8 pixels, which come with scikit-learn.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository,
1998; its test set. Thirteen people wrote them, and all of them wrote for every split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from archdsl.diagnostics import need
from archdsl.ops._types import Real
from archdsl.tasks._images import Images
from archdsl.tasks._recipe import ImageClassification

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from archdsl.graph.architecture import Architecture

SIDE = 8
"""Pixels."""
SIZES = (1077, 360, 360)
"""Images in train, validation and test."""
_FIFTHS = ("validation", "test", "train", "train", "train")
"""Sorted by digit, else in the order of the file, image i goes where i % 5 says."""


class Digits(ImageClassification):
    """Handwritten digits, resized to the architecture's image and normalised.

    Args:
        shift: how far training images are moved at most along each axis, in pixels of the 8 x 8 original.
        rotate: how far they are turned at most, in degrees.
        zoom: how much larger or smaller they are made at most; 0.1 is a tenth.
    """

    name: ClassVar[str] = "digits"

    shift: Annotated[Real, Field(ge=0, le=4)] = 1.0
    rotate: Annotated[Real, Field(ge=0, le=180)] = 10.0
    zoom: Annotated[Real, Field(ge=0, le=0.5)] = 0.1

    @property
    def classes(self) -> int:
        """The ten digits."""
        return 10

    @property
    def channels(self) -> int:
        """Grey."""
        return 1

    @property
    def images(self) -> tuple[int, int, int]:
        """Sizes of the splits."""
        return SIZES

    def prepare(self) -> None:
        """Reads the digits, see `table`."""
        table()

    def baselines(self) -> Mapping[str, float]:
        """Three nearest neighbours and a support vector machine; see `archdsl.tasks.baselines`."""
        from archdsl.tasks.baselines import accuracies

        return accuracies()

    def load(self, architecture: Architecture) -> Images:
        """The digits as the architecture takes them; grey values are repeated for further channels."""
        from archdsl.tasks._digits_images import DigitImages

        return DigitImages(self, architecture.image, architecture.channels)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The digits as they are.

    Args:
        pixels: (1797, 8, 8), 0 for paper to 16 for ink.
        labels: (1797), what was written.
    """

    pixels: NDArray[np.float32]
    labels: NDArray[np.int64]

    def indices(self, split: str) -> NDArray[np.int64]:
        """Rows of a split. They depend on the labels and their order alone."""
        import numpy as np

        rows = np.argsort(self.labels, kind="stable")
        wanted = [i for i, name in enumerate(_FIFTHS) if name == split]
        return rows[np.isin(np.arange(len(rows)) % len(_FIFTHS), wanted)]


@lru_cache(maxsize=1)
def table() -> Table:
    """The digits, read from scikit-learn's file without importing scikit-learn, where it is in its place.

    Raises:
        DiagnosticError: E506 where scikit-learn is not installed.
    """
    import numpy as np

    file = _file()
    data: Any
    if file is not None:
        data = np.loadtxt(file, delimiter=",")
    else:
        loaded = need("sklearn.datasets", "digits").load_digits()
        data = np.column_stack([loaded.data, loaded.target])
    return Table(
        data[:, :-1].reshape(-1, SIDE, SIDE).astype(np.float32), np.ascontiguousarray(data[:, -1], np.int64)
    )


def _file() -> Path | None:
    """The table inside the installed scikit-learn."""
    try:
        found = find_spec("sklearn")
    except ValueError:  # a module without a spec
        found = None
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            return file
    return None
