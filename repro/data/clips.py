"""Clips: what a sample is. Labelled clips for the downstream task, sources of clips for the pretext task."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from repro.data.files import few
from repro.data.schema import UNLABELLED, Dataset, Exclusion, VideoRecord

LevelRule = Literal["max", "mean", "centre", "last"]


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames start..stop - 1 of a video.

    Attributes
    ----------
    subject, video : str
        As in `VideoRecord`.
    start, stop : int
        First frame, and the one after the last.
    level : int
        Label of the clip; `UNLABELLED` in a pretext task.
    """

    subject: str
    video: str
    start: int
    stop: int
    level: int

    @property
    def id(self) -> str:
        """Name of the clip, unique in its dataset, the same in every run and free of its label."""
        return f"{self.video}:{self.start}-{self.stop}"

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True, eq=False)
class EvenClips(Sequence[Clip]):
    """Clips of one length without labels, made when they are looked at: a large grid's millions are mostly counted.

    Equal to a tuple of the same clips.

    Attributes
    ----------
    subject, video : str
    starts : range
        First frame of each.
    length : int
        Frames of each.
    """

    subject: str
    video: str
    starts: range
    length: int

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.starts)

    @overload
    def __getitem__(self, index: int) -> Clip: ...

    @overload
    def __getitem__(self, index: slice) -> EvenClips: ...

    def __getitem__(self, index: int | slice) -> Clip | EvenClips:
        """Return a clip, or some of the clips."""
        if isinstance(index, slice):
            return EvenClips(self.subject, self.video, self.starts[index], self.length)
        start = self.starts[index]
        return Clip(self.subject, self.video, start, start + self.length, UNLABELLED)

    def __eq__(self, other: object) -> bool:
        """Whether the clips are the same."""
        return tuple(self) == tuple(other) if isinstance(other, EvenClips | tuple) else NotImplemented

    def __hash__(self) -> int:
        """Return the hash of the tuple that it is equal to."""
        return hash(tuple(self))


@dataclass(frozen=True)
class Source:
    """A stretch of one video with the clips that were cut from it: what the pretext task tells apart (D13).

    Attributes
    ----------
    subject, video : str
        As in `VideoRecord`.
    index : int
        Number of the stretch in its video.
    clips : sequence of Clip
        Overlapping clips, in the order of time; a tuple or `EvenClips`.
    """

    subject: str
    video: str
    index: int
    clips: tuple[Clip, ...] | EvenClips

    @property
    def id(self) -> str:
        """Name of the source, unique in its dataset."""
        return f"{self.video}#{self.index}"

    @property
    def n_frames(self) -> int:
        """Frames of all clips, those of overlaps more than once."""
        clips = self.clips
        return len(clips) * clips.length if isinstance(clips, EvenClips) else sum(map(len, clips))


def cut(
    dataset: Dataset,
    *,
    length: int | None,
    stride: int | None = None,
    level: LevelRule = "max",
    min_length: int | None = None,
) -> tuple[list[Clip], list[Exclusion]]:
    """Cut every video of a dataset into labelled clips.

    Parameters
    ----------
    dataset : Dataset
    length : int or None
        Frames in a clip; None makes one clip of each whole video.
    stride : int, optional
        Frames from one clip's start to the next; `length` if not given. Frames after the last whole clip are
        not used.
    level : {"max", "mean", "centre", "last"}
        How the levels of its frames become the clip's (D17). The mean is rounded to the nearest level, a half
        upwards; the centre is frame ``(stop - start) // 2`` of the clip.
    min_length : int, optional
        A video of at least so many frames but fewer than `length` becomes one clip; `length` if not given.
        With ``length=None`` it is the shortest video that is taken, 1 if not given.

    Returns
    -------
    clips : list of Clip
        In the order of the records and of time.
    excluded : list of Exclusion
        Videos that are too short.

    Raises
    ------
    ValueError
        If a number is not positive, `min_length` is above `length`, or `level` is none of the rules.
    """
    for name, value in (("length", length), ("stride", stride), ("min_length", min_length)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1 frame, got {value}")
    if length is not None and min_length is not None and min_length > length:
        raise ValueError(f"min_length {min_length} is above length {length}")
    if level not in _LEVEL:
        raise ValueError(f"level {level!r} is not one of {', '.join(map(repr, _LEVEL))}")
    shortest = min_length or length or 1
    clips: list[Clip] = []
    excluded: list[Exclusion] = []
    for record in dataset.records:
        if record.n_frames < shortest:
            excluded.append(_too_short(record, shortest))
            continue
        span = record.n_frames if length is None else min(length, record.n_frames)
        for start in range(0, record.n_frames - span + 1, stride or span):
            value = _LEVEL[level](record.levels[start : start + span])
            clips.append(Clip(record.subject, record.video, start, start + span, value))
    return clips, excluded


def cut_sources(
    dataset: Dataset, *, clip_length: int = 40, stride: int = 10, clips_per_source: int = 8
) -> list[Source]:
    """Cut every video into stretches, and each stretch into overlapping clips without labels (D13).

    A stretch takes ``clip_length + (clips_per_source - 1) * stride`` frames; stretches do not overlap. A
    shorter video is one stretch, whose clips lie closer together. A video that is too short even for a stride
    of one frame gives none, and a warning tells so.

    Parameters
    ----------
    dataset : Dataset
    clip_length : int
        Frames in a clip; 40 is the shortest clip that has an SSD image at the default segment length (D6).
    stride : int
        Frames from one clip's start to the next.
    clips_per_source : int
        Clips in a stretch, at least 2: a pair is made of the halves of a stretch.

    Returns
    -------
    list of Source
        In the order of the records and of time; each has exactly `clips_per_source` clips.

    Raises
    ------
    ValueError
        If a number is too small.
    """
    if clip_length < 1 or stride < 1 or clips_per_source < 2:
        raise ValueError(
            "clip_length and stride must be at least 1 and clips_per_source at least 2, got "
            f"{clip_length}, {stride} and {clips_per_source}"
        )
    sources: list[Source] = []
    short: list[str] = []
    for record in dataset.records:
        step = min(stride, (record.n_frames - clip_length) // (clips_per_source - 1))
        if step < 1:
            short.append(record.video)
            continue
        span = clip_length + (clips_per_source - 1) * step
        sources += _stretches(record.subject, record.video, record.n_frames // span, span, step, clip_length)
    if short:
        needed = clip_length + clips_per_source - 1
        warnings.warn(
            f"{len(short)} of {len(dataset.records)} videos have fewer than {needed} frames and give no "
            f"source: {few(short)}",
            stacklevel=2,
        )
    return sources


@lru_cache(maxsize=2**14)
def _stretches(subject: str, video: str, count: int, span: int, step: int, length: int) -> tuple[Source, ...]:
    """Cut a video into stretches; once, as several materials of pretext tasks begin with the same."""
    sources = []
    for index in range(count):
        starts = range(index * span, (index + 1) * span - length + 1, step)
        sources.append(Source(subject, video, index, EvenClips(subject, video, starts, length)))
    return tuple(sources)


_LEVEL = {
    "max": lambda levels: int(levels.max()),
    "mean": lambda levels: _round_half_up(levels),
    "centre": lambda levels: int(levels[len(levels) // 2]),
    "last": lambda levels: int(levels[-1]),
}


def _round_half_up(levels: NDArray[np.int64]) -> int:
    """Round the mean of whole numbers; in whole numbers, so that a half is a half."""
    total, count = int(levels.sum()), len(levels)
    return (2 * total + count) // (2 * count)


def _too_short(record: VideoRecord, shortest: int) -> Exclusion:
    return Exclusion(
        "video",
        record.video,
        f"has {record.n_frames} frames, fewer than the {shortest} that a clip needs: use shorter clips, or "
        "shorter segments where images are distilled",
    )
