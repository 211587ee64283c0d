"""Binarised features against exact correlation, and the filters that the suite ships."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from baselines.features.bsif import BSIFTop, bsif, bsif_top, exact, shipped_filters
from baselines.features.learn_bsif_filters import PATCHES, learn, patches

XY, XT, YT = range(3)
"""Also the axis of the block (time, rows, columns) that each kind of plane does not extend along."""


def noise(shape, seed=0, levels=256):
    return np.random.default_rng(seed).integers(0, levels, shape).astype(np.uint8)


def literal(block, filters):
    """Codes by whole numbers: correlation in the plane, edges repeated, and the signs of the answers."""
    codes = np.zeros((3, *block.shape), np.int64)
    for plane in (XY, XT, YT):
        for bit, weights in enumerate(filters.astype(np.int64)):
            answers = correlate(block.astype(np.int64), np.expand_dims(weights, plane), mode="nearest")
            codes[plane] += (answers > 0).astype(np.int64) << bit
    return codes


@pytest.fixture(scope="module")
def answers():
    """Answers of the shipped filters, as they would be to learn from, to patches that they were not learned from."""
    filters = shipped_filters().reshape(8, -1)
    found = patches(7, seed=1) @ filters.T
    return found / found.std()


@pytest.mark.parametrize("levels", [256, 2])
@pytest.mark.parametrize("shape", [(9, 12, 10), (2, 12, 10), (1, 8, 9)])
def test_codes_are_those_of_exact_correlation(shape, levels):
    block = noise(shape, levels=levels)
    np.testing.assert_array_equal(bsif_top(block, shipped_filters()), literal(block, shipped_filters()))


def test_the_first_filter_is_the_first_bit():
    picture = np.tile(np.arange(0, 90, 10, dtype=np.uint8), (9, 1))
    rightwards = np.zeros((2, 3, 3), np.int32)
    rightwards[0, 1] = -1, 0, 1
    rightwards[1, 1] = 1, 0, -1
    assert (bsif(picture, rightwards) == 1).all() and (bsif(picture.T.copy(), rightwards) == 0).all()
    assert (bsif(picture[:, ::-1].copy(), rightwards) == 2).all()


def test_shipped_filters_are_exact_in_single_precision():
    filters = shipped_filters()
    assert filters.shape == (8, 7, 7) and filters.dtype == np.int32
    np.testing.assert_array_equal(filters.sum(axis=(1, 2)), 0)
    # Whole numbers up to 2^24 are exact, so is every partial sum; and the scale is nearly the finest.
    largest = np.abs(filters).sum(axis=(1, 2)).max() * 255
    assert 0.99 * 2**24 < largest <= 2**24
    with pytest.raises(ValueError, match="read-only"):
        filters[0, 0, 0] = 1


def test_answers_to_other_patches_are_uncorrelated_and_of_equal_variance(answers):
    assert answers.shape == (PATCHES, 8)
    # An empirical covariance of 50,000 patches of kurtosis 13 errs by about sqrt(13 / 50,000) = 0.016 in its diagonal
    # for the patches learned from, as much for the others, and by less outside; four times that is allowed.
    np.testing.assert_allclose(np.cov(answers.T), np.eye(8), atol=0.09)


def test_answers_are_as_independent_as_can_be(answers):
    """Any other rotation of the answers has less of what FastICA seeks, the deviation of log cosh from a Gaussian's."""
    gaussian = np.random.default_rng(0).normal(size=10**6)
    expected = np.log(np.cosh(gaussian)).mean()

    def contrast(values):
        return ((np.log(np.cosh(values)).mean(axis=0) - expected) ** 2).sum()

    best = contrast(answers)
    random = np.random.default_rng(1)
    for _ in range(20):
        rotation, _ = np.linalg.qr(random.normal(size=(8, 8)))
        assert contrast(answers @ rotation) < 0.9 * best


def test_the_shipped_filters_are_those_that_are_learned():
    learned, shipped = (filters.reshape(8, -1).astype(float) for filters in (learn(), shipped_filters()))
    cosines = learned @ shipped.T
    cosines /= np.linalg.norm(learned, axis=1)[:, None] * np.linalg.norm(shipped, axis=1)
    # Other versions of libraries may read images or stop a little differently, which also may change the order of
    # filters of nearly the same frequency; those learned from other patches of the same images reach 0.98.
    assert np.abs(cosines).max(axis=1).min() > 0.995
    assert len(np.unique(np.abs(cosines).argmax(axis=1))) == 8


def test_learning_is_deterministic():
    np.testing.assert_array_equal(patches(3), patches(3))
    np.testing.assert_array_equal(learn(side=3, bits=4), learn(side=3, bits=4))
    assert not np.array_equal(patches(3), patches(3, seed=1))
    np.testing.assert_allclose(patches(3).mean(axis=1), 0, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_rounding_keeps_proportions_and_the_sum(seed):
    filters = np.random.default_rng(seed).normal(size=(4, 5, 5))
    filters -= filters.mean(axis=(1, 2), keepdims=True)
    whole = exact(filters)
    np.testing.assert_array_equal(whole.sum(axis=(1, 2)), 0)
    scale = np.abs(whole).sum() / np.abs(filters).sum()
    np.testing.assert_allclose(whole / scale, filters, atol=1.1 / scale)  # a unit at most, and the scale errs, too
    assert np.abs(whole).sum(axis=(1, 2)).max() * 255 <= 2**24


def test_a_constant_has_no_answer():
    for level in (0, 1, 255):
        assert (bsif_top(np.full((3, 8, 8), level, np.uint8), shipped_filters()) == 0).all()


def test_brightness_and_contrast_change_nothing():
    block = noise((5, 12, 12), levels=100)
    one, other = (bsif_top(b, shipped_filters()) for b in (block, 2 * block + 50))
    np.testing.assert_array_equal(one, other)


def test_rows_and_columns_change_places():
    block = noise((6, 9, 11))
    one, other = (bsif_top(b, shipped_filters()) for b in (block, block.swapaxes(1, 2)))
    np.testing.assert_array_equal(one[XT], other[YT].swapaxes(1, 2))
    assert not np.array_equal(one[XT], one[YT])


def test_the_ends_of_time_and_space_repeat():
    block = noise((2, 8, 9))
    extended = bsif_top(np.pad(block, 5, mode="edge"), shipped_filters())
    np.testing.assert_array_equal(bsif_top(block, shipped_filters()), extended[:, 5:-5, 5:-5, 5:-5])
    one, many = (bsif_top(b, shipped_filters()) for b in (block[:1], np.repeat(block[:1], 9, axis=0)))
    np.testing.assert_array_equal(np.repeat(one, 9, axis=1), many)


@pytest.mark.parametrize("kind", ["RGB", "SSD(RGB)"])
def test_clips_are_described_by_counts_of_their_codes(drawn_sequences, kind):
    sequence = drawn_sequences(kind)[2]
    before = sequence.pictures.clone()
    values, spans = BSIFTop().extract(sequence)
    assert torch.equal(before, sequence.pictures)
    assert values.shape == (1, 16 * 3 * 256) and values.dtype == np.float32 and spans.tolist() == [[0, 24]]
    table = values.reshape(4, 4, 3, 256)
    np.testing.assert_allclose(table.sum(axis=-1), 1, rtol=1e-5)
    grey = np.round(np.tensordot([0.299, 0.587, 0.114], sequence.pictures.numpy(), (0, 1))).astype(np.uint8)
    block = bsif_top(grey, shipped_filters())[XT, :, 24:36, :12]
    np.testing.assert_allclose(table[2, 0, XT], np.bincount(block.ravel(), minlength=256) / block.size, rtol=1e-6)
    single = replace(sequence, pictures=sequence.pictures[:1], spans=sequence.spans[:1])
    assert BSIFTop().of_clip(single).shape == values[0].shape
