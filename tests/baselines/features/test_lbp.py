"""Local binary patterns: against a loop over pixels and neighbours, and what they do not depend on."""

import math

import numpy as np
import pytest
import torch

from baselines.features.grid import cells, grey_levels
from baselines.features.lbp import CODES, LBP, codes


def noise(side=40, low=0, high=256, seed=0):
    return np.random.default_rng(seed).integers(low, high, (side, side)).astype(np.uint8)


def picture(grey):
    return torch.from_numpy(grey).expand(3, -1, -1)


def literal_patterns(grey):
    """Return for each pixel which of the 8 neighbours on the unit circle are not darker than it, (H, W, 8)."""
    padded = np.pad(grey.astype(float), 2, mode="edge")
    bits = np.zeros((*grey.shape, 8), dtype=bool)
    for row in range(grey.shape[0]):
        for column in range(grey.shape[1]):
            for k in range(8):
                y = row + 2 - math.sin(2 * math.pi * k / 8)
                x = column + 2 + math.cos(2 * math.pi * k / 8)
                y, x = round(y, 9), round(x, 9)
                top, left = math.floor(y), math.floor(x)
                down, right = y - top, x - left
                level = (
                    padded[top, left] * (1 - down) * (1 - right)
                    + padded[top, left + 1] * (1 - down) * right
                    + padded[top + 1, left] * down * (1 - right)
                    + padded[top + 1, left + 1] * down * right
                )
                bits[row, column, k] = level >= grey[row, column] - 1e-9
    return bits


@pytest.mark.parametrize("high", [256, 3])
def test_codes_name_the_patterns_of_a_literal_loop(high):
    grey = noise(48, high=high)
    bits, found = literal_patterns(grey), codes(grey)
    uniform = (bits != np.roll(bits, 1, axis=2)).sum(axis=2) <= 2
    assert (found[~uniform] == CODES - 1).all() and (found[uniform] < CODES - 1).all()
    patterns = bits @ (1 << np.arange(8))
    pairs = set(zip(patterns[uniform].tolist(), found[uniform].tolist(), strict=True))
    assert len(pairs) == len({pattern for pattern, _ in pairs}) == len({code for _, code in pairs})
    if high == 256:
        assert len(pairs) == 58 and set(np.unique(found)) == set(range(CODES))


def test_histograms_are_those_of_each_cell():
    grey = noise(20)
    values = LBP(grid=3).of_picture(picture(grey)).reshape(3, 3, CODES)
    found = codes(grey)
    edges = [0, 7, 13, 20]
    for i in range(3):
        for j in range(3):
            cell = found[edges[i] : edges[i + 1], edges[j] : edges[j + 1]]
            expected = [np.mean(cell == code) for code in range(CODES)]
            np.testing.assert_allclose(values[i, j], expected, atol=1e-7)  # float32
    np.testing.assert_allclose(values.sum(axis=2), 1, atol=1e-6)


def test_brightness_and_contrast_do_not_matter():
    grey = noise(high=80)
    for brighter in (grey + 90, 3 * grey, 2 * grey + 17):
        np.testing.assert_array_equal(codes(brighter.astype(np.uint8)), codes(grey))
    uniform = codes(grey) < CODES - 1
    assert np.mean((codes(255 - grey) != codes(grey))[uniform]) > 0.95


def test_other_rising_scales_matter_only_to_interpolated_neighbours():
    grey = noise(high=81)
    curved = np.round(255 * np.sqrt(np.arange(81) / 80)).astype(np.uint8)
    assert (np.diff(curved.astype(int)) > 0).all()
    before, after = literal_patterns(grey), literal_patterns(curved[grey])
    np.testing.assert_array_equal(before[..., ::2], after[..., ::2])
    same = (before == after).all(axis=2)
    np.testing.assert_array_equal(codes(curved[grey])[same], codes(grey)[same])
    assert same.mean() > 0.85  # of noise, where neighbours differ most; of faces it is more


def test_grey_levels_are_luma():
    colours = torch.tensor([[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255]], dtype=torch.uint8)[:, None]
    assert grey_levels(colours).tolist() == [[76, 150, 29, 255]]


def test_cells_share_a_side_evenly():
    parts = cells(96, 9)
    assert parts[0].start == 0 and parts[-1].stop == 96
    assert all(a.stop == b.start for a, b in zip(parts[:-1], parts[1:], strict=True))
    assert {part.stop - part.start for part in parts} == {10, 11}
    for size, grid in ((8, 9), (8, 0)):
        with pytest.raises(ValueError, match=f"8 pixels cannot be divided into {grid} cells; ask for 1 to 8"):
            cells(size, grid)


@pytest.mark.parametrize(("kind", "moments"), [("RGB", 5), ("SSD(RGB)", 3)])
def test_frames_and_maps(drawn_sequences, kind, moments):
    found = LBP().of(drawn_sequences(kind))
    assert found.counts.tolist() == [moments] * 4
    assert found.values.shape == (4 * moments, 81 * 59) and found.values.dtype == np.float32
