"""A clip as a block of grey levels, cut by three orthogonal planes: what local patterns in space and time share.

Each pixel of each picture lies in one plane of each kind: the picture itself (XY), a row of pixels followed over time
(XT), and a column followed over time (YT). Patterns around it are coded in all three, and their codes counted block by
block, as G. Zhao and M. Pietikäinen, IEEE TPAMI 29(6), 2007, do. Pictures are those of a `FaceSequence`, whatever they
show: frames, or the few maps of two segments each, which then are the steps of time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from baselines.features.grid import cells, grey_levels

__all__ = ["PLANES", "block_histograms", "grey_block"]

PLANES = ("XY", "XT", "YT")
"""The kinds of planes, in the order in which their histograms stand."""


def grey_block(pictures: Tensor) -> NDArray[np.uint8]:
    """Return the grey levels of pictures (P, 3, H, W) uint8 as an array (P, H, W): time, rows, columns."""
    return grey_levels(pictures.transpose(0, 1))


def block_histograms(codes: NDArray[np.uint8], n_codes: int, grid: int) -> NDArray[np.float32]:
    """Return the share of each code in each block of the picture, over all times.

    Parameters
    ----------
    codes : ndarray, (planes, P, H, W) uint8
        Of each pixel, 0..n_codes - 1.
    n_codes : int
    grid : int
        Blocks along each side, see `baselines.features.grid.cells`.

    Returns
    -------
    ndarray, (grid * grid, planes, n_codes) float32
        Blocks row by row from the top left; the shares of a block and plane sum to 1.

    Raises
    ------
    ValueError
        If a picture has fewer pixels along a side than the grid has blocks.
    """
    row, column = (
        np.repeat(np.arange(grid), [part.stop - part.start for part in cells(side, grid)]) for side in codes.shape[2:]
    )
    first = ((grid * row[:, None] + column) * n_codes).astype(np.int64)
    counts = np.stack([np.bincount((first + plane).ravel(), minlength=grid * grid * n_codes) for plane in codes])
    counts = counts.reshape(len(codes), grid * grid, n_codes).swapaxes(0, 1)
    return (counts / counts.sum(axis=2, keepdims=True)).astype(np.float32)
