"""Clips as sequences of pictures: what is shown, which frames, landmarks beside them."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from repro.data.clips import Clip
from repro.data.encoding import InputSpec, encode
from repro.data.face_sequence import USUAL_FPS, FaceSequence, face_sequences
from repro.data.schema import VideoRecord
from repro.ssd import distill


@dataclass(frozen=True)
class Noise(VideoRecord):
    """Frames of noise; it can have landmarks, and fewer frames than it declares."""

    marks: bool = False
    decoded: int = 50

    def frames(self):
        return torch.from_numpy(np.random.default_rng(1).integers(0, 256, (self.decoded, 3, 24, 24), dtype=np.uint8))

    def landmarks(self):
        if not self.marks:
            return None
        points = np.zeros((self.n_frames, 68, 2), np.float32) + (12, 12)
        points[:, 36:40, 0], points[:, 42:46, 0] = 8, 16
        points[3] = np.nan
        return points


def record(**more):
    return Noise("s", "s/v", 50, np.zeros(50, np.int64), **more)


def clips(*bounds):
    return [Clip("s", "s/v", start, stop, 0) for start, stop in bounds]


SPEC = InputSpec("RGB", size=24, alignment="none", segment_length=6)


def test_frames_are_shown_one_by_one():
    found = face_sequences(record(), clips((0, 20), (5, 25)), SPEC)
    assert len(found.sequences) == 2 and not found.excluded and found.face == "centre crop"
    second = found.sequences[1]
    assert torch.equal(second.pictures, record().frames()[5:25])
    assert second.spans.tolist() == [[t, t + 1] for t in range(20)] and len(second) == 20
    assert not second.is_distilled and second.landmarks is None and second.fps == USUAL_FPS


def test_maps_lead_to_the_very_image_that_a_clip_is_distilled_to():
    spec = InputSpec("SSD(RGB)", size=24, alignment="none", segment_length=6)
    (sequence,) = face_sequences(record(fps=30.0), clips((2, 22)), spec).sequences
    assert sequence.is_distilled and sequence.fps == 30.0
    assert sequence.spans.tolist() == [[0, 12], [6, 18]], "three segments of six frames; two are left over"
    (alone,) = face_sequences(record(), clips((2, 14)), spec).sequences
    assert torch.equal(alone.pictures[0], distill(record().frames()[2:14], segment_length=6))
    assert torch.equal(alone.pictures[0], encode(record(), clips((2, 14)), spec).images[0])
    assert sequence.pictures.amin() == 0 and sequence.pictures.amax() == 255, "one min-max over all maps"


@pytest.mark.parametrize("domain", ["rms", "log", "product"])
@pytest.mark.parametrize("normalize", ["joint", "channel"])
def test_a_single_map_is_the_image_in_every_domain(domain, normalize):
    spec = InputSpec("SSD(RGB)", 24, "none", segment_length=6, domain=domain, normalize=normalize)
    (sequence,) = face_sequences(record(), clips((0, 12)), spec).sequences
    expected = encode(record(), clips((0, 12)), spec).images[0]
    assert (sequence.pictures[0].int() - expected.int()).abs().amax() <= 1, "rounding of exp and its inverse"


def test_flow_is_shown_for_each_frame():
    spec = InputSpec("OF", size=24, alignment="none", flow="dis")
    (sequence,) = face_sequences(record(), clips((4, 14)), spec).sequences
    assert sequence.pictures.shape == (10, 3, 24, 24) and not sequence.is_distilled


def test_landmarks_are_of_the_clips_frames_and_unknown_where_there_are_none():
    (sequence,) = face_sequences(record(marks=True), clips((2, 22)), SPEC).sequences
    assert sequence.landmarks.shape == (20, 68, 2)
    assert np.isnan(sequence.landmarks[1]).all() and np.isfinite(sequence.landmarks[2]).all()


def test_clips_beyond_what_could_be_decoded_are_told():
    found = face_sequences(record(decoded=30), clips((0, 20), (15, 35)), SPEC)
    assert [s.clip.stop for s in found.sequences] == [20]
    assert "only 30 could be decoded" in found.excluded[0].reason


def test_a_face_that_cannot_be_aligned_is_told():
    found = face_sequences(record(), clips((0, 20)), InputSpec("RGB", size=24, alignment="align"))
    assert not found.sequences and found.face is None and "no landmarks" in found.excluded[0].reason


@pytest.mark.parametrize(("pictures", "frames", "expected"), [(10, 5, [1, 3, 5, 7, 9]), (3, 5, [0, 1, 2]), (4, 1, [2])])
def test_which_pictures_are_shown(pictures, frames, expected):
    spans = np.stack([np.arange(pictures), np.arange(pictures) + 1], 1)
    sequence = FaceSequence(clips((0, pictures))[0], torch.zeros(pictures, 3, 4, 4, dtype=torch.uint8), spans)
    assert sequence.shown(frames).tolist() == expected
    maps = FaceSequence(clips((0, 99))[0], sequence.pictures, spans, segment_length=20)
    assert maps.shown(1).tolist() == list(range(pictures)), "there are few maps, and each is of other frames"
