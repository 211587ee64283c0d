"""Alignment, crops and resizing, on drawings whose geometry is known."""

from __future__ import annotations

import math
from typing import get_args

import cv2
import numpy as np
import pytest
import torch

from repro.data import faces
from repro.data.face_landmarks import CANONICAL, FACE_CENTRE, FACE_SIDE, SMOOTHING
from repro.data.face_track import Track, locate
from repro.data.faces import METHODS, Box, FaceError, align, crop, follow, prepare

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255)]
"""Of the discs drawn at the five points; the background is grey."""


def five_points(scale: float = 30.0, angle: float = 0.0, centre: tuple[float, float] = (100, 80)) -> np.ndarray:
    """Eyes, nose and corners of the mouth of a face whose eyes are `scale` apart, turned by `angle`."""
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return CANONICAL @ turn * scale + np.array(centre)


def landmarks(points: np.ndarray, count: int = 68) -> np.ndarray:
    """Landmarks (P, 2): the five points, eye contours around their centres, and all others at the nose."""
    result = np.tile(points[2], (count, 1))
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
    for move in MOVES:
        points = five_points(*move)
        marks = landmarks(points, count)[None]
        result = align(torch.from_numpy(drawing(points))[None], marks, size=128, margin=margin)
        assert result.shape == (1, 3, 128, 128) and result.dtype == torch.uint8
        # Discs are found by thresholded colours, to about a fifth of a pixel.
        np.testing.assert_allclose(disc_centres(result[0]), expected(128, margin), atol=0.35)


def test_a_head_that_turns_and_comes_nearer_stays_level_and_of_one_size():
    """Any face, not only the canonical one, lands where the least-squares transform of numpy's solver takes it."""
    random = np.random.default_rng(3)
    shape = CANONICAL + random.normal(0, 0.06, (5, 2))
    turns, scales = 0.35 * np.sin(np.arange(30) / 5), 30 + 5 * np.cos(np.arange(30) / 7)
    poses = [
        shape @ np.array([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]]) * s + (110 + t / 3, 80)
        for t, (a, s) in enumerate(zip(turns, scales, strict=True))
    ]
    frames = torch.from_numpy(np.stack([drawing(p) for p in poses]))
    marks = np.stack([landmarks(p) for p in poses])
    found = np.stack([disc_centres(f) for f in align(frames, marks, size=128, smoothing=1)])
    (x, y), (zero, one) = shape.T, (np.zeros(5), np.ones(5))
    design = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    solution = np.linalg.lstsq(design, expected(128, 0.1).T.reshape(-1), rcond=None)[0]
    np.testing.assert_allclose(found, np.broadcast_to((design @ solution).reshape(2, 5).T, found.shape), atol=0.5)
    across = found[:, 1] - found[:, 0]
    assert np.degrees(np.ptp(np.arctan2(*across.T[::-1]))) < 1
    assert np.ptp(np.hypot(*across.T)) < 0.015 * np.hypot(*across.T).mean()


def test_absurd_landmarks_do_not_move_an_aligned_face():
    points = five_points()
    frames = torch.from_numpy(np.stack([drawing(points)] * 20))
    marks = np.stack([landmarks(points)] * 20)
    clean = align(frames, marks, size=64)
    marks[3], marks[8], marks[12:14] = np.nan, 0, 2 * marks[12:14]
    torch.testing.assert_close(align(frames, marks, size=64), clean, rtol=0, atol=0)


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
        (np.full((2, 68, 2), np.nan), FaceError, "none of 2 frames has landmarks of a face; use mode='crop'"),
        (np.ones((2, 68, 2)), FaceError, "none of 2 frames has landmarks of a face"),
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
        torch.zeros((2, 3, 0, 50), dtype=torch.uint8),
    ],
)
def test_bad_frames(frames):
    for call in (
        lambda: align(frames, np.ones((2, 68, 2)), size=4),
        lambda: follow(frames, Track(np.ones((2, 2)), 5.0, "detector"), size=4),
        lambda: crop(frames, Box(0, 0, 9), 4),
        lambda: prepare(frames, None, size=4, mode="none"),
    ):
        with pytest.raises(ValueError, match=r"frames must be \(T, 3, H, W\) uint8"):
            call()


@pytest.mark.parametrize(
    "options",
    [{"size": 0}, {"margin": math.inf}, {"margin": -0.5}, {"margin": math.nan}, {"smoothing": 2}, {"smoothing": 0}],
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


# --- follow


def test_a_square_is_followed_to_fractions_of_a_pixel():
    size, side = 64, 64 / 1.2
    centres = np.stack([60 + 0.37 * np.arange(30), 50 + 0.21 * np.arange(30)], axis=1)
    frames = []
    for x, y in centres:
        image = np.full((110, 130, 3), 40, np.uint8)
        cv2.circle(image, (round(x * 256), round(y * 256)), 12 * 256, (220, 220, 220), -1, cv2.LINE_AA, shift=8)
        frames.append(image.transpose(2, 0, 1))
    video = torch.from_numpy(np.stack(frames))
    for output, margin in ((size, 0.1), (27, 0.1), (64, 0.0)):
        result = follow(video, Track(centres, side, "landmarks"), size=output, margin=margin)[:, 0].double() - 40
        grid = torch.arange(output).double() - (output - 1) / 2
        for axis in (1, 2):
            middle = (result.sum(axis) * grid).sum(1) / result.sum((1, 2))
            assert middle.abs().max() < 0.06  # where rounding to whole pixels would be off by up to half of one


def test_following_a_square_that_stays_is_a_crop():
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 40, 50)).astype(np.uint8))
    track = Track(np.full((2, 2), 19.5), 20.0, "detector")
    torch.testing.assert_close(follow(frames, track, size=20, margin=0.0), frames[..., 10:30, 10:30], rtol=0, atol=0)
    halved = crop(frames, Box(10, 10, 20), 10)
    torch.testing.assert_close(follow(frames, track, size=10, margin=0.0), halved, rtol=0, atol=1)


@pytest.mark.parametrize("centre", [(3, 3), (200, -100)])
def test_a_square_beyond_the_edge_repeats_it(centre):
    frames = torch.full((1, 3, 30, 40), 200, dtype=torch.uint8)
    result = follow(frames, Track(np.array([centre], float), 20.0, "landmarks"), size=16)
    assert (result == 200).all()


# --- prepare


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


def spotted(count: int = 12) -> tuple[torch.Tensor, np.ndarray]:
    """A drawing of five points that drifts, and its landmarks."""
    poses = [five_points(centre=(100 + 0.8 * t, 80)) for t in range(count)]
    return torch.from_numpy(np.stack([drawing(p) for p in poses])), np.stack([landmarks(p) for p in poses])


def test_by_landmarks():
    frames, marks = spotted()
    for mode in ("auto", "align"):
        result = prepare(frames, marks, size=32, mode=mode)
        assert result.method == "aligned by landmarks"
        assert torch.equal(result.frames, align(frames, marks, size=32))
    result = prepare(frames, marks, size=32, mode="crop", margin=0.2)
    assert result.method == "cropped by landmarks"
    assert torch.equal(result.frames, follow(frames, locate(frames, marks), size=32, margin=0.2))
    result = prepare(frames, marks, size=64, mode="fixed")
    assert result.method == "fixed crop by landmarks"
    # The square stays, so that the discs drift as in the video, by 0.8 px times 64 over the square's side.
    drift = np.diff([disc_centres(frame).mean(axis=0) for frame in result.frames], axis=0).mean(axis=0)
    np.testing.assert_allclose(drift, (0.8 * 64 / (30 * FACE_SIDE * 1.2), 0), atol=0.01)


def test_by_the_detector():
    face = torch.from_numpy(np.stack([drawn_face(centre=(90, 110))] * 7))
    for mode in ("auto", "crop"):
        result = prepare(face, None, size=32, mode=mode, margin=0.2)
        assert result.method == "cropped by detector"
        assert torch.equal(result.frames, follow(face, locate(face), size=32, margin=0.2))
    result = prepare(face, None, size=48, mode="fixed")
    assert result.method == "fixed crop by detector"
    # The bright oval, 96 px wide, stands in the middle and takes most of the width.
    bright = result.frames[0, 0] > 150
    assert 0.5 < bright[24].sum() / 48 < 0.75
    assert (bright.float().sum(0) * torch.arange(48)).sum() / bright.sum() == pytest.approx(23.5, abs=2)


def test_few_landmarks_leave_it_to_the_detector():
    face = torch.from_numpy(np.stack([drawn_face()] * 6))
    marks = np.stack([landmarks(five_points(centre=(100, 86)))] * 6)
    marks[:3] = np.nan
    assert prepare(face, marks, size=16).method == "aligned by landmarks"
    assert prepare(face, marks, size=16, mode="crop").method == "cropped by landmarks"
    marks[3] = -1e6
    assert prepare(face, marks, size=16).method == "cropped by detector"
    assert prepare(face, marks, size=16, mode="fixed").method == "fixed crop by detector"
    assert prepare(face, marks, size=16, mode="align").method == "aligned by landmarks"  # as it was told


def test_the_middle_of_the_frame():
    frames = torch.from_numpy(np.stack([np.full((3, 40, 60), 60, np.uint8)] * 3))
    frames[..., 10:50] += torch.arange(40, dtype=torch.uint8)
    middle = crop(frames, Box(10, 0, 40), 20)
    asked = prepare(frames, None, size=20, mode="none")
    assert asked.method == "centre crop" and torch.equal(asked.frames, middle)
    for mode in ("auto", "crop", "fixed"):
        for marks in (None, np.full((3, 66, 2), np.nan)):
            result = prepare(frames, marks, size=20, mode=mode)
            assert result.method == "centre crop, no face found" and torch.equal(result.frames, middle)


def test_alignment_falls_back_on_nothing():
    frames = torch.zeros((3, 3, 40, 40), dtype=torch.uint8)
    with pytest.raises(FaceError, match="no landmarks to align faces by; use mode='auto', 'crop' or 'none'"):
        prepare(frames, None, size=32, mode="align")
    with pytest.raises(FaceError, match="none of 3 frames has landmarks of a face"):
        prepare(frames, np.full((3, 66, 2), np.nan), size=32, mode="align")


@pytest.mark.parametrize("mode", ["auto", "align", "crop", "fixed"])
def test_landmarks_of_another_length(mode):
    frames, marks = spotted()
    with pytest.raises(ValueError, match=r"11 frames, but landmarks of 12; give landmarks\[:11\]"):
        prepare(frames[:11], marks, size=16, mode=mode)
    with pytest.raises(ValueError, match="12 frames, but landmarks of 0"):
        prepare(frames, marks[:0], size=16, mode=mode)


def test_unknown_mode():
    with pytest.raises(ValueError, match="mode 'aligned' is not one of 'auto', 'align', 'crop', 'fixed', 'none'"):
        prepare(torch.zeros((3, 3, 40, 40), dtype=torch.uint8), None, size=32, mode="aligned")


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (1, 3, 5, 3), (3, 3, 2, 300), (1, 3, 1500, 2000)])
@pytest.mark.parametrize("mode", ["auto", "fixed", "none"])
def test_tiny_and_huge_frames(shape, mode):
    result = prepare(torch.full(shape, 90, dtype=torch.uint8), None, size=8, mode=mode)
    assert result.frames.shape == (shape[0], 3, 8, 8) and (result.frames == 90).all()


def test_it_is_the_same_every_time_and_leaves_its_input_alone():
    face = torch.from_numpy(np.stack([drawn_face(centre=(80 + t, 100)) for t in range(12)]))
    before = face.clone()
    first, second = (prepare(face, None, size=24) for _ in range(2))
    assert first.method == "cropped by detector"
    assert torch.equal(first.frames, second.frames) and torch.equal(face, before)


def test_conventions():
    inside = np.abs(expected(100, 0.0) - 49.5) < 50
    assert inside.all() and SMOOTHING % 2 == 1
    assert METHODS == get_args(faces.Method) and len(set(METHODS)) == len(METHODS)
