"""Which landmarks are believed, the square that they give, their smoothing, and fitted transforms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from repro.data.face_landmarks import (
    FACE_CENTRE,
    FACE_SIDE,
    FaceError,
    believable,
    eye_centres,
    face_squares,
    running_median,
    similarity,
    smooth_landmarks,
)
from repro.data.simulator import UNBC
from repro.data.simulator.actor import Actor
from repro.data.simulator.sheet import EXPRESSIONS, activation, still

SIZE = (240, 320)
"""Height and width of the picture."""


@pytest.fixture(scope="module")
def expressions():
    """Landmarks (K, 68, 2) of four people without head motion, eyes 60 px apart; the first row of each is neutral."""
    result = []
    for subject in range(4):
        actor = Actor(UNBC, 0, subject, 64)
        rows = np.stack([activation(levels, actor.identity.asymmetry) for levels in EXPRESSIONS.values()])
        points = actor.marks.positions(rows.astype(float), actor.person.eye_state(still(rows)))[..., :2] * (1, -1)
        left, right = eye_centres(points)[0]
        result.append(points * 60 / math.dist(left, right) + (160, 100))
    assert list(EXPRESSIONS)[0] == "neutral"
    return result


@pytest.fixture(scope="module")
def face(expressions):
    return expressions[0][0]


def moved(face: np.ndarray, n: int = 40, step: tuple[float, float] = (0.5, 0.25)) -> np.ndarray:
    """Landmarks (n, 68, 2) of a face that moves evenly, with noise of half a pixel."""
    noise = np.random.default_rng(0).normal(0, 0.5, (n, 68, 2))
    return face + np.arange(n)[:, None, None] * np.array(step) + noise


def turned(points: np.ndarray, angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return scale * points @ turn.T + shift


# --- what is believed


def test_a_face_is_believed_and_left_as_it_is(face, expressions):
    marks = moved(face)
    np.testing.assert_array_equal(believable(marks, (40, *SIZE)), marks)
    np.testing.assert_array_equal(believable(marks[:, :66], (40, *SIZE)), marks[:, :66])
    for person in expressions:
        assert np.isfinite(believable(person, (len(person), *SIZE))).all()
    # Nodding by a quarter of the distance between the eyes, twice a second.
    nod = face + 15 * np.sin(np.arange(50) * 4 * np.pi / 25)[:, None, None] * (0, 1)
    assert np.isfinite(believable(nod, (50, *SIZE))).all()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda frame: frame * np.nan,
        lambda frame: np.where(np.arange(68)[:, None] == 5, np.nan, frame),
        lambda frame: np.where(np.arange(68)[:, None] == 5, np.inf, frame),
        lambda frame: frame * 0,  # all in the corner
        lambda frame: frame + (80, 0),  # the fit slipped to something beside the face
        lambda frame: frame.mean(0) + 0.3 * (frame - frame.mean(0)),
        lambda frame: frame.mean(0) + 2.5 * (frame - frame.mean(0)),
        lambda frame: frame.mean(0) - (frame - frame.mean(0)),  # upside down
        lambda frame: np.where(np.arange(68)[:, None] == 54, -5000.0, frame),
    ],
    ids=["nan", "one nan", "infinite", "zeros", "jump", "shrunk", "grown", "upside down", "one far away"],
)
@pytest.mark.parametrize("where", [slice(0, 2), slice(17, 20), slice(39, 40)], ids=["start", "middle", "end"])
def test_absurd_landmarks_are_not_believed(face, spoil, where):
    marks = moved(face)
    marks[where] = np.stack([spoil(frame) for frame in marks[where]])
    before = marks.copy()
    lost = np.isnan(believable(marks, (40, *SIZE))).all(axis=(1, 2))
    assert np.flatnonzero(lost).tolist() == list(range(40))[where]
    np.testing.assert_array_equal(marks, before)


def test_a_face_out_of_the_picture_is_not_believed(face):
    marks = moved(face, step=(6.0, 0.0))  # leaves it to the right
    centres, _ = face_squares(marks)
    inside = np.isfinite(believable(marks, (40, *SIZE))).all(axis=(1, 2))
    np.testing.assert_array_equal(inside, centres[:, 0] <= SIZE[1] - 1)
    assert 10 < inside.sum() < 40


def test_nothing_is_believed_where_nothing_is():
    assert np.isnan(believable(np.full((3, 66, 2), np.nan), (3, *SIZE))).all()
    assert np.isnan(believable(np.ones((3, 66, 2)), (3, *SIZE))).all()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 49, 2), r"landmarks must be \(T, 66 or 68, 2\), got \(2, 49, 2\)"),
        ((68, 2), "landmarks must be"),
        ((3, 68, 2), r"2 frames, but landmarks of 3; give landmarks\[:2\]"),
        ((0, 68, 2), "2 frames, but landmarks of 0"),
    ],
)
def test_wrong_shapes(shape, message):
    with pytest.raises(ValueError, match=message):
        believable(np.ones(shape), (2, *SIZE))


# --- the square


@pytest.mark.parametrize("angle", [0.0, 0.5, -1.2])
def test_the_square_lies_where_the_head_has_it(face, angle):
    eyes = eye_centres(face[None])[0]
    expected = eyes.mean(0) + np.array(FACE_CENTRE) * math.dist(*eyes)
    tilt = math.atan2(*(eyes[1] - eyes[0])[::-1])
    upright = turned(face - eyes.mean(0), -tilt, 1.0, eyes.mean(0))
    centres, side = face_squares(upright[None])
    np.testing.assert_allclose(centres[0], expected, atol=1e-9)
    assert side == pytest.approx(FACE_SIDE * math.dist(*eyes))
    # A head that turns and comes nearer takes its square along.
    centres, side = face_squares(turned(upright, angle, 1.5, (30, -20))[None])
    np.testing.assert_allclose(centres[0], turned(expected, angle, 1.5, (30, -20)), atol=1e-9)
    assert side == pytest.approx(1.5 * FACE_SIDE * math.dist(*eyes))


def test_one_size_for_the_video(face):
    marks = np.stack([face * scale for scale in (1.0, 1.0, 1.0, 1.4, 0.7)])
    marks[1] = np.nan
    centres, side = face_squares(marks)
    assert side == pytest.approx(face_squares(face[None])[1])
    assert np.isnan(centres[1]).all() and np.isfinite(centres[[0, 2, 3, 4]]).all()


def test_an_expression_does_not_move_the_square(expressions):
    """Fully shown actions, jaw drop and closed eyes among them: 3 % of the distance between the eyes at most."""
    for person in expressions:
        centres, side = face_squares(person)
        moved_by = np.hypot(*(centres - centres[0]).T) / (side / FACE_SIDE)
        assert moved_by.max() < 0.03
        # The box around all points, which is often cropped, is moved by several times as much.
        boxes = (person.min(axis=1) + person.max(axis=1)) / 2
        assert np.hypot(*(boxes - boxes[0]).T).max() > 0.04 * side / FACE_SIDE


def test_a_mouth_that_opens_does_not_move_the_square(face):
    marks = np.stack([face] * 3)
    marks[1, 48:] += (0, 40)
    marks[1, 4:13] += (0, 40)
    centres, _ = face_squares(marks)
    np.testing.assert_array_equal(centres[1], centres[0])


# --- smoothing


def test_landmarks_that_are_missing_are_interpolated():
    marks = np.full((7, 66, 2), np.nan)
    marks[1], marks[3], marks[5] = 10.0, 20.0, 40.0
    marks[5, 0, 0] = np.nan  # one value that is missing voids the frame
    filled = smooth_landmarks(marks, window=1)
    assert filled[:, 3, 1].tolist() == [10, 10, 15, 20, 20, 20, 20]
    marks[5, 0, 0] = 40.0
    assert smooth_landmarks(marks, window=1)[:, 3, 1].tolist() == [10, 10, 15, 20, 30, 40, 40]
    assert np.isnan(marks[0]).all()


def test_smoothing_is_a_moving_average():
    random = np.random.default_rng(0)
    marks = random.normal(size=(9, 66, 2)) + 100
    smooth = smooth_landmarks(marks, window=3)
    np.testing.assert_allclose(smooth[4], marks[3:6].mean(0), rtol=1e-12)
    np.testing.assert_allclose(smooth[0], marks[:2].mean(0), rtol=1e-12)
    np.testing.assert_allclose(smooth[-1], marks[-2:].mean(0), rtol=1e-12)
    steady = smooth_landmarks(np.broadcast_to(marks[:1], (4, 66, 2)), window=5)
    np.testing.assert_allclose(steady, np.broadcast_to(marks[:1], (4, 66, 2)), rtol=1e-12)


def test_nothing_to_smooth():
    with pytest.raises(FaceError, match=r"none of 2 frames has landmarks of a face; use mode='crop'"):
        smooth_landmarks(np.full((2, 68, 2), np.nan))


@pytest.mark.parametrize("window", [0, 2, -3])
def test_bad_window(window):
    with pytest.raises(ValueError, match="must be odd and positive"):
        smooth_landmarks(np.ones((2, 68, 2)), window)


def test_running_median():
    values = np.array([[9.0], [1], [2], [3], [50], [5]])
    assert running_median(values, 3)[:, 0].tolist() == [5, 2, 2, 3, 5, 27.5]
    assert running_median(values, 1).tolist() == values.tolist()


# --- similarity


def test_similarity_recovers_transforms_exactly_and_never_mirrors():
    random = np.random.default_rng(0)
    source = random.normal(size=(3, 5, 2)) * 50
    target = random.normal(size=(5, 2))
    for scale, angle, shift in ((2.0, 0.5, (3, -4)), (0.1, -3.0, (100, 0)), (1.0, 0.0, (0, 0))):
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) * scale
        exact = similarity((np.linalg.inv(turn) @ (target - shift).T).T[None], target)[0]
        np.testing.assert_allclose(exact, np.column_stack([turn, shift]), atol=1e-9)
    for matrix in similarity(source, target):
        assert np.linalg.det(matrix[:, :2]) > 0
        np.testing.assert_allclose(matrix[:, :2] @ matrix[:, :2].T, np.linalg.det(matrix[:, :2]) * np.eye(2), atol=1e-9)


def test_similarity_is_the_least_squares_fit():
    random = np.random.default_rng(1)
    source, target = random.normal(size=(5, 2)), random.normal(size=(5, 2))
    x, y = source.T
    zero, one = np.zeros(5), np.ones(5)
    design = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    a, b, tx, ty = np.linalg.lstsq(design, target.T.reshape(-1), rcond=None)[0]
    np.testing.assert_allclose(similarity(source[None], target)[0], [[a, -b, tx], [b, a, ty]], atol=1e-12)


def test_points_that_coincide():
    with pytest.raises(FaceError, match="the landmarks of frame 1 are all at one point"):
        similarity(np.stack([np.eye(5, 2), np.ones((5, 2))]), np.eye(5, 2))
