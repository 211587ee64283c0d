"""From a dataset to labelled clips whose features are computed on request."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from repro.data.encoding import InputSpec
from repro.data.features import ClipFeature
from repro.data.labelled import frame_levels, labelled_clips
from repro.data.schema import Dataset, VideoRecord


@dataclass(frozen=True)
class First(ClipFeature):
    """Grey level of a clip's first frame."""

    name: ClassVar[str] = "first"
    version: ClassVar[int] = 1

    def of_clip(self, sequence):
        return np.array([float(sequence.pictures[0].float().mean())], np.float32)


@dataclass(frozen=True)
class Ramp(VideoRecord):
    """Each frame is as bright as its number."""

    def frames(self):
        return torch.arange(self.n_frames, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8).clone()


def dataset(*lengths, levels=None):
    records = [
        Ramp(f"s{i}", f"s{i}/v", n, np.arange(n) // 10 if levels is None else np.full(n, levels[i]))
        for i, n in enumerate(lengths)
    ]
    return Dataset("manifest", "nowhere", records, content="0", n_levels=9, labels_of_frames=levels is None)


SPEC = InputSpec("RGB", size=8, alignment="none")


def test_clips_levels_and_groups():
    told = []
    clips, levels, groups = labelled_clips(
        dataset(30, 40), SPEC, length=20, stride=10, progress=lambda done, total: told.append((done, total))
    )
    assert groups.tolist() == ["s0", "s0", "s1", "s1", "s1"] and levels.tolist() == [1, 2, 1, 2, 3]
    assert clips.features(First()).of_clips()[:, 0].tolist() == [0, 10, 0, 10, 20] and told == [(1, 2), (2, 2)]
    assert [of_clip.max() for of_clip in clips.frame_levels] == levels.tolist()
    clips.features(First())
    assert len(told) == 2, "computed once"


def test_whole_videos_and_their_labels():
    data = dataset(30, 40, levels=[2, 5])
    clips, levels, groups = labelled_clips(data, SPEC)
    assert levels.tolist() == [2, 5] and clips.frame_levels is None and len(clips) == 2


def test_what_cannot_be_used_is_told():
    with pytest.raises(ValueError, match="no clip of manifest can be used; s0/v: has 30 frames, fewer than the 40"):
        labelled_clips(dataset(30), InputSpec("SSD(RGB)", size=8, alignment="none"))
    clips, _, _ = labelled_clips(dataset(30), InputSpec("RGB", size=8, alignment="align"))
    with pytest.raises(ValueError, match="nowhere, s0/v: there are no landmarks to align faces by"):
        clips.features(First())


@dataclass(frozen=True)
class Nose(ClipFeature):
    """Mean place of the nose."""

    name: ClassVar[str] = "nose"
    version: ClassVar[int] = 1
    needs_landmarks: ClassVar[bool] = True

    def of_clip(self, sequence):
        return np.full(2, np.nan, np.float32) if sequence.landmarks is None else sequence.landmarks[:, 30].mean(0)


@dataclass(frozen=True)
class Marked(Ramp):
    """One with landmarks."""

    def landmarks(self):
        return np.random.default_rng(0).uniform(1, 7, (self.n_frames, 68, 2)).astype(np.float32)


def test_landmarks_that_no_video_has_are_missed_and_those_of_some_are_not():
    data = dataset(30, 30)
    with pytest.raises(ValueError, match="nowhere: nose needs facial landmarks, and no video has any"):
        labelled_clips(data, SPEC).clips.features(Nose())
    data.records[1] = Marked(**vars(data.records[1]))
    assert len(labelled_clips(data, SPEC).clips.features(Nose())) == 2


def test_clips_that_are_too_short_for_what_is_shown_are_refused():
    with pytest.raises(ValueError, match=r"clips of length 30 cannot be shown as SSD\(RGB\), which takes 40 frames"):
        labelled_clips(dataset(60), InputSpec("SSD(RGB)", size=8, alignment="none"), length=30)


def test_whether_frames_were_labelled_is_the_datasets_to_tell():
    assert frame_levels(dataset(30, 30, levels=[1, 1]), []) is None and frame_levels(dataset(30), []) == []
