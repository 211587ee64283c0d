"""Discrete cosine transform of cells: against the sum of cosines, and what it does not depend on."""

import math

import numpy as np
import pytest
import torch

from baselines.features.dct import DCT, zigzag


def noise(side, high=256):
    return np.random.default_rng(0).integers(0, high, (side, side)).astype(np.uint8)


def picture(grey):
    return torch.from_numpy(grey).expand(3, -1, -1)


def literal(cell, u, v):
    """Return one coefficient of the orthonormal DCT-II."""
    height, width = cell.shape
    total = 0.0
    for y in range(height):
        for x in range(width):
            down = math.cos(math.pi * (2 * y + 1) * u / (2 * height))
            right = math.cos(math.pi * (2 * x + 1) * v / (2 * width))
            total += cell[y, x] * down * right
    return total * math.sqrt((2 if u else 1) / height * (2 if v else 1) / width)


def test_values_are_sums_of_cosines_in_jpegs_order():
    grey = noise(20).astype(int)
    values = DCT(grid=3, coefficients=9).of_picture(picture(grey.astype(np.uint8))).reshape(3, 3, 9)
    edges = [0, 7, 13, 20]
    order = [(0, 1), (1, 0), (2, 0), (1, 1), (0, 2), (0, 3), (1, 2), (2, 1), (3, 0)]
    for i in range(3):
        for j in range(3):
            cell = grey[edges[i] : edges[i + 1], edges[j] : edges[j + 1]]
            # the values are float32 and of some hundred
            np.testing.assert_allclose(values[i, j], [literal(cell, u, v) for u, v in order], rtol=1e-6, atol=1e-4)


def test_zigzag():
    jpeg = [0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40]
    assert [8 * u + v for u, v in zigzag(20)] == jpeg[1:]
    with pytest.raises(ValueError, match="at least one coefficient must be kept, got 0"):
        zigzag(0)


def test_all_coefficients_hold_all_but_the_mean():
    grey = noise(12)
    values = DCT(grid=3, coefficients=33).of_picture(picture(grey)).reshape(3, 3, 33)  # of cells of 16 pixels
    cells = grey.reshape(3, 4, 3, 4).transpose(0, 2, 1, 3).reshape(3, 3, 16)
    np.testing.assert_allclose((values.astype(float) ** 2).sum(axis=2), 16 * cells.var(axis=2), rtol=1e-5)


def test_brightness_does_not_matter_and_contrast_scales():
    grey = noise(45, high=100)
    values = DCT().of_picture(picture(grey))
    np.testing.assert_allclose(DCT().of_picture(picture(grey + 50)), values, atol=1e-4)
    np.testing.assert_allclose(DCT().of_picture(picture(2 * grey)), 2 * values, atol=1e-4)
    assert np.abs(values).max() > 50
    assert np.abs(DCT().of_picture(picture(np.full((45, 45), 77, np.uint8)))).max() < 1e-4


def test_frequencies_that_cells_do_not_have_are_zero():
    values = DCT().of_picture(picture(noise(27))).reshape(9, 9, 9)  # cells of 3x3 pixels
    lacking = (zigzag(9) > 2).any(axis=1)
    assert lacking.tolist() == [False] * 5 + [True, False, False, True]
    assert (values[..., lacking] == 0).all() and (values[..., ~lacking] != 0).all()
    with pytest.raises(ValueError, match="8 pixels cannot be divided into 9 cells"):
        DCT().of_picture(picture(noise(8)))


@pytest.mark.parametrize(("kind", "moments"), [("RGB", 5), ("SSD(RGB)", 3)])
def test_frames_and_maps(drawn_sequences, kind, moments):
    found = DCT().of(drawn_sequences(kind))
    assert found.counts.tolist() == [moments] * 4
    assert found.values.shape == (4 * moments, 81 * 9) and found.values.dtype == np.float32
