"""Local binary patterns on three orthogonal planes (LBP-TOP) of a clip, counted block by block.

G. Zhao and M. Pietikäinen, "Dynamic texture recognition using local binary patterns with an application to facial
expressions", IEEE TPAMI 29(6), 2007.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from baselines.features.three_planes import PLANES, block_histograms, grey_block
from repro.data.face_sequence import FaceSequence
from repro.data.features import ClipFeature

__all__ = ["CODES", "NEIGHBOURS", "LBPTop", "lbp_top"]

NEIGHBOURS = 8
"""Samples on the ellipse around a pixel."""

CODES = NEIGHBOURS * (NEIGHBOURS - 1) + 3
"""59: the 58 uniform patterns, which change between darker and not darker at most twice around the ellipse, in the
order of their numbers, and one for all others."""

_AXES = {"XY": (2, 1), "XT": (2, 0), "YT": (1, 0)}
"""Axes of the block (time, row, column) along which the cosine and the sine of a neighbour's angle are counted."""


@dataclass(frozen=True)
class LBPTop(ClipFeature):
    """Histograms of uniform local binary patterns on the planes XY, XT and YT in each block, (grid * grid * 3 * 59,).

    A pixel's pattern in a plane has a bit for each of eight neighbours on an ellipse, set if the neighbour is as bright
    as the pixel or brighter. Neighbours between pixels are interpolated bilinearly in the plane, as in the paper. Each
    histogram sums to 1. Blocks lie row by row from the top left; of each stand the three planes one after another.

    The published operator leaves out pixels too near to an end of space or time for all their neighbours. Ours keeps
    all: beyond the ends the first or last picture, row or column repeats. For a clip that is shown by maps of two
    segments each (one to five of them) nothing would be left otherwise. The steps of time are then maps, so that
    patterns on XT and YT tell how change itself changes; with a single map they tell of one row or column only.

    A brighter clip or one of more contrast, a g + b with a above 0, has the same codes.

    Parameters
    ----------
    grid : int
        Blocks along each side, each over the whole clip; they do not overlap.
    radius : int
        Of the ellipses along rows and columns, in pixels.
    time_radius : int
        Of the ellipses along time, in pictures.

    Raises
    ------
    ValueError
        If a radius is not at least 1.
    """

    name: ClassVar[str] = "lbp_top"
    version: ClassVar[int] = 1

    grid: int = 4
    radius: int = 1
    time_radius: int = 3

    def __post_init__(self) -> None:
        """Check the radii, which nothing else does; pictures decide which grids there can be."""
        if self.radius < 1 or self.time_radius < 1:
            raise ValueError(f"radii must be at least 1, got {self.radius} and, of time, {self.time_radius}")

    def of_clip(self, sequence: FaceSequence) -> NDArray[np.float32]:
        """Return the histograms of a clip.

        Raises
        ------
        ValueError
            If the pictures have fewer pixels along a side than the grid has blocks.
        """
        codes = lbp_top(grey_block(sequence.pictures), self.radius, self.time_radius)
        return block_histograms(codes, CODES, self.grid).ravel()


def lbp_top(block: NDArray[np.uint8], radius: int = 1, time_radius: int = 3) -> NDArray[np.uint8]:
    """Return the code 0..58 of the pattern around each pixel on each of `PLANES`.

    Parameters
    ----------
    block : ndarray, (P, H, W) uint8
        Grey levels: time, rows, columns.
    radius, time_radius : int
        See `LBPTop`.

    Returns
    -------
    ndarray, (3, P, H, W) uint8
    """
    from baselines.features.lbp_top_kernels import patterns  # here, as Numba takes long to import

    room = (time_radius, radius, radius)
    padded = np.pad(block, [(side, side) for side in room], mode="edge").astype(np.float64)
    codes = np.zeros((len(PLANES), *block.shape), dtype=np.uint8)
    for plane, found in zip(PLANES, codes, strict=True):
        offsets, weights = _corners(plane, room, padded.shape)
        patterns(padded.ravel(), padded.shape, room, offsets, weights, found)
    return _uniform()[codes]


def _corners(
    plane: str, room: tuple[int, int, int], shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return where the four pixels around each neighbour lie, in elements from its pixel, and their weights: (8, 4)."""
    angle = 2 * np.pi * np.arange(NEIGHBOURS) / NEIGHBOURS
    steps = np.array([shape[1] * shape[2], shape[2], 1])
    place = np.zeros((NEIGHBOURS, 3))
    for axis, course in zip(_AXES[plane], (np.cos(angle), np.sin(angle)), strict=True):
        place[:, axis] = np.round(room[axis] * course, 12)  # the cosine of a right angle is not quite zero
    low = np.floor(place)
    part = (place - low)[:, _AXES[plane]]
    offsets, weights = np.zeros((NEIGHBOURS, 4), dtype=np.int64), np.zeros((NEIGHBOURS, 4))
    for corner, upper in enumerate(product((0, 1), repeat=2)):
        corners = low.copy()
        corners[:, _AXES[plane]] += upper
        weights[:, corner] = np.where(upper, part, 1 - part).prod(axis=1)
        offsets[:, corner] = np.where(weights[:, corner] > 0, corners @ steps, 0)
    return offsets, weights


def _uniform() -> NDArray[np.uint8]:
    """Return the code of each of the 256 patterns."""
    patterns = np.arange(2**NEIGHBOURS)
    bits = patterns[:, None] >> np.arange(NEIGHBOURS) & 1
    is_uniform = (bits != np.roll(bits, 1, axis=1)).sum(axis=1) <= 2
    return np.where(is_uniform, np.cumsum(is_uniform) - 1, CODES - 1).astype(np.uint8)
