"""Where the face is over time: one square for each frame, of one size, that neither jitters nor minds expressions."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from repro.data.face_detection import detect
from repro.data.face_landmarks import believable, face_squares, running_median

FOLLOWING = 10.0
"""Time constant of a crop that follows, in frames: the standard deviation of the Gaussian that weighs neighbouring
frames; 0.4 s at 25 fps."""

TRUSTED_SHARE = 0.5
"""Share of the frames looked at that must have landmarks, or a detection, to go by these."""

OUTLIER_WINDOW = 5
"""Detections of a running median: two in a row that are wrong do not move it."""

OUTLIER_SHIFT = 0.1
"""Sides by which a detection may lie from that median; the detector's own trembling is a fifth of this."""


class Track(NamedTuple):
    """The square of a face over time.

    Attributes
    ----------
    centres : ndarray, (T, 2) float64
        x and y in pixels.
    side : float
        In pixels: `FACE_SIDE` distances between the eyes.
    by : {"landmarks", "detector"}
        What it was found by.
    """

    centres: NDArray[np.float64]
    side: float
    by: Literal["landmarks", "detector"]


def locate(
    frames: Tensor, landmarks: NDArray[np.floating] | None = None, *, smoothing: float = FOLLOWING
) -> Track | None:
    """Find the face of a video by its landmarks or else by the detector.

    Parameters
    ----------
    frames : Tensor, (T, 3, H, W) uint8
    landmarks : ndarray, (T, 66 or 68, 2), or None
        In pixels; believed if `TRUSTED_SHARE` of the frames have some that can be a face's.
    smoothing : float
        Time constant in frames, see `FOLLOWING`; 0 for none.

    Returns
    -------
    Track or None
        None if fewer than `TRUSTED_SHARE` of the frames that the detector saw show a face, too.

    Raises
    ------
    ValueError
        If a shape is wrong or `smoothing` is negative.
    """
    if landmarks is not None:
        points = believable(landmarks, (len(frames), *frames.shape[-2:]))
        known = np.flatnonzero(np.isfinite(points).all(axis=(1, 2)))
        if len(known) >= TRUSTED_SHARE * len(frames):
            centres, side = face_squares(points)
            return Track(smooth_path(known, centres[known], len(frames), smoothing), side, "landmarks")
    found = detect(frames)
    if not len(found.frames) or found.share < TRUSTED_SHARE:
        return None
    side = float(np.median(found.sides))
    shift = np.hypot(*(found.centres - running_median(found.centres, OUTLIER_WINDOW)).T)
    kept = shift <= max(OUTLIER_SHIFT * side, shift.min())
    return Track(smooth_path(found.frames[kept], found.centres[kept], len(frames), smoothing), side, "detector")


def smooth_path(
    times: NDArray[np.integer], points: NDArray[np.float64], n_frames: int, smoothing: float
) -> NDArray[np.float64]:
    """Interpolate points in time and smooth them by lines fitted with Gaussian weights.

    A line, and not a mean, is fitted around each frame: what moves evenly is followed without a lag, at the ends
    too.

    Parameters
    ----------
    times : ndarray, (N,) int
        Frames of the points, in order.
    points : ndarray, (N, K)
    n_frames : int
        Frames of the video.
    smoothing : float
        Standard deviation of the weights, in frames; 0 for none.

    Returns
    -------
    ndarray, (n_frames, K)
        Before the first and after the last point, theirs.

    Raises
    ------
    ValueError
        If `smoothing` is negative.
    """
    if not 0 <= smoothing < np.inf:
        raise ValueError(f"smoothing must be a number of frames, 0 for none, got {smoothing}")
    path = np.stack([np.interp(np.arange(n_frames), times, column) for column in points.T], axis=1)
    reach = min(int(3 * smoothing), n_frames - 1)
    if reach == 0:
        return path
    lag = np.arange(-reach, reach + 1)
    weight = np.exp(-0.5 * (lag / smoothing) ** 2)
    inside = np.ones(n_frames)

    def moments(values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        return [np.correlate(np.pad(values, reach), weight * lag**power, mode="valid") for power in range(3)]

    s0, s1, s2 = moments(inside)
    result = np.empty_like(path)
    for column in range(path.shape[1]):
        y0, y1, _ = moments(path[:, column])
        result[:, column] = (s2 * y0 - s1 * y1) / (s0 * s2 - s1**2)
    return result
