"""Pictures of a clip's face themselves, for networks that learn from pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repro.data.encoding import middle_frames
from repro.data.face_sequence import FaceSequence
from repro.data.features import Extractor, Moments

__all__ = ["Pictures", "are_frames", "contrast", "contrast_in_bytes", "sample_evenly"]

_NO_CONTRAST = 128
"""Grey level that stands for no difference from the mean of a clip."""


@dataclass(frozen=True)
class Pictures(Extractor):
    """Some pictures of a clip in the order of time, (3, size, size) uint8 each.

    Parameters
    ----------
    frames : int
        Frames of a clip that are kept: the middle ones of so many equal parts, or all if there are no more. Of maps,
        all are.
    size : int or None
        Height and width of the result in pixels; None leaves pictures as large as they are. Where they shrink, each
        pixel is the mean of the area that it stands for; where they grow, it is interpolated bilinearly.

    Raises
    ------
    ValueError
        If a number is below 1.
    """

    name: ClassVar[str] = "pictures"
    version: ClassVar[int] = 1

    frames: int = 16
    size: int | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.frames < 1 or (self.size is not None and self.size < 1):
            raise ValueError(f"frames {self.frames} and size {self.size} must be at least 1")

    def extract(self, sequence: FaceSequence) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return the pictures (m, 3, size, size) and the frames that they show (m, 2)."""
        chosen = sequence.shown(self.frames)
        pictures = sequence.pictures[chosen]  # indexed by an array: a copy
        if self.size is None or pictures.shape[-1] == self.size:
            return pictures.numpy(), sequence.spans[chosen]
        return np.stack([_resized(picture, self.size) for picture in pictures]), sequence.spans[chosen]


def _resized(picture: Tensor, size: int) -> NDArray[np.uint8]:
    """Resize a picture (3, H, W)."""
    method = cv2.INTER_AREA if size < picture.shape[-1] else cv2.INTER_LINEAR
    image = cv2.resize(np.ascontiguousarray(picture.permute(1, 2, 0).numpy()), (size, size), interpolation=method)
    resized: NDArray[np.uint8] = np.ascontiguousarray(image.transpose(2, 0, 1))
    return resized


def are_frames(moments: Moments) -> bool:
    """Tell whether each moment is a single frame, not the map of two segments."""
    return bool((moments.spans[:, 1] - moments.spans[:, 0] == 1).all())


def contrast(pictures: Tensor) -> Tensor:
    """Subtract their mean from the pictures of each clip, (..., T, 3, H, W) float.

    What differs from one person to another is then gone, and what a face does in the clip remains. Maps of two segments
    show that already: this is for moments that `are_frames`.
    """
    return pictures - pictures.mean(-4, keepdim=True)


def contrast_in_bytes(moments: Moments) -> Tensor:
    """Return the `contrast` of frames as images, (M, 3, H, W) uint8: rounded, about 128, cut off at 0 and 255.

    `repro.learning.finetune` takes images in bytes and augments each frame by itself, after which the mean of its clip
    can no longer be subtracted.

    Parameters
    ----------
    moments : Moments
        Frames, (M, 3, H, W) uint8.
    """
    clips = torch.from_numpy(moments.values).split(moments.counts.tolist())
    shown = (contrast(clip.float()) + _NO_CONTRAST for clip in clips)
    return torch.cat([clip.round_().clamp_(0, 255).to(torch.uint8) for clip in shown])


def sample_evenly(moments: Moments, rows: int) -> NDArray[np.int64]:
    """Return which moments show each clip by a fixed number of them: those in the middle of so many equal parts.

    Of a clip with fewer moments, each is repeated for the parts whose middles it is nearest to.

    Parameters
    ----------
    moments : Moments
        Of n clips; each has one or more.
    rows : int

    Returns
    -------
    ndarray, (n, rows) int64
        Numbers of moments, never falling within a clip.
    """
    starts = np.cumsum(moments.counts) - moments.counts
    return np.stack(
        [start + middle_frames(int(count), rows) for start, count in zip(starts, moments.counts, strict=True)]
    )
