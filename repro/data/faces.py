"""Faces: alignment by landmarks, a fixed crop by a detector, and plain resizing.

Head motion dominates a distilled image unless faces are brought to a common frame first. With landmarks, each
frame is moved by a similarity transform (shift, rotation, one scale), which leaves the expression as it is;
without, a crop is fixed for the whole video, so that the crop itself adds no motion.

Frames are (T, 3, H, W) uint8 RGB. Landmarks are (T, P, 2), x and y in pixels with (0, 0) at the centre of the
top left pixel, in the order of the 68-point scheme, or of the 66-point one that lacks the inner corners of
the mouth.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Mode = Literal["align", "crop", "none"]

CANONICAL = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, 0.57), (-0.41, 1.15), (0.41, 1.15)])
"""Centres of the eyes, tip of the nose, corners of the mouth, (5, 2), in distances between the eyes, from the
point midway between these; rounded from the five-point template that is common in face recognition."""

FACE_SIDE = 2.5
"""Side of the square from above the brows to below the chin, in distances between the eyes."""

FACE_CENTRE = (0.0, 0.65)
"""Centre of that square, on the scale of `CANONICAL`."""

SMOOTHING = 5
"""Frames of the moving average over landmarks: 0.2 s at 25 fps, short against an expression's rise."""

_CASCADE = "haarcascade_frontalface_default.xml"

N_DETECTIONS = 9
"""Frames of a video on which the detector is run."""

DETECTION_SIDE = 240
"""The smaller side of the shrunk frames that the detector sees: its cost grows with pixels."""

DETECTION_SHIFT = 0.06
"""The detector's square often ends at the lips or chin: it is moved down by this share of its size."""


class FaceError(ValueError):
    """No face can be found or aligned; the message says what to do instead."""


class Box(NamedTuple):
    """A square in pixels; it may reach beyond the frame."""

    x: int
    y: int
    size: int


def prepare(
    frames: Tensor,
    landmarks: NDArray[np.float32] | None,
    *,
    size: int,
    mode: Mode = "align",
    margin: float = 0.1,
) -> Tensor:
    """Bring the face of a video to a square of one size.

    Parameters
    ----------
    frames : Tensor, (T, 3, H, W) uint8
    landmarks : ndarray, (T, 66 or 68, 2), or None
        Used by ``mode="align"`` only.
    size : int
        Height and width of the result in pixels.
    mode : {"align", "crop", "none"}
        See `align` and `crop`; "none" takes the largest square in the middle of the frame.
    margin : float
        Room around the face on each side, as a share of its size; not for "none".

    Returns
    -------
    Tensor, (T, 3, size, size) uint8

    Raises
    ------
    FaceError
        If no face can be found or aligned.
    ValueError
        If a shape, type or option is wrong.
    """
    if mode == "align":
        if landmarks is None:
            raise FaceError("there are no landmarks to align faces by; use mode='crop' or mode='none'")
        return align(frames, landmarks, size=size, margin=margin)
    if mode == "crop":
        return crop(frames, crop_box(frames, margin=margin), size)
    if mode != "none":
        raise ValueError(f"mode {mode!r} is not one of 'align', 'crop', 'none'")
    _check_frames(frames)
    height, width = frames.shape[-2:]
    side = min(height, width)
    return crop(frames, Box((width - side) // 2, (height - side) // 2, side), size)


def align(
    frames: Tensor,
    landmarks: NDArray[np.float32],
    *,
    size: int = 64,
    margin: float = 0.1,
    smoothing: int = SMOOTHING,
) -> Tensor:
    """Move each frame so that eyes, nose and mouth lie where they lie in a canonical face.

    Landmarks that are missing in some frames are interpolated in time, then smoothed by a moving average: a
    transform that jitters would write motion into the video. The transform of a frame is the similarity that
    fits the five points of `CANONICAL` best in the least-squares sense.

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
        If no frame has landmarks, or points coincide.
    ValueError
        If a shape, type or option is wrong.
    """
    _check_frames(frames)
    if size < 1 or not margin > -0.5:
        raise ValueError(f"size must be at least 1 and margin above -0.5, got {size} and {margin}")
    points = smooth_landmarks(landmarks, smoothing)
    if len(points) != len(frames):
        raise ValueError(f"{len(frames)} frames, but landmarks of {len(points)}; give landmarks[:{len(frames)}]")
    scale = size / (FACE_SIDE * (1 + 2 * margin))
    # Pixel centres are whole numbers: a square of `size` pixels reaches from -1/2 to size - 1/2.
    target = (CANONICAL - FACE_CENTRE) * scale + (size - 1) / 2
    transforms = similarity(_five_points(points), target)
    result = torch.empty((len(frames), 3, size, size), dtype=torch.uint8)
    for index, transform in enumerate(transforms):
        _store(result[index], _warp(_image(frames[index]), transform, size))
    return result


def smooth_landmarks(landmarks: NDArray[np.floating], window: int = SMOOTHING) -> NDArray[np.float64]:
    """Interpolate landmarks in frames without them, and average them over time.

    Parameters
    ----------
    landmarks : ndarray, (T, P, 2)
        In pixels; a frame with any value that is not finite counts as a frame without landmarks.
    window : int
        Frames of the moving average, odd. At the ends it holds the frames that there are.

    Returns
    -------
    ndarray, (T, P, 2) float64
        Before the first and after the last frame with landmarks, theirs.

    Raises
    ------
    FaceError
        If no frame has landmarks.
    ValueError
        If the shape is wrong or `window` is not odd and positive.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.ndim != 3 or points.shape[1] not in (66, 68) or points.shape[2] != 2:
        raise ValueError(f"landmarks must be (T, 66 or 68, 2), got {points.shape}")
    if window < 1 or window % 2 == 0:
        raise ValueError(f"the smoothing window must be odd and positive, got {window}")
    known = np.isfinite(points).all(axis=(1, 2))
    if not known.any():
        raise FaceError(f"none of {len(points)} frames has landmarks; use mode='crop' or mode='none'")
    times = np.arange(len(points))
    flat = points.reshape(len(points), -1)
    filled = np.stack([np.interp(times, times[known], column[known]) for column in flat.T], axis=1)
    reach = window // 2
    first, last = np.maximum(times - reach, 0), np.minimum(times + reach + 1, len(points))
    sums = np.concatenate([np.zeros((1, filled.shape[1])), np.cumsum(filled, axis=0)])
    return ((sums[last] - sums[first]) / (last - first)[:, None]).reshape(points.shape)


def similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit similarity transforms of the plane by least squares, without reflection.

    With points as complex numbers the transform is ``z -> a z + b``, and a is a linear regression.

    Parameters
    ----------
    source : ndarray, (T, N, 2)
    target : ndarray, (N, 2)

    Returns
    -------
    ndarray, (T, 2, 3)
        Matrices that take ``(x, y, 1)`` of the source to the target.

    Raises
    ------
    FaceError
        If all points of a source coincide.
    """
    z = source[..., 0] + 1j * source[..., 1]
    w = target[..., 0] + 1j * target[..., 1]
    centred = z - z.mean(axis=1, keepdims=True)
    spread = (np.abs(centred) ** 2).sum(axis=1)
    if not (spread > 1e-6).all():
        raise FaceError(f"the landmarks of frame {int(np.argmin(spread))} are all at one point; remove them")
    a = (centred.conj() * (w - w.mean())).sum(axis=1) / spread
    b = w.mean() - a * z.mean(axis=1)
    return np.stack([np.stack([a.real, -a.imag, b.real], axis=1), np.stack([a.imag, a.real, b.imag], axis=1)], axis=1)


def crop_box(frames: Tensor, *, margin: float = 0.1) -> Box:
    """Find one square for the whole video by OpenCV's cascade of Haar features for frontal faces.

    The detector is run on a few frames over the video; the largest face of each counts, and the median of
    these.

    Parameters
    ----------
    frames : Tensor, (T, 3, H, W) uint8
    margin : float
        Room around the detected face on each side, as a share of its size.

    Returns
    -------
    Box

    Raises
    ------
    FaceError
        If no face is found in any of the frames.
    """
    _check_frames(frames)
    detector = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / _CASCADE))
    shrink = max(1.0, min(frames.shape[-2:]) / DETECTION_SIDE)
    smallest = max(16, int(min(frames.shape[-2:]) / shrink) // 8)
    found = []
    for index in np.unique(np.linspace(0, len(frames) - 1, N_DETECTIONS).round().astype(int)):
        grey = cv2.cvtColor(_image(frames[index]), cv2.COLOR_RGB2GRAY)
        grey = cv2.resize(grey, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
        boxes = detector.detectMultiScale(
            cv2.equalizeHist(grey), scaleFactor=1.1, minNeighbors=5, minSize=(smallest, smallest)
        )
        if len(boxes):
            found.append(max(boxes, key=lambda box: int(box[2])))
    if not found:
        raise FaceError(
            f"no frontal face found in {min(len(frames), N_DETECTIONS)} of {len(frames)} frames; give "
            "landmarks (mode='align'), or use mode='none' on videos that show little but the face"
        )
    x, y, width, height = np.median(np.array(found), axis=0) * shrink
    side = width * (1 + 2 * margin)
    centre_x, centre_y = x + width / 2, y + (0.5 + DETECTION_SHIFT) * height
    return Box(round(centre_x - side / 2), round(centre_y - side / 2), max(1, round(side)))


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
    _check_frames(frames)
    height, width = frames.shape[-2:]
    right, bottom = box.x + box.size, box.y + box.size
    if size < 1 or box.size < 1 or box.x >= width or box.y >= height or right <= 0 or bottom <= 0:
        raise ValueError(f"cannot crop {box} out of frames of {width} x {height} to size {size}")
    before_x, before_y = max(0, -box.x), max(0, -box.y)
    after_x, after_y = max(0, right - width), max(0, bottom - height)
    inside = frames[..., max(0, box.y) : bottom, max(0, box.x) : right]
    method = cv2.INTER_AREA if size < box.size else cv2.INTER_LINEAR
    result = torch.empty((len(frames), 3, size, size), dtype=torch.uint8)
    for index in range(len(frames)):
        image = cv2.copyMakeBorder(_image(inside[index]), before_y, after_y, before_x, after_x, cv2.BORDER_REPLICATE)
        _store(result[index], cv2.resize(image, (size, size), interpolation=method))
    return result


def _five_points(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the points of `CANONICAL`, (T, 5, 2); their numbers are the same in both schemes."""
    eyes = points[:, 36:42].mean(axis=1), points[:, 42:48].mean(axis=1)
    return np.stack([*eyes, points[:, 30], points[:, 48], points[:, 54]], axis=1)


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


def _check_frames(frames: Tensor) -> None:
    if frames.ndim != 4 or frames.shape[1] != 3 or frames.dtype != torch.uint8 or not len(frames):
        raise ValueError(f"frames must be (T, 3, H, W) uint8 with T > 0, got {tuple(frames.shape)} {frames.dtype}")
