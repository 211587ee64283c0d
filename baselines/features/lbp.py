"""Uniform local binary patterns of a face, counted cell by cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from baselines.features.grid import cells, grey_levels
from repro.data.features import PictureFeature

__all__ = ["CODES", "LBP", "NEIGHBOURS", "RADIUS", "codes"]

NEIGHBOURS = 8
"""Samples on the circle around a pixel."""

RADIUS = 1
"""Of the circle, in pixels; samples between pixels are interpolated bilinearly."""

CODES = NEIGHBOURS * (NEIGHBOURS - 1) + 3
"""59: the 58 uniform patterns, which change between darker and not darker at most twice around the circle, and one for
all others."""


@dataclass(frozen=True)
class LBP(PictureFeature):
    """Histograms of uniform local binary patterns in each cell of a grid, (grid * grid * 59,).

    Patterns are those of T. Ojala, M. Pietikäinen and T. Mäenpää, IEEE TPAMI 24(7), 2002, with 8 neighbours at radius
    1, as scikit-image computes them (``method="nri_uniform"``); cells are described as by T. Ahonen, A. Hadid and M.
    Pietikäinen, IEEE TPAMI 28(12), 2006. Each cell's histogram sums to 1. Cells lie row by row from the top left.

    They are taken of the grey levels, of a frame as of a map of two segments. A map's grey levels are as bright as the
    segments differ (decision D7), so its patterns tell where change has edges, corners and spots.

    A brighter picture or one of more contrast, a g + b with a above 0, has the same codes. So has one after any change
    of the grey scale that keeps the order of its levels, except where a diagonal neighbour, which is interpolated,
    comes to lie on the other side of the pixel's level.

    Parameters
    ----------
    frames : int
        See `PictureFeature`.
    grid : int
        Cells along each side; 9 as in S. Kaltwang, O. Rudovic and M. Pantic (ISVC 2012).
    """

    name: ClassVar[str] = "lbp"
    version: ClassVar[int] = 1

    grid: int = 9

    def of_picture(self, picture: Tensor) -> NDArray[np.float32]:
        """Return the histograms of a face (3, size, size) uint8.

        Raises
        ------
        ValueError
            If the face has fewer pixels along a side than the grid has cells.
        """
        parts = cells(picture.shape[-1], self.grid)
        number = np.repeat(np.arange(self.grid), [part.stop - part.start for part in parts])
        cell = self.grid * number[:, None] + number
        counts = np.bincount((CODES * cell + codes(grey_levels(picture))).ravel(), minlength=self.grid**2 * CODES)
        histograms = counts.reshape(-1, CODES)
        return (histograms / histograms.sum(axis=1, keepdims=True)).astype(np.float32).ravel()


def codes(grey: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the code 0..58 of the pattern around each pixel of a picture (H, W); its edge is repeated beyond it."""
    from skimage.feature import local_binary_pattern

    patterns = local_binary_pattern(np.pad(grey, RADIUS, mode="edge"), NEIGHBOURS, RADIUS, method="nri_uniform")
    inner: NDArray[np.int64] = patterns[RADIUS:-RADIUS, RADIUS:-RADIUS].astype(np.int64)
    return inner
