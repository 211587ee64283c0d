"""A dataset as a supervised system takes it: clips, their levels, and whom they show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from repro.data.clips import Clip, LevelRule, cut
from repro.data.encoding import InputSpec
from repro.data.face_sequence import face_sequences
from repro.data.features import ClipSet, Extractor, Moments
from repro.data.schema import Dataset

__all__ = ["LabelledClips", "frame_levels", "labelled_clips"]


class LabelledClips(NamedTuple):
    """What ``fit(clips, levels, groups)`` takes.

    Attributes
    ----------
    clips : ClipSet of n clips
    levels : ndarray, (n,) int64
    groups : ndarray, (n,) str
        Subject of each clip.
    """

    clips: ClipSet
    levels: NDArray[np.int64]
    groups: NDArray[np.str_]


def labelled_clips(
    dataset: Dataset,
    spec: InputSpec,
    *,
    length: int | None = None,
    stride: int | None = None,
    level: LevelRule = "max",
    progress: Callable[[int, int], None] | None = None,
) -> LabelledClips:
    """Cut a dataset into labelled clips whose features are computed when a system asks for them.

    Each extractor decodes every video once, and its features are kept in memory; the tables keep them on disk instead.

    Parameters
    ----------
    dataset : Dataset
    spec : InputSpec
        What the pictures show, their size, and how faces are aligned.
    length, stride, level
        As in `repro.data.clips.cut`; whole videos if no length is given. A video that is shorter, but not than
        `spec.shortest_clip`, becomes one clip.
    progress : callable, optional
        Called with the number of videos done and their total, for each extractor.

    Returns
    -------
    LabelledClips
        Without videos that are shorter than `spec.shortest_clip`.

    Raises
    ------
    ValueError
        If clips of this length cannot be shown so, or none is left. When features are computed: if a video cannot be
        decoded, or its face cannot be aligned as asked for, the message names it; if an extractor needs landmarks and
        no video has any.
    """
    if length is not None and length < spec.shortest_clip:
        raise ValueError(
            f"clips of length {length} cannot be shown as {spec.kind}, which takes {spec.shortest_clip} frames or "
            "more: make them longer, or distil shorter segments"
        )
    cut_clips, excluded = cut(dataset, length=length, stride=stride, level=level, min_length=spec.shortest_clip)
    by_video: dict[str, list[Clip]] = {}
    for clip in cut_clips:
        by_video.setdefault(clip.video, []).append(clip)
    records = [record for record in dataset.records if record.video in by_video]
    if not records:
        reasons = "; ".join(f"{row.file}: {row.reason}" for row in excluded[:3])
        raise ValueError(f"{dataset.root}: no clip of {dataset.name} can be used; {reasons or 'it holds no video'}")

    def source(extractor: Extractor) -> Moments:
        parts, marked = [], False
        for done, record in enumerate(records, 1):
            found = face_sequences(record, by_video[record.video], spec)
            if len(found.sequences) < len(by_video[record.video]):
                raise ValueError(f"{dataset.root}, {record.video}: {found.excluded[0].reason}")
            parts.append(extractor.of(found.sequences))
            marked |= any(s.landmarks is not None and bool(np.isfinite(s.landmarks).any()) for s in found.sequences)
            if progress is not None:
                progress(done, len(records))
        if extractor.needs_landmarks and not marked:
            raise ValueError(
                f"{dataset.root}: {extractor.name} needs facial landmarks, and no video has any: use a system without, "
                "or data with landmarks (`python -m repro.landmarks` makes them for BioVid)"
            )
        return Moments.concatenate(parts)

    subjects = np.array([clip.subject for clip in cut_clips])
    clips = ClipSet([clip.id for clip in cut_clips], subjects, source, frame_levels(dataset, cut_clips))
    return LabelledClips(clips, np.array([clip.level for clip in cut_clips], dtype=np.int64), subjects)


def frame_levels(dataset: Dataset, clips: Sequence[Clip]) -> list[NDArray[np.int64]] | None:
    """Return the level of each frame of each clip; None where labels are of whole videos."""
    if not dataset.labels_of_frames:
        return None
    records = {record.video: record for record in dataset.records}
    return [records[clip.video].levels[clip.start : clip.stop] for clip in clips]
