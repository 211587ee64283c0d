"""Shape: free of where the head is, the same for both orders of points, and distilled as pictures are."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from baselines.features.distilled_series import SMALLEST_CHANGE
from baselines.features.shape import INNER_POINTS, Shape, aligned_points
from repro.data.face_landmarks import smooth_landmarks
from repro.ssd import feature_maps


@pytest.fixture
def face(drawn_sequences):
    """A clip of 24 frames with an expression and 68 points."""
    return drawn_sequences()[3]


def turned(points, angle=0.3, scale=2.0, shift=(7.0, -3.0)):
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ matrix.T + shift


def test_shift_roll_and_scale_of_the_head_do_not_matter(face):
    expected, _ = Shape().extract(face)
    actual, _ = Shape().extract(replace(face, landmarks=turned(face.landmarks)))
    np.testing.assert_allclose(actual, expected, atol=1e-6)  # float32 of values up to 1.3


def test_both_orders_of_points_give_the_same(face):
    fewer = replace(face, landmarks=np.delete(face.landmarks, (60, 64), axis=1))
    np.testing.assert_array_equal(Shape().extract(fewer)[0], Shape().extract(face)[0])


def test_eyes_and_nose_come_to_the_canonical_place_and_the_expression_is_kept(face):
    points = aligned_points(face.landmarks, len(face))
    assert points.shape == (24, INNER_POINTS, 2)
    corners = points[:, [19, 22, 25, 28]]
    # The drawn face has its eyes there, its nose at 0.57, and noise of 0.004.
    np.testing.assert_allclose(corners[:, :2].mean(1), np.tile((-0.5, 0), (24, 1)), atol=0.01)
    np.testing.assert_allclose(corners[:, 2:].mean(1), np.tile((0.5, 0), (24, 1)), atol=0.01)
    np.testing.assert_allclose(points[:, 13], np.tile((0, 0.57), (24, 1)), atol=0.01)
    brows = points[:, :10, 1].mean(1)
    assert brows[12] - brows[0] == pytest.approx(0.2, abs=0.02)  # pixels of drawn points are not rounded


def test_a_frame_is_described_by_its_own_points(face):
    values, spans = Shape(frames=4, smoothing=1).extract(face)
    np.testing.assert_array_equal(spans[:, 0], [3, 9, 15, 21])
    np.testing.assert_allclose(values, aligned_points(face.landmarks, 24, 1)[[3, 9, 15, 21]].reshape(4, -1), rtol=1e-6)
    assert values.dtype == np.float32


def test_smoothing_is_that_of_the_pictures(face):
    smooth = smooth_landmarks(face.landmarks, 5)
    np.testing.assert_allclose(aligned_points(face.landmarks, 24, 5), aligned_points(smooth, 24, 1), atol=1e-12)


def test_a_map_is_described_as_equation_6_distils_a_point(drawn_sequences):
    sequence = drawn_sequences("SSD(RGB)")[3]
    values, spans = Shape().extract(sequence)
    np.testing.assert_array_equal(spans, [[0, 12], [6, 18], [12, 24]])
    # A picture as bright everywhere as a coordinate is large: all weights of a neighbourhood are equal.
    points = aligned_points(sequence.landmarks, 24).reshape(24, -1)
    change = np.abs(np.stack([points[s : s + 6] - points[s + 6 : s + 12] for s in (0, 6, 12)]))
    columns = np.flatnonzero(change.min(axis=(0, 1)) > 10 * SMALLEST_CHANGE)  # the floor of maps is lower
    assert 1 in columns  # a brow that is lowered
    for column in columns[[0, len(columns) // 2, -1]]:
        scale = 200 / np.ptp(points[:, column])
        grey = torch.from_numpy(20 + (points[:, column] - points[:, column].min()) * scale)
        maps = feature_maps(grey.view(24, 1, 1, 1).expand(24, 3, 8, 8).contiguous(), segment_length=6, center=False)
        expected = torch.exp(maps.double() / 2)[:, 0, 4, 4].numpy() / scale
        np.testing.assert_allclose(values[:, column], expected, rtol=1e-4)  # maps are float32


def test_a_point_that_does_not_move_has_the_smallest_change(drawn_sequences):
    sequence = drawn_sequences("SSD(RGB)")[0]
    still = replace(sequence, landmarks=np.repeat(sequence.landmarks[:1], 24, 0))
    np.testing.assert_allclose(Shape().extract(still)[0], SMALLEST_CHANGE, rtol=1e-6)


@pytest.mark.parametrize("kind", ["RGB", "SSD(RGB)"])
def test_what_is_missing_is_not_made_up(kind, drawn_sequences):
    sequence = drawn_sequences(kind)[2]
    expected, _ = Shape(frames=24, smoothing=1).extract(sequence)
    points = sequence.landmarks.copy()
    points[:8] = np.nan
    values, _ = Shape(frames=24, smoothing=1).extract(replace(sequence, landmarks=points))
    first = 8 if kind == "RGB" else 1  # of three maps only the first lacks each pair of frames
    assert np.isnan(values[:first]).all() and np.isfinite(values[first:]).all()
    np.testing.assert_array_equal(values[-1], expected[-1])


@pytest.mark.parametrize(("kind", "moments"), [("RGB", 5), ("SSD(RGB)", 3)])
@pytest.mark.parametrize("none", [True, False])
def test_a_clip_without_landmarks_is_nan(kind, moments, none, drawn_sequences):
    sequence = drawn_sequences(kind)[1]
    values, spans = Shape().extract(
        replace(sequence, landmarks=None if none else np.full_like(sequence.landmarks, np.nan))
    )
    assert values.shape == (moments, 98) and np.isnan(values).all() and len(spans) == moments


def test_landmarks_are_not_modified(face):
    before = face.landmarks.copy()
    Shape().extract(face)
    np.testing.assert_array_equal(face.landmarks, before)


def test_bad_input_is_refused(face):
    with pytest.raises(ValueError, match="24, 66 or 68, 2"):
        Shape().extract(replace(face, landmarks=face.landmarks[:, :49]))
    with pytest.raises(ValueError, match="odd"):
        Shape(smoothing=4).extract(face)
