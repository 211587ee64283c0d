"""Where the points of a face are, apart from where the head is: the geometric features of a clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from baselines.features.distilled_series import distil_series
from repro.data.face_landmarks import CANONICAL, SMOOTHING, eye_centres, similarity, smooth_landmarks
from repro.data.face_sequence import FaceSequence
from repro.data.features import Extractor

__all__ = ["INNER_POINTS", "Shape", "aligned_points"]

INNER_POINTS = 49
"""Points of brows, nose, eyes and mouth that both orders of landmarks have."""

_JAW = 17
_NOSE_TIP = 30
_INNER_CORNERS = (60, 64)


@dataclass(frozen=True)
class Shape(Extractor):
    """Coordinates of the inner facial points in the frame of the face, (m, 98): x and y of each point in turn.

    Each frame's points are brought by a similarity transform, fitted to the centres of the eyes and the tip of the
    nose, to the canonical face of `repro.data.face_landmarks`. So shift, scale and roll of the head are gone; its turns
    and the person's proportions remain. Unit: the distance between the eyes. The jaw's 17 points are left out, as its
    outline is fitted poorly, and so are the mouth's inner corners, which the order of 66 points lacks.

    A map of two segments shows no frame. Its features are the distillate of the coordinates (`distil_series`), which
    tells how much a point moved, not where to, as the map does of brightness.

    Parameters
    ----------
    frames : int
        Frames of a clip that are looked at, as in `repro.data.features.PictureFeature`; maps are all looked at.
    smoothing : int
        Frames of the moving average over landmarks, odd. It is over the clip's frames; pictures are aligned by one over
        the video's.

    Notes
    -----
    Values are NaN in frames whose landmarks are unknown, and in maps no pair of whose frames is known.
    """

    name: ClassVar[str] = "shape"
    version: ClassVar[int] = 1
    needs_landmarks: ClassVar[bool] = True

    frames: int = 5
    smoothing: int = SMOOTHING

    def extract(self, sequence: FaceSequence) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return values (m, 98) float32 and spans (m, 2) of the clip's m moments; the same as of its pictures."""
        chosen = sequence.shown(self.frames)
        spans = sequence.spans[chosen]
        points = aligned_points(sequence.landmarks, len(sequence), self.smoothing).reshape(len(sequence), -1)
        if sequence.segment_length is not None:
            values = distil_series(points, sequence.segment_length)
        else:
            values = points[spans[:, 0]]
        return values.astype(np.float32), spans


def aligned_points(
    landmarks: NDArray[np.float64] | None, n_frames: int, smoothing: int = SMOOTHING
) -> NDArray[np.float64]:
    """Bring the inner points of each frame to the canonical face.

    Parameters
    ----------
    landmarks : ndarray, (T, 66 or 68, 2), or None
        In pixels; NaN in frames without.
    n_frames : int
        T.
    smoothing : int
        Frames of the moving average, odd.

    Returns
    -------
    ndarray, (T, 49, 2)
        In distances between the eyes, from the point midway between these; NaN in frames without landmarks.

    Raises
    ------
    ValueError
        If the shape or the smoothing is wrong.
    """
    nowhere = np.full((n_frames, INNER_POINTS, 2), np.nan)
    if landmarks is None:
        return nowhere
    if landmarks.shape not in {(n_frames, 66, 2), (n_frames, 68, 2)}:
        raise ValueError(f"landmarks of {n_frames} frames must be ({n_frames}, 66 or 68, 2), got {landmarks.shape}")
    known = np.asarray(np.isfinite(landmarks).all(axis=(1, 2)))
    if not known.any():
        return nowhere
    points = smooth_landmarks(landmarks, smoothing)
    anchors = np.concatenate([eye_centres(points), points[:, _NOSE_TIP : _NOSE_TIP + 1]], axis=1)
    matrices = similarity(anchors, CANONICAL[:3])
    inner = np.delete(points, [*range(_JAW), *(_INNER_CORNERS if points.shape[1] == 68 else ())], axis=1)
    moved = inner @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2]
    return np.where(known[:, None, None], moved, np.nan)
