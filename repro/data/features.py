"""Features of clips: what computes them, and sets of clips that hand them out, each computed once.

A system that learns from labels names the extractors that it needs and asks a `ClipSet` for their features. Where these
come from is not its business: they are computed from pictures in memory, or read from files that earlier runs, other
methods and other folds share (`repro.data.feature_files`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from repro.data.face_sequence import FaceSequence

__all__ = ["ClipFeature", "ClipSet", "Extractor", "Moments", "PictureFeature"]


@dataclass(frozen=True, eq=False)
class Moments:
    """Features of n clips, each of which has one or more moments: frames, maps, or the whole of it.

    Parameters
    ----------
    values : ndarray, (M, ...)
        float32 or uint8, a row a moment, clip after clip in the order of time.
    counts : ndarray, (n,) int64
        Moments of each clip; their sum is M.
    spans : ndarray, (M, 2) int64
        First frame, and the one after the last, of each moment; counted from its clip's start.

    Raises
    ------
    ValueError
        If the lengths do not agree.
    """

    values: NDArray[Any]
    counts: NDArray[np.int64]
    spans: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Check that lengths agree."""
        if not len(self.values) == self.counts.sum() == len(self.spans):
            raise ValueError(
                f"{len(self.values)} values and {len(self.spans)} spans are not those of {self.counts.sum()} moments"
            )

    def __len__(self) -> int:
        """Return the number of clips, n."""
        return len(self.counts)

    @property
    def clip(self) -> NDArray[np.int64]:
        """Number of the clip, 0..n - 1, that each moment belongs to; (M,)."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def of_clips(self) -> NDArray[Any]:
        """Return the values (n, ...) of features that describe whole clips.

        Raises
        ------
        ValueError
            If a clip has another number of moments than one.
        """
        if (self.counts != 1).any():
            raise ValueError(f"clips have {np.unique(self.counts).tolist()} moments, not one each; reduce them first")
        return self.values

    def reduce(self, function: Callable[..., NDArray[Any]], values: NDArray[Any] | None = None) -> NDArray[np.float64]:
        """Reduce each clip's moments to one row.

        Parameters
        ----------
        function : callable
            Such as ``np.mean`` or ``np.max``; called with ``axis=0``.
        values : ndarray, (M, ...), optional
            Something else than the features, such as predictions for each moment.
        """
        parts = np.split(self.values if values is None else values, np.cumsum(self.counts)[:-1])
        return np.stack([np.asarray(function(part, axis=0), dtype=np.float64) for part in parts])

    def select(self, index: NDArray[np.int64]) -> Moments:
        """Return the moments of some clips, in the order of the index array."""
        ends = np.cumsum(self.counts)
        starts = ends - self.counts
        rows = np.concatenate([np.empty(0, np.int64), *(np.arange(starts[i], ends[i]) for i in index)])
        return Moments(self.values[rows], self.counts[index], self.spans[rows])

    @classmethod
    def concatenate(cls, parts: Sequence[Moments]) -> Moments:
        """Join sets of clips, in order; those without a clip have no say in the shape of the features."""
        some = [part for part in parts if len(part)] or list(parts[:1])
        return cls(*(np.concatenate([getattr(part, name) for part in some]) for name in ("values", "counts", "spans")))


@dataclass(frozen=True)
class Extractor(ABC):
    """Computes features of one clip from its face alone: neither labels nor other clips.

    A subclass is a frozen dataclass whose fields, with `name` and `version`, tell all that changes the values. Use one
    of `PictureFeature` and `ClipFeature` as a base.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    needs_landmarks: ClassVar[bool] = False
    """Whether it can do nothing without facial landmarks."""

    def describe(self) -> dict[str, Any]:
        """Return the hyper-parameters and the version: with the pictures they decide the values."""
        return {"features": self.name, "version": self.version, **asdict(self)}

    @abstractmethod
    def extract(self, sequence: FaceSequence) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return values (m, ...), float32 or uint8, and spans (m, 2) of the clip's m moments.

        The clip must not be modified. Where landmarks are missing, values are NaN.
        """

    def of(self, sequences: Sequence[FaceSequence]) -> Moments:
        """Return the features of several clips.

        Raises
        ------
        ValueError
            If there is none. If a value is infinite, or NaN though it does not depend on landmarks; the message names
            the clip.
        """
        if not sequences:
            raise ValueError(f"{self.name}: there is no clip to compute features of")
        made = [self.extract(sequence) for sequence in sequences]
        for sequence, (values, _) in zip(sequences, made, strict=True):
            if np.isinf(values).any() or (np.isnan(values).any() and not self.needs_landmarks):
                raise ValueError(f"{self.name}: features of clip {sequence.clip.id} are not finite; mend the extractor")
        counts = np.array([len(values) for values, _ in made], dtype=np.int64)
        return Moments(np.concatenate([values for values, _ in made]), counts, np.concatenate([s for _, s in made]))


@dataclass(frozen=True)
class PictureFeature(Extractor):
    """Features of single pictures: some frames of a clip, or the map of each two segments.

    Parameters
    ----------
    frames : int
        Frames of a clip that are looked at: the middle ones of so many equal parts. Of maps, all are.
    """

    frames: int = 5

    @abstractmethod
    def of_picture(self, picture: Tensor) -> NDArray[np.float32]:
        """Return the features (d,) of a face (3, size, size) uint8, with the same d for all of one size."""

    def extract(self, sequence: FaceSequence) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Describe the chosen pictures one by one."""
        chosen = sequence.shown(self.frames)
        values = [self.of_picture(sequence.pictures[int(i)]) for i in chosen]
        return np.stack(values).astype(np.float32), sequence.spans[chosen]


@dataclass(frozen=True)
class ClipFeature(Extractor):
    """Features of whole clips."""

    @abstractmethod
    def of_clip(self, sequence: FaceSequence) -> NDArray[Any]:
        """Return the features of a clip, float32 or uint8, of one shape for all clips of one picture size."""

    def extract(self, sequence: FaceSequence) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Describe the clip as one moment."""
        return self.of_clip(sequence)[None], np.array([[0, len(sequence)]])


class ClipSet:
    """Clips for learning from labels: whom they show, and features of them on request.

    Parameters
    ----------
    ids, subjects : array_like of str, (n,)
        Names of the clips and of the people in them.
    source : callable
        From an extractor to the `Moments` of all n clips; asked once for each extractor.
    frame_levels : sequence of ndarray, (T,) int64, optional
        Level of each frame of each clip, where it is known; None for clips that are to be predicted, and for data
        whose labels are of whole videos.

    Raises
    ------
    ValueError
        If the lengths do not agree.
    """

    def __init__(
        self,
        ids: Sequence[str] | NDArray[np.str_],
        subjects: Sequence[str] | NDArray[np.str_],
        source: Callable[[Extractor], Moments],
        frame_levels: Sequence[NDArray[np.int64]] | None = None,
    ) -> None:
        self.ids, self.subjects = np.asarray(ids, dtype=np.str_), np.asarray(subjects, dtype=np.str_)
        self.frame_levels = None if frame_levels is None else list(frame_levels)
        self._source = source
        self._made: dict[Extractor, Moments] = {}
        for what, values in (("subjects", self.subjects), ("frame_levels", self.frame_levels)):
            if values is not None and len(values) != len(self.ids):
                raise ValueError(f"{len(values)} {what} do not match {len(self.ids)} clips")

    @classmethod
    def of_sequences(
        cls, sequences: Sequence[FaceSequence], frame_levels: Sequence[NDArray[np.int64]] | None = None
    ) -> ClipSet:
        """Make a set of clips in memory, whose features are computed when they are asked for."""
        clips = [sequence.clip for sequence in sequences]
        return cls(
            [clip.id for clip in clips],
            [clip.subject for clip in clips],
            lambda extractor: extractor.of(sequences),
            frame_levels,
        )

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.ids)

    def features(self, extractor: Extractor) -> Moments:
        """Return what an extractor computes of the clips; it must not be modified.

        Raises
        ------
        ValueError
            If the features are not those of so many clips.
        """
        if extractor not in self._made:
            made = self._source(extractor)
            if len(made) != len(self):
                raise ValueError(f"{extractor.name}: features of {len(made)} clips, not of {len(self)}")
            self._made[extractor] = made
        return self._made[extractor]

    def select(self, index: NDArray[np.int64]) -> ClipSet:
        """Return some of the clips, in the order of an index array; features are not computed again."""
        index = np.asarray(index)
        levels = None if self.frame_levels is None else [self.frame_levels[i] for i in index]
        return ClipSet(self.ids[index], self.subjects[index], lambda e: self.features(e).select(index), levels)

    def without_levels(self) -> ClipSet:
        """Return the clips without the levels of their frames, as they are to be predicted."""
        return ClipSet(self.ids, self.subjects, self.features)

    def moment_levels(self, moments: Moments, levels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the level of each moment: the highest of its frames, or its clip's where frames have none.

        Parameters
        ----------
        moments : Moments
            Of these clips.
        levels : ndarray, (n,) int64
            Level of each clip.

        Returns
        -------
        ndarray, (M,) int64
        """
        clip = moments.clip
        if self.frame_levels is None:
            return levels[clip]
        found = [self.frame_levels[c][start:stop].max() for c, (start, stop) in zip(clip, moments.spans, strict=True)]
        return np.array(found, dtype=np.int64)
