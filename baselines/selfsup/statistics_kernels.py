"""Compiled loops of `clip_statistics`: counts of values in blocks, and magnitudes of motion boundaries."""

from __future__ import annotations

import numpy as np

from repro.compiling import compiled

__all__ = ["count", "strengths"]

Array = np.ndarray

_OCTANT = 128  # value from which a channel belongs to the upper half of the RGB cube


@compiled()
def count(frames: Array, blocks: Array, values: Array, octants: Array) -> None:
    """Add each frame's values and octants to the blocks that a point belongs to.

    Parameters
    ----------
    frames : array, (T, 3, S * S) uint8
    blocks : array, (P, S * S) int
        The block that a point belongs to in each of P patterns.
    values : array, (T, B, 3, 256) int
    octants : array, (T, B, 8) int
        Of red, green and blue of at least 128: 2 red + green, and 4 without blue.
    """
    for t in range(len(frames)):
        red, green, blue = frames[t]
        for point in range(len(red)):
            octant = 2 * (red[point] >= _OCTANT) + (green[point] >= _OCTANT) + 4 * (blue[point] < _OCTANT)
            for pattern in range(len(blocks)):
                block = blocks[pattern, point]
                values[t, block, 0, red[point]] += 1
                values[t, block, 1, green[point]] += 1
                values[t, block, 2, blue[point]] += 1
                octants[t, block, octant] += 1


@compiled()
def strengths(fields: Array, totals: Array) -> None:
    """Sum the lengths of each component's gradient by 3 x 3 Prewitt filters, in float64.

    Parameters
    ----------
    fields : array, (t, 2, S, S)
        Beyond their edge they are what they are at it.
    totals : array, (t, 2) float64
    """
    side = fields.shape[-1]
    across, along = np.empty((side, side)), np.empty((side, side))
    for t in range(len(fields)):
        for component in range(2):
            field = fields[t, component]
            for row in range(side):
                above, below = field[max(row - 1, 0)], field[min(row + 1, side - 1)]
                for column in range(side):
                    left, right = max(column - 1, 0), min(column + 1, side - 1)
                    across[row, column] = np.float64(field[row, right]) - np.float64(field[row, left])
                    along[row, column] = np.float64(below[column]) - np.float64(above[column])
            total = 0.0
            for row in range(side):
                above, below = across[max(row - 1, 0)], across[min(row + 1, side - 1)]
                for column in range(side):
                    left, right = max(column - 1, 0), min(column + 1, side - 1)
                    x = across[row, column] + (above[column] + below[column])
                    y = along[row, column] + (along[row, left] + along[row, right])
                    total += np.sqrt(x * x + y * y)
            totals[t, component] = total
