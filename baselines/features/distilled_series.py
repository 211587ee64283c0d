"""What becomes of a measurement over time where a clip is distilled: a value for each map."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SMALLEST_CHANGE", "distil_series"]

SMALLEST_CHANGE = 1e-5
"""Floor of a change before its logarithm is taken, in the series' unit: the root of the floor of m_j in Eq. 6."""


def distil_series(series: NDArray[np.floating[Any]], segment_length: int) -> NDArray[np.float64]:
    """Distil a series as the pictures of a clip are: one value for each two consecutive segments.

    Systems that measure a face over time meet distilled input as a sequence of maps, in which no landmark can be
    found: a map has no face that moves, only where and how much it moved. So a measurement is distilled itself. It is a
    picture of one point, and in Eq. 6 the weights of numerator and denominator then are the same number and cancel: m_j
    is ``(x_j - y_j)^2``, x_j and y_j the values in the j-th frame of a segment and of the next. In the domain of
    decision D5 ("rms") the distillate is the geometric mean over j of ``|x_j - y_j|``, each at least the root of the
    floor of m_j, 1e-10. It tells how much a measurement changed from one segment to the next, not in which direction.

    Parameters
    ----------
    series : ndarray, (T, c)
        Of a clip's frames. Pairs of frames of which one is not finite are left out of the mean.
    segment_length : int
        Frames of a segment, l. A last segment that is shorter is dropped (decision D6).

    Returns
    -------
    ndarray, (S - 1, c) float64
        S = floor(T / l). In the series' unit, at least `SMALLEST_CHANGE`, at fps / l values a second; NaN where no pair
        is known.

    Raises
    ------
    ValueError
        If the series is not (T, c), or has not two segments.
    """
    values = np.asarray(series, dtype=np.float64)
    if values.ndim != 2 or segment_length < 1 or len(values) < 2 * segment_length:
        raise ValueError(
            f"a series of shape {values.shape} has not two segments of {segment_length} frames; give (T, c) with T at "
            "least twice the segment's length"
        )
    count = len(values) // segment_length
    values = np.where(np.isfinite(values), values, np.nan)
    segments = values[: count * segment_length].reshape(count, segment_length, -1)
    logarithms = np.log(np.maximum(np.abs(np.diff(segments, axis=0)), SMALLEST_CHANGE))
    known = np.isfinite(logarithms)
    pairs = known.sum(axis=1)
    mean = np.where(known, logarithms, 0).sum(axis=1) / np.maximum(pairs, 1)
    return np.where(pairs > 0, np.exp(mean), np.nan)
