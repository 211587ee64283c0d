"""The grey picture of a face and its division into cells, for features that describe cell by cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["cells", "grey_levels", "luma"]

_LUMA = np.array([0.299, 0.587, 0.114])


def luma(picture: Tensor) -> NDArray[np.float64]:
    """Return the luma (ITU-R BT.601) of a picture (3, ...) uint8, (...) float64 in 0..255."""
    return np.tensordot(_LUMA, picture.numpy(), 1)


def grey_levels(picture: Tensor) -> NDArray[np.uint8]:
    """Return the luma of a picture (3, ...) uint8, rounded: (...) uint8."""
    return np.round(luma(picture)).astype(np.uint8)


def cells(size: int, grid: int) -> list[slice]:
    """Divide a side of `size` pixels into `grid` parts whose lengths differ by one pixel at most.

    Raises
    ------
    ValueError
        If there is no part, or one without a pixel.

    Examples
    --------
    >>> cells(10, 3)
    [slice(0, 3, None), slice(3, 7, None), slice(7, 10, None)]
    """
    if not 1 <= grid <= size:
        raise ValueError(f"{size} pixels cannot be divided into {grid} cells; ask for 1 to {size}")
    edges = [round(i * size / grid) for i in range(grid + 1)]
    return [slice(start, stop) for start, stop in zip(edges[:-1], edges[1:], strict=True)]
