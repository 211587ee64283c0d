"""Binarised statistical image features on three orthogonal planes (BSIF-TOP) of a clip, counted block by block.

J. Kannala and E. Rahtu, "BSIF: binarized statistical image features", ICPR 2012, code the neighbourhood of a pixel by
the signs of its answers to filters that were learned from natural images. On the three planes of a clip they were used
by S. R. Arashloo and J. Kittler, "Dynamic texture recognition using multiscale binarized statistical image features",
IEEE Trans. Multimedia 16(8), 2014.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from baselines.features.three_planes import PLANES, block_histograms, grey_block
from repro.data.face_sequence import FaceSequence
from repro.data.features import ClipFeature

__all__ = ["FILTERS", "BSIFTop", "bsif", "bsif_top", "exact", "shipped_filters"]

FILTERS = Path(__file__).with_name("bsif_filters.npy")
"""Eight filters of 7 x 7, (8, 7, 7) int32, made by `baselines.features.learn_bsif_filters`."""

_LARGEST = 2**24 // 255
"""Sum of a filter's absolute weights up to which its answers to grey levels are exact in float32, in any order."""


@dataclass(frozen=True)
class BSIFTop(ClipFeature):
    """Histograms of binarised statistical features on the planes XY, XT and YT in each block, (grid * grid * 3 * 256,).

    A pixel's code in a plane has a bit for each of eight filters of 7 x 7, set if the filter's answer around the pixel
    is above 0. The filters are the same on all planes: 7 pixels along rows and columns, 7 pictures along time. Each
    histogram sums to 1. Blocks lie row by row from the top left; of each stand the three planes one after another.

    Beyond the ends of space and time the first or last picture, row or column repeats. A clip that is shown by maps of
    two segments each (one to five of them) needs that. The steps of time are then maps, so that codes on XT and YT tell
    how change itself changes; with a single map they tell of one row or column only.

    Filters sum to 0: a constant that is added to all levels changes no code, nor does a larger contrast.

    Parameters
    ----------
    grid : int
        Blocks along each side, each over the whole clip; they do not overlap.
    """

    name: ClassVar[str] = "bsif_top"
    version: ClassVar[int] = 1

    grid: int = 4

    def of_clip(self, sequence: FaceSequence) -> NDArray[np.float32]:
        """Return the histograms of a clip.

        Raises
        ------
        ValueError
            If the pictures have fewer pixels along a side than the grid has blocks.
        """
        codes = bsif_top(grey_block(sequence.pictures), shipped_filters())
        return block_histograms(codes, 2 ** len(shipped_filters()), self.grid).ravel()


@cache
def shipped_filters() -> NDArray[np.int32]:
    """Return the filters that belong to the suite, (8, 7, 7) int32; read once, and not to be modified."""
    filters: NDArray[np.int32] = np.load(FILTERS, allow_pickle=False)
    filters.flags.writeable = False
    return filters


def exact(filters: NDArray[np.float64]) -> NDArray[np.int32]:
    """Round filters to whole numbers that sum to 0, on the finest scale on which float32 answers are exact.

    Signs of answers then are the same on every machine, and no rounding error gives a sign to an answer of 0, as that
    to an even part of a picture.

    Parameters
    ----------
    filters : ndarray, (bits, h, w)
        Each sums to 0, but for rounding. They keep their proportions.
    """
    room = _LARGEST - filters[0].size  # rounding may add 1/2 to each weight, and as much to bring the sum to 0
    scaled = (filters * (room / np.abs(filters).sum(axis=(1, 2)).max())).reshape(len(filters), -1)
    rounded = np.round(scaled)
    for wanted, given in zip(scaled, rounded, strict=True):
        excess = int(given.sum())
        nearest = np.argsort(np.sign(excess) * (wanted - given))[: abs(excess)]  # those that were rounded too far
        given[nearest] -= np.sign(excess)
    return rounded.astype(np.int32).reshape(filters.shape)


def bsif(picture: NDArray[np.uint8], filters: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return the codes of a picture (H, W) uint8 by up to eight filters (bits, h, w) int32; the first makes bit 0."""
    codes = np.zeros(picture.shape, dtype=np.uint8)
    for bit, weights in enumerate(filters.astype(np.float32)):
        answer = cv2.filter2D(picture, cv2.CV_32F, weights, borderType=cv2.BORDER_REPLICATE)
        codes |= (answer > 0).astype(np.uint8) << np.uint8(bit)
    return codes


def bsif_top(block: NDArray[np.uint8], filters: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return the code 0..255 around each pixel on each of `PLANES`.

    Parameters
    ----------
    block : ndarray, (P, H, W) uint8
        Grey levels: time, rows, columns.
    filters : ndarray, (bits, h, w) int32
        See `exact`. On XT and YT their rows are times.

    Returns
    -------
    ndarray, (3, P, H, W) uint8
    """
    codes = np.empty((len(PLANES), *block.shape), dtype=np.uint8)
    for axis, found in zip((0, 1, 2), codes, strict=True):
        slices, into = np.moveaxis(block, axis, 0), np.moveaxis(found, axis, 0)
        for number, plane in enumerate(slices):
            into[number] = bsif(np.ascontiguousarray(plane), filters)
    return codes
