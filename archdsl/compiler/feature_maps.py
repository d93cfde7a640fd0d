"""A model that returns its feature maps."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from archdsl.compiler.feature_info import FeatureInfo, take_indices
from archdsl.compiler.model import Model


class FeatureMaps(nn.Module):
    """Feature maps of a model in place of its logits, as timm's `features_only` does.

    Args:
        model: the model; its weights are shared, its head is not run.
        out_indices: which maps, see `Model.forward_intermediates`; all by default.

    Attributes:
        feature_info: channels and reduction of the maps returned.
    """

    def __init__(self, model: Model, out_indices: int | Sequence[int] | None = None) -> None:
        super().__init__()
        self.model = model
        points = model.feature_info.info
        self.feature_info = FeatureInfo(points, take_indices(len(points), out_indices))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps (B, C, H, W) of images (B, channels, H, W), in the order of `out_indices`."""
        return self.model.feature_maps(images, self.feature_info.out_indices)


def features_only(model: Model, out_indices: int | Sequence[int] | None = None) -> FeatureMaps:
    """The model's feature maps: a module from images to a list of maps, with `feature_info`."""
    return FeatureMaps(model, out_indices)
