"""The network of SCN: modules whose 3-D convolutions look over several lengths of time at once."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["WIDTHS", "ParallelDepths", "SCNNetwork"]

WIDTHS = (64, 128, 256, 512)
"""Channels of each module at full width."""

_MERGED = 8
"""Branches of no more channels are computed as one convolution: so few leave most of a vector register empty."""


class ParallelDepths(nn.Module):
    """3-D convolutions of several temporal depths, side by side on one input; their outputs are concatenated.

    Parameters
    ----------
    inputs, outputs : int
        Channels; each branch has an equal part of the outputs.
    depths : sequence of int
        Frames that the filters of each branch span; odd, so that frames keep their places.

    Raises
    ------
    ValueError
        If a depth is even or occurs twice, or the outputs cannot be divided among the branches.
    """

    def __init__(self, inputs: int, outputs: int, depths: Sequence[int]) -> None:
        super().__init__()
        if not depths or any(depth < 1 or depth % 2 == 0 for depth in depths) or len(set(depths)) < len(depths):
            raise ValueError(f"depths {tuple(depths)} must be different odd numbers of frames")
        if outputs % len(depths):
            raise ValueError(
                f"{outputs} channels cannot be divided among {len(depths)} depths: use a width that is a multiple of "
                f"{len(depths)}/{WIDTHS[0]}"
            )
        self.depths = tuple(depths)
        self.branches = nn.ModuleList(_convolution(inputs, outputs // len(depths), depth) for depth in depths)

    def forward(self, features: Tensor) -> Tensor:
        """Convolve features (B, inputs, T, H, W) to (B, outputs, T, H, W)."""
        weights: list[Tensor] = [branch.weight for branch in self.branches]  # type: ignore[misc]
        if len(weights[0]) > _MERGED:
            return torch.cat([branch(features) for branch in self.branches], dim=1)
        deepest = max(self.depths)
        margins = [(deepest - depth) // 2 for depth in self.depths]
        padded = [functional.pad(w, (0, 0, 0, 0, m, m)) for w, m in zip(weights, margins, strict=True)]
        return functional.conv3d(features, torch.cat(padded), padding=(deepest // 2, 1, 1))


class SCNNetwork(nn.Module):
    """Modules, the mean over time and place, and one linear output.

    Parameters
    ----------
    width : float
        Multiplies the channels `WIDTHS`.
    depths : sequence of int
        Temporal depths of the parallel convolutions.
    fixed_depth : int
        Temporal depth of the convolution before them.
    generator : torch.Generator
        Draws the weights: normal with variance 2 over the inputs (He et al. 2015).

    Attributes
    ----------
    n_features : int
        Length of a clip's description.
    """

    def __init__(self, width: float, depths: Sequence[int], fixed_depth: int, generator: torch.Generator) -> None:
        super().__init__()
        if fixed_depth < 1 or fixed_depth % 2 == 0:
            raise ValueError(f"fixed_depth {fixed_depth} must be an odd number of frames")
        self.depths, self.fixed_depth = tuple(depths), fixed_depth
        channels = [3, *(_scaled(channels, width) for channels in WIDTHS)]
        self.stages = nn.Sequential(
            *(_stage(before, after, depths, fixed_depth) for before, after in zip(channels, channels[1:], strict=False))
        )
        self.n_features = channels[-1]
        self.output = nn.Linear(self.n_features, 1)
        self._initialise(generator)
        self.to(memory_format=torch.channels_last_3d)

    def _initialise(self, generator: torch.Generator) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Conv3d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        with torch.no_grad():
            self.output.weight.normal_(0, 0.01, generator=generator)
            self.output.bias.zero_()

    @property
    def receptive_depth(self) -> int:
        """Frames of the input that a point of the last map can depend on."""
        frames, step = 1, 1
        for _ in self.stages:
            frames += step * (self.fixed_depth - 1 + max(self.depths) - 1 + 1)  # the last is the pooling's
            step *= 2
        return frames

    def maps(self, clips: Tensor) -> Tensor:
        """Return the last maps (B, n_features, T / 16, H / 16, W / 16) of clips (B, 3, T, H, W), rounded up."""
        last: Tensor = self.stages(clips.contiguous(memory_format=torch.channels_last_3d))
        return last

    def features(self, clips: Tensor) -> Tensor:
        """Describe clips (B, 3, T, H, W) by features (B, n_features)."""
        return self.maps(clips).mean((2, 3, 4))

    def forward(self, clips: Tensor) -> Tensor:
        """Map clips (B, 3, T, H, W), of any T, H and W, to one number each, (B,)."""
        intensity: Tensor = self.output(self.features(clips))[:, 0]
        return intensity


class _Halving(nn.Module):
    """Average pooling by two in time and place; a single frame, row or column that is left over stays as it is."""

    def forward(self, features: Tensor) -> Tensor:
        kernel = [min(2, length) for length in features.shape[2:]]
        return functional.avg_pool3d(features, kernel, ceil_mode=True)


def _stage(inputs: int, outputs: int, depths: Sequence[int], fixed_depth: int) -> nn.Sequential:
    """Make a module: fixed depth, parallel depths, pooling by two in time and place."""
    return nn.Sequential(
        _convolution(inputs, outputs, fixed_depth),
        nn.BatchNorm3d(outputs),
        nn.ReLU(inplace=True),
        ParallelDepths(outputs, outputs, depths),
        nn.BatchNorm3d(outputs),
        nn.ReLU(inplace=True),
        _Halving(),
    )


def _convolution(inputs: int, outputs: int, depth: int) -> nn.Conv3d:
    """Make a convolution that keeps the size; batch normalisation follows, so that it needs no bias."""
    return nn.Conv3d(inputs, outputs, (depth, 3, 3), padding=(depth // 2, 1, 1), bias=False)


def _scaled(channels: int, width: float) -> int:
    scaled = channels * Fraction(width).limit_denominator(4096)
    if scaled.denominator != 1 or scaled < 1:
        raise ValueError(f"width {width} makes {channels} channels {float(scaled):g}: use a multiple of 1/{WIDTHS[0]}")
    return int(scaled)
