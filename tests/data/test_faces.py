"""Alignment, crop and resizing, on drawings whose geometry is known."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from repro.data import faces
from repro.data.faces import (
    CANONICAL,
    FACE_CENTRE,
    FACE_SIDE,
    Box,
    FaceError,
    align,
    crop,
    crop_box,
    prepare,
    similarity,
    smooth_landmarks,
)

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255)]
"""Of the discs drawn at the five points; the background is grey."""


def five_points(scale: float = 30.0, angle: float = 0.0, centre: tuple[float, float] = (100, 80)) -> np.ndarray:
    """Eyes, nose and corners of the mouth of a face whose eyes are `scale` apart, turned by `angle`."""
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return CANONICAL @ turn * scale + np.array(centre)


def landmarks(points: np.ndarray, count: int = 68) -> np.ndarray:
    """Landmarks (P, 2) of which only the 15 that matter are set; eye contours surround their centres."""
    result = np.zeros((count, 2))
    for eye, first in ((0, 36), (1, 42)):
        for k in range(6):
            result[first + k] = points[eye] + 3 * np.array([math.cos(k * math.pi / 3), math.sin(k * math.pi / 3)])
    result[[30, 48, 54]] = points[2:]
    return result


def drawing(points: np.ndarray, size: tuple[int, int] = (200, 240), radius: int = 4) -> np.ndarray:
    """Draw a disc at each point, (3, H, W); fractions of a pixel count."""
    image = np.full((*size, 3), 90, np.uint8)
    for point, colour in zip(points, COLOURS, strict=True):
        x, y = (round(float(v) * 256) for v in point)
        cv2.circle(image, (x, y), radius * 256, colour, -1, cv2.LINE_AA, shift=8)
    return image.transpose(2, 0, 1)


def disc_centres(frame: torch.Tensor) -> np.ndarray:
    """Find the discs by their colours: mean position weighted by likeness."""
    image = frame.permute(1, 2, 0).numpy().astype(float)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    found = []
    for colour in COLOURS:
        weight = np.clip(1 - np.abs(image - colour).sum(2) / 150, 0, None)
        found.append(((weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()))
    return np.array(found)


def expected(size: int, margin: float) -> np.ndarray:
    return (CANONICAL - FACE_CENTRE) * size / (FACE_SIDE * (1 + 2 * margin)) + (size - 1) / 2


MOVES = [(30.0, 0.0, (100, 80)), (30.0, 0.3, (120, 90)), (42.0, -0.4, (90.5, 70.25)), (21.0, 0.1, (150, 60))]


@pytest.mark.parametrize("count", [66, 68])
@pytest.mark.parametrize("margin", [0.0, 0.1, 0.4])
def test_points_land_where_the_canonical_face_has_them(count, margin):
    points = [five_points(*move) for move in MOVES]
    frames = torch.from_numpy(np.stack([drawing(p) for p in points]))
    marks = np.stack([landmarks(p, count) for p in points])
    result = align(frames, marks, size=128, margin=margin, smoothing=1)
    assert result.shape == (4, 3, 128, 128) and result.dtype == torch.uint8
    for frame in result:
        # Discs are found by thresholded colours, to about a fifth of a pixel.
        np.testing.assert_allclose(disc_centres(frame), expected(128, margin), atol=0.35)


def test_shrinking_averages_instead_of_skipping():
    """A checkerboard of single pixels becomes even grey; sampling it would give stripes."""
    board = (np.indices((400, 400)).sum(0) % 2 * 255).astype(np.uint8)
    frames = torch.from_numpy(np.repeat(board[None, None], 3, axis=1))
    marks = landmarks(five_points(scale=100, angle=0.2, centre=(200, 150)))[None]
    inside = align(frames, marks, size=40)[..., 8:-8, 8:-8].float()
    assert inside.std() < 6 and abs(inside.mean() - 127.5) < 2


def test_identity_transform_keeps_pixels():
    size, margin = 64, 0.0
    random = np.random.default_rng(0)
    frames = torch.from_numpy(random.integers(0, 256, (1, 3, size, size)).astype(np.uint8))
    result = align(frames, landmarks(expected(size, margin))[None], size=size, margin=margin)
    torch.testing.assert_close(result, frames, rtol=0, atol=0)


def test_beyond_the_edge_it_is_repeated():
    frames = torch.full((1, 3, 60, 60), 200, dtype=torch.uint8)
    result = align(frames, landmarks(five_points(centre=(5, 5)))[None], size=32)
    assert (result == 200).all()


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


def test_landmarks_that_are_missing_are_interpolated():
    marks = np.full((7, 66, 2), np.nan)
    marks[1], marks[3], marks[5] = 10.0, 20.0, 40.0
    marks[5, 0, 0] = np.nan  # one value that is missing voids the frame
    filled = smooth_landmarks(marks, window=1)
    assert filled[:, 3, 1].tolist() == [10, 10, 15, 20, 20, 20, 20]
    marks[5, 0, 0] = 40.0
    assert smooth_landmarks(marks, window=1)[:, 3, 1].tolist() == [10, 10, 15, 20, 30, 40, 40]


def test_smoothing_is_a_moving_average():
    random = np.random.default_rng(0)
    marks = random.normal(size=(9, 66, 2)) + 100
    smooth = smooth_landmarks(marks, window=3)
    np.testing.assert_allclose(smooth[4], marks[3:6].mean(0), rtol=1e-12)
    np.testing.assert_allclose(smooth[0], marks[:2].mean(0), rtol=1e-12)
    np.testing.assert_allclose(smooth[-1], marks[-2:].mean(0), rtol=1e-12)
    steady = smooth_landmarks(np.broadcast_to(marks[:1], (4, 66, 2)), window=5)
    np.testing.assert_allclose(steady, np.broadcast_to(marks[:1], (4, 66, 2)), rtol=1e-12)


def test_smoothing_reduces_jitter():
    random = np.random.default_rng(0)
    points = five_points()
    frames = torch.from_numpy(np.stack([drawing(points)] * 30))
    marks = np.stack([landmarks(points)] * 30) + random.normal(0, 1.0, (30, 68, 2))
    rough, smooth = (
        align(frames, marks, size=64, smoothing=window).float().diff(dim=0).abs().mean() for window in (1, 5)
    )
    assert smooth < 0.6 * rough


def test_landmarks_are_not_changed():
    marks = np.full((3, 66, 2), np.nan)
    marks[1] = landmarks(five_points(), 66)
    before = marks.copy()
    align(torch.zeros((3, 3, 200, 240), dtype=torch.uint8), marks)
    np.testing.assert_array_equal(marks, before)


@pytest.mark.parametrize(
    ("marks", "error", "message"),
    [
        (np.full((2, 68, 2), np.nan), FaceError, "none of 2 frames has landmarks; use mode='crop'"),
        (np.ones((2, 68, 2)), FaceError, "the landmarks of frame 0 are all at one point"),
        (np.ones((2, 49, 2)), ValueError, r"landmarks must be \(T, 66 or 68, 2\), got \(2, 49, 2\)"),
        (np.ones((68, 2)), ValueError, "landmarks must be"),
        (
            np.stack([landmarks(five_points())] * 3),
            ValueError,
            r"2 frames, but landmarks of 3; give landmarks\[:2\]",
        ),
    ],
)
def test_bad_landmarks(marks, error, message):
    with pytest.raises(error, match=message):
        align(torch.zeros((2, 3, 50, 50), dtype=torch.uint8), marks)


@pytest.mark.parametrize(
    "frames",
    [
        torch.zeros((2, 1, 50, 50), dtype=torch.uint8),
        torch.zeros((3, 50, 50), dtype=torch.uint8),
        torch.zeros((2, 3, 50, 50)),
        torch.zeros((0, 3, 50, 50), dtype=torch.uint8),
    ],
)
def test_bad_frames(frames):
    for call in (
        lambda: crop_box(frames),
        lambda: crop(frames, Box(0, 0, 9), 4),
        lambda: prepare(frames, None, size=4, mode="none"),
    ):
        with pytest.raises(ValueError, match=r"frames must be \(T, 3, H, W\) uint8"):
            call()


@pytest.mark.parametrize(
    "options", [{"size": 0}, {"margin": -0.5}, {"margin": math.nan}, {"smoothing": 2}, {"smoothing": 0}]
)
def test_bad_options(options):
    with pytest.raises(ValueError, match="must be"):
        align(torch.zeros((1, 3, 50, 50), dtype=torch.uint8), landmarks(five_points())[None], **options)


# --- crop


def test_crop_cuts_and_averages():
    frames = torch.arange(2 * 3 * 8 * 8, dtype=torch.uint8).reshape(2, 3, 8, 8)
    torch.testing.assert_close(crop(frames, Box(2, 1, 4), 4), frames[..., 1:5, 2:6], rtol=0, atol=0)
    means = frames[..., 1:5, 2:6].float().reshape(2, 3, 2, 2, 2, 2).mean((3, 5))
    torch.testing.assert_close(crop(frames, Box(2, 1, 4), 2).float(), means, rtol=0, atol=0.5)


def test_crop_repeats_the_edge():
    frames = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4).repeat(1, 3, 1, 1)
    result = crop(frames, Box(-2, -1, 6), 6)
    np_padded = np.pad(frames[0, 0].numpy(), ((1, 1), (2, 0)), mode="edge")
    np.testing.assert_array_equal(result[0, 0], np_padded)


@pytest.mark.parametrize("box", [Box(4, 0, 2), Box(0, 4, 2), Box(-2, 0, 2), Box(0, -2, 2), Box(0, 0, 0)])
def test_crop_outside(box):
    with pytest.raises(ValueError, match="cannot crop Box"):
        crop(torch.zeros((1, 3, 4, 4), dtype=torch.uint8), box, 4)


def drawn_face(size: int = 200, centre: tuple[int, int] = (100, 100)) -> np.ndarray:
    """Draw a face that the detector knows, (3, size, size): bright oval, dark brows, eyes and mouth."""
    image = np.full((size, size, 3), 60, np.uint8)
    x, y = centre

    def oval(dx: float, dy: float, a: int, b: int, grey: int) -> None:
        cv2.ellipse(image, (round(x + dx), round(y + dy)), (a, b), 0, 0, 360, (grey,) * 3, -1, cv2.LINE_AA)

    oval(0, 0, 48, 62, 200)
    oval(0, -30, 40, 26, 215)
    for side in (-1, 1):
        oval(20 * side, -24, 13, 3, 60)
        oval(20 * side, -14, 10, 6, 110)
        oval(20 * side, -14, 5, 5, 40)
        oval(5 * side, 14, 3, 2, 90)
        oval(26 * side, 12, 10, 10, 210)
    oval(0, 2, 5, 16, 225)
    oval(0, 32, 18, 5, 100)
    return cv2.GaussianBlur(image, (0, 0), 1.5).transpose(2, 0, 1)


def test_crop_box_finds_a_face_and_outlasts_frames_without_one():
    frames = np.stack([drawn_face(centre=(90, 110))] * 6 + [np.full((3, 200, 200), 60, np.uint8)] * 3)
    box = crop_box(torch.from_numpy(frames), margin=0.0)
    assert abs(box.x + box.size / 2 - 90) < 8 and abs(box.y + box.size / 2 - 115) < 15
    assert 90 < box.size < 150  # the oval is 96 wide and 124 high
    wide = crop_box(torch.from_numpy(frames), margin=0.25)
    assert wide.size == pytest.approx(1.5 * box.size, abs=1)
    assert wide.x + wide.size / 2 == pytest.approx(box.x + box.size / 2, abs=1)


def test_crop_box_is_the_same_at_any_resolution():
    small = np.stack([drawn_face()] * 2)
    large = small.repeat(4, axis=2).repeat(4, axis=3)
    a, b = crop_box(torch.from_numpy(small)), crop_box(torch.from_numpy(large))
    np.testing.assert_allclose(np.array(b) / 4, a, atol=10)  # the cascade's scales are 10 % apart


def test_no_face():
    frames = torch.full((20, 3, 100, 100), 60, dtype=torch.uint8)
    with pytest.raises(FaceError, match=r"no frontal face found in 9 of 20 frames; give landmarks .*mode='none'"):
        crop_box(frames)


# --- prepare


def test_prepare_is_one_of_three():
    points = five_points()
    frames = torch.from_numpy(np.stack([drawing(points)] * 3))
    marks = np.stack([landmarks(points)] * 3)
    torch.testing.assert_close(prepare(frames, marks, size=32), align(frames, marks, size=32), rtol=0, atol=0)
    middle = prepare(frames, None, size=50, mode="none")
    torch.testing.assert_close(middle, crop(frames, Box(20, 0, 200), 50), rtol=0, atol=0)
    face = torch.from_numpy(np.stack([drawn_face()] * 3))
    torch.testing.assert_close(
        prepare(face, None, size=32, mode="crop", margin=0.2),
        crop(face, crop_box(face, margin=0.2), 32),
        rtol=0,
        atol=0,
    )


def test_prepare_falls_back_on_nothing():
    frames = torch.zeros((3, 3, 40, 40), dtype=torch.uint8)
    with pytest.raises(FaceError, match="no landmarks to align faces by; use mode='crop'"):
        prepare(frames, None, size=32)
    with pytest.raises(FaceError, match="no frontal face"):
        prepare(frames, None, size=32, mode="crop")
    with pytest.raises(ValueError, match="mode 'auto' is not one of 'align', 'crop', 'none'"):
        prepare(frames, None, size=32, mode="auto")


def test_canonical_face_lies_in_the_square():
    inside = np.abs(expected(100, 0.0) - 49.5) < 50
    assert inside.all() and faces.SMOOTHING % 2 == 1
