"""The clips of motion and appearance statistics: their images, and their numbers in each of nine windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from baselines.selfsup.clip_statistics import STEP, clip_statistics
from repro.data.clips import Clip
from repro.data.encoding import InputSpec
from repro.data.flow import FlowMethod, flow
from repro.data.material import Extra, Material

__all__ = ["ClipStatistics", "measured_size", "windows"]

_LARGEST = 112
"""Pixels at which numbers are computed at most: the side of the authors' clips."""

_SMALLEST = 32
"""Pixels below which a window's blocks are too small to compare."""

_BLOCK = 32
"""Frames that are made smaller at a time."""


def windows(size: int) -> list[tuple[int, int, int]]:
    """Return the windows that clips are cropped to: row, column and side, all in pixels.

    Parameters
    ----------
    size : int
        Side of the image, a multiple of 8.

    Returns
    -------
    list of (int, int, int)
        Three rows of three, from the upper left. The side is the largest multiple of 8 within three quarters of `size`.
    """
    side = 3 * size // 4 // STEP * STEP
    places = [step * (size - side) // 2 for step in range(3)]
    return [(row, column, side) for row in places for column in places]


@dataclass(frozen=True)
class ClipStatistics(Material):
    """Frames of each clip, or its distilled image, and the 27 numbers of the clip in each of nine windows.

    The numbers ``statistics`` are (n, 9, 27) in the order of `windows` and of `clip_statistics`. ``drawn_flow`` (n,) is
    1 where images are drawn optical flow, whose mirror image has u turned round, else 0.

    Parameters
    ----------
    frames : int
        Images of a clip that is not distilled.
    flow : {"tvl1", "dis"}
        How motion is measured, on faces of at most 112 pixels.
    apart : int
        Frames that a flow field leads over.
    """

    name: ClassVar[str] = "clip statistics"
    version: ClassVar[int] = 1

    frames: int = 4
    flow: FlowMethod = "tvl1"
    apart: int = 1

    def input(self, spec: InputSpec) -> InputSpec:
        """Return how clips become images: evenly spaced frames, or the distilled image.

        Raises
        ------
        ValueError
            If images are too small for windows.
        """
        if spec.size < _SMALLEST:
            raise ValueError(f"images of {spec.size} pixels are too small for windows of them; use {_SMALLEST} or more")
        return replace(spec, frames=self.frames)

    def extra(self, faces: Tensor, clips: Sequence[Clip], spec: InputSpec) -> Extra:
        """Compute the numbers; flow is estimated once, whatever clips share a frame.

        Raises
        ------
        ValueError
            If a clip is not longer than a flow field leads over.
        """
        first, stop = min(clip.start for clip in clips), max(clip.stop for clip in clips)
        shortest = min(len(clip) for clip in clips)
        if shortest <= self.apart:
            raise ValueError(f"clips of {shortest} frames hold no flow over {self.apart} frames; lower apart")
        small = _reduced(faces[first:stop])
        fields = _flow(small, self.flow, self.apart)
        places = [(clip.start - first, clip.stop - first) for clip in clips]
        numbers = []
        for row, column, side in windows(small.shape[-1]):
            window = ..., slice(row, row + side), slice(column, column + side)
            numbers.append(clip_statistics(small.numpy()[window], fields[window], places))
        drawn = np.full(len(clips), spec.kind == "OF", np.float32)
        return Extra(numbers={"statistics": np.stack(numbers, axis=1), "drawn_flow": drawn})


def measured_size(size: int) -> int:
    """Return the side at which numbers of images of a side are computed: a multiple of 8 pixels, 112 at most."""
    return min(_LARGEST, size // STEP * STEP)


def _reduced(frames: Tensor) -> Tensor:
    """Make frames so small that numbers can be computed."""
    size = measured_size(frames.shape[-1])
    if size == frames.shape[-1]:
        return frames
    blocks = [functional.interpolate(block.float(), (size, size), mode="area") for block in frames.split(_BLOCK)]
    return torch.cat([block.round().to(torch.uint8) for block in blocks])


def _flow(frames: Tensor, method: FlowMethod, apart: int) -> NDArray[np.float32]:
    """Flow from each frame to the one so many frames later."""
    fields = torch.empty((len(frames) - apart, 2, *frames.shape[-2:]))
    for phase in range(min(apart, len(fields))):
        fields[phase::apart] = flow(frames[phase::apart], method=method)
    return fields.numpy()
