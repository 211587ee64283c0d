"""Samples in groups of different sizes: groups of equal size are looked at together, as the rows of an array."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["alike", "mean_over_defined", "small"]


def alike(sizes: NDArray[np.intp]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Divide groups of samples that follow each other into those of equal size.

    Parameters
    ----------
    sizes : ndarray of int, shape (G,)
        Number of samples of each group.

    Yields
    ------
    groups : ndarray of int, shape (g,)
        The groups of one size n.
    samples : ndarray of int, shape (g, n)
        Their samples.
    """
    begins = np.cumsum(sizes) - sizes
    for size in np.unique(sizes):
        chosen = np.flatnonzero(sizes == size)
        yield chosen, begins[chosen, None] + np.arange(size)


def mean_over_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each row of values (G, C) over those that are not NaN, (G,); NaN where all are.

    A row's mean is to the last bit what it is alone, which sums over the first axis, as in a bootstrap, are not.
    """
    defined = ~np.isnan(values)
    sizes = defined.sum(axis=1)
    given, means = values[defined], np.full(len(values), np.nan)
    for chosen, places in alike(sizes):
        if places.size:
            means[chosen] = given[places].mean(axis=1)
    return means


def small(numbers: NDArray[np.intp], n: int) -> NDArray:
    """Return numbers 0..n - 1 in a type of 16 bits if they fit: NumPy sorts those by counting."""
    return numbers.astype(np.uint16) if n <= 1 << 16 else numbers
