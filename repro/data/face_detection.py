"""Faces without landmarks: OpenCV's cascade of Haar features, and the one face that a video is of.

The cascade (Viola and Jones, CVPR 2001) is run on every few frames. It misses faces, and sees some where there
are none, so that a frame's best square cannot be taken by itself: of all squares those are kept that overlap
from frame to frame and together are the surest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from repro.data.face_landmarks import FACE_CENTRE, FACE_SIDE

DETECTION_STEP = 5
"""The detector sees one frame of so many, and the last: 0.2 s at 25 fps, in which a head moves little."""

DETECTION_SIDE = 160
"""Height or width, whichever is less, of the frames that the detector sees: its cost grows with pixels."""

LONGEST_SIDE = 640
"""What the other one may be at most."""

SMALLEST_FACE = 1 / 6
"""Side of the smallest square that is looked for, as a share of the frame's smaller side."""

LEAST_OVERLAP = 0.25
"""Intersection over union of two squares that can be one face, one detection after the other."""

HAAR_SIDE = 2.65
"""Side of the detector's square in distances between the eyes: its median over 20 simulated people is 2.69; of two
filmed ones, measured by eye, 2.8 and 2.5."""

HAAR_CENTRE = (0.0, 0.25)
"""Its centre, on the scale of `CANONICAL`; the same people had it at 0.23, and at 0.26 and 0.28."""

_CASCADE = "haarcascade_frontalface_default.xml"


class Detections(NamedTuple):
    """The squares of one face.

    Attributes
    ----------
    frames : ndarray, (N,) int
        Frames in which it was found, in order.
    centres : ndarray, (N, 2) float64
        Of the square by `FACE_SIDE` and `FACE_CENTRE`, in pixels.
    sides : ndarray, (N,) float64
        Of that square, in pixels.
    share : float
        N over the number of frames that were looked at.
    """

    frames: NDArray[np.int64]
    centres: NDArray[np.float64]
    sides: NDArray[np.float64]
    share: float


def detect(frames: Tensor, *, step: int = DETECTION_STEP) -> Detections:
    """Find the face of a video.

    Parameters
    ----------
    frames : Tensor, (T, 3, H, W) uint8
    step : int
        The detector is run on one frame of so many, and on the last.

    Returns
    -------
    Detections
        Of no frame if nothing is found.
    """
    looked = np.unique([*range(0, len(frames), step), len(frames) - 1])
    cascade = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / _CASCADE))
    with _one_thread():
        found = [_squares(cascade, frames[int(index)].numpy()) for index in looked]
    squares = np.concatenate(found)
    numbers = np.repeat(looked, [len(f) for f in found])
    path = surest_path(numbers, squares)
    x, y, side, _ = squares[path].T
    eyes = side / HAAR_SIDE
    shift = np.subtract(FACE_CENTRE, HAAR_CENTRE)
    centres = np.stack([x + side / 2, y + side / 2], axis=1) + shift * eyes[:, None]
    return Detections(numbers[path], centres, FACE_SIDE * eyes, len(path) / len(looked))


def surest_path(numbers: NDArray[np.int64], squares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Choose at most one square of each frame so that they overlap and their weights add up to the most.

    A square that follows another counts by their overlap (intersection over union), and cannot follow if it is
    below `LEAST_OVERLAP`; frames may be passed over. The best path is found by dynamic programming.

    Parameters
    ----------
    numbers : ndarray, (N,) int
        The frame of each square, in order.
    squares : ndarray, (N, 4)
        Left, top, side, and the detector's weight.

    Returns
    -------
    ndarray, (M,) int
        Indices of the squares chosen, in order.
    """
    weight = np.maximum(squares[:, 3], 0.0)
    total, before = weight.copy(), np.full(len(squares), -1)
    for index in range(len(squares)):
        earlier = int(np.searchsorted(numbers, numbers[index]))
        overlap = _overlap(squares[index], squares[:earlier])
        sums = np.where(overlap >= LEAST_OVERLAP, total[:earlier] + weight[index] * overlap, -np.inf)
        if earlier and sums.max() > total[index]:
            before[index] = int(np.argmax(sums))
            total[index] = sums[before[index]]
    path = []
    last = int(np.argmax(total)) if len(total) else -1
    while last >= 0:
        path.append(last)
        last = int(before[last])
    return np.array(path[::-1], dtype=np.int64)


def _overlap(square: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the intersection over union of a square with others, (N,)."""
    low = np.maximum(square[:2], others[:, :2])
    high = np.minimum(square[:2] + square[2], others[:, :2] + others[:, 2:3])
    both = np.maximum(high - low, 0).prod(axis=1)
    return both / (square[2] ** 2 + others[:, 2] ** 2 - both)


def _squares(cascade: cv2.CascadeClassifier, frame: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return squares (N, 4) in a frame (3, H, W): left and top in its pixels, side, and weight."""
    height, width = frame.shape[1:]
    scale = min(DETECTION_SIDE / min(height, width), LONGEST_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    # Shrunk before it turns grey: no copy of a large frame is made.
    red, green, blue = (cv2.resize(plane, size, interpolation=method).astype(np.float32) for plane in frame)
    grey = (0.299 * red + 0.587 * green + 0.114 * blue).round().astype(np.uint8)
    smallest = max(1, round(SMALLEST_FACE * min(size)))
    found, _, weights = cascade.detectMultiScale3(
        cv2.equalizeHist(grey), scaleFactor=1.1, minNeighbors=4, minSize=(smallest, smallest), outputRejectLevels=True
    )
    if not len(found):
        return np.empty((0, 4))
    boxes = np.array(found, dtype=np.float64)
    squares = np.column_stack([boxes[:, :2] / scale - 0.5, boxes[:, 2] / scale, np.ravel(weights)])
    return squares[np.lexsort(squares.T)]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let OpenCV use one thread: with several, the order in which it adds up floats is by chance."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
