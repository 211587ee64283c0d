"""Where a head is and how it is turned, from facial landmarks.

A generic face of rigid points is fitted to the landmarks of each frame under weak perspective: turned in space, scaled,
and projected along the line of sight. Its numbers are rounded proportions of an adult's face and our own; a person's
nose and eyes differ from it, which shifts all angles of one person alike.

No point of a face is quite rigid. Lowered brows, raised cheeks and a wrinkled nose bring the corners of the eyes
nearer to each other, and the fit takes this for distance. The smaller a detector's errors, the more it shows: where
landmarks are exact, as simulated ones are, the pose, depth above all, tells expressions and must not be read as the
head's motion alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.features.landmarks import check_landmarks

__all__ = ["CHANNELS", "FACE", "head_pose", "rotation"]

Array = NDArray[np.float64]

CHANNELS = ("x", "y", "depth", "roll", "yaw", "pitch")

FACE: dict[int, tuple[float, float, float]] = {
    27: (0.0, -2.0, -12.0),
    28: (0.0, 10.0, -19.0),
    29: (0.0, 22.0, -26.0),
    30: (0.0, 34.0, -33.0),
    33: (0.0, 46.0, -19.0),
    36: (-45.0, 0.0, 9.0),
    39: (-16.0, 0.0, 0.0),
    42: (16.0, 0.0, 0.0),
    45: (45.0, 0.0, 9.0),
}
"""Ridge, tip and base of the nose and the corners of the eyes, by their numbers in both orders of landmarks: x to the
right in the picture, y down, z away from the viewer, in millimetres from the point midway between the inner corners of
the eyes. The wings of the nose are left out, as they rise with the upper lip."""

_EYES = 61.0
"""Millimetres between the centres of the eyes of `FACE`."""

_MODEL = np.array(list(FACE.values())) / _EYES
_CENTRED = _MODEL - _MODEL.mean(axis=0)
_INVERSE = np.linalg.pinv(_CENTRED)


def head_pose(landmarks: NDArray[np.floating[Any]]) -> Array:
    """Fit the generic face to each frame and return its six coordinates.

    In closed form: the affine projection of least squares, then the nearest projection of a turned and scaled face, by
    the singular values of its 2 x 3 matrix.

    Parameters
    ----------
    landmarks : ndarray, (T, 66 or 68, 2)
        In pixels; NaN in frames without.

    Returns
    -------
    ndarray, (T, 6) float64
        `CHANNELS`. x (right) and y (down): where the point midway between the inner corners of the eyes is in the
        picture, in distances between the eyes, by the median scale of all frames. depth: minus the logarithm of the
        scale, the pixels of a distance between the eyes; 0.01 more is 1 % farther away. roll, yaw, pitch in radians, 0
        for a frontal upright face: positive if the head is turned clockwise as it is seen, if the nose points to the
        right in the picture, and if it points down; see `rotation`. NaN in frames without landmarks, and where all
        points coincide.

    Raises
    ------
    ValueError
        If the shape is wrong.
    """
    points = check_landmarks(landmarks)[:, list(FACE)]
    result = np.full((len(points), len(CHANNELS)), np.nan)
    known = np.isfinite(points).all(axis=(1, 2)) & (np.ptp(points, axis=1).max(axis=1) > 1e-6)
    if not known.any():
        return result
    points = points[known]
    centre = points.mean(axis=1)
    affine = (_INVERSE @ (points - centre[:, None])).transpose(0, 2, 1)
    left, values, right = np.linalg.svd(affine, full_matrices=False)
    scale, rows = values.mean(axis=1), left @ right
    third = np.cross(rows[:, 0], rows[:, 1])
    origin = centre - scale[:, None] * (rows @ _MODEL.mean(axis=0))
    result[known] = np.column_stack(
        [
            origin / np.median(scale),
            -np.log(scale),
            np.arctan2(rows[:, 1, 0], rows[:, 0, 0]),
            np.arcsin(np.clip(third[:, 0], -1, 1)),
            np.arctan2(third[:, 1], third[:, 2]),
        ]
    )
    return result


def rotation(roll: float, yaw: float, pitch: float) -> Array:
    """Return the matrix (3, 3) that turns a frontal face: first by pitch, then by yaw, then by roll, in radians.

    Axes are those of `FACE`, the angles' signs those of `head_pose`.
    """
    (cr, cy, cp), (sr, sy, sp) = np.cos((roll, yaw, pitch)), np.sin((roll, yaw, pitch))
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    matrix: Array = about_z @ about_y @ about_x
    return matrix
