"""From an intensity to a distribution over levels, and the checks of what is learned from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["EDGE", "bounded", "check_training", "level_frequencies", "tilted"]

EDGE = 0.1
"""Levels from either end of the scale within which an intensity is bent, so that it cannot leave the scale."""

_TILTS = 200.0
_STEPS = 80


def check_training(n_clips: int, levels: ArrayLike, groups: ArrayLike) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return levels and groups as arrays, if they can be learned from.

    Raises
    ------
    ValueError
        If lengths differ, a level is no whole number from 0, or only one level occurs.
    """
    values, people = np.asarray(levels), np.asarray(groups)
    if values.shape != (n_clips,) or people.shape != (n_clips,):
        raise ValueError(f"{n_clips} clips, but levels of shape {values.shape} and groups of shape {people.shape}")
    if n_clips == 0 or not np.issubdtype(values.dtype, np.integer) or values.min() < 0:
        raise ValueError(f"levels must be whole numbers from 0, at least one; got {values[:5]}")
    if len(np.unique(values)) < 2:
        raise ValueError(
            f"all {n_clips} training clips have level {values[0]}: nothing can be learned from one level; train on "
            "subjects with and without pain"
        )
    return values.astype(np.int64), people


def level_frequencies(levels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how often each level 0..highest occurs, shape (L,), with half a clip more for each: none is impossible."""
    counts = np.bincount(levels) + 0.5
    frequencies: NDArray[np.float64] = counts / counts.sum()
    return frequencies


def bounded(intensities: NDArray[np.floating[Any]], highest: int) -> NDArray[np.float64]:
    """Keep intensities (n,) above 0 and below the highest level, in their order.

    Only what lies within `EDGE` of an end, or beyond it, is changed: it approaches the end as a hyperbola that begins
    with the same slope, so that predictions beyond the scale still rank clips.
    """
    values = np.asarray(intensities, dtype=np.float64)
    bend = [EDGE / (1 + np.maximum(EDGE - distance, 0) / EDGE) for distance in (values, highest - values)]
    low = np.where(values < EDGE, bend[0], values)
    result: NDArray[np.float64] = np.where(highest - values < EDGE, highest - bend[1], low)
    return result


def tilted(frequencies: NDArray[np.float64], intensities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distribution of each given mean that is nearest to the training frequencies.

    Of all distributions over levels with a clip's predicted intensity as their mean, the one of least relative entropy
    to `frequencies` f is p_k proportional to f_k exp(t k), with t so that the mean is met. The probability of any level
    above a threshold rises strictly with the intensity.

    Parameters
    ----------
    frequencies : ndarray, (L,)
        All above 0.
    intensities : ndarray, (n,)
        Above 0 and below L - 1.

    Returns
    -------
    ndarray, (n, L)
        Rows sum to 1; their means are the intensities to 1e-9, except within 1e-80 of an end.
    """
    levels = np.arange(len(frequencies))
    low, high = np.full(len(intensities), -_TILTS), np.full(len(intensities), _TILTS)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        below = _tilted(frequencies, middle) @ levels < intensities
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return _tilted(frequencies, (low + high) / 2)


def _tilted(frequencies: NDArray[np.float64], tilts: NDArray[np.float64]) -> NDArray[np.float64]:
    logits = np.log(frequencies) + tilts[:, None] * np.arange(len(frequencies))
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return result
