"""The model that an architecture becomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from archdsl.compiler.feature_info import FeatureInfo, feature_points, per_block, take_indices
from archdsl.compiler.heads import last, leading_norm, run_head, with_classes
from archdsl.compiler.init import initialise
from archdsl.compiler.modules import attribute, place
from archdsl.compiler.passes import PASSES, Pass, run_passes
from archdsl.compiler.stage import StageModule
from archdsl.features import Feature
from archdsl.graph.architecture import Architecture, Stage
from archdsl.kernels.ladder import Choice
from archdsl.nn.fused import fused_choice, fused_scans
from archdsl.nn.linear import quicken
from archdsl.nn.selective_scan import RunsScans
from archdsl.nn.stream import Stream, from_map, run
from archdsl.nn.windowed import Windows
from archdsl.ops.windowed import Windowed


class Model(nn.Module):
    """An architecture as a PyTorch module.

    Its parts are found as they are named in the spec: `stem`, `stages.<stage>.downsample`,
    `stages.<stage>.blocks.<index>`, `stages.<stage>.feature_norm`, `head`. It takes images of other sizes
    than the one it was built for, as long as its maps keep at least one place.

    Args:
        architecture: checked.
        backend: the kernel of scans, `auto` for the fastest that serves.
        passes: what happens to the architecture before modules are built.
        quick: whether linear maps are computed by `archdsl.kernels.linear`, or by PyTorch alone.

    Attributes:
        architecture: as given, before the passes.
        placed: every top node with its module, by path.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        backend: str = "auto",
        passes: tuple[Pass, ...] = PASSES,
        quick: bool = True,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.passes = passes
        self.quick = quick
        plan = run_passes(architecture, passes)
        self.placed = {path: place(node) for path, node in plan.top()}
        self.stem = self.placed["stem"].module
        self.stages = nn.ModuleDict()
        for stage in plan.stages:
            at = f"stages.{stage.name}"
            down = self.placed.get(f"{at}.downsample")
            blocks = [self.placed[f"{at}.blocks.{i}"].module for i in range(len(stage.blocks))]
            name = attribute(nn.ModuleDict, stage.name)
            norm = self.placed.get(f"{at}.feature_norm")
            self.stages[name] = StageModule(
                blocks, down.module if down else None, _windows(stage), norm.module if norm else None
            )
        head = self.placed.get("head")
        self.head = None if head is None else head.module
        if quick:
            quicken(self)
        for module in self.modules():
            if isinstance(module, RunsScans):
                module.backend = backend

    @property
    def num_classes(self) -> int:
        """Length of the logits; 0 without a head."""
        return self.architecture.classes if self.architecture.head is not None else 0

    @property
    def num_features(self) -> int:
        """Channels behind the last stage."""
        return self._last.dim

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, channels, H, W); the tokens (B, T, C) where there is no head.

        Raises:
            ValueError: for a tensor that holds no such images.
        """
        return self._through_head(self._trunk(images))

    def forward_features(self, images: Tensor) -> Tensor:
        """The tokens (B, T, C) behind the last stage, extra tokens in their places; no norm of the head."""
        return self._trunk(images).x

    def forward_head(
        self, tokens: Tensor, pre_logits: bool = False, grid: tuple[int, ...] | None = None
    ) -> Tensor:
        """The head on what `forward_features` returned.

        Args:
            tokens: (B, T, C).
            pre_logits: stop before the last linear.
            grid: (H, W) of the patches among the tokens; needed where the image was not of the built size
                and the head looks at places.
        """
        extras = self._last.extras
        if grid is None:
            grid = self._last.grid
            patches = tokens.shape[1] - sum(e.count for e in extras)
            if patches != self._last.patches:
                grid = (patches,)
        return self._through_head(Stream(tokens, grid, extras), pre_logits)

    def forward_intermediates(
        self,
        images: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
        return_prefix_tokens: bool = False,
    ) -> Any:
        """Feature maps on the way, with the meaning that timm gives these arguments.

        There is a map behind every stage; in an arch of one stage behind every block, as timm's ViTs have.
        Where a stage has a `feature_norm`, all its maps go through it, extra tokens included; what the next
        stage receives does not.

        Args:
            images: (B, channels, H, W).
            indices: which maps: the last n for a number, all for None; negative ones count from the end.
            norm: apply the norm that the head begins with, where it does, to the last stage's map, or to
                every map of an arch of one stage. A stage with a `feature_norm` is not normed twice: there
                this changes nothing.
            stop_early: don't compute what stands behind the last map taken.
            output_fmt: `NCHW`, `NHWC` or `NLC` (patches row by row).
            intermediates_only: return the maps alone.
            return_prefix_tokens: return pairs of a map and its extra tokens (B, n, C), as written.

        Returns:
            The tokens (B, T, C) as `forward_features` returns them (of the last block computed) and the list
            of maps; or the list alone.

        Raises:
            ValueError: for an index out of range, an unknown format, or a feature that is no map.
        """
        taken = take_indices(len(self.feature_info), indices)
        s, found = self._run(images, frozenset(taken), stop_early)
        maps = [self._as_map(found[i], i, norm, output_fmt) for i in taken]
        listed = maps if return_prefix_tokens else [m for m, _ in maps]
        return listed if intermediates_only else (s.x, listed)

    def feature_maps(self, images: Tensor, indices: Sequence[int]) -> list[Tensor]:
        """Maps (B, C, H, W) alone, nothing computed behind the last: see `forward_intermediates`."""
        _, found = self._run(images, frozenset(indices), stop_early=True)
        return [self._as_map(found[i], i, False, "NCHW")[0] for i in indices]

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Whether training keeps only what goes into a block, and computes the block again in the backward.

        `archdsl.graph.memory.keeping.checkpointed` tells what is kept then.
        """
        for stage in self._stage_modules:
            stage.grad_checkpointing = enable

    def reset_classifier(self, classes: int) -> None:
        """Puts a new last linear with initial weights, for another number of classes; the rest stays.

        Raises:
            ValueError: where the head does not end in a linear, or for fewer than one class.
        """
        architecture = with_classes(self.architecture, classes)
        old = self.placed["head"].module
        weight = next(old.parameters())
        with torch.device(weight.device):
            head = place(dict(run_passes(architecture, self.passes).top())["head"])
        if self.quick:
            quicken(head.module)
        if not weight.is_meta:
            initialise({"head": head}, architecture.init)
        head.module.to(weight.dtype).train(old.training)
        if not weight.is_meta:
            new = {id(p) for p in last(head).module.parameters()}
            kept = old.state_dict()
            names = [n for n, p in head.module.state_dict(keep_vars=True).items() if id(p) not in new]
            head.module.load_state_dict({name: kept[name] for name in names}, strict=False)
        self.architecture = architecture
        self.placed["head"] = head
        self.head = head.module

    def kernels(self, batch: int = 1) -> dict[str, str]:
        """The name of the kernel that serves every scan, by path, see `kernel_choices`."""
        return {path: choice.name for path, choice in self.kernel_choices(batch).items()}

    def kernel_choices(self, batch: int = 1) -> dict[str, Choice[Any, Any]]:
        """The kernel that serves every scan on the device and in the type of its weights, by path.

        `passed_over` tells which faster ones don't, and why.

        Args:
            batch: images at once.

        Raises:
            ValueError: where the backend asked for can't serve a scan.
        """
        paths = {id(module): path for path, module in self.named_modules()}
        served: dict[str, Choice[Any, Any]] = {}
        for top in self.placed.values():
            for placed in top.walk():
                module, x = placed.module, placed.node.input
                scans = fused_scans(module)
                if not scans and not isinstance(module, RunsScans):
                    continue
                weight = next(module.parameters()).detach()
                tokens = weight.new_empty(()).expand(batch * x.windows, x.tokens, x.dim)
                if scans:
                    choice = fused_choice(module, Stream(tokens, x.grid, x.extras))
                    found = {paths[id(scan)]: choice for scan in scans}
                else:
                    assert isinstance(module, RunsScans)
                    found = {paths[id(module)]: module.choice(tokens)}
                for path, choice in found.items():
                    if choice is not None:
                        served.setdefault(path, choice)
        return served

    @property
    def feature_info(self) -> FeatureInfo:
        """The maps that `forward_intermediates` counts, as timm describes them."""
        return FeatureInfo(feature_points(self.architecture, tuple(self.stages)))

    @property
    def _last(self) -> Feature:
        return self.architecture.stages[-1].feature

    @property
    def _stage_modules(self) -> list[StageModule]:
        return [stage for stage in self.stages.values() if isinstance(stage, StageModule)]

    def _entering(self, images: Tensor) -> Stream:
        """Images (B, channels, H, W) as a stream.

        Raises:
            ValueError: for another number of dimensions or of channels.
        """
        channels = self.architecture.channels
        if images.ndim != 4 or images.shape[1] != channels:
            raise ValueError(
                f"{self.architecture.name} takes images (batch, {channels}, height, width), "
                f"not a tensor of shape {tuple(images.shape)}"
            )
        return from_map(images)

    def _trunk(self, images: Tensor) -> Stream:
        s = run(self.stem, self._entering(images))
        for stage in self.stages.values():
            s = run(stage, s)
        return s

    def _run(
        self, images: Tensor, taken: frozenset[int], stop_early: bool
    ) -> tuple[Stream, dict[int, Stream]]:
        """The stream at the end, and behind every place in `taken`."""
        s = run(self.stem, self._entering(images))
        last = max(taken, default=-1) if stop_early else None
        stages = self._stage_modules
        if per_block(self.architecture):
            return stages[0].between(s, taken, last)
        found: dict[int, Stream] = {}
        for index, stage in enumerate(stages):
            if last is not None and index > last:
                break
            s = stage(s)
            if index in taken:
                found[index] = s
        return s, found

    def _norm_of_map(self, index: int, norm: bool) -> nn.Module | None:
        """What a map goes through: its stage's `feature_norm`, else the head's norm where that is due."""
        stages = self._stage_modules
        own = stages[0 if per_block(self.architecture) else index].feature_norm
        if own is not None or not norm:
            return own
        final = per_block(self.architecture) or index == len(stages) - 1
        return leading_norm(self.head) if final else None

    def _as_map(self, s: Stream, index: int, norm: bool, output_fmt: str) -> tuple[Tensor, Tensor]:
        """A stream as a map in the format asked for, and its extra tokens (B, n, C)."""
        if output_fmt not in ("NCHW", "NHWC", "NLC"):
            raise ValueError(f"output_fmt is NCHW, NHWC or NLC, not {output_fmt!r}")
        if len(s.grid) != 2:
            raise ValueError("there is no feature map: the tokens have no places")
        applied = self._norm_of_map(index, norm)
        if applied is not None:
            s = run(applied, s)
        patches, extras = s.take_apart()
        beside = torch.cat(extras, dim=1) if extras else patches[:, :0]
        if output_fmt == "NLC":
            return patches, beside
        h, w = s.grid
        places = patches.reshape(patches.shape[0], h, w, patches.shape[2])
        return (places.permute(0, 3, 1, 2) if output_fmt == "NCHW" else places), beside

    def _through_head(self, s: Stream, pre_logits: bool = False) -> Tensor:
        if self.head is None:
            return s.x
        s = run_head(self.head, s, pre_logits)
        return s.x if s.grid else s.x[:, 0]


def _windows(stage: Stage) -> Windows | None:
    """How a stage is cut for all its blocks."""
    within = stage.within
    if within is None:
        return None
    if not isinstance(within, Windowed):
        raise TypeError(f"a stage works within windows, not within {within.name}")
    return Windows(within.window, within.shift, within.pad, within.extras)
