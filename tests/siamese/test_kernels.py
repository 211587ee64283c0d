"""The compiled kernels against NumPy, in shapes that do not fit their tiles and blocks."""

import numpy as np
import pytest

from repro.siamese import kernels

SHAPES = [(1, 1, 1), (2, 3, 7), (4, 4, 256), (5, 9, 257), (16, 16, 700)]


def halves(n, m, width, dtype, batch=3):
    rng = np.random.default_rng(n + m)
    return tuple(rng.normal(1, 1, (batch, rows, width)).astype(dtype) for rows in (n, m))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_grams(shape, dtype):
    first, second = halves(*shape, dtype)
    stacked = np.concatenate([first, second], 1).astype(np.longdouble)
    products = np.full((3, stacked.shape[1], stacked.shape[1]), np.nan)
    kernels.grams(products, first, second)
    # float32 times float32 is exact in float64; what is left is the rounding of sums
    np.testing.assert_allclose(products, (stacked @ stacked.transpose(0, 2, 1)).astype(float), rtol=1e-13, atol=1e-12)


def met(weights_i, weights_j, first, second, fidelity=0.3):
    batch, _, width = first.shape
    squares = np.full((batch, 1, 3), np.nan)
    points, right_i, right_j = (np.full((batch, 2, width), np.nan, first.dtype) for _ in range(3))
    kernels.meet(fidelity, weights_i, weights_j, first, second, squares, points, right_i, right_j)
    return squares[:, 0], points, right_i, right_j


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_meet(shape, dtype):
    """In extended precision; the points and gradients are rounded to the samples' type."""
    first, second = halves(*shape, dtype)
    rng = np.random.default_rng(0)
    weights_i, weights_j = (rng.normal(size=(3, 2, rows)) for rows in shape[:2])
    squares, points, right_i, right_j = met(weights_i, weights_j, first, second)
    p_i, s_i = (weights_i.astype(np.longdouble) @ first).swapaxes(0, 1)
    p_j, s_j = (weights_j.astype(np.longdouble) @ second).swapaxes(0, 1)
    apart, misfit_i, misfit_j = p_i - p_j, p_i - s_i, p_j - s_j
    exact = np.stack([(part**2).sum(-1) for part in (apart, misfit_i, misfit_j)], -1)
    np.testing.assert_allclose(squares, exact.astype(float), rtol=1e-12)
    tolerance = {"rtol": 4 * np.finfo(dtype).eps, "atol": 1e-13 if dtype == np.float64 else 1e-7}
    np.testing.assert_allclose(points, np.stack([p_i, p_j], 1).astype(float), **tolerance)
    expected_i = np.stack([2 * apart + 0.6 * misfit_i, -0.6 * misfit_i], 1)
    expected_j = np.stack([-2 * apart + 0.6 * misfit_j, -0.6 * misfit_j], 1)
    np.testing.assert_allclose(right_i, expected_i.astype(float), **tolerance)
    np.testing.assert_allclose(right_j, expected_j.astype(float), **tolerance)


def test_large_weights_of_near_duplicates_keep_their_digits():
    """Weights of 1e6 and -1e6 on samples that differ by 1e-6: rounding of the samples' size would leave 1e-7."""
    rng = np.random.default_rng(0)
    base, direction = rng.normal(1e3, 1, (1, 1, 40)), rng.normal(size=(1, 1, 40))
    samples = np.concatenate([base, base + 1e-6 * direction], 1)
    weights = np.array([[[-1e6, 1e6], [0.0, 0.0]]])
    _, points, _, _ = met(weights, weights, samples, samples)
    np.testing.assert_array_equal(points[0, 0], 1e6 * (samples[0, 1] - samples[0, 0]))


def test_threads_change_nothing(monkeypatch):
    monkeypatch.setattr(kernels, "_WORTH_A_THREAD", 1)
    first, second = halves(5, 6, 300, np.float32, batch=7)
    products = [np.empty((7, 11, 11)) for _ in range(3)]
    for threads, out in zip((1, 2, 5), products, strict=True):
        kernels.in_threads(kernels.grams, threads, out, first, second)
    assert np.array_equal(products[0], products[1]) and np.array_equal(products[0], products[2])
