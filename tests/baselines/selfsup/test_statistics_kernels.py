"""The compiled loops against SciPy's filters and NumPy's counts."""

import numpy as np
import pytest
from scipy import ndimage

from baselines.selfsup import statistics_kernels as kernels
from baselines.selfsup.clip_statistics import patterns


@pytest.mark.parametrize("size", [8, 24])
def test_strengths_are_those_of_prewitt_filters(size):
    fields = np.random.default_rng(size).normal(size=(5, 2, size, size)).astype(np.float32)
    found = np.empty((5, 2))
    kernels.strengths(fields, found)
    squares = np.zeros(fields.shape)
    for along, across in ((-1, -2), (-2, -1)):
        gradient = ndimage.correlate1d(fields.astype(np.float64), [-1, 0, 1], axis=along, mode="nearest")
        gradient = ndimage.correlate1d(gradient, [1, 1, 1], axis=across, mode="nearest")
        squares += gradient**2
    # Sums of size^2 positive numbers in another order: size^2 roundings at the very most.
    np.testing.assert_allclose(found, np.sqrt(squares).sum((-2, -1)), rtol=size**2 * np.finfo(float).eps)


def test_strengths_of_part_of_an_array_are_those_of_its_copy():
    fields = np.random.default_rng(0).normal(size=(3, 2, 20, 20)).astype(np.float32)
    part, copy = np.empty((3, 2)), np.empty((3, 2))
    kernels.strengths(fields[..., 2:18, 3:19], part)
    kernels.strengths(fields[..., 2:18, 3:19].copy(), copy)
    np.testing.assert_array_equal(part, copy)


def test_counts_are_those_of_masks():
    size = 16
    frames = np.random.default_rng(1).integers(0, 256, (4, 3, size, size), dtype=np.uint8)
    blocks = patterns(size)
    counted = blocks.reshape(3, -1) + np.array([0, 16, 20])[:, None]
    values, octants = np.zeros((4, 28, 3, 256), np.int32), np.zeros((4, 28, 8), np.int32)
    kernels.count(frames.reshape(4, 3, -1), counted, values, octants)
    upper = frames >= 128
    code = 4 * ~upper[:, 2] + 2 * upper[:, 0] + upper[:, 1]
    for pattern, first in zip(blocks, (0, 16, 20), strict=True):
        for block in range(pattern.max() + 1):
            mask = pattern == block
            for t in range(4):
                for channel in range(3):
                    expected = np.bincount(frames[t, channel][mask], minlength=256)
                    np.testing.assert_array_equal(values[t, first + block, channel], expected)
                np.testing.assert_array_equal(octants[t, first + block], np.bincount(code[t][mask], minlength=8))
