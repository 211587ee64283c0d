"""Distances between landmarks."""

import numpy as np
import pytest

from baselines.features.landmarks import DISTANCES, distances

NAMES = list(DISTANCES)

UNBC_ORDER = [i for i in range(68) if i not in (60, 64)]


@pytest.fixture
def face(drawn_sequences):
    return drawn_sequences()[0].landmarks


def moved(face, numbers, by):
    points = face.copy()
    points[:, numbers] += by
    return points


def changed(before, after):
    return {NAMES[i] for i in np.flatnonzero(np.abs(after - before).max(axis=0) > 1e-9)}


def test_distances_by_hand():
    points = np.zeros((1, 68, 2))
    points[0, [36, 39, 42, 45]] = [(0, 0), (4, 0), (16, 0), (20, 0)]  # centres at 2 and 18: the unit is 16
    points[0, [21, 22]] = [(4, -8), (16, -4)]
    points[0, [48, 54, 51, 57, 33]] = [(0, 32), (20, 32), (10, 28), (10, 36), (10, 20)]
    points[0, [37, 38, 40, 41]] = [(1, -2), (3, -2), (3, 2), (1, 2)]
    points[0, [19, 24]] = [(2, -9), (18, -6)]
    found = dict(zip(NAMES, distances(points)[0], strict=True))
    expected = {"brow_left_middle": 9, "brow_right_middle": 6}
    expected |= {"brow_left_inner": 8, "brow_right_inner": 4, "brows_apart": np.hypot(12, 4), "eye_left_open": 4}
    expected |= {"mouth_corner_left": 32, "mouth_width": 20, "mouth_height": 8, "lip_to_nose": 8}
    for name, pixels in expected.items():
        assert found[name] == pytest.approx(pixels / 16), name


def test_both_orders_give_the_same(face):
    np.testing.assert_array_equal(distances(face[:, UNBC_ORDER]), distances(face))


def test_shift_roll_and_scale_do_not_matter(face):
    turn = 1.7 * np.array([[np.cos(0.4), np.sin(0.4)], [-np.sin(0.4), np.cos(0.4)]])
    np.testing.assert_allclose(distances(face @ turn + (31, -12)), distances(face), rtol=1e-9)


@pytest.mark.parametrize(
    ("numbers", "by", "names"),
    [
        (range(17, 22), (0, 1), {"brow_left_inner", "brow_left_middle", "brows_apart"}),
        (range(22, 27), (0, 1), {"brow_right_inner", "brow_right_middle", "brows_apart"}),
        ([43, 44], (0, 1), {"eye_right_open"}),
        ([51], (0, -1), {"lip_to_nose", "mouth_height"}),
        ([48], (0, -1), {"mouth_corner_left", "mouth_width"}),
        (range(17), (5, 5), set()),
        (range(60, 68), (5, 5), set()),
    ],
)
def test_an_action_changes_its_own_distances_only(face, numbers, by, names):
    assert changed(distances(face), distances(moved(face, list(numbers), by))) == names


def test_a_lowered_brow_of_a_drawn_face_shortens_its_distances(drawn_sequences):
    quiet, *_, pain = (distances(sequence.landmarks) for sequence in drawn_sequences())
    for name in ("brow_left_inner", "brow_right_inner", "brow_left_middle", "brow_right_middle"):
        start, middle = pain[0, NAMES.index(name)], pain[len(pain) // 2, NAMES.index(name)]
        # It comes down by 0.2 distances between the eyes; noise is 0.004 a coordinate.
        assert middle < start - 0.1, name
        assert np.ptp(quiet[:, NAMES.index(name)]) < 0.05
    opened = pain[:, NAMES.index("mouth_height")]
    assert opened[len(pain) // 2] > opened[0] + 0.1


def test_frames_without_landmarks_are_nan_and_others_are_not(face):
    points = face.copy()
    points[3] = np.nan
    found = distances(points)
    assert np.isnan(found[3]).all()
    np.testing.assert_array_equal(np.delete(found, 3, 0), np.delete(distances(face), 3, 0))


def test_coinciding_eyes_are_no_unit():
    assert np.isnan(distances(np.zeros((2, 68, 2)))).all()


@pytest.mark.parametrize("shape", [(5, 68), (5, 49, 2), (5, 68, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="landmarks must be"):
        distances(np.zeros(shape))
