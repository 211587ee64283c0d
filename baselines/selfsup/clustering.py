"""Clustering of features: PCA with whitening, L2 normalisation, k-means, and how much two partitions agree.

Everything works where its tensors lie, on the CPU or a GPU. Random numbers are drawn on the CPU, so that a seed means
the same on every device, and sums are matrix products, which add in the same order each time. Distances are computed
a block of points at a time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional

__all__ = ["Clusters", "Whitening", "fit_whitening", "kmeans", "nearest", "normalized_mutual_information"]

_BLOCK = 1 << 24
"""Numbers in a temporary matrix: 64 MiB of float32."""

_SPLIT = 1 / 1024
"""How far the halves of a split cluster are moved apart, as a share of each coordinate; faiss has the same."""


class Whitening(NamedTuple):
    """Principal components, scaled so that each has unit variance.

    Attributes
    ----------
    mean : Tensor, (D,)
    projection : Tensor, (D, d)
        Components in the order of falling variance, each over its standard deviation (ddof 1).
    """

    mean: Tensor
    projection: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Map features (n, D) to uncorrelated (n, d) of unit variance, before any normalisation."""
        return (features - self.mean) @ self.projection


def fit_whitening(features: Tensor, dimensions: int) -> Whitening:
    """Find the principal components of features.

    Variances are computed in float64. Directions without variance have no scale to divide by: components are those
    whose standard deviation exceeds what rounding in the type of `features` explains, D times its resolution of the
    largest one, or the resolution of the mean. There are n - 1 of them at most.

    Parameters
    ----------
    features : Tensor, (n, D), floating point
    dimensions : int
        Components to keep at most.

    Returns
    -------
    Whitening
        Of the type of `features`, with d <= min(dimensions, D, n - 1). Features that are all the same give one
        component of zeros.

    Raises
    ------
    ValueError
        For fewer than two features, features that are not finite, or dimensions below 1.
    """
    _check_points(features, "features")
    count, width = features.shape
    if count < 2 or dimensions < 1:
        raise ValueError(f"{count} features and {dimensions} dimensions: PCA needs at least two features and one")
    mean = features.mean(0, dtype=torch.float64)
    covariance = torch.zeros(width, width, dtype=torch.float64, device=features.device)
    for block in features.split(max(1, _BLOCK // (2 * width))):
        centred = block.double() - mean
        covariance += centred.T @ centred
    variances, directions = torch.linalg.eigh(covariance / (count - 1))
    variances, directions = variances.flip(0).clamp(min=0), directions.flip(1)
    resolution = torch.finfo(features.dtype).eps
    largest = float(variances[0])
    floor = max(
        largest * max((width * resolution) ** 2, width * torch.finfo(torch.float64).eps),
        resolution**2 * float(mean.square().max()),
    )
    kept = max(1, min(dimensions, count - 1, int((variances > floor).sum())))
    scale = torch.where(variances > floor, variances, torch.inf).rsqrt()[:kept]
    return Whitening(mean.to(features.dtype), (directions[:, :kept] * scale).to(features.dtype))


class Clusters(NamedTuple):
    """A partition by k-means.

    Attributes
    ----------
    centroids : Tensor, (k, d)
    assignment : Tensor, (n,) int64
        The nearest centroid of each point, 0..k-1. A centroid may be nearest to none.
    inertia : float
        Sum of the squared distances from the points to their centroids.
    """

    centroids: Tensor
    assignment: Tensor
    inertia: float


def nearest(points: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """Find the nearest centroid of each point.

    Parameters
    ----------
    points : Tensor, (n, d)
    centroids : Tensor, (k, d)

    Returns
    -------
    assignment : Tensor, (n,) int64
        The first of several nearest.
    squared_distances : Tensor, (n,)
    """
    halved = 0.5 * centroids.square().sum(1)
    # |x - c|^2 = |x|^2 - 2 (x.c - |c|^2 / 2): the nearest has the largest bracket, and |x| is the same for all.
    best = [torch.max(block @ centroids.T - halved, dim=1) for block in points.split(max(1, _BLOCK // len(centroids)))]
    assignment = torch.cat([found.indices for found in best])
    closeness = torch.cat([found.values for found in best])
    return assignment, (points.square().sum(1) - 2 * closeness).clamp(min=0)


def kmeans(
    points: Tensor, k: int, generator: torch.Generator, *, iterations: int = 20, initial: Tensor | None = None
) -> Clusters:
    """Cluster points by Lloyd's algorithm.

    Clusters that lose all points are filled again by splitting others, as faiss does: a cluster is drawn with a
    probability proportional to its size less one, its centroid is copied, and the two are moved apart by a 1024th of
    each coordinate, up and down in turn.

    Parameters
    ----------
    points : Tensor, (n, d)
    k : int
        Clusters, n at most.
    generator : torch.Generator
        On the CPU. It draws the initial centroids, k of the points, and the clusters to split.
    iterations : int
        Updates of the centroids. The assignment that is returned is that to the last ones.
    initial : Tensor, (k, d), optional
        Initial centroids instead of drawn ones.

    Returns
    -------
    Clusters

    Raises
    ------
    ValueError
        For k outside 1..n, no iterations, initial centroids of another shape, or points that are not finite.
    """
    _check_points(points, "points")
    if not 1 <= k <= len(points):
        raise ValueError(f"{len(points)} points cannot form {k} clusters; give between 1 and as many as points")
    if iterations < 1:
        raise ValueError(f"iterations {iterations} must be at least 1")
    if initial is None:
        initial = points[torch.randperm(len(points), generator=generator)[:k].to(points.device)]
    elif initial.shape != (k, points.shape[1]):
        raise ValueError(f"initial centroids have shape {tuple(initial.shape)} instead of {(k, points.shape[1])}")
    centroids = initial.clone()
    for _ in range(iterations):
        assignment, _ = nearest(points, centroids)
        sizes = torch.bincount(assignment, minlength=k)
        sums = _sums(points, assignment, k)
        centroids = sums / sizes.clamp(min=1)[:, None]
        _split_large(centroids, sizes.cpu(), generator)
    assignment, distances = nearest(points, centroids)
    return Clusters(centroids, assignment, float(distances.sum(dtype=torch.float64)))


def _sums(points: Tensor, assignment: Tensor, k: int) -> Tensor:
    """Add the points of each cluster; a product with indicators, as scattered additions on a GPU vary in order."""
    sums = torch.zeros(k, points.shape[1], dtype=points.dtype, device=points.device)
    size = max(1, _BLOCK // (2 * k))
    for block, members in zip(points.split(size), assignment.split(size), strict=True):
        sums += functional.one_hot(members, k).to(points.dtype).T @ block
    return sums


def _split_large(centroids: Tensor, sizes: Tensor, generator: torch.Generator) -> None:
    """Fill empty clusters in place by splitting others, which are left with half of their points each time."""
    sign = torch.ones(centroids.shape[1], dtype=centroids.dtype, device=centroids.device)
    sign[1::2] = -1
    for empty in torch.nonzero(sizes == 0).flatten().tolist():
        # With no more clusters than points, one that is empty leaves another that has two points or more.
        large = int(torch.multinomial((sizes - 1).clamp(min=0).double(), 1, generator=generator))
        centroids[empty] = centroids[large] * (1 + _SPLIT * sign)
        centroids[large] *= 1 - _SPLIT * sign
        sizes[empty] = sizes[large] // 2
        sizes[large] -= sizes[empty]


def _check_points(points: Tensor, what: str) -> None:
    if points.ndim != 2 or not points.is_floating_point():
        raise ValueError(f"{what} must be a matrix of floating-point numbers, got {points.dtype} {tuple(points.shape)}")
    finite = torch.isfinite(points).all(1)
    if not bool(finite.all()):
        raise ValueError(
            f"{int((~finite).sum())} of {len(points)} {what} are not finite; the network has diverged: lower the "
            "learning rate"
        )


def normalized_mutual_information(first: ArrayLike, second: ArrayLike) -> float:
    """Mutual information of two partitions over the geometric mean of their entropies, as in Caron et al. 2018.

    Independent partitions of few elements into many parts share some information by accident; what it is can be
    seen by permuting one of them.

    Parameters
    ----------
    first, second : array_like, (n,)
        Labels of any type; only which are equal counts.

    Returns
    -------
    float
        0 (independent) .. 1 (the same up to names). 0 as well if one of them does not divide, as it then tells
        nothing of the other; scikit-learn says 1 where both do not.

    Raises
    ------
    ValueError
        If the labels are not as many, or none.
    """
    one, other = np.asarray(first), np.asarray(second)
    if one.ndim != 1 or one.shape != other.shape or not one.size:
        raise ValueError(f"labels of shapes {one.shape} and {other.shape} are not equally many, at least one")
    names_one, rows = np.unique(one, return_inverse=True)
    names_other, columns = np.unique(other, return_inverse=True)
    pairs = np.bincount(rows * len(names_other) + columns, minlength=len(names_one) * len(names_other))
    joint = pairs.reshape(len(names_one), len(names_other)) / one.size
    row, column = joint.sum(1), joint.sum(0)
    entropies = [float(-(share * np.log(share)).sum()) for share in (row, column)]
    if min(len(names_one), len(names_other)) == 1:
        return 0.0
    i, j = np.nonzero(joint)
    information = float((joint[i, j] * np.log(joint[i, j] / (row[i] * column[j]))).sum())
    return float(np.clip(information / np.sqrt(entropies[0] * entropies[1]), 0.0, 1.0))
