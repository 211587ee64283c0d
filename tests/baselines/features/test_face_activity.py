"""Features of a clip's activity, of frames as of maps."""

import dataclasses

import numpy as np
import pytest

from baselines.features.distilled_series import distil_series
from baselines.features.face_activity import (
    FaceActivity,
    HeadPose,
    WindowStatistics,
    distance_series,
    pose_series,
    windows,
    wrinkle_series,
)
from baselines.features.landmarks import DISTANCES, distances
from baselines.features.time_series import STATISTICS, describe
from baselines.features.wrinkles import wrinkles

KINDS = ["RGB", "SSD(RGB)"]
EXTRACTORS = [(FaceActivity(), 1056), (HeadPose(), 288), (WindowStatistics(), 1890), (WindowStatistics(3), 1134)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("extractor", "length"), EXTRACTORS)
def test_clips_are_one_moment_of_known_length(drawn_sequences, kind, extractor, length):
    moments = extractor.of(drawn_sequences(kind))
    assert moments.of_clips().shape == (4, length) and moments.values.dtype == np.float32
    assert np.isfinite(moments.values).all() and (moments.spans == (0, 24)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_activity_is_distances_then_wrinkles_then_pose(drawn_sequences, kind):
    sequence = drawn_sequences(kind)[3]
    parts = distance_series(sequence), wrinkle_series(sequence), pose_series(sequence)
    assert [part.values.shape[1] for part in parts] == [12, 4, 6]
    expected = np.concatenate([describe(part.values, part.fps).ravel() for part in parts])
    np.testing.assert_allclose(FaceActivity().of_clip(sequence), expected, rtol=1e-6)


def test_maps_have_series_of_their_own(drawn_sequences):
    sequence = drawn_sequences("SSD(RGB)")[3]
    parts = distance_series(sequence), wrinkle_series(sequence), pose_series(sequence)
    for part in parts:
        assert len(part.values) == len(sequence.pictures) == 3 and part.fps == pytest.approx(25 / 6)
    np.testing.assert_array_equal(parts[0].values, distil_series(distances(sequence.landmarks), 6))
    np.testing.assert_array_equal(parts[1].values, wrinkles(sequence.pictures))


@pytest.mark.parametrize("kind", KINDS)
def test_lowered_brows_are_found_in_the_features(drawn_sequences, kind):
    quiet, *_, pain = FaceActivity().of(drawn_sequences(kind)).of_clips()
    where = list(DISTANCES).index("brow_left_inner") * 48 + STATISTICS.index("maximum" if "SSD" in kind else "range")
    assert pain[where] > 2 * quiet[where]


@pytest.mark.parametrize(("extractor", "length"), EXTRACTORS[1:])
@pytest.mark.parametrize("kind", KINDS)
def test_without_landmarks_all_is_nan(drawn_sequences, kind, extractor, length):
    sequence = dataclasses.replace(drawn_sequences(kind)[1], landmarks=None)
    assert np.isnan(extractor.of_clip(sequence)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_without_landmarks_wrinkles_remain(drawn_sequences, kind):
    sequence = drawn_sequences(kind)[1]
    unknown = np.full_like(sequence.landmarks, np.nan)
    for landmarks in (None, unknown):
        found = FaceActivity().of_clip(dataclasses.replace(sequence, landmarks=landmarks)).reshape(22, 48)
        assert np.isfinite(found[12:16]).all() and np.isnan(np.delete(found, range(12, 16), 0)).all()


@pytest.mark.parametrize("extractor", [e for e, _ in EXTRACTORS])
def test_some_frames_without_landmarks_change_little(drawn_sequences, extractor):
    sequence = drawn_sequences()[3]
    gaps = sequence.landmarks.copy()
    gaps[[5, 6, 15]] = np.nan
    found = extractor.of_clip(dataclasses.replace(sequence, landmarks=gaps))
    assert np.isfinite(found).all()
    assert np.corrcoef(found, extractor.of_clip(sequence))[0, 1] > 0.9


@pytest.mark.parametrize("extractor", [HeadPose(), WindowStatistics()])
def test_where_the_camera_stands_says_nothing(drawn_sequences, extractor):
    sequence = drawn_sequences()[2]
    moved = dataclasses.replace(sequence, landmarks=2 * sequence.landmarks + (40, -9))
    # Times of maxima and counts may hang on rounding; none does here.
    np.testing.assert_allclose(extractor.of_clip(moved), extractor.of_clip(sequence), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 3, 5, 24, 60, 61, 138])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_windows_cover_a_clip_and_hold_something(length, count):
    found = windows(length, count)
    assert len(found) == count and all(start < stop <= length for start, stop in found)
    assert set().union(*(range(start, stop) for start, stop in found)) == set(range(length))
    assert found == sorted(found)


def test_a_window_tells_when(drawn_sequences):
    """The brows come down in the middle of the clip: there they are lower, at its ends they move."""
    found = WindowStatistics().of_clip(drawn_sequences()[3]).reshape(5, 18, 3, 7)
    course = found[:, list(DISTANCES).index("brow_left_inner"), 0, 0]
    assert course.argmin() == 2


def test_a_window_at_least():
    with pytest.raises(ValueError, match="one window or more, not 0"):
        WindowStatistics(0)
