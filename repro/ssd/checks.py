"""What an argument must satisfy before a distillation starts; a failure is a ValueError with the value."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

VideoLike = Tensor | np.ndarray
"""(T, C, H, W), uint8 or floating, on 0..255; a tensor or an array."""

DOMAINS = ("rms", "log", "product")
NORMALIZATIONS = ("joint", "channel", None)
BACKENDS = ("auto", "cpu", "cuda", "equations")

_AXES = ("frames", "channels", "height", "width")
_Choice = TypeVar("_Choice")


def odd(name: str, value: int) -> int:
    """Check an odd, positive extent such as `window` and return it as an int."""
    extent = positive(name, value)
    if extent % 2 == 0:
        raise ValueError(f"{name} must be odd, so that it has a centre; got {value}")
    return extent


def positive(name: str, value: int) -> int:
    """Check a positive count such as `segment_length` and return it as an int."""
    try:
        count = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be an integer; got {value!r}") from None
    if count < 1:
        raise ValueError(f"{name} must be at least 1; got {value}")
    return count


def variance(name: str, value: float) -> float:
    """Check a finite, positive variance and return it as a float."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number; got {value!r}") from None
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{name} must be finite and positive, in squared grey levels; got {value}")
    return number


def one_of(name: str, value: _Choice, allowed: Sequence[_Choice]) -> _Choice:
    """Check a choice and return it."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {value!r}")
    return value


def frames(video: VideoLike, *, name: str = "video", window: int = 1, videos: int = 1) -> Tensor:
    """Check a stack of frames and return it as a tensor that may share its memory.

    Parameters
    ----------
    video : Tensor or ndarray, (T, C, H, W)
        uint8, or floating within 0..255.
    name : str
        What messages call it.
    window : int
        Odd window whose reflection (D8) the frames must be large enough for.
    videos : int
        How many videos the channels belong to.

    Returns
    -------
    Tensor, (T, C, H, W)
        Of the dtype it came in.

    Raises
    ------
    ValueError
        If it is no array, its dtype is another, it is not four-dimensional, its channels cannot be divided among
        the videos, an axis other than the first is empty, a frame is too small for `window`, or a value is NaN or
        outside 0..255.
    """
    tensor = _tensor(video, name)
    shape = tuple(tensor.shape)
    if tensor.ndim != 4:
        raise ValueError(f"{name} must have 4 axes (frames, channels, height, width); got shape {shape}")
    if shape[3] in (1, 3) and shape[1] > 4 * videos:
        raise ValueError(
            f"{name} of shape {shape} looks as if its channels came last; pass (frames, channels, height, width), "
            "for instance by permute(0, 3, 1, 2)"
        )
    if shape[1] % videos:
        raise ValueError(f"{name} has {shape[1]} channels, which cannot be those of {videos} videos; got shape {shape}")
    for axis, size in zip(_AXES[1:], shape[1:], strict=True):
        if size == 0:
            raise ValueError(f"{name} has no extent along its axis '{axis}'; got shape {shape}")
    if min(shape[2:]) <= window // 2:
        raise ValueError(
            f"{name} has frames of {shape[2]} x {shape[3]}, too small to reflect for window={window}: "
            f"both sides must be at least {window // 2 + 1}"
        )
    if tensor.is_floating_point() and tensor.numel():
        _check_range(tensor, name)
    return tensor


def _tensor(video: VideoLike, name: str) -> Tensor:
    if isinstance(video, np.ndarray):
        if video.dtype.kind not in "uf" or (video.dtype.kind == "u" and video.dtype.itemsize > 1):
            raise ValueError(f"{name} must be uint8 or floating, on 0..255; got dtype {video.dtype}")
        native = np.ascontiguousarray(video, video.dtype.newbyteorder("="))
        if native.dtype.itemsize > 8:
            native = native.astype(np.float64)
        video = torch.from_numpy(native if native.flags.writeable else native.copy())
    if not isinstance(video, Tensor):
        raise ValueError(f"{name} must be a torch.Tensor or a numpy.ndarray; got {type(video).__name__}")
    if video.dtype != torch.uint8 and not video.is_floating_point():
        raise ValueError(f"{name} must be uint8 or floating, on 0..255; got dtype {video.dtype}")
    return video.detach()


def _check_range(tensor: Tensor, name: str) -> None:
    low, high = (extreme.item() for extreme in torch.aminmax(tensor))
    if low >= 0 and high <= 255:
        if 0 < high <= 1:
            warnings.warn(
                f"{name} lies within 0..{high:g}; intensities are on 0..255: multiply by 255 if it is scaled to 0..1",
                stacklevel=4,
            )
        return
    if math.isnan(low) or math.isnan(high):
        frame = int(tensor.isnan().flatten(1).any(1).nonzero()[0])
        raise ValueError(f"{name} holds NaN, first in frame {frame}; intensities must be finite, on 0..255")
    raise ValueError(f"{name} must lie within 0..255; got values from {low} to {high}")
