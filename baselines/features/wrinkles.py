"""How wrinkled parts of a face are: the mean gradient magnitude in its picture.

P. Werner, A. Al-Hamadi, K. Limbrecht-Ecklundt, S. Walter, S. Gruss and H. C. Traue, "Automatic pain assessment with
facial activity descriptors", IEEE Trans. Affective Computing 8(3), 2017, measure wrinkles by the mean gradient
magnitude in regions of the face. Which four, and where they lie (`baselines.features.regions`), is ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from baselines.features.grid import luma
from baselines.features.regions import eye_distance, regions

__all__ = ["WRINKLES", "wrinkles"]

WRINKLES = ("forehead", "nose_root", "nasolabial_left", "nasolabial_right")
"""Regions in which pain draws or smooths wrinkles: raised or lowered brows, a wrinkled nose, a raised lip."""


def wrinkles(pictures: Tensor) -> NDArray[np.float64]:
    """Return the mean gradient magnitude of each picture's grey levels in each of `WRINKLES`.

    Parameters
    ----------
    pictures : Tensor, (P, 3, size, size) uint8
        Aligned faces, or maps that were distilled of such.

    Returns
    -------
    ndarray, (P, 4) float64
        In grey levels for each distance between the eyes, so that the picture's size matters little.

    Raises
    ------
    ValueError
        If the pictures are so small that a region has fewer than two pixels along a side.
    """
    size = pictures.shape[-1]
    boxes = regions(size)
    measured = []
    for name in WRINKLES:
        rows, columns = boxes[name]
        if min(rows.stop - rows.start, columns.stop - columns.start) < 2:
            raise ValueError(
                f"pictures of {size} x {size} pixels are too small for the region {name!r}; make them larger"
            )
        grey = luma(pictures[:, :, rows, columns].transpose(0, 1))
        down, right = np.gradient(grey, axis=(1, 2))
        measured.append(np.hypot(down, right).mean(axis=(1, 2), dtype=np.float64))
    result: NDArray[np.float64] = np.stack(measured, axis=1) * eye_distance(size)
    return result
