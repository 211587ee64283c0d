"""Distances between facial landmarks, over the distance between the eyes.

P. Werner, A. Al-Hamadi, K. Limbrecht-Ecklundt, S. Walter, S. Gruss and H. C. Traue, "Automatic pain assessment with
facial activity descriptors", IEEE Trans. Affective Computing 8(3), 2017, measure facial actions by distances between
landmarks. Which twelve these are, and between which points, is our choice: those that the actions of pain change (brows
lower, eyes close, the upper lip and the corners of the mouth rise, lips part and stretch).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from repro.data.face_landmarks import eye_centres

__all__ = ["DISTANCES", "check_landmarks", "distances"]

DISTANCES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "brow_left_inner": ((21,), (39,)),
    "brow_right_inner": ((22,), (42,)),
    "brow_left_middle": ((19,), (36, 39)),
    "brow_right_middle": ((24,), (42, 45)),
    "brows_apart": ((21,), (22,)),
    "eye_left_open": ((37, 38), (40, 41)),
    "eye_right_open": ((43, 44), (46, 47)),
    "mouth_corner_left": ((48,), (36,)),
    "mouth_corner_right": ((54,), (45,)),
    "lip_to_nose": ((51,), (33,)),
    "mouth_width": ((48,), (54,)),
    "mouth_height": ((51,), (57,)),
}
"""Two places each, the mean of the landmarks named. All have the same number in the orders of 66 and of 68 points. Left
is left in the picture."""

_COINCIDE = 1e-6
"""Pixels: eyes no farther apart are at one point."""


def distances(landmarks: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return `DISTANCES` in each frame, over that frame's distance between the eyes.

    They stay the same when the face is shifted, turned in the picture's plane, or scaled.

    Parameters
    ----------
    landmarks : ndarray, (T, 66 or 68, 2)
        In pixels; NaN in frames without.

    Returns
    -------
    ndarray, (T, 12) float64
        NaN in frames without landmarks, and where the eyes coincide.

    Raises
    ------
    ValueError
        If the shape is wrong.
    """
    points = check_landmarks(landmarks)
    between = np.stack([_place(points, start) - _place(points, stop) for start, stop in DISTANCES.values()], axis=1)
    unit = np.hypot(*np.diff(eye_centres(points), axis=1)[:, 0].T)
    result: NDArray[np.float64] = np.hypot(between[..., 0], between[..., 1])
    return result / np.where(unit > _COINCIDE, unit, np.nan)[:, None]


def check_landmarks(landmarks: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return landmarks as float64, NaN where they are not finite.

    Raises
    ------
    ValueError
        If they are not (T, 66 or 68, 2).
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.ndim != 3 or points.shape[1:] not in {(66, 2), (68, 2)}:
        raise ValueError(f"landmarks must be (T, 66 or 68, 2), got {points.shape}")
    return np.where(np.isfinite(points), points, np.nan)


def _place(points: NDArray[np.float64], numbers: tuple[int, ...]) -> NDArray[np.float64]:
    return points[:, list(numbers)].mean(axis=1)
