"""Tracks of faces: smoothing against weighted least squares, and where a moving face is found."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from repro.data.face_landmarks import FACE_CENTRE, FACE_SIDE
from repro.data.face_track import FOLLOWING, locate, smooth_path
from repro.data.simulator import UNBC
from repro.data.simulator.sheet import EXPRESSIONS, portraits

NOTHING = torch.zeros((60, 3, 200, 240), dtype=torch.uint8)
"""Sixty frames, for tracks by landmarks."""


# --- smoothing


def fitted(values: np.ndarray, at: int, smoothing: float) -> float:
    """A line fitted by weighted least squares, evaluated where it is centred."""
    lag = np.arange(len(values)) - at
    keep = np.abs(lag) <= int(3 * smoothing)
    root = np.exp(-0.25 * (lag[keep] / smoothing) ** 2)
    design = np.stack([np.ones(keep.sum()), lag[keep]], axis=1)
    return np.linalg.lstsq(design * root[:, None], values[keep] * root, rcond=None)[0][0]


@pytest.mark.parametrize("smoothing", [0.5, 3.0, 10.0])
def test_smoothing_is_a_weighted_fit_of_lines(smoothing):
    values = np.random.default_rng(0).normal(size=(25, 2)) * 10 + 300
    smooth = smooth_path(np.arange(25), values, 25, smoothing)
    for at in (0, 1, 12, 24):
        for column in range(2):
            assert smooth[at, column] == pytest.approx(fitted(values[:, column], at, smoothing), abs=1e-8)


@pytest.mark.parametrize("n", [1, 2, 3, 50])
def test_even_motion_is_followed_without_a_lag(n):
    line = np.arange(n)[:, None] * (2.0, -1.0) + (5, 300)
    np.testing.assert_allclose(smooth_path(np.arange(n), line, n, FOLLOWING), line, atol=1e-8)


def test_gaps_are_interpolated_and_ends_held():
    times, points = np.array([2, 4, 8]), np.array([[10.0, 0], [20, 1], [40, 3]])
    path = smooth_path(times, points, 11, 0)
    assert path[:, 0].tolist() == [10, 10, 10, 15, 20, 25, 30, 35, 40, 40, 40]
    np.testing.assert_array_equal(smooth_path(times, points, 11, 0.2), path)


@pytest.mark.parametrize("smoothing", [-1.0, np.nan, np.inf])
def test_bad_smoothing(smoothing):
    with pytest.raises(ValueError, match="smoothing must be a number of frames"):
        smooth_path(np.arange(3), np.ones((3, 2)), 3, smoothing)


# --- by landmarks


def face_at(centres: np.ndarray, eyes: float = 30.0) -> np.ndarray:
    """Landmarks (T, 68, 2) whose square lies around `centres`: each eye a ring, the other points between them."""
    marks = np.zeros((len(centres), 68, 2))
    for first, x in ((36, -0.5), (42, 0.5)):
        angle = np.pi + np.arange(6) * np.pi / 3
        marks[:, first : first + 6] = np.stack([x + 0.15 * np.cos(angle), 0.15 * np.sin(angle)], axis=1)
    marks[:, 48:] = (0, 1.15)
    return (marks - FACE_CENTRE) * eyes + centres[:, None]


def swaying(n: int = 60) -> np.ndarray:
    """Centres (n, 2) that sway by 10 px in 5 s at 25 fps."""
    return np.stack([100 + 10 * np.sin(2 * np.pi * np.arange(n) / 125), np.full(n, 90.0)], axis=1)


def test_the_square_of_landmarks_is_followed():
    track = locate(NOTHING, face_at(swaying()))
    assert track.by == "landmarks" and track.side == pytest.approx(FACE_SIDE * 30)
    np.testing.assert_allclose(track.centres, swaying(), atol=1.5)  # of 75 px; what the time constant takes away
    np.testing.assert_allclose(locate(NOTHING, face_at(swaying()), smoothing=0).centres, swaying(), atol=1e-9)


def test_the_square_does_not_take_over_jitter():
    marks = face_at(swaying()) + np.random.default_rng(0).normal(0, 1, (60, 68, 2))
    rough, smooth = (locate(NOTHING, marks, smoothing=s).centres - swaying() for s in (0, FOLLOWING))
    assert (np.diff(smooth, axis=0).std(axis=0) < np.diff(rough, axis=0).std(axis=0) / 15).all()


def test_landmarks_that_are_missing_or_absurd_do_not_move_the_square():
    marks = face_at(swaying())
    clean = locate(NOTHING, marks).centres
    marks[7] = np.nan
    marks[20:23] += (60, -40)
    marks[59] = 0
    np.testing.assert_allclose(locate(NOTHING, marks).centres, clean, atol=0.15)


def test_too_few_landmarks_are_not_gone_by():
    marks = face_at(swaying())
    marks[:30] = np.nan
    assert locate(NOTHING, marks).by == "landmarks"
    marks[30] = np.nan
    assert locate(NOTHING, marks) is None  # and the detector sees nothing in black frames


# --- by the detector


@pytest.fixture(scope="module")
def people():
    """A simulated person on grey ground, neutral and in pain, (3, 128, 128) uint8 each."""
    row = portraits(UNBC, 0, 128, 0, [EXPRESSIONS[name] for name in ("neutral", "pain")])[..., ::-1]
    return {name: half.transpose(2, 0, 1) for name, half in zip(("neutral", "pain"), np.split(row, 2, 1), strict=True)}


def staged(picture: np.ndarray, places: np.ndarray) -> torch.Tensor:
    """Frames (T, 3, 200, 300) with the picture shifted to `places` (T, 2), fractions of a pixel included."""
    frames = []
    for x, y in places:
        move = np.array([[1.0, 0, x], [0, 1, y]])
        image = cv2.warpAffine(
            np.ascontiguousarray(picture.transpose(1, 2, 0)), move, (300, 200), borderValue=(120, 120, 120)
        )
        frames.append(image.transpose(2, 0, 1))
    return torch.from_numpy(np.stack(frames))


def places(n: int = 51) -> np.ndarray:
    """The picture drifts by 60 px in 2 s, about a third of the face a second."""
    return np.stack([np.linspace(40, 100, n), np.linspace(50, 30, n)], axis=1)


def test_a_moving_face_is_followed(people):
    track = locate(staged(people["neutral"], places()))
    assert track.by == "detector"
    path = track.centres - places()
    # The face keeps its place in the square to a twentieth of its side.
    assert np.abs(path - np.median(path, axis=0)).max() < 0.05 * track.side
    rough = locate(staged(people["neutral"], places()), smoothing=0).centres - places()
    assert (np.diff(path, axis=0).std(axis=0) < np.diff(rough, axis=0).std(axis=0) / 3).all()


def test_frames_without_a_face_do_not_move_it(people):
    frames = staged(people["neutral"], places())
    clean = locate(frames).centres
    lost = frames.clone()
    lost[18:28] = 120
    np.testing.assert_allclose(locate(lost).centres, clean, atol=2.0)  # of 100 px: the motion there is guessed


def test_a_second_face_in_some_frames_does_not_move_it(people):
    frames = staged(people["neutral"], np.tile([(0.0, 50.0)], (51, 1)))
    clean = locate(frames)
    joined = frames.clone()
    other = staged(people["pain"], np.array([[160.0, 50.0]]))[0]
    joined[10:31, :, :, 150:] = other[:, :, 150:]
    both = locate(joined)
    # The rest of the frame sets the contrast, so that the same face gives a slightly different square.
    np.testing.assert_allclose(both.centres, clean.centres, atol=0.02 * clean.side)


def test_an_expression_does_not_move_it(people):
    frames = staged(people["neutral"], np.tile([(70.0, 40.0)], (51, 1)))
    calm = locate(frames)
    frames[15:36] = staged(people["pain"], np.array([[70.0, 40.0]]))[0]
    pained = locate(frames)
    assert np.hypot(*(pained.centres - calm.centres).T).max() < 0.02 * calm.side
    assert pained.side == pytest.approx(calm.side, rel=0.05)


def test_a_face_that_is_seldom_seen_is_not_gone_by(people):
    frames = torch.full((46, 3, 200, 300), 120, dtype=torch.uint8)
    face = staged(people["neutral"], np.array([[70.0, 40.0]]))[0]
    frames[:20] = face  # 4 of 10 that are looked at
    assert locate(frames) is None
    frames[20] = face
    assert locate(frames).by == "detector"


def test_tracks_are_the_same_every_time(people):
    frames = staged(people["neutral"], places())
    first, second = locate(frames), locate(frames)
    np.testing.assert_array_equal(first.centres, second.centres)
    assert first.side == second.side
