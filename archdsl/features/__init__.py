"""What flows between operators, described without tensors: shapes, extra tokens, scan orders, words."""

from archdsl.features.feature import Extra, Feature, Segment, segments, slots
from archdsl.features.orders import Order, visited_grid
from archdsl.features.values import Word

__all__ = ["Extra", "Feature", "Order", "Segment", "Word", "segments", "slots", "visited_grid"]
