"""Features of sets of clips: moments, subsets, levels of moments, files."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from repro.data.clips import Clip
from repro.data.encoding import InputSpec
from repro.data.feature_files import read_feature_notes, read_features, write_features
from repro.data.features import ClipFeature, ClipSet, Moments, PictureFeature
from repro.data.schema import VideoRecord


@dataclass(frozen=True)
class Brightness(PictureFeature):
    """Mean grey level of a picture."""

    name: ClassVar[str] = "brightness"
    version: ClassVar[int] = 1

    def of_picture(self, picture):
        return picture.float().mean(dim=(0, 1, 2), keepdim=True).flatten().numpy()


@dataclass(frozen=True)
class Length(ClipFeature):
    """Frames of a clip; refuses some."""

    name: ClassVar[str] = "length"
    version: ClassVar[int] = 1
    refused: int = 0

    def of_clip(self, sequence):
        if len(sequence) == self.refused:
            raise RuntimeError("a clip of this length")
        return np.array([len(sequence)], np.float32)


def moments():
    return Moments(
        np.arange(6, dtype=np.float32)[:, None],
        np.array([1, 3, 2]),
        np.array([[0, 2], [0, 1], [1, 2], [2, 3], [0, 1], [1, 4]]),
    )


def test_moments():
    made = moments()
    assert len(made) == 3 and made.clip.tolist() == [0, 1, 1, 1, 2, 2]
    np.testing.assert_array_equal(made.reduce(np.max)[:, 0], [0, 3, 5])
    np.testing.assert_array_equal(made.reduce(np.mean, np.array([1.0, 2, 3, 4, 5, 6])), [1, 3, 5.5])
    turned = made.select(np.array([2, 0]))
    assert turned.values[:, 0].tolist() == [4, 5, 0] and turned.counts.tolist() == [2, 1]
    assert turned.spans.tolist() == [[0, 1], [1, 4], [0, 2]]
    joined = Moments.concatenate([turned, made])
    assert len(joined) == 5 and joined.values[:, 0].tolist() == [4, 5, 0, 0, 1, 2, 3, 4, 5]
    assert len(made.select(np.array([], dtype=np.int64))) == 0
    with pytest.raises(ValueError, match=r"clips have \[1, 2, 3\] moments"):
        made.of_clips()
    assert made.select(np.array([0])).of_clips().tolist() == [[0]]
    with pytest.raises(ValueError, match="5 values and 6 spans are not those of 6 moments"):
        Moments(made.values[:5], made.counts, made.spans)


def test_features_are_computed_once_and_shared_by_subsets():
    asked = []

    def source(extractor):
        asked.append(extractor.name)
        return moments()

    clips = ClipSet(list("abc"), list("xyy"), source)
    part = clips.select(np.array([2, 0]))
    assert part.features(Brightness()).values[:, 0].tolist() == [4, 5, 0]
    assert part.select(np.array([1])).features(Brightness()).values.tolist() == [[0]]
    assert asked == ["brightness"] and part.subjects.tolist() == ["y", "x"] and part.ids.tolist() == ["c", "a"]
    with pytest.raises(ValueError, match="brightness: features of 3 clips, not of 2"):
        ClipSet(list("ab"), list("xy"), source).features(Brightness())
    with pytest.raises(ValueError, match="1 subjects do not match 2 clips"):
        ClipSet(list("ab"), ["x"], source)


def test_levels_of_moments():
    of_frames = [np.array([0, 2]), np.array([1, 0, 0]), np.array([0, 5, 0, 1])]
    known, unknown = (ClipSet(list("abc"), list("xyz"), lambda e: moments(), levels) for levels in (of_frames, None))
    assert known.moment_levels(moments(), np.array([2, 1, 5])).tolist() == [2, 1, 0, 0, 0, 5]
    assert unknown.moment_levels(moments(), np.array([2, 1, 5])).tolist() == [2, 1, 1, 1, 5, 5]
    assert known.without_levels().frame_levels is None and known.without_levels().ids.tolist() == list("abc")
    part = known.select(np.array([2]))
    assert part.moment_levels(part.features(Brightness()), np.array([5])).tolist() == [0, 5]


@dataclass(frozen=True)
class Plain(VideoRecord):
    """A video that grows brighter."""

    def frames(self):
        return torch.arange(self.n_frames, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8).clone()


def work(lengths=(10, 12)):
    records = [Plain("s", f"s/v{i}", length, np.zeros(length, np.int64)) for i, length in enumerate(lengths)]
    return [(r, [Clip("s", r.video, 0, r.n_frames, 0), Clip("s", r.video, 2, 6, 0)]) for r in records]


SPEC = InputSpec("RGB", size=8, alignment="none")


def write(folder, *extractors, **more):
    wanted = {extractor: folder / f"{i}.safetensors" for i, extractor in enumerate(extractors)}
    told = []
    write_features(work(**more), SPEC, wanted, lambda fraction, message: told.append((fraction, message)))
    return list(wanted.values()), told


def test_files_hold_what_was_computed(tmp_path):
    (bright, long), told = write(tmp_path, Brightness(frames=2), Length())
    file = read_features([bright])
    assert file.notes.ids == ["s/v0:0-10", "s/v0:2-6", "s/v1:0-12", "s/v1:2-6"]
    assert file.moments.counts.tolist() == [2, 2, 2, 2]
    np.testing.assert_array_equal(file.moments.values[:, 0], [2, 7, 3, 5, 3, 9, 3, 5])
    assert file.moments.spans[:2].tolist() == [[2, 3], [7, 8]]
    assert read_features([long, long]).moments.values[:, 0].tolist() == [10, 4, 12, 4] * 2
    assert read_feature_notes(long).faces == {"s/v0": "centre crop", "s/v1": "centre crop"}
    assert [fraction for fraction, _ in told] == [0.5, 1.0]


def test_what_is_there_is_not_computed_again(tmp_path, monkeypatch):
    (path,), _ = write(tmp_path, Length())
    before = path.stat().st_mtime_ns
    monkeypatch.setattr(Plain, "frames", lambda self: pytest.fail("decoded again"))
    write(tmp_path, Length())
    assert path.stat().st_mtime_ns == before


def test_an_extractor_that_fails_is_told_and_does_not_keep_others_from_theirs(tmp_path):
    (failed, sound), _ = write(tmp_path, Length(refused=12), Brightness())
    assert len(read_features([sound]).moments) == 4 and not failed.exists()
    with pytest.raises(
        ValueError,
        match=r"(?s)could not be computed: length, video s/v1: Traceback.*RuntimeError: a clip of this length",
    ):
        read_features([failed])
    write(tmp_path, Length())  # another field, the same file: as after a mended method
    assert read_features([failed]).moments.values[0] == 10 and not failed.with_suffix(".error").exists()


@dataclass(frozen=True)
class Given(ClipFeature):
    """A value that is told, which may depend on landmarks."""

    name: ClassVar[str] = "given"
    version: ClassVar[int] = 1
    value: float = 0.0

    def of_clip(self, sequence):
        return np.array([self.value], np.float32)


class OfLandmarks(Given):
    """One that does."""

    needs_landmarks: ClassVar[bool] = True


@pytest.mark.parametrize(
    ("extractor", "sound"),
    [(Given(np.nan), False), (Given(np.inf), False), (OfLandmarks(np.inf), False), (OfLandmarks(np.nan), True)],
)
def test_only_what_depends_on_landmarks_can_be_unknown_and_nothing_infinite(tmp_path, extractor, sound):
    (path,), _ = write(tmp_path, extractor)
    assert path.is_file() == sound
    if not sound:
        with pytest.raises(ValueError, match="given, video s/v0: given: features of clip s/v0:0-10 are not finite"):
            read_features([path])


def test_damage_is_told(tmp_path):
    (path,), _ = write(tmp_path, Length())
    data = path.read_bytes()
    for wrong in (b"", data[:-3], b"x" + data[1:]):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match=r"0.safetensors is not a readable file of features .*; remove it and run"):
            read_features([path])
    path.unlink()
    with pytest.raises(ValueError, match=r"features are not in .*0.safetensors: run again"):
        read_features([path])


def test_a_subject_without_clips_is_passed(tmp_path):
    paths, _ = write(tmp_path, Length())
    write_features([], SPEC, {Length(): tmp_path / "none.safetensors"}, lambda *_: None)
    assert len(read_features([tmp_path / "none.safetensors", *paths]).moments) == 4
    with pytest.raises(ValueError, match="no clip has features"):
        read_features([tmp_path / "none.safetensors"])
