"""The pose of a head: projections of the generic face under known motion, and what expressions do to the fit."""

import numpy as np
import pytest

from baselines.features.head_pose import CHANNELS, FACE, head_pose, rotation

EYES = 61.0


def projected(roll=0.0, yaw=0.0, pitch=0.0, *, scale=30.0, at=(50.0, 40.0), face=None):
    """Return landmarks (1, 68, 2) of the generic face; `scale` is the pixels of a distance between its eyes."""
    points = np.full((1, 68, 2), 1.0)
    turned = np.array(list((face or FACE).values())) / EYES @ rotation(roll, yaw, pitch).T
    points[0, list(FACE)] = turned[:, :2] * scale + at
    return points


def pose(*args, **kwargs):
    return dict(zip(CHANNELS, head_pose(projected(*args, **kwargs))[0], strict=True))


@pytest.mark.parametrize("roll", [-0.6, 0.0, 0.3])
@pytest.mark.parametrize("yaw", [-0.9, 0.0, 0.4])
@pytest.mark.parametrize("pitch", [-0.5, 0.0, 0.7])
def test_known_rotations_are_found(roll, yaw, pitch):
    found = pose(roll, yaw, pitch, scale=27.0)
    # exact points: only rounding is left
    assert [found[name] for name in ("roll", "yaw", "pitch")] == pytest.approx([roll, yaw, pitch], abs=1e-9)
    assert found["depth"] == pytest.approx(-np.log(27))
    assert (found["x"], found["y"]) == pytest.approx((50 / 27, 40 / 27))


def test_signs_are_those_of_the_picture():
    nose = {name: projected(**{name: 0.3})[0, 30] - (50, 40) for name in ("roll", "yaw", "pitch")}
    straight = projected()[0, 30] - (50, 40)
    assert nose["yaw"][0] > straight[0] + 1, "positive yaw: the nose points to the right"
    assert nose["pitch"][1] > straight[1] + 1, "positive pitch: the nose points down"
    rolled = projected(roll=0.3)[0]
    assert rolled[45, 1] > rolled[36, 1] + 1, "positive roll: clockwise, the right eye is lower"


def test_rotations_turn_and_nothing_else():
    matrix = rotation(0.3, -0.2, 0.5)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1)


def test_motion_is_measured_in_distances_between_the_eyes():
    points = np.concatenate([projected(scale=30), projected(scale=30, at=(53, 40)), projected(scale=33)])
    found = head_pose(points)
    assert found[1, 0] - found[0, 0] == pytest.approx(0.1)
    assert found[2, 2] - found[0, 2] == pytest.approx(-np.log(1.1)), "a nearer face is larger"


def test_a_larger_picture_shifts_depth_alone():
    points = np.concatenate([projected(0.1, 0.2, 0.1), projected(0.0, 0.1, 0.2, at=(55, 41))])
    once, twice = head_pose(points), head_pose(2 * points)
    np.testing.assert_allclose(twice - once, np.tile([0, 0, -np.log(2), 0, 0, 0], (2, 1)), atol=1e-9)


def test_frames_are_fitted_one_by_one_and_gaps_stay_gaps():
    parts = [projected(0.1 * k, -0.1 * k, 0.05 * k) for k in range(5)]
    points = np.concatenate(parts)
    points[2] = np.nan
    found = head_pose(points)
    assert np.isnan(found[2]).all() and np.isfinite(np.delete(found, 2, 0)).all()
    np.testing.assert_allclose(found[3, 2:], head_pose(parts[3])[0, 2:], atol=1e-12)


def test_a_detectors_errors_do_not_bias_angles():
    points = np.repeat(projected(0.05, 0.2, -0.1), 400, axis=0)
    noisy = head_pose(points + np.random.default_rng(0).normal(0, 0.3, points.shape))  # 1 % of the eyes' distance
    np.testing.assert_allclose(noisy[:, 3:].mean(axis=0), [0.05, 0.2, -0.1], atol=0.01)
    assert (noisy[:, 3:].std(axis=0) < 0.04).all()  # about 2 degrees


def test_another_persons_nose_shifts_pitch_but_not_its_changes():
    long = {number: (x, y, 1.2 * z) for number, (x, y, z) in FACE.items()}
    found = [pose(pitch=p, face=long)["pitch"] for p in (0.0, 0.1)]
    assert found[1] - found[0] == pytest.approx(0.1, abs=0.03)


def test_corners_of_the_eyes_that_draw_together_pass_for_distance():
    """The limit that the module states: an expression that narrows the eyes' distance by 2 % is not told from depth."""
    narrow = {n: ((0.98 * x if n in (36, 39, 42, 45) else x), y, z) for n, (x, y, z) in FACE.items()}
    change = pose(face=narrow)["depth"] - pose()["depth"]
    assert 0.005 < change < 0.02


def test_nothing_is_fitted_to_points_that_coincide():
    assert np.isnan(head_pose(np.zeros((2, 66, 2)))).all()
    assert np.isnan(head_pose(np.full((2, 66, 2), np.nan))).all()


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="landmarks must be"):
        head_pose(np.zeros((5, 11, 2)))
