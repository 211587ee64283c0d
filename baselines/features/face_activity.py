"""What a face does over a clip: the courses of distances, wrinkles and pose, and features that describe them.

All of a clip is described at once. Of distilled input the courses are those of its maps: wrinkles are measured in the
maps themselves, distances and pose are distilled as the pictures are (`baselines.features.distilled_series`).
Then a series has one value for each two consecutive segments, often five or fewer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from baselines.features.distilled_series import distil_series
from baselines.features.head_pose import CHANNELS, head_pose
from baselines.features.landmarks import DISTANCES, distances
from baselines.features.time_series import describe, filled, signals
from baselines.features.wrinkles import wrinkles
from repro.data.face_sequence import FaceSequence
from repro.data.features import ClipFeature

__all__ = [
    "FaceActivity",
    "HeadPose",
    "Series",
    "WindowStatistics",
    "distance_series",
    "pose_series",
    "windows",
    "wrinkle_series",
]

Array = NDArray[np.float64]


class Series(NamedTuple):
    """Courses of measurements: values (N, c), NaN where they are unknown, and how many there are a second."""

    values: Array
    fps: float


def distance_series(sequence: FaceSequence) -> Series:
    """Return the twelve distances of `baselines.features.landmarks` over a clip, distilled if its pictures are."""
    return _course(sequence, None if sequence.landmarks is None else distances(sequence.landmarks), len(DISTANCES))


def pose_series(sequence: FaceSequence) -> Series:
    """Return the six coordinates of `baselines.features.head_pose` over a clip, distilled if its pictures are."""
    return _course(sequence, None if sequence.landmarks is None else head_pose(sequence.landmarks), len(CHANNELS))


def wrinkle_series(sequence: FaceSequence) -> Series:
    """Return the four measures of `baselines.features.wrinkles` in each picture of a clip, be it a frame or a map."""
    return Series(wrinkles(sequence.pictures), sequence.fps / (sequence.segment_length or 1))


def _course(sequence: FaceSequence, measured: Array | None, channels: int) -> Series:
    values = np.full((len(sequence), channels), np.nan) if measured is None else measured
    if sequence.segment_length is None:
        return Series(values, sequence.fps)
    return Series(distil_series(values, sequence.segment_length), sequence.fps / sequence.segment_length)


@dataclass(frozen=True)
class FaceActivity(ClipFeature):
    """The facial activity descriptor, (1056,): 48 numbers of each of 12 distances, 4 wrinkles and 6 of the head's pose.

    P. Werner et al., IEEE Trans. Affective Computing 8(3), 2017; see the modules of the parts for what is ours. The
    numbers of a channel follow one another. Those of distances and pose are NaN without landmarks.
    """

    name: ClassVar[str] = "face_activity"
    version: ClassVar[int] = 1
    needs_landmarks: ClassVar[bool] = True

    def of_clip(self, sequence: FaceSequence) -> NDArray[np.float32]:
        """Return the features (1056,) of a clip."""
        parts = distance_series(sequence), wrinkle_series(sequence), pose_series(sequence)
        described = [describe(part.values, part.fps).ravel() for part in parts]
        return np.concatenate(described).astype(np.float32)


@dataclass(frozen=True)
class HeadPose(ClipFeature):
    """How a head moves, (288,): 48 numbers of each of the six coordinates of its pose, one after another.

    Each coordinate is counted from its median over the clip, so that neither where a camera stands nor how a person's
    face is built says anything. Distilled, it is a change already and is left as it is. NaN without landmarks.
    """

    name: ClassVar[str] = "head_pose"
    version: ClassVar[int] = 1
    needs_landmarks: ClassVar[bool] = True

    def of_clip(self, sequence: FaceSequence) -> NDArray[np.float32]:
        """Return the features (288,) of a clip."""
        pose = pose_series(sequence)
        return describe(_moved(sequence, pose.values), pose.fps).ravel().astype(np.float32)


@dataclass(frozen=True)
class WindowStatistics(ClipFeature):
    """Statistics of distances and pose in parts of a clip, (windows * 18 * 21,).

    Seven of the signal, its velocity and its acceleration in each window: mean, median, range, standard deviation,
    median absolute deviation, interquartile and interdecile range. Filter and derivatives are those of
    `baselines.features.time_series`, taken of the whole clip. Window follows window; in it channel follows channel, in
    this signal follows signal. Pose is counted as in `HeadPose`. NaN without landmarks.

    Parameters
    ----------
    windows : int
        Each is as long as two steps and overlaps the next by half; together they cover the clip, however long it is.
    """

    name: ClassVar[str] = "window_statistics"
    version: ClassVar[int] = 1
    needs_landmarks: ClassVar[bool] = True

    windows: int = 5

    def __post_init__(self) -> None:
        """Check the number of windows."""
        if self.windows < 1:
            raise ValueError(f"a clip is described by one window or more, not {self.windows}")

    def of_clip(self, sequence: FaceSequence) -> NDArray[np.float32]:
        """Return the features of a clip."""
        distance, pose = distance_series(sequence), pose_series(sequence)
        values = np.concatenate([distance.values, _moved(sequence, pose.values)], axis=1)
        courses = np.stack(signals(filled(values), pose.fps), axis=2)
        parts = [_seven(courses[start:stop]) for start, stop in windows(len(courses), self.windows)]
        return np.concatenate([part.ravel() for part in parts]).astype(np.float32)


def windows(length: int, count: int) -> list[tuple[int, int]]:
    """Return the first value, and the one after the last, of so many half-overlapping windows of a series.

    Windows of a series with fewer values than steps still hold one each.

    Examples
    --------
    >>> windows(60, 5)
    [(0, 20), (10, 30), (20, 40), (30, 50), (40, 60)]
    >>> windows(2, 5)
    [(0, 1), (0, 2), (0, 2), (1, 2), (1, 2)]
    """
    steps = count + 1
    return [(k * length // steps, -(-(k + 2) * length // steps)) for k in range(count)]


def _moved(sequence: FaceSequence, pose: Array) -> Array:
    """Count a pose that is not distilled from its median over the clip."""
    if sequence.is_distilled or np.isnan(pose).all():
        return pose
    moved: Array = pose - np.nanmedian(pose, axis=0)
    return moved


def _seven(part: Array) -> Array:
    """Return the seven statistics of each course in a window (n, c, 3), (c, 3, 7)."""
    tenth, quarter, middle, third_quarter, ninth = np.percentile(part, (10, 25, 50, 75, 90), axis=0)
    spread = np.median(np.abs(part - middle), axis=0)
    found = [part.mean(axis=0), middle, np.ptp(part, axis=0), part.std(axis=0), spread]
    return np.stack([*found, third_quarter - quarter, ninth - tenth], axis=-1)
