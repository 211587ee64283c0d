"""Low frequencies of a face, cell by cell: coefficients of the discrete cosine transform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from baselines.features.grid import cells, grey_levels
from repro.data.features import PictureFeature

__all__ = ["DCT", "zigzag"]


@dataclass(frozen=True)
class DCT(PictureFeature):
    """Coefficients of the two-dimensional DCT of each cell of a grid, (grid * grid * coefficients,).

    The transform is the orthonormal DCT-II, so that the squares of all coefficients sum to those of the grey levels. Of
    each cell the first coefficients in zig-zag order are kept, from low frequencies to high, without the constant one:
    adding the same brightness to a whole cell changes nothing, and contrast scales all. Frequencies that a cell of few
    pixels does not have are 0. Cells lie row by row from the top left.

    They are taken of the grey levels, of a frame as of a map of two segments. A map's grey levels are as bright as the
    segments differ (decision D7), so its coefficients tell how change is spread within a cell.

    Parameters
    ----------
    frames : int
        See `PictureFeature`.
    grid : int
        Cells along each side; 9 as in S. Kaltwang, O. Rudovic and M. Pantic (ISVC 2012).
    coefficients : int
        Of each cell. Ours: 9 are all whose two frequencies sum to 3 at most.
    """

    name: ClassVar[str] = "dct"
    version: ClassVar[int] = 1

    grid: int = 9
    coefficients: int = 9

    def of_picture(self, picture: Tensor) -> NDArray[np.float32]:
        """Return the coefficients of a face (3, size, size) uint8.

        Raises
        ------
        ValueError
            If the face has fewer pixels along a side than the grid has cells, or no coefficient is asked for.
        """
        from scipy.fft import dctn  # here, as SciPy takes long to import

        parts = cells(picture.shape[-1], self.grid)
        order = zigzag(self.coefficients)
        side = order.max() + 1
        grey = grey_levels(picture).astype(np.float64)
        values = np.zeros((self.grid, self.grid, side, side))
        for i, rows in enumerate(parts):
            for j, columns in enumerate(parts):
                found = dctn(grey[rows, columns], norm="ortho")[:side, :side]
                values[i, j, : found.shape[0], : found.shape[1]] = found
        return values[:, :, order[:, 0], order[:, 1]].astype(np.float32).ravel()


def zigzag(n: int) -> NDArray[np.int64]:
    """Return the first n pairs of frequencies (down, right) of JPEG's zig-zag order after (0, 0), shape (n, 2).

    Raises
    ------
    ValueError
        If n is not at least 1.

    Examples
    --------
    >>> zigzag(5).tolist()
    [[0, 1], [1, 0], [2, 0], [1, 1], [0, 2]]
    """
    if n < 1:
        raise ValueError(f"at least one coefficient must be kept, got {n}")
    pairs: list[tuple[int, int]] = []
    diagonal = 1
    while len(pairs) < n:
        upwards = [(diagonal - right, right) for right in range(diagonal + 1)]
        pairs += upwards if diagonal % 2 == 0 else upwards[::-1]
        diagonal += 1
    return np.array(pairs[:n], dtype=np.int64)
