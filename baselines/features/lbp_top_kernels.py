"""Local binary patterns of many pixels, compiled; `baselines.features.lbp_top` calls it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from repro.compiling import compiled

__all__ = ["patterns"]

_TIE = 1e-9
"""Grey levels that rounding can make of no difference. Next to no difference that is one is so small: it is a + b
sqrt(2), where a and b are halves of whole numbers up to some thousand."""


@compiled()
def patterns(
    flat: NDArray[np.float64],
    shape: tuple[int, int, int],
    room: tuple[int, int, int],
    offsets: NDArray[np.int64],
    weights: NDArray[np.float64],
    codes: NDArray[np.uint8],
) -> None:
    """Set the bits of each pixel's pattern, row by row; differences are interpolated, so that equal levels give 0."""
    times, rows, columns = codes.shape
    for t in range(times):
        for y in range(rows):
            start = ((t + room[0]) * shape[1] + y + room[1]) * shape[2] + room[2]
            centre, own = flat[start : start + columns], codes[t, y]
            for n in range(len(offsets)):
                bit = np.uint8(1 << n)
                w0, w1, w2, w3 = weights[n]
                a = flat[start + offsets[n, 0] : start + offsets[n, 0] + columns]
                b = flat[start + offsets[n, 1] : start + offsets[n, 1] + columns]
                c = flat[start + offsets[n, 2] : start + offsets[n, 2] + columns]
                d = flat[start + offsets[n, 3] : start + offsets[n, 3] + columns]
                for x in range(columns):
                    level = centre[x]
                    above = w0 * (a[x] - level) + w1 * (b[x] - level) + w2 * (c[x] - level) + w3 * (d[x] - level)
                    if above >= -_TIE:
                        own[x] |= bit
