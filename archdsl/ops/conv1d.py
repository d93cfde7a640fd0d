"""Depthwise convolution along the sequence."""

from __future__ import annotations

from typing import ClassVar, Self

from archdsl.features import Feature
from archdsl.ops._base import Infer, Macs, Op
from archdsl.ops._memory import VALUE_BYTES, size
from archdsl.ops._places import need_tokens
from archdsl.ops._types import Flag, Kernel
from archdsl.tape import Flow, Part, conv2d, pad


class Conv1d(Op):
    """`conv1d(kernel, causal, bias)`: each channel convolved along the sequence, extra tokens included.

    The sequence keeps its length: K - 1 zeros are added, all in front where it is causal (the last tap
    multiplies the current token), else half on each side, the odd one behind.

    Args:
        kernel: K, the number of taps.
        causal: whether a token sees only itself and those before it.
        bias: whether a number is added to every channel.
    """

    name: ClassVar[str] = "conv1d"
    source: ClassVar[str] = (
        "torch.nn.Conv1d with groups = channels; Gu and Dao, arXiv 2312.00752, section 3.4"
    )
    module: ClassVar[str] = "archdsl.nn.conv1d:Conv1d"

    kernel: Kernel
    causal: Flag = False
    bias: Flag = True

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input's shape."""
        need_tokens(x, "a convolution along the sequence")
        return x

    def canonical(self, x: Feature) -> Self:
        """One tap sees the current token, causal or not."""
        return self.model_copy(update={"causal": False}) if self.kernel == 1 else self

    def params(self, x: Feature, y: Feature) -> int:
        """C K + C."""
        return x.dim * self.kernel + (x.dim if self.bias else 0)

    def macs(self, x: Feature, y: Feature) -> Macs:
        """tokens * C * K."""
        return Macs(conv=x.tokens * x.dim * self.kernel)

    def workspace(self, x: Feature, y: Feature) -> int:
        """The sequence with its zeros, and the weights in the order of the kernel."""
        return size(x) + VALUE_BYTES * x.dim * (x.windows * (self.kernel - 1) + self.kernel)

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """A copy with zeros around it, which the convolution keeps."""
        row = pad(s.x, 0, self.kernel - 1, 0).transpose(1, 2).unsqueeze(2)
        convolved = conv2d(row, y.dim, (1, self.kernel))
        return s.with_x(convolved.select(2).transpose(1, 2))

    def by_channel(self, x: Feature, y: Feature) -> int:
        """All."""
        return self.macs(x, y).conv

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """Width, taps, padding and bias."""
        return {"dim": x.dim, "kernel": self.kernel, "causal": self.causal, "bias": self.bias}
