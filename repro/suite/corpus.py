"""A dataset as a table uses it: cut into clips, divided into folds."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repro.data.clips import Source, cut
from repro.data.encoding import InputSpec
from repro.data.labelled import frame_levels
from repro.data.material import Material
from repro.data.schema import Dataset, Exclusion, VideoRecord
from repro.learning.protocols import Split, VideosInTurn, grouped_k_fold, leave_one_subject_out
from repro.learning.seeds import seed_from
from repro.suite.spec import Clips
from repro.suite.store import hash_of

__all__ = ["Corpus", "NotApplicable", "NotPossible", "Owners"]


class Owners:
    """Whom videos show.

    Parameters
    ----------
    records : iterable of VideoRecord
    """

    def __init__(self, records: Iterable[VideoRecord]) -> None:
        self._owner = {record.video: record.subject for record in records}
        self._known: dict[int, tuple[Sequence[str], frozenset[str]]] = {}

    def of(self, videos: Sequence[str]) -> frozenset[str]:
        """Return the subjects of videos, of which unknown ones are passed over; found once for the same object."""
        if id(videos) not in self._known:
            found = frozenset(self._owner[video] for video in videos if video in self._owner)
            self._known[id(videos)] = videos, found  # kept, so that no other object has its identity
        return self._known[id(videos)][1]


class NotPossible(ValueError):
    """A row cannot be computed on this data; the table says why and is not complete."""


class NotApplicable(NotPossible):
    """A method is not defined on this input or data; the table says why, and nothing is missing from it."""


class Corpus:
    """A dataset cut into labelled clips and unlabelled sources, with its protocol's folds.

    Parameters
    ----------
    dataset : Dataset
    clips : Clips
        How to cut.
    shortest : int
        Frames that a clip must have.

    Attributes
    ----------
    remarks : list of str
        What was left out when unlabelled clips were cut.
    """

    def __init__(self, dataset: Dataset, clips: Clips, shortest: int) -> None:
        self.dataset = dataset
        self.labelled, excluded = cut(
            dataset, length=clips.length, stride=clips.stride, level=clips.level, min_length=shortest
        )
        self.excluded: list[Exclusion] = [*dataset.excluded, *excluded]
        self.labelled_description = {
            "fingerprint": dataset.fingerprint,
            "length": clips.length,
            "stride": clips.stride,
            "shortest": shortest,
            "level": clips.level,
        }
        self.unlabelled_description: dict[str, Any] = {
            "fingerprint": dataset.fingerprint,
            "length": clips.source_length,
            "stride": clips.source_stride,
            "clips_per_source": clips.clips_per_source,
        }
        self.remarks: list[str] = []
        self._cut: dict[str, tuple[list[Source], list[str]]] = {}
        self._folds: dict[tuple[str, int], list[Split]] = {}
        self._train_subjects: dict[int, tuple[Split, list[str]]] = {}
        self._in_turn: dict[int, VideosInTurn] = {}
        self._shares: dict[tuple[float, tuple[str, ...], int], list[str]] = {}
        self._videos_of: dict[tuple[str, ...], list[str]] = {}
        if not self.labelled:
            raise ValueError(
                f"{dataset.root}: no clip of {dataset.name} can be used; "
                + ("; ".join(f"{row.file}: {row.reason}" for row in self.excluded[:3]) or "it holds no video")
            )

    @cached_property
    def owners(self) -> Owners:
        """Subject of each video."""
        return Owners(self.dataset.records)

    def sources(self, material: Material, spec: InputSpec) -> list[Source]:
        """Cut unlabelled clips as a material wants them, once; what is left out is added to the remarks."""
        usual = type(material).cut is Material.cut  # whatever the clips are shown as
        key = "" if usual else hash_of({**material.describe(), "input": spec.describe()})
        if key not in self._cut:
            cut_as = self.unlabelled_description
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                made = material.cut(
                    self.dataset,
                    spec,
                    clip_length=cut_as["length"],
                    stride=cut_as["stride"],
                    clips_per_source=cut_as["clips_per_source"],
                )
            self._cut[key] = made, [str(warning.message) for warning in told]
        sources, messages = self._cut[key]
        found = [f"{self.dataset.name}, {material.name} of {spec.kind}: {message}" for message in messages]
        self.remarks = list(dict.fromkeys([*self.remarks, *found]))
        return sources

    @cached_property
    def has_landmarks(self) -> bool:
        """Whether the dataset has facial landmarks in some frame of some video."""
        found = (record.landmarks() for record in self.dataset.records)
        return any(landmarks is not None and bool(np.isfinite(landmarks).any()) for landmarks in found)

    @cached_property
    def frame_levels(self) -> Mapping[str, NDArray[np.int64]] | None:
        """Level of each frame of each labelled clip, under the clip's name; None where labels are of whole videos."""
        found = frame_levels(self.dataset, self.labelled)
        return None if found is None else {clip.id: own for clip, own in zip(self.labelled, found, strict=True)}

    @cached_property
    def subjects(self) -> np.ndarray:
        """Subject of each labelled clip."""
        return np.array([clip.subject for clip in self.labelled])

    @cached_property
    def levels(self) -> NDArray[np.int64]:
        """Level of each labelled clip."""
        return np.array([clip.level for clip in self.labelled], dtype=np.int64)

    def count_labelled(self, videos: Collection[str]) -> int:
        """Count the labelled clips of some videos."""
        return sum(self._clips_of_videos[video] for video in videos)

    @cached_property
    def _clips_of_videos(self) -> Counter[str]:
        return Counter(clip.video for clip in self.labelled)

    def folds(self, protocol: str, n_folds: int) -> list[Split]:
        """Folds of the labelled clips, made once."""
        if (protocol, n_folds) not in self._folds:
            self._folds[protocol, n_folds] = self._divide(protocol, n_folds)
        return self._folds[protocol, n_folds]

    def train_subjects(self, split: Split) -> list[str]:
        """Subjects that a fold trains on, sorted; the same list each time."""
        if id(split) not in self._train_subjects:
            self._train_subjects[id(split)] = split, np.unique(self.subjects[split.train]).tolist()
        return self._train_subjects[id(split)][1]

    def _divide(self, protocol: str, n_folds: int) -> list[Split]:
        if protocol == "leave_one_subject_out":
            return list(leave_one_subject_out(self.subjects))
        if protocol == "grouped_k_fold":
            # pain in any frame, however a clip's level is told (decision D17): folds are the same for all rules
            levels = self.frame_levels
            positive = [int((clip.level if levels is None else levels[clip.id].max()) > 0) for clip in self.labelled]
            return list(grouped_k_fold(self.subjects, n_folds, seed_from("folds", self.dataset.name), strata=positive))
        raise ValueError(f"protocol {protocol!r} is not one of 'leave_one_subject_out', 'grouped_k_fold'")

    def videos_of_share(self, share: float, train_subjects: Sequence[str], repetition: int) -> list[str]:
        """Choose a share of the videos, from training subjects only (decision D18); the same list each time.

        Raises
        ------
        NotPossible
            If the training subjects have too few.
        """
        key = (share, tuple(train_subjects), repetition)
        if key not in self._shares:
            records = self.dataset.records
            if repetition not in self._in_turn:
                seed = seed_from("share", self.dataset.name, repetition)
                videos, subjects = [r.video for r in records], [r.subject for r in records]
                self._in_turn[repetition] = VideosInTurn(videos, subjects, seed)
            try:
                index = self._in_turn[repetition].share(train_subjects, share)
            except ValueError as error:
                raise NotPossible(str(error)) from error
            self._shares[key] = sorted(records[i].video for i in index)
        return self._shares[key]

    def videos_of_subjects(self, subjects: Sequence[str]) -> list[str]:
        """Return the names of all videos of some subjects, sorted; the same list each time."""
        key = tuple(subjects)
        if key not in self._videos_of:
            wanted = set(subjects)
            self._videos_of[key] = [video for video, subject in self._sorted_videos if subject in wanted]
        return self._videos_of[key]

    @cached_property
    def _sorted_videos(self) -> list[tuple[str, str]]:
        return sorted((record.video, record.subject) for record in self.dataset.records)

    def pspi(self) -> Mapping[str, int] | None:
        """Return the true PSPI of each labelled clip, where it is known: UNBC's labels, or a simulation's truth."""
        if self.dataset.name == "unbc":
            return {clip.id: clip.level for clip in self.labelled}
        if not self.dataset.simulated:
            return None
        from repro.data.simulator.truth import true_pspi

        truth = true_pspi(self.dataset.root)
        return {clip.id: int(truth[clip.video][clip.start : clip.stop].max()) for clip in self.labelled}
