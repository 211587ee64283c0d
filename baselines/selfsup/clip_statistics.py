"""Where a clip moves most and where its colours change most, as 27 numbers.

The labels of Wang, Jiao, Bao, He, Liu and Liu, "Self-supervised spatio-temporal representation learning for videos by
predicting motion and appearance statistics", CVPR 2019. Three patterns divide an image: 4 x 4 blocks from the upper
left, row by row; 4 nested squares of equal width, from the centre; 8 triangles between the image's diagonals and
midlines, 4 from left to right in the upper half, then 4 in the lower. Then

* motion, 14 numbers: the motion boundaries of a flow component are its spatial gradient by 3 x 3 Prewitt filters,
  summed over the clip's fields; a motion of the whole image leaves none. For each pattern and each component u and v:
  the block of the greatest mean magnitude, and the orientation that dominates in it, one of 8 that lie 45 degrees
  apart. For each component: the field whose own boundaries are strongest.
* appearance, 13 numbers: the histograms of a block's colours in all frames are intersected (the least count of each
  bin) and united (the greatest); the ratio of the two, averaged over red, green and blue, tells how constant the block
  is. For each pattern: the least constant block and its dominant colour, the most constant block and its dominant
  colour. At last the dominant colour of the clip. Colours are the octants of the RGB cube.

From the authors' code, and that of the method's extension by the same authors: all of that, the order of the numbers,
blocks and octants, the gradient's borders (reflected with the edge pixel), orientations that are shared linearly
between the two nearest of 0, 45, .. 315 degrees, and histograms of 256 bins a channel, one for each value. Ours:

* The gradient points to where the component grows, x to the right and y down. The authors convolve, which turns every
  orientation by 180 degrees.
* A pixel on a diagonal belongs to the triangle above or below it. The authors count it in both.
* The dominant colour is the octant of most pixels. The authors' code has that too, but takes the octant of the most
  frequent of 256^3 colours, to be fast.
* A number is the middle of its bin within 0..1, ``(k + 1/2) / n`` for bin k of n. The authors have k + 1, so that
  blocks of the grid weigh more than orientations.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["APPEARANCE", "MOTION", "NAMES", "STEP", "clip_statistics", "mirrored", "patterns"]

STEP = 8
"""Sides are multiples of so many pixels, else no pattern divides the image into equal and symmetric parts."""

_VALUES = 256
"""Bins of a channel's histogram: one for each value."""

_BLOCKS = {"grid": 16, "rings": 4, "triangles": 8}
_FIRST = np.array([0, 16, 20])
"""Number of each pattern's first block, when the blocks of all patterns are counted on."""

_ALL_BLOCKS = 28
_ORIENTATIONS = 8
_OCTANTS = 8
_COMPONENTS = ("u", "v")

_MOTION = [f"{p} {c} {what}" for p in _BLOCKS for c in _COMPONENTS for what in ("block", "orientation")]
_APPEARANCE = [f"{p} {which} {what}" for p in _BLOCKS for which in ("least", "most") for what in ("block", "colour")]

NAMES: tuple[str, ...] = (*_MOTION, "u field", "v field", *_APPEARANCE, "colour")
"""What each of the 27 numbers is; ``least`` and ``most`` constant blocks."""

MOTION = slice(0, len(_MOTION) + 2)
"""The numbers that tell of motion."""

APPEARANCE = slice(MOTION.stop, len(NAMES))
"""The numbers that tell of colours."""


def clip_statistics(
    frames: NDArray[np.uint8], fields: NDArray[np.floating[Any]], clips: Sequence[tuple[int, int]]
) -> NDArray[np.float32]:
    """Compute the 27 numbers of clips of one video.

    Parameters
    ----------
    frames : ndarray, (T, 3, S, S) uint8
        RGB; S is a multiple of 8.
    fields : ndarray, (T - k, 2, S, S), floating
        Flow u (to the right) and v (down) from each frame to the k-th after it, k at least 1. A clip's fields are those
        that begin and end in it.
    clips : sequence of (int, int)
        First frame of each clip and the one after its last; more than k frames.

    Returns
    -------
    ndarray, (n, 27) float32
        In the order of `NAMES`, within 0..1. Of equals, such as blocks without any motion, the first counts.

    Raises
    ------
    ValueError
        If shapes do not fit, the flow is not finite, or a clip is too short or not within the video.
    """
    from baselines.selfsup.statistics_kernels import strengths as measure  # here, as Numba takes long to import

    apart = _check(frames, fields, clips)
    counts, octants = _histograms(frames)
    strengths = np.empty((len(fields), 2))
    measure(fields, strengths)
    rows = [
        [
            *_motion(fields[start : stop - apart], strengths[start : stop - apart]),
            *_appearance(counts[start:stop], octants[start:stop]),
        ]
        for start, stop in clips
    ]
    return np.array(rows, np.float32).reshape(-1, len(NAMES))


def patterns(size: int) -> NDArray[np.int64]:
    """Return the number of the block that each pixel belongs to, in each pattern.

    Parameters
    ----------
    size : int
        Side of the image in pixels, a multiple of 8.

    Returns
    -------
    ndarray, (3, size, size) int64
        Blocks of the grid 0..15, rings 0..3, triangles 0..7.

    Raises
    ------
    ValueError
        If the size is not a multiple of 8.
    """
    if size < STEP or size % STEP:
        raise ValueError(f"images of {size} pixels cannot be divided into symmetric blocks; use a multiple of {STEP}")
    place = np.arange(size)
    from_centre = np.abs(2 * place + 1 - size)  # in half pixels, so that it is a whole number
    quarter = 4 * place // size
    vertical, horizontal = from_centre[:, None], from_centre[None]
    grid = 4 * quarter[:, None] + quarter[None]
    rings = 4 * np.maximum(vertical, horizontal) // size
    steep = (vertical >= horizontal).astype(np.int64)
    triangles = 4 * (quarter[:, None] >= 2) + np.where(quarter[None] < 2, steep, 3 - steep)
    return np.stack([grid, rings, triangles])


def mirrored(numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the numbers of the clips' mirror images, left for right.

    Exact, but for ties: of two equal blocks `clip_statistics` takes the first, and so it does in the mirror image,
    where that may be the other one.

    Parameters
    ----------
    numbers : ndarray, (..., 27) float32
        As `clip_statistics` returns them.

    Returns
    -------
    ndarray, (..., 27) float32
    """
    result = numbers.copy()
    for column, table in _tables().items():
        bins = (numbers[..., column] * len(table)).astype(np.int64)
        result[..., column] = (table[bins] + 0.5) / len(table)
    return result


@cache
def _tables() -> dict[int, NDArray[np.int64]]:
    """For each column that a mirror changes, what each of its bins becomes."""
    grid, bins = np.arange(16), np.arange(_ORIENTATIONS)
    blocks = {"grid": 4 * (grid // 4) + 3 - grid % 4, "triangles": np.arange(8) ^ 3}
    # The mirror image's u is -u at the mirrored place: its gradient keeps x and changes the sign of y; v's changes x.
    orientations = {"u": -bins % _ORIENTATIONS, "v": (_ORIENTATIONS // 2 - bins) % _ORIENTATIONS}
    tables: dict[int, NDArray[np.int64]] = {}
    for column, name in enumerate(NAMES):
        words = name.split()
        if words[-1] == "block" and words[0] in blocks:
            tables[column] = blocks[words[0]]
        elif words[-1] == "orientation":
            tables[column] = orientations[words[1]]
    return tables


@cache
def _numbered(size: int) -> NDArray[np.int64]:
    """Blocks of the three patterns, (3, size * size), counted on from pattern to pattern."""
    return patterns(size).reshape(3, -1) + _FIRST[:, None]


def _of_patterns(values: NDArray[Any]) -> list[NDArray[Any]]:
    """Divide values of all blocks, (..., 28), into those of each pattern."""
    return np.split(values, _FIRST[1:], axis=-1)


def _gradient(field: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply 3 x 3 Prewitt filters to fields (..., S, S); returns (..., 2, S, S), the new axis being x and y."""
    edges = [(0, 0)] * (field.ndim - 2) + [(1, 1)] * 2
    around = np.pad(field, edges, mode="edge")
    across = around[..., 2:] - around[..., :-2]
    along = around[..., 2:, :] - around[..., :-2, :]
    x = across[..., 1:-1, :] + (across[..., :-2, :] + across[..., 2:, :])
    y = along[..., 1:-1] + (along[..., :-2] + along[..., 2:])
    return np.stack([x, y], axis=-3)


def _length(gradient: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = np.moveaxis(gradient, -3, 0)
    return np.sqrt(x * x + y * y)


def _motion(fields: NDArray[np.floating[Any]], strengths: NDArray[np.float64]) -> list[float]:
    """Compute the 14 numbers of one clip; strengths (t, 2) are those of the single fields' boundaries."""
    numbers: list[float] = []
    histograms = _orientations(_gradient(fields.sum(0, dtype=np.float64)))
    sizes = np.bincount(_numbered(fields.shape[-1]).ravel())
    for first, means in zip(_FIRST, _of_patterns(histograms.sum(-1) / sizes), strict=True):
        for histogram, values in zip(histograms, means, strict=True):
            block = int(values.argmax())
            orientation = int(histogram[first + block].argmax())
            numbers += [(block + 0.5) / len(values), (orientation + 0.5) / _ORIENTATIONS]
    return [*numbers, *((strengths.argmax(0) + 0.5) / len(strengths))]


def _orientations(gradient: NDArray[np.float64]) -> NDArray[np.float64]:
    """Histograms of a gradient's orientation, weighted by its magnitude, in all blocks: (2, 28, 8)."""
    blocks = _numbered(gradient.shape[-1])
    first = (np.arange(2)[:, None, None] * _ALL_BLOCKS + blocks) * _ORIENTATIONS
    weight = _length(gradient).reshape(2, 1, -1)
    place = np.arctan2(gradient[:, 1], gradient[:, 0]).reshape(2, 1, -1) * (_ORIENTATIONS / (2 * np.pi))
    lower = np.floor(place)
    result = np.zeros(2 * _ALL_BLOCKS * _ORIENTATIONS)
    for step, share in ((0, 1 - (place - lower)), (1, place - lower)):
        index = first + (lower.astype(np.int64) + step) % _ORIENTATIONS
        result += np.bincount(index.ravel(), np.broadcast_to(weight * share, index.shape).ravel(), len(result))
    return result.reshape(2, _ALL_BLOCKS, _ORIENTATIONS)


def _histograms(frames: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Count each frame's values, (T, 28, 3, 256), and octants, (T, 28, 8), in all blocks."""
    from baselines.selfsup.statistics_kernels import count

    values = np.zeros((len(frames), _ALL_BLOCKS, 3, _VALUES), np.int32)
    octants = np.zeros((len(frames), _ALL_BLOCKS, _OCTANTS), np.int32)
    count(frames.reshape(len(frames), 3, -1), _numbered(frames.shape[-1]), values, octants)
    return values, octants


def _appearance(values: NDArray[np.int32], octants: NDArray[np.int32]) -> list[float]:
    """Compute the 13 numbers of one clip."""
    shared, united = (counts.sum(-1, dtype=np.int64) for counts in (values.min(0), values.max(0)))
    constancy = (shared / united).mean(-1)
    colours = octants.sum(0, dtype=np.int64)
    dominant = (colours.argmax(-1) + 0.5) / _OCTANTS
    numbers: list[float] = []
    for ratios, colour in zip(_of_patterns(constancy), _of_patterns(dominant), strict=True):
        for block in (int(ratios.argmin()), int(ratios.argmax())):
            numbers += [(block + 0.5) / len(ratios), float(colour[block])]
    whole = colours[: _FIRST[1]].sum(0)
    return [*numbers, (int(whole.argmax()) + 0.5) / _OCTANTS]


def _check(frames: NDArray[np.uint8], fields: NDArray[np.floating[Any]], clips: Sequence[tuple[int, int]]) -> int:
    """Return how many frames a field spans."""
    side = frames.shape[-1] if frames.ndim == 4 else 0
    if frames.ndim != 4 or frames.shape[1:] != (3, side, side) or frames.dtype != np.uint8:
        raise ValueError(f"frames must be (T, 3, S, S) uint8, got {frames.shape} {frames.dtype}")
    if fields.ndim != 4 or fields.shape[1:] != (2, side, side) or not 0 < len(fields) < len(frames):
        raise ValueError(
            f"{len(frames)} frames of {side} pixels need fewer flow fields of this size, got {fields.shape}"
        )
    if not np.isfinite(fields).all():
        raise ValueError("the flow holds values that are not finite; estimate it again")
    apart = len(frames) - len(fields)
    for start, stop in clips:
        if not 0 <= start <= stop <= len(frames) or stop - start <= apart:
            raise ValueError(
                f"clip {start}-{stop} must lie within the video's {len(frames)} frames and hold more than the {apart} "
                "that a flow field spans; cut longer clips, or measure flow between closer frames"
            )
    return apart
