"""Histograms of topographical features: a face as a landscape whose heights are grey levels.

C. Florea, L. Florea and C. Vertan, "Learning pain from emotion: transferred HoT data representation for pain intensity
estimation", ECCV 2014 workshops, describe a pixel by the gradient and the Hessian of its surroundings and each part of
a face by histograms of these. They generalise the topographic primal sketch (Haralick, Watson and Laffey, Int. J.
Robotics Research 2(1), 1983), which names what a surface does at a pixel: peak, pit, ridge, valley, saddle, flat or
slope.

That much is theirs. Ours, as no public source settles it: the scale of the derivatives, the edges of the bins, the
contrast by which a picture's derivatives are divided, the limits within which a pixel is called stationary or flat,
and the places of the regions (`baselines.features.regions`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from baselines.features.grid import luma
from baselines.features.regions import Region, eye_distance, regions
from repro.data.features import PictureFeature

__all__ = ["BINS", "LABELS", "PARTS", "Surface", "Topographic", "histogram", "labels", "surface"]

Array = NDArray[np.float64]

BINS = 8
"""Of each histogram, as published."""

LABELS = ("flat", "slope", "peak", "pit", "ridge", "valley", "saddle")

PARTS = (
    "brow_left",
    "brow_right",
    "eye_left",
    "eye_right",
    "nose_root",
    "nasolabial_left",
    "nasolabial_right",
    "mouth",
)
"""Regions that pain moves: brows that lower, eyes that narrow, a nose that wrinkles, a lip that rises."""

REACH = 0.5
"""Standard deviations of the Gaussian within which the surface must be level for a pixel to be its extremum."""

FLAT = 0.1
"""Share of a picture's contrast below which a slope or a curvature counts as none."""

LOWEST_OCTAVE = -5
"""Amplitudes are binned by octaves, the first of `BINS` above 1/32 of the contrast; what lies beyond joins the ends."""

SMALLEST = 0.7
"""Pixels: the standard deviation of a sampled Gaussian cannot be much less."""

_NO_CONTRAST = 1e-6
"""Grey levels: what rounding leaves of the gradient of a picture of one grey level."""

_TRUNCATE = 6.0
"""Standard deviations at which the Gaussian is cut: at four, a second derivative would still see how bright it is."""


class Surface(NamedTuple):
    """Derivatives of a picture at one scale, in grey levels for each standard deviation s of the Gaussian.

    Attributes
    ----------
    gradient : ndarray, (2, H, W)
        s times the derivatives along x (right) and y (down).
    eigenvalues : ndarray, (2, H, W)
        Of s s times the Hessian: the one of larger magnitude first.
    orientation : ndarray, (H, W)
        Of the first eigenvalue's eigenvector, 0 up to but not pi, from x towards y; 0 where both are equal.
    """

    gradient: Array
    eigenvalues: Array
    orientation: Array

    @property
    def magnitude(self) -> Array:
        """Length of the gradient, (H, W)."""
        length: Array = np.hypot(*self.gradient)
        return length

    @property
    def direction(self) -> Array:
        """Angle of the gradient, (H, W), 0 up to but not 2 pi, from x towards y."""
        angle: Array = np.mod(np.arctan2(self.gradient[1], self.gradient[0]), 2 * np.pi)
        return angle

    def along(self) -> Array:
        """Return the gradient along the eigenvectors, (2, H, W)."""
        cosine, sine = np.cos(self.orientation), np.sin(self.orientation)
        x, y = self.gradient
        return np.stack([cosine * x + sine * y, cosine * y - sine * x])


def surface(picture: NDArray[np.floating], sigma: float) -> Surface:
    """Return the gradient and the Hessian's eigenvalues of a picture (H, W) by derivatives of a Gaussian.

    Parameters
    ----------
    picture : ndarray, (H, W)
        Grey levels; its edge is repeated beyond it.
    sigma : float
        Standard deviation of the Gaussian in pixels.
    """
    from scipy.ndimage import gaussian_filter  # here, as SciPy takes long to import

    def derivative(down: int, right: int) -> Array:
        smoothed: Array = gaussian_filter(
            picture.astype(np.float64), sigma, (down, right), mode="nearest", truncate=_TRUNCATE
        )
        return sigma ** (down + right) * smoothed

    xx, xy, yy = derivative(0, 2), derivative(1, 1), derivative(2, 0)
    mean, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    # The eigenvector of mean + half; that of mean - half is across it.
    upper = np.arctan2(2 * xy, xx - yy) / 2
    eigenvalues = np.stack([np.where(mean < 0, mean - half, mean + half), np.where(mean < 0, mean + half, mean - half)])
    orientation = np.mod(upper + np.where(mean < 0, np.pi / 2, 0), np.pi)
    # An angle just below 0 is rounded to pi itself.
    orientation = np.where((half > 0) & (orientation < np.pi), orientation, 0.0)
    return Surface(np.stack([derivative(0, 1), derivative(1, 0)]), eigenvalues, orientation)


def labels(shape: Surface, flat: float) -> NDArray[np.int64]:
    """Return what the surface does at each pixel, an index of `LABELS`.

    The surface is taken as a parabola along each of its two principal directions, whose extremum lies at minus slope
    over curvature. A pixel within `REACH` of it in both is a peak, a pit or a saddle, by the signs of the curvatures.
    One within reach of it in the more curved direction is a ridge or a valley, whether or not that slopes along its
    length; so is the flank of a round hill, a ridge in all directions. Without curvature and gradient a pixel is flat.
    All others are slope.

    Parameters
    ----------
    shape : Surface
    flat : float
        Curvatures and gradients up to this many grey levels count as none.

    Returns
    -------
    ndarray, (H, W) int64
    """
    curved = np.abs(shape.eigenvalues) > flat
    extreme = curved & (np.abs(shape.along()) <= REACH * np.abs(shape.eigenvalues))
    upward = shape.eigenvalues > 0
    both = extreme.all(axis=0)
    found = {
        "flat": ~curved.any(axis=0) & (shape.magnitude <= flat),
        "peak": both & ~upward.any(axis=0),
        "pit": both & upward.all(axis=0),
        "saddle": both,
        "ridge": extreme[0] & ~upward[0],
        "valley": extreme[0],
    }
    names = [LABELS.index(name) for name in found]
    chosen: NDArray[np.int64] = np.select(list(found.values()), names, LABELS.index("slope"))
    return chosen


def histogram(positions: Array, weights: Array, *, circular: bool) -> Array:
    """Sum weights into `BINS` bins, each divided between the two bins whose centres are nearest.

    Parameters
    ----------
    positions : ndarray, (n,)
        In bins: 0 is the lower edge of the first, `BINS` the upper edge of the last.
    weights : ndarray, (n,)
    circular : bool
        Whether the last bin is followed by the first; if not, what lies beyond an end's centre belongs to its bin.

    Returns
    -------
    ndarray, (BINS,)
    """
    place = positions - 0.5 if circular else np.clip(positions - 0.5, 0, BINS - 1)
    lower = np.floor(place)
    share = place - lower
    first = lower.astype(np.int64) % BINS
    bins, shares = np.concatenate([first, (first + 1) % BINS]), np.concatenate([1 - share, share])
    sums: Array = np.bincount(bins, np.tile(weights, 2) * shares, BINS).astype(np.float64)
    return sums


@dataclass(frozen=True)
class Topographic(PictureFeature):
    """Histograms of gradient and Hessian over each of `PARTS`, from the grey levels of a face.

    Each part is described by 47 numbers, means over its pixels: the orientation of the principal curvature, weighted by
    the difference of the eigenvalues (8 bins over half a turn); the amplitudes of the larger and of the smaller
    eigenvalue (8 bins each, an octave wide); the direction of the gradient, weighted by its length (8 bins over a
    turn); its length (8 bins, an octave wide); and the shares of the seven `LABELS`.

    Derivatives are divided by the picture's contrast, the root mean square of the gradient over all parts, so that
    skin, light and the range of a distilled map do not matter.

    Parameters
    ----------
    frames : int
        See `PictureFeature`.
    scale : float
        Standard deviation of the Gaussian in distances between the eyes: 0.06 is 1.9 of 96 pixels. In pixels it is
        `SMALLEST` at least.
    """

    name: ClassVar[str] = "topographic"
    version: ClassVar[int] = 1

    scale: float = 0.06

    def of_picture(self, picture: Tensor) -> NDArray[np.float32]:
        """Return the histograms (376,) of a face (3, size, size) uint8, part by part.

        Raises
        ------
        ValueError
            If the picture is too small, as `baselines.features.regions.regions` does.
        """
        size = picture.shape[-1]
        boxes = regions(size)
        shape = surface(luma(picture), max(SMALLEST, self.scale * eye_distance(size)))
        lengths = np.concatenate([shape.magnitude[boxes[part]].ravel() for part in PARTS])
        contrast = float(np.sqrt(np.mean(lengths**2)))
        if contrast < _NO_CONTRAST:
            contrast = 1.0
        shape = Surface(shape.gradient / contrast, shape.eigenvalues / contrast, shape.orientation)
        kinds = labels(shape, FLAT)
        return np.concatenate([_describe(shape, kinds, boxes[part]) for part in PARTS]).astype(np.float32)


def _describe(shape: Surface, kinds: NDArray[np.int64], box: Region) -> Array:
    """Return the 47 numbers of a region."""
    rows, columns = box
    larger, smaller = shape.eigenvalues[:, rows, columns].reshape(2, -1)
    length = shape.magnitude[box].ravel()
    even = np.ones_like(length)
    sums = [
        histogram(shape.orientation[box].ravel() * (BINS / np.pi), np.abs(larger - smaller), circular=True),
        histogram(_octaves(np.abs(larger)), even, circular=False),
        histogram(_octaves(np.abs(smaller)), even, circular=False),
        histogram(shape.direction[box].ravel() * (BINS / (2 * np.pi)), length, circular=True),
        histogram(_octaves(length), even, circular=False),
        np.bincount(kinds[box].ravel(), minlength=len(LABELS)),
    ]
    return np.concatenate(sums) / len(length)


def _octaves(amplitudes: Array) -> Array:
    """Return the place of amplitudes among the octaves' bins; of 0, before the first."""
    places: Array = np.log2(np.maximum(amplitudes, 2.0 ** (LOWEST_OCTAVE - 1))) - LOWEST_OCTAVE
    return places
