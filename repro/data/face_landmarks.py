"""What landmarks say about where a face is: which to believe, and the transform to a canonical face.

Landmarks are (T, P, 2), x and y in pixels with (0, 0) at the centre of the top left pixel, in the order of the
68-point scheme, or of the 66-point one that lacks the inner corners of the mouth; NaN where there are none. The
points used here have the same numbers in both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CANONICAL = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, 0.57), (-0.41, 1.15), (0.41, 1.15)])
"""Centres of the eyes, tip of the nose, corners of the mouth, (5, 2), in distances between the eyes, from the
point midway between these; rounded from the five-point template that is common in face recognition."""

FACE_SIDE = 2.5
"""Side of the square from above the brows to below the chin, in distances between the eyes."""

FACE_CENTRE = (0.0, 0.65)
"""Centre of that square, on the scale of `CANONICAL`."""

SMOOTHING = 5
"""Frames of the moving average over landmarks: 0.2 s at 25 fps, short against an expression's rise."""

LARGEST_REACH = 3.0
"""Distances between the eyes that a landmark may lie from the centre of the face; none of a simulated face lies
beyond 1.5."""

LARGEST_CHANGE = 2.0
"""Factor by which the distance between the eyes may differ from its median over the video."""

LARGEST_TURN = np.radians(60)
"""Angle by which the line between the eyes may be turned from its median over the video, in radians."""

LARGEST_JUMP = 0.5
"""Distances between the eyes by which a face may lie from its running median over `JUMP_WINDOW` frames."""

JUMP_WINDOW = 15
"""Frames: an error that lasts less than half of them does not move their median."""


class FaceError(ValueError):
    """No face can be found or aligned; the message says what to do instead."""


def eye_centres(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the points midway between the corners of each eye, (T, 2, 2): neither blink nor jaw moves them."""
    return np.stack([points[:, [36, 39]].mean(axis=1), points[:, [42, 45]].mean(axis=1)], axis=1)


def face_squares(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return where the square of a face lies in each frame, and its one size.

    Only the corners of the eyes count, so that an expression moves the square by less than 3 % of the
    distance between the eyes (any action of a simulated face, at its strongest). The size is the median over
    frames: a head that turns does not grow.

    Parameters
    ----------
    points : ndarray, (T, 66 or 68, 2)
        As `believable` leaves them, with at least one frame that is not NaN.

    Returns
    -------
    centres : ndarray, (T, 2)
        In pixels; NaN where the landmarks are.
    side : float
        In pixels.
    """
    eyes = eye_centres(points)
    across = eyes[:, 1] - eyes[:, 0]
    distance = np.hypot(*across.T)
    typical = float(np.nanmedian(distance))
    # The centre of the square turns with the head: it lies below the eyes as the head sees it.
    right = across / distance[:, None]
    down = np.stack([-right[:, 1], right[:, 0]], axis=1)
    return eyes.mean(axis=1) + typical * (FACE_CENTRE[0] * right + FACE_CENTRE[1] * down), FACE_SIDE * typical


def believable(landmarks: NDArray[np.floating], shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Set frames to NaN whose landmarks cannot be a face's: a fitting program that lost it leaves such points.

    A frame is not believed if a value is not finite, if the eyes coincide or the face's centre is out of the
    picture, or if by the constants of this module the eyes are too near, far or turned, the face jumps, or a point
    lies far from the face.

    Parameters
    ----------
    landmarks : ndarray, (T, 66 or 68, 2)
        In pixels.
    shape : (T, H, W)
        Frames of the video, their height and width.

    Returns
    -------
    ndarray, (T, 66 or 68, 2) float64
        A copy.

    Raises
    ------
    ValueError
        If the shape is wrong.
    """
    points = np.array(landmarks, dtype=np.float64)
    n_frames, height, width = shape
    if points.ndim != 3 or points.shape[1] not in (66, 68) or points.shape[2] != 2:
        raise ValueError(f"landmarks must be (T, 66 or 68, 2), got {points.shape}")
    if len(points) != n_frames:
        raise ValueError(f"{n_frames} frames, but landmarks of {len(points)}; give landmarks[:{n_frames}]")
    points[~np.isfinite(points).all(axis=(1, 2))] = np.nan
    across = np.diff(eye_centres(points), axis=1)[:, 0]
    distance = np.hypot(*across.T)
    known = np.flatnonzero(distance > 1e-6)
    points[~(distance > 1e-6)] = np.nan
    if not len(known):
        return points
    across, distance = across[known], distance[known]
    centres, side = face_squares(points)
    typical, direction = side / FACE_SIDE, np.median(across, axis=0)
    change = distance / typical
    turn = np.arccos(np.clip(across @ direction / (distance * np.hypot(*direction) + 1e-12), -1, 1))
    jump = np.hypot(*(centres[known] - running_median(centres[known], JUMP_WINDOW)).T) / typical
    reach = np.hypot(*(points[known] - centres[known, None]).transpose(2, 0, 1)).max(axis=1) / typical
    absurd = (np.maximum(change, 1 / change) > LARGEST_CHANGE) | (turn > LARGEST_TURN)
    absurd |= (jump > LARGEST_JUMP) | (reach > LARGEST_REACH)
    absurd |= ((centres[known] < 0) | (centres[known] > (width - 1, height - 1))).any(axis=1)
    points[known[absurd]] = np.nan
    return points


def running_median(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return the median of each column of (N, K) over `window` (odd) rows; at the ends over those there are."""
    reach = window // 2
    return np.stack([np.median(values[max(0, i - reach) : i + reach + 1], axis=0) for i in range(len(values))])


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
        If `window` is not odd and positive.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if window < 1 or window % 2 == 0:
        raise ValueError(f"the smoothing window must be odd and positive, got {window}")
    known = np.isfinite(points).all(axis=(1, 2))
    if not known.any():
        raise FaceError(f"none of {len(points)} frames has landmarks of a face; use mode='crop' or mode='none'")
    times = np.arange(len(points))
    flat = points.reshape(len(points), -1)
    filled = np.stack([np.interp(times, times[known], column[known]) for column in flat.T], axis=1)
    reach = window // 2
    first, last = np.maximum(times - reach, 0), np.minimum(times + reach + 1, len(points))
    sums = np.concatenate([np.zeros((1, filled.shape[1])), np.cumsum(filled, axis=0)])
    return ((sums[last] - sums[first]) / (last - first)[:, None]).reshape(points.shape)


def five_points(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the points of `CANONICAL`, (T, 5, 2)."""
    eyes = points[:, 36:42].mean(axis=1), points[:, 42:48].mean(axis=1)
    return np.stack([*eyes, points[:, 30], points[:, 48], points[:, 54]], axis=1)


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
