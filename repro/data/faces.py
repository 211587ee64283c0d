"""Faces brought to a square of one size: aligned, followed by a crop, or cut out of one place.

Head motion dominates a distilled image unless faces are brought to a common frame first. How much of it is taken
out is the mode:

* ``align``: each frame is moved by a similarity transform (shift, rotation, one scale) that brings landmarks of the
  face to one place, eyes level; it leaves the expression as it is;
* ``crop``: a square of one size follows the face slowly; the head's quick motion, its turns and its scale remain;
* ``fixed``: the square stays where it is over the whole video, and all motion remains;
* ``none``: the largest square in the middle of the frame.

A crop finds the face by landmarks if there are any, else by a detector, else it takes the middle of the frame. The
two frame a face alike: a square from above the brows to below the chin, `FACE_SIDE` distances between the eyes
wide. What was done is recorded beside the frames as one of `METHODS`.

Frames are (T, 3, H, W) uint8 RGB; landmarks as in :mod:`repro.data.face_landmarks`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repro.data.face_landmarks import (
    CANONICAL,
    FACE_CENTRE,
    FACE_SIDE,
    SMOOTHING,
    FaceError,
    believable,
    five_points,
    similarity,
    smooth_landmarks,
)
from repro.data.face_track import TRUSTED_SHARE, Track, locate

__all__ = ["METHODS", "Box", "FaceError", "Method", "Mode", "Prepared", "align", "crop", "follow", "prepare"]

Mode = Literal["auto", "align", "crop", "fixed", "none"]

Method = Literal[
    "aligned by landmarks",
    "cropped by landmarks",
    "cropped by detector",
    "fixed crop by landmarks",
    "fixed crop by detector",
    "centre crop",
    "centre crop, no face found",
]

METHODS: tuple[Method, ...] = get_args(Method)
"""How a face can have been found. The last one is what a crop ends in; the one before was asked for."""


class Prepared(NamedTuple):
    """Frames of a face, (T, 3, size, size) uint8, and how they were made."""

    frames: Tensor
    method: Method


class Box(NamedTuple):
    """A square in pixels; it may reach beyond the frame."""

    x: int
    y: int
    size: int


def prepare(
    frames: Tensor,
    landmarks: NDArray[np.floating] | None,
    *,
    size: int,
    mode: Mode = "auto",
    margin: float = 0.1,
) -> Prepared:
    """Bring the face of a video to a square of one size.

    Parameters
    ----------
    frames : Tensor, (T, 3, H, W) uint8
    landmarks : ndarray, (T, 66 or 68, 2), or None
        In pixels; NaN in frames without. Frames whose landmarks cannot be a face's are interpolated.
    size : int
        Height and width of the result in pixels.
    mode : {"auto", "align", "crop", "fixed", "none"}
        See the module; "auto" aligns if `TRUSTED_SHARE` of the frames have landmarks, else it is "crop".
    margin : float
        Room around the face on each side, as a share of its size; negative crops closer. Not for "none", nor
        where no face is found.

    Returns
    -------
    Prepared

    Raises
    ------
    FaceError
        If faces shall be aligned and there are no landmarks to do it by.
    ValueError
        If a shape, type or option is wrong.
    """
    _check(frames, size, margin)
    if mode not in get_args(Mode):
        raise ValueError(f"mode {mode!r} is not one of {', '.join(map(repr, get_args(Mode)))}")
    if mode == "align" and landmarks is None:
        raise FaceError("there are no landmarks to align faces by; use mode='auto', 'crop' or 'none'")
    if landmarks is not None and (mode == "align" or (mode == "auto" and _share(frames, landmarks) >= TRUSTED_SHARE)):
        return Prepared(align(frames, landmarks, size=size, margin=margin), "aligned by landmarks")
    if mode == "none":
        return Prepared(crop(frames, _middle(frames), size), "centre crop")
    track = locate(frames, landmarks)
    if track is None:
        return Prepared(crop(frames, _middle(frames), size), "centre crop, no face found")
    if mode == "fixed":
        method: Method = "fixed crop by landmarks" if track.by == "landmarks" else "fixed crop by detector"
        return Prepared(crop(frames, _box(frames, track, margin), size), method)
    method = "cropped by landmarks" if track.by == "landmarks" else "cropped by detector"
    return Prepared(follow(frames, track, size=size, margin=margin), method)


def align(
    frames: Tensor,
    landmarks: NDArray[np.floating],
    *,
    size: int = 64,
    margin: float = 0.1,
    smoothing: int = SMOOTHING,
) -> Tensor:
    """Move each frame so that eyes, nose and mouth lie where they lie in a canonical face.

    Landmarks that are missing or absurd in some frames are interpolated in time, then smoothed by a moving
    average: a transform that jitters would write motion into the video. The transform of a frame is the
    similarity that fits the five points of `CANONICAL` best in the least-squares sense.

    Parameters
    ----------
    frames : Tensor, (T, 3, H, W) uint8
    landmarks : ndarray, (T, 66 or 68, 2)
        In pixels; NaN in frames without landmarks.
    size : int
        Height and width of the result in pixels.
    margin : float
        Room around the face on each side, as a share of `FACE_SIDE`; negative crops closer.
    smoothing : int
        Frames of the moving average, odd; 1 for none.

    Returns
    -------
    Tensor, (T, 3, size, size) uint8
        Where the source ends, its edge is repeated.

    Raises
    ------
    FaceError
        If no frame has landmarks of a face.
    ValueError
        If a shape, type or option is wrong.
    """
    _check(frames, size, margin)
    points = smooth_landmarks(believable(landmarks, (len(frames), *frames.shape[-2:])), smoothing)
    scale = size / (FACE_SIDE * (1 + 2 * margin))
    # Pixel centres are whole numbers: a square of `size` pixels reaches from -1/2 to size - 1/2.
    target = (CANONICAL - FACE_CENTRE) * scale + (size - 1) / 2
    return _warp_all(frames, similarity(five_points(points), target), size)


def follow(frames: Tensor, track: Track, *, size: int, margin: float = 0.1) -> Tensor:
    """Cut a square of one size around the face out of every frame and resize it.

    The square is not rounded to pixels, which would make the face tremble.

    Parameters
    ----------
    frames : Tensor, (T, 3, H, W) uint8
    track : Track
        As `repro.data.face_track.locate` returns it.
    size : int
        Height and width of the result in pixels.
    margin : float
        Room around the face on each side, as a share of its size; negative crops closer.

    Returns
    -------
    Tensor, (T, 3, size, size) uint8
        Where the source ends, its edge is repeated.

    Raises
    ------
    ValueError
        If a shape, type or option is wrong.
    """
    _check(frames, size, margin)
    scale = size / (track.side * (1 + 2 * margin))
    transforms = np.zeros((len(frames), 2, 3))
    transforms[:, 0, 0] = transforms[:, 1, 1] = scale
    transforms[:, :, 2] = (size - 1) / 2 - scale * track.centres
    return _warp_all(frames, transforms, size)


def crop(frames: Tensor, box: Box, size: int) -> Tensor:
    """Cut the same square out of every frame and resize it.

    Parameters
    ----------
    frames : Tensor, (T, 3, H, W) uint8
    box : Box
        In pixels; beyond the frame its edge is repeated.
    size : int
        Height and width of the result in pixels; pixels are averaged where it is smaller than the box.

    Returns
    -------
    Tensor, (T, 3, size, size) uint8

    Raises
    ------
    ValueError
        If the box does not touch the frame, or a shape or type is wrong.
    """
    _check(frames, size, 0.0)
    height, width = frames.shape[-2:]
    right, bottom = box.x + box.size, box.y + box.size
    if box.size < 1 or box.x >= width or box.y >= height or right <= 0 or bottom <= 0:
        raise ValueError(f"cannot crop {box} out of frames of {width} x {height}")
    before_x, before_y = max(0, -box.x), max(0, -box.y)
    after_x, after_y = max(0, right - width), max(0, bottom - height)
    inside = frames[..., max(0, box.y) : bottom, max(0, box.x) : right]
    method = cv2.INTER_AREA if size < box.size else cv2.INTER_LINEAR
    result = torch.empty((len(frames), 3, size, size), dtype=torch.uint8)
    for index in range(len(frames)):
        image = cv2.copyMakeBorder(_image(inside[index]), before_y, after_y, before_x, after_x, cv2.BORDER_REPLICATE)
        _store(result[index], cv2.resize(image, (size, size), interpolation=method))
    return result


def _share(frames: Tensor, landmarks: NDArray[np.floating]) -> float:
    """Return the share of frames whose landmarks can be a face's."""
    return float(np.isfinite(believable(landmarks, (len(frames), *frames.shape[-2:]))).all(axis=(1, 2)).mean())


def _middle(frames: Tensor) -> Box:
    height, width = frames.shape[-2:]
    side = min(height, width)
    return Box((width - side) // 2, (height - side) // 2, side)


def _box(frames: Tensor, track: Track, margin: float) -> Box:
    """Return the one square of a track: around its median, which a short absence does not move."""
    side = max(1, round(track.side * (1 + 2 * margin)))
    x, y = (round(float(v) + 0.5 - side / 2) for v in np.median(track.centres, axis=0))
    return Box(x, y, side)


def _warp_all(frames: Tensor, transforms: NDArray[np.float64], size: int) -> Tensor:
    """Warp each frame by its similarity transform (2, 3); only the part that is seen is read."""
    height, width = frames.shape[-2:]
    corners = np.array([(-0.5, -0.5), (size - 0.5, -0.5), (-0.5, size - 0.5), (size - 0.5, size - 0.5)])
    result = torch.empty((len(frames), 3, size, size), dtype=torch.uint8)
    for index, transform in enumerate(transforms):
        seen = np.linalg.solve(transform[:, :2], (corners - transform[:, 2]).T)
        low = np.floor(seen.min(axis=1)).astype(int) - 1
        high = np.ceil(seen.max(axis=1)).astype(int) + 2
        x, y = np.clip(low, 0, (width - 1, height - 1))
        right, bottom = np.clip(high, (x + 1, y + 1), (width, height))
        part = transform.copy()
        part[:, 2] += transform[:, :2] @ (x, y)
        _store(result[index], _warp(_image(frames[index, :, y:bottom, x:right]), part, size))
    return result


def _warp(image: np.ndarray, transform: NDArray[np.float64], size: int) -> np.ndarray:
    """Warp an image; where it shrinks, at a multiple of the size that does not, and average."""
    scale = float(np.hypot(transform[0, 0], transform[1, 0]))
    fine = min(16, max(1, int(np.ceil(1 / scale - 1e-9))))
    matrix = transform * fine
    matrix[:, 2] += (fine - 1) / 2
    warped = cv2.warpAffine(
        image, matrix, (size * fine, size * fine), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return warped if fine == 1 else cv2.resize(warped, (size, size), interpolation=cv2.INTER_AREA)


def _image(frame: Tensor) -> np.ndarray:
    """Turn a frame (3, H, W) into an image (H, W, 3)."""
    return np.ascontiguousarray(frame.permute(1, 2, 0).numpy())


def _store(frame: Tensor, image: np.ndarray) -> None:
    """Write an image (H, W, 3) into a frame (3, H, W)."""
    frame.copy_(torch.from_numpy(image).permute(2, 0, 1))


def _check(frames: Tensor, size: int, margin: float) -> None:
    if frames.ndim != 4 or frames.shape[1] != 3 or frames.dtype != torch.uint8 or not frames.numel():
        raise ValueError(f"frames must be (T, 3, H, W) uint8 and not empty, got {tuple(frames.shape)} {frames.dtype}")
    if size < 1 or not -0.5 < margin < np.inf:
        raise ValueError(f"size must be at least 1 and margin above -0.5, got {size} and {margin}")
