"""Regions lie where an aligned face has its parts."""

import inspect

import numpy as np
import pytest
import torch

from baselines.features.regions import MARGIN, REGIONS, eye_distance, regions
from repro.data import faces
from repro.data.face_landmarks import CANONICAL

SIZES = (16, 32, 48, 63, 64, 96, 224)


def marked_video(size, spot):
    """A turned, shifted and enlarged face that is grey but for one of its five points, aligned to a square."""
    turn = 30 * np.array([[np.cos(0.2), np.sin(0.2)], [-np.sin(0.2), np.cos(0.2)]])
    places = CANONICAL @ turn + (110, 70)
    points = np.tile(places[2], (3, 68, 1))
    points[:, 36:42], points[:, 42:48], points[:, 48], points[:, 54] = (places[i] for i in (0, 1, 3, 4))
    frames = torch.full((3, 3, 200, 240), 60, dtype=torch.uint8)
    x, y = np.round(places[spot]).astype(int)
    frames[..., y - 1 : y + 2, x - 1 : x + 2] = 255
    return faces.align(frames, points, size=size)[1, 0].numpy()


@pytest.mark.parametrize("size", [48, 96])
@pytest.mark.parametrize(
    ("spot", "names"),
    [
        (0, {"eye_left"}),
        (1, {"eye_right"}),
        (2, set()),
        (3, {"mouth"}),
        (4, {"mouth"}),
    ],
)
def test_points_of_an_aligned_face_lie_in_their_regions(size, spot, names):
    picture = marked_video(size, spot)
    bright = picture == picture.max()
    y, x = np.argwhere(bright).mean(axis=0)
    expected = (CANONICAL[spot] - (0, 0.65)) * eye_distance(size) + (size - 1) / 2
    np.testing.assert_allclose((x, y), expected, atol=1)  # the spot was rounded to pixels of the source
    middle = np.zeros_like(bright)
    middle[round(y), round(x)] = True
    found = {name for name, box in regions(size).items() if middle[box].any()}
    assert found - {"nasolabial_left", "nasolabial_right"} == names  # the corners of the mouth end the fold's region


def test_the_margin_is_that_of_pictures():
    for function in (faces.align, faces.prepare):
        assert inspect.signature(function).parameters["margin"].default == MARGIN


@pytest.mark.parametrize("size", SIZES)
def test_regions_lie_in_the_picture_and_mirror_each_other(size):
    found = regions(size)
    assert list(found) == list(REGIONS)
    for rows, columns in found.values():
        assert 0 <= rows.start < rows.stop <= size and 0 <= columns.start < columns.stop <= size
    for name in ("brow", "eye", "nasolabial"):
        (rows, left), (other, right) = found[f"{name}_left"], found[f"{name}_right"]
        assert rows == other
        # Edges that meet a pixel's centre belong to the right one only.
        assert abs((size - right.stop) - left.start) <= 1 and abs((size - right.start) - left.stop) <= 1


def test_edges_by_hand():
    # 96 pixels are 3 distances between the eyes: 32 pixels each, the midpoint of the eyes at (47.5, 47.5 - 0.65 * 32).
    assert regions(96)["mouth"] == (slice(54, 77), slice(27, 69))
    assert regions(96)["forehead"] == (slice(0, 14), slice(26, 70))
    assert eye_distance(96) == pytest.approx(32)


def test_a_picture_may_be_too_small():
    with pytest.raises(ValueError, match="4 x 4 pixels has none for the region 'nose_root'; make it larger"):
        regions(4)
