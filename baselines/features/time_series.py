"""A series of measurements of a face, described by numbers: the signal, its velocity and its acceleration.

P. Werner, A. Al-Hamadi, K. Limbrecht-Ecklundt, S. Walter, S. Gruss and H. C. Traue, "Automatic pain assessment with
facial activity descriptors", IEEE Trans. Affective Computing 8(3), 2017, describe the course of a measurement by
statistics of its low-passed values and of their first two derivatives. The statistics and the filter are those of the
group's public code, in which the absolute deviation is the mean one. Ours: central differences, which keep the length;
the filter's padding; what is done where values are missing, where there are very few, and where nothing moves.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CUTOFF",
    "SIGNALS",
    "STATISTICS",
    "describe",
    "filled",
    "low_pass",
    "signals",
]

Array = NDArray[np.float64]

CUTOFF = 1.0
"""Hz, of the Butterworth filter of order 1."""

SIGNALS = ("signal", "velocity", "acceleration")

STATISTICS = (
    "mean",
    "median",
    "minimum",
    "maximum",
    "range",
    "standard deviation",
    "interquartile range",
    "interdecile range",
    "mean absolute deviation",
    "time of the maximum",
    "share above the mean",
    "share above the lower threshold",
    "segments above the mean",
    "segments above the lower threshold",
    "area above the minimum",
    "area over range",
)
"""Of each of `SIGNALS`. The lower threshold is midway between minimum and mean."""

ROUNDING = 1e-9
"""Share of a series' largest magnitude, a frame for derivatives, up to which a signal counts as constant."""


def describe(series: NDArray[np.floating[Any]], fps: float) -> Array:
    """Describe each channel of a series by 48 numbers: `STATISTICS` of each of `SIGNALS`.

    Deviations are those of the population (ddof 0), percentiles are interpolated linearly. Times are in seconds from
    the start, areas in the signal's unit times seconds. A segment is a run of values above a threshold. Where a signal
    is constant but for rounding, nothing is above a threshold, and the time and both areas are 0.

    Parameters
    ----------
    series : ndarray, (T, c)
        T at least 1. Values that are not finite are interpolated, see `filled`.
    fps : float
        Values a second.

    Returns
    -------
    ndarray, (c, 48) float64
        NaN for channels without a finite value.

    Raises
    ------
    ValueError
        If the series has another shape or no values, or the rate is not positive.
    """
    known = filled(series)
    empty = np.isnan(known).any(axis=0)
    known[:, empty] = 0.0
    rounding = ROUNDING * np.abs(known).max(axis=0)
    parts = [_statistics(s, fps, rounding * fps**order) for order, s in enumerate(signals(known, fps))]
    result: Array = np.concatenate(parts).T
    result[empty] = np.nan
    return result


def filled(series: NDArray[np.floating[Any]]) -> Array:
    """Return a copy with missing values interpolated linearly in time; before the first and after the last, these.

    Channels without a finite value are NaN.

    Raises
    ------
    ValueError
        If the series is not (T, c) with T at least 1.
    """
    values = np.array(series, dtype=np.float64)
    if values.ndim != 2 or not len(values):
        raise ValueError(f"a series must be (T, c) with at least one value a channel, got {values.shape}")
    finite, times = np.isfinite(values), np.arange(len(values))
    for channel in np.flatnonzero(~finite.all(axis=0)):
        known = finite[:, channel]
        values[:, channel] = np.interp(times, times[known], values[known, channel]) if known.any() else np.nan
    return values


def low_pass(series: Array, fps: float, cutoff: float = CUTOFF) -> Array:
    """Filter each channel by a Butterworth filter of order 1, forward and backward, so that nothing is delayed.

    Its gain is 1/2 at the cut-off. Beyond its ends a series goes on point-mirrored, for one period of the cut-off or as
    far as it is long. Where the cut-off is not below half the rate there is nothing to take away: no such frequency can
    be in the series, which is returned as it is.

    Parameters
    ----------
    series : ndarray, (T, c)
        Without NaN; a channel with one becomes NaN.
    fps : float
        Values a second.
    cutoff : float
        In Hz.

    Raises
    ------
    ValueError
        If the rate or the cut-off is not a positive number.
    """
    from scipy.signal import butter, filtfilt

    if not (0 < fps < np.inf and 0 < cutoff < np.inf):
        raise ValueError(f"values a second and cut-off must be positive numbers, got {fps} and {cutoff}")
    if cutoff >= fps / 2:
        return series
    numerator, denominator = butter(1, cutoff, fs=fps)
    padding = min(len(series) - 1, math.ceil(fps / cutoff))
    result: Array = filtfilt(numerator, denominator, series, axis=0, padlen=padding)
    return result


def signals(series: Array, fps: float) -> tuple[Array, Array, Array]:
    """Return the low-passed series (T, c), its velocity and its acceleration, each filtered again; units a second.

    Derivatives are central differences, one-sided at the ends, and 0 of a single value.
    """
    signal = low_pass(series, fps)
    velocity = low_pass(_derivative(signal, fps), fps)
    return signal, velocity, low_pass(_derivative(velocity, fps), fps)


def _derivative(series: Array, fps: float) -> Array:
    return np.gradient(series, 1 / fps, axis=0) if len(series) > 1 else np.zeros_like(series)


def _statistics(signal: Array, fps: float, rounding: Array) -> Array:
    """Return `STATISTICS` of each channel of a signal (T, c), (16, c); ranges up to `rounding` (c,) are none."""
    low = signal.min(axis=0)
    rise = np.where(np.ptp(signal, axis=0) > rounding, signal - low, 0.0)
    top, mean = rise.max(axis=0), rise.mean(axis=0)
    tenth, quarter, middle, third_quarter, ninth = np.percentile(rise, (10, 25, 50, 75, 90), axis=0)
    above_mean, above_lower = rise > mean, rise > mean / 2
    area = rise.sum(axis=0) / fps
    return np.stack(
        [
            low + mean,
            low + middle,
            low,
            low + top,
            top,
            rise.std(axis=0),
            third_quarter - quarter,
            ninth - tenth,
            np.abs(rise - mean).mean(axis=0),
            rise.argmax(axis=0) / fps,
            above_mean.mean(axis=0),
            above_lower.mean(axis=0),
            _segments(above_mean),
            _segments(above_lower),
            area,
            area / np.where(top > 0, top, 1.0),
        ]
    )


def _segments(above: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count the runs of True in each column."""
    begun = np.diff(above, axis=0, prepend=False) & above
    count: NDArray[np.int64] = begun.sum(axis=0)
    return count
