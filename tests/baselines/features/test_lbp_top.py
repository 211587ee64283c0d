"""Local binary patterns on three planes against a literal loop, and what may not change them."""

from dataclasses import replace
from math import cos, floor, pi, sin

import numpy as np
import pytest
import torch
from skimage.feature import local_binary_pattern

from baselines.features.lbp_top import CODES, LBPTop, lbp_top
from baselines.features.three_planes import PLANES, block_histograms, grey_block

XY, XT, YT = range(3)


def noise(shape, seed=0, levels=256):
    return np.random.default_rng(seed).integers(0, levels, shape).astype(np.uint8)


def literal_level(block, plane, t, y, x, across, along):
    """Bilinearly interpolated level at a place in a plane through (t, y, x); the edges of the block repeat."""
    total = 0.0
    low = floor(across), floor(along)
    for i in (0, 1):
        for j in (0, 1):
            weight = (1 - abs(across - low[0] - i)) * (1 - abs(along - low[1] - j))
            a, b = low[0] + i, low[1] + j
            place = {"XY": (t, y + b, x + a), "XT": (t + b, y, x + a), "YT": (t + b, y + a, x)}[plane]
            place = tuple(min(max(p, 0), n - 1) for p, n in zip(place, block.shape, strict=True))
            total += weight * float(block[place])
    return total


def literal(block, radius, time_radius):
    """The pattern of each pixel, 0..255."""
    patterns = np.zeros((3, *block.shape), np.int64)
    for number, plane in enumerate(PLANES):
        other = radius if plane == "XY" else time_radius
        for t, y, x in np.ndindex(block.shape):
            for n in range(8):
                level = literal_level(block, plane, t, y, x, radius * cos(2 * pi * n / 8), other * sin(2 * pi * n / 8))
                # 1e-9 is more than the rounding of such sums (1e-13) and less than any true difference (1e-5).
                patterns[number, t, y, x] += (level >= float(block[t, y, x]) - 1e-9) << n
    return patterns


def code_of(pattern):
    """58 codes for patterns of two changes at most, in the order of their numbers, and one for all others."""
    uniform = [p for p in range(256) if sum((p >> i & 1) != (p >> (i + 1) % 8 & 1) for i in range(8)) <= 2]
    assert len(uniform) == 58
    return uniform.index(pattern) if pattern in uniform else 58


@pytest.mark.parametrize("levels", [256, 3])
@pytest.mark.parametrize(
    ("shape", "radii"), [((7, 6, 5), (1, 3)), ((2, 5, 6), (1, 3)), ((1, 4, 5), (1, 3)), ((4, 6, 7), (2, 1))]
)
def test_codes_are_those_of_the_literal_loop(shape, radii, levels):
    block = noise(shape, levels=levels)  # of three levels, many neighbours are as bright as their pixel
    expected = np.vectorize(code_of)(literal(block, *radii))
    np.testing.assert_array_equal(lbp_top(block, *radii), expected)


def test_a_picture_has_the_codes_of_scikit_image():
    block = noise((2, 30, 40))
    ours = lbp_top(block)[XY]
    theirs = np.stack([local_binary_pattern(np.pad(p, 1, "edge"), 8, 1, "nri_uniform")[1:-1, 1:-1] for p in block])
    # The codes have other numbers: one each.
    pairs = np.unique(np.stack([ours.ravel(), theirs.ravel().astype(int)]), axis=1)
    assert len(pairs[0]) == len(np.unique(pairs[0])) == len(np.unique(pairs[1])) > 50


def test_equal_levels_are_as_bright():
    for level in (0, 7, 255):
        np.testing.assert_array_equal(lbp_top(np.full((3, 4, 5), level, np.uint8)), code_of(255))


def test_an_interpolated_level_that_is_equal_is_as_bright():
    # At an angle of 45 degrees the neighbour on XT lies s = sqrt(1/2) columns and 3 s pictures away. The weight of the
    # pixel (two pictures, no column) is (1 - s) (3 - 3 s) = 4.5 - 6 s, and that of (three, one) is 1.5 - 2 s.
    unequal = 0
    for step in range(1, 51):
        block = np.full((4, 1, 3), 200, np.uint8)
        block[2, 0, 1], block[3, 0, 2] = 200 + step, 200 - 3 * step
        assert lbp_top(block)[XT, 0, 0, 1] == code_of(255)
        block[3, 0, 2] -= 1
        assert lbp_top(block)[XT, 0, 0, 1] == code_of(255 - 2)
        unequal += literal_level(block + (block < 200), "XT", 0, 0, 1, cos(pi / 4), 3 * sin(pi / 4)) < 200
    assert unequal  # rounding alone would not tell


def test_the_ends_of_time_and_space_repeat():
    block = noise((2, 8, 9))
    extended = lbp_top(np.pad(block, 5, mode="edge"))
    np.testing.assert_array_equal(lbp_top(block), extended[:, 5:-5, 5:-5, 5:-5])


def test_one_map_is_a_clip_in_which_nothing_moves():
    block = noise((1, 10, 12))
    one, many = lbp_top(block), lbp_top(np.repeat(block, 9, axis=0))
    np.testing.assert_array_equal(np.repeat(one, 9, axis=1), many)


def test_rows_and_columns_change_places():
    block = noise((6, 9, 11))
    one, other = lbp_top(block), lbp_top(block.swapaxes(1, 2))
    np.testing.assert_array_equal(one[XT], other[YT].swapaxes(1, 2))
    np.testing.assert_array_equal(one[YT], other[XT].swapaxes(1, 2))
    assert not np.array_equal(one[XT], one[YT])


def test_brightness_and_contrast_change_nothing():
    block = noise((5, 12, 12), levels=100)
    np.testing.assert_array_equal(lbp_top(2 * block + 50), lbp_top(block))


def test_motion_is_seen_along_time_only():
    picture = noise((1, 16, 16))
    still = np.repeat(picture, 8, axis=0)
    moving = np.stack([np.roll(picture[0], t, axis=1) for t in range(8)])
    a, b = (block_histograms(lbp_top(block), CODES, 1)[0] for block in (still, moving))
    difference = np.abs(a - b).sum(axis=1)
    assert difference[XY] < 0.3 < difference[XT]  # columns that enter from the other side have other neighbours


def test_histograms_by_hand():
    codes = np.zeros((2, 3, 4, 4), np.uint8)
    codes[0, 0, 0, 0] = 1  # of twelve in the first block
    codes[1, :, 2:, 2:] = 2  # all of the last block
    found = block_histograms(codes, 3, 2)
    expected = np.zeros((4, 2, 3))
    expected[:, :, 0] = 1
    expected[0, 0] = 11 / 12, 1 / 12, 0
    expected[3, 1] = 0, 0, 1
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32


def test_blocks_of_a_size_that_cannot_be_divided():
    codes = np.zeros((1, 2, 7, 10), np.uint8)
    codes[0, :, :2, :3] = 1  # cells of 7 are 2, 2, 3 and those of 10 are 3, 4, 3 pixels long
    found = block_histograms(codes, 2, 3)[:, 0, 1]
    np.testing.assert_array_equal(found, np.eye(9)[0])


@pytest.mark.parametrize("kind", ["RGB", "SSD(RGB)"])
def test_clips_are_described_by_counts_of_their_codes(drawn_sequences, kind):
    sequence = drawn_sequences(kind)[2]
    before = sequence.pictures.clone()
    values, spans = LBPTop().extract(sequence)
    assert torch.equal(before, sequence.pictures)
    assert values.shape == (1, 16 * 3 * CODES) and values.dtype == np.float32
    assert spans.tolist() == [[0, 24]]
    table = values.reshape(4, 4, 3, CODES)
    np.testing.assert_allclose(table.sum(axis=-1), 1, rtol=1e-5)
    grey = np.round(np.tensordot([0.299, 0.587, 0.114], sequence.pictures.numpy(), (0, 1))).astype(np.uint8)
    np.testing.assert_array_equal(grey_block(sequence.pictures), grey)
    block = lbp_top(grey)[YT, :, 12:24, 36:]  # second row, last column of blocks of 48 / 4 pixels
    shares = np.bincount(block.ravel(), minlength=CODES) / block.size
    np.testing.assert_allclose(table[1, 3, YT], shares, rtol=1e-6)


def test_clips_of_any_length_have_descriptions_of_one_length(drawn_sequences):
    sequence = drawn_sequences("SSD(RGB)")[0]
    for maps in (1, 2, 3):
        part = replace(sequence, pictures=sequence.pictures[:maps], spans=sequence.spans[:maps])
        assert LBPTop().of_clip(part).shape == (16 * 3 * CODES,)


def test_what_cannot_be():
    with pytest.raises(ValueError, match="at least 1, got 1 and, of time, 0"):
        LBPTop(time_radius=0)
    with pytest.raises(ValueError, match="cannot be divided into 9 cells"):
        block_histograms(np.zeros((3, 1, 8, 8), np.uint8), 2, 9)
