"""Statistical Spatiotemporal Distillation, Section 2.1 of the paper, equation by equation.

This module is to be read beside the paper. It is vectorised but not fast, runs on any device and in the dtype
of its input, and is the reference that the faster implementations are tested against. What the paper leaves
open is settled by the decisions D1 to D8, each of which is a keyword here.

Notation: a segment holds ``l`` frames, ``x`` is the reference and ``y`` the deformed segment, both (l, C, H,
W) on 0..255. P = H * W is the number of points of a frame and K = window * window * depth the number of
samples of a neighbourhood. Nothing is checked here: `repro.ssd.distill` and its companions check their
arguments.

References
----------
M. Tavakolian, M. Bordallo Lopez, L. Liu, "Self-supervised pain intensity estimation from facial videos via
Statistical Spatiotemporal Distillation", Pattern Recognition Letters 140 (2020) 26-33.
Z. Wang, Q. Li, "Information content weighting for perceptual image quality assessment", IEEE Transactions on
Image Processing 20 (2011) 1185-1198: the weight of Eq. 11 and the noise variance of D1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

NULL_PRODUCT = 1e-10
"""An inner product below this counts as zero, in squared grey levels; Eq. 6 is floored at it before its
logarithm."""

NULL_EIGENVALUE = 1e-9
"""An eigenvalue of C_u below this fraction of the largest counts as null."""


EXTREMES = {"joint": (-3, -2, -1), "channel": (-2, -1)}
"""Axes of an image that share their extremes (D7)."""


class Spectrum(NamedTuple):
    """What Eqs. 11 and 13 need of C_u = O diag(eigenvalues) O^T.

    Attributes
    ----------
    eigenvalues : Tensor, (C, K) float64
        Ascending, in squared grey levels; null ones are exactly 0.
    whitening : Tensor, (C, K, K) float64
        diag(eigenvalues)^(-1/2) O^T with the rows of null eigenvalues set to 0, so that
        x^T C_u^+ x = |whitening x|^2 for the pseudo-inverse C_u^+.
    """

    eigenvalues: Tensor
    whitening: Tensor


def reflect(images: Tensor, margin: int) -> Tensor:
    """Extend (n, C, H, W) images by `margin` on each side, the edge pixel not repeated (D8)."""
    return F.pad(images, (margin,) * 4, mode="reflect") if margin else images


def neighbourhoods(segment: Tensor, frame: int, *, window: int = 5, depth: int = 1, center: bool = True) -> Tensor:
    """Collect the neighbourhood of every point of one frame.

    Parameters
    ----------
    segment : Tensor, (l, C, H, W)
        A segment; for ``depth`` > 1 its first or last frame repeats beyond its ends (D3).
    frame : int
        Frame j, 0-based.
    window, depth : int
        Odd extent in space and in time (D3).
    center : bool
        Each neighbourhood loses its own mean (D2).

    Returns
    -------
    Tensor, (C, K, P)
    """
    length, channels = segment.shape[:2]
    frames = [min(max(frame + step, 0), length - 1) for step in range(-(depth // 2), depth // 2 + 1)]
    columns = F.unfold(reflect(segment[frames], window // 2), window)
    columns = columns.reshape(depth, channels, window * window, -1).transpose(0, 1).flatten(1, 2)
    if not center:
        return columns
    # Relative to its own middle sample a flat neighbourhood is exactly zero, whatever the rounding of the
    # mean.
    columns = columns - columns[:, columns.shape[1] // 2, None]
    return columns - columns.mean(1, keepdim=True)


def covariance(vectors: Iterable[Tensor]) -> Tensor:
    """Eq. 12: C_u = (1/N) sum_i x_i x_i^T, accumulated in float64.

    Parameters
    ----------
    vectors : iterable of Tensor, (C, K, P)
        The neighbourhoods of each frame of the reference segment; N counts all of them.

    Returns
    -------
    Tensor, (C, K, K) float64
    """
    total, count = torch.zeros(()), 0
    for x in vectors:
        x = x.double()
        total = total.to(x) + x @ x.mT
        count += x.shape[-1]
    return total / count


def decompose(c_u: Tensor) -> Spectrum:
    """Eigenvalues of C_u, as in Eq. 9, and the factor of its pseudo-inverse; (C, K, K) float64."""
    eigenvalues, vectors = torch.linalg.eigh(c_u)
    kept = (eigenvalues > NULL_EIGENVALUE * eigenvalues[..., -1:]) & (eigenvalues > 0)
    eigenvalues = torch.where(kept, eigenvalues, 0.0)
    scale = torch.where(kept, eigenvalues, 1.0).rsqrt() * kept
    return Spectrum(eigenvalues, scale[..., None] * vectors.mT)


def inner(x: Tensor, y: Tensor) -> Tensor:
    """Inner product of neighbourhoods (C, K, P), below 1e-10 exactly zero; (C, P)."""
    product = (x * y).sum(1)
    return torch.where(product.abs() < NULL_PRODUCT, 0.0, product)


def multiplier(x: Tensor, whitening: Tensor) -> Tensor:
    """Eq. 13: a^2 = (1/K) x^T C_u^{-1} x, zero where x^T x is.

    Parameters
    ----------
    x : Tensor, (C, K, P)
    whitening : Tensor, (C, K, K)
        From `decompose`.

    Returns
    -------
    Tensor, (C, P)
    """
    square = (whitening.to(x.dtype) @ x).square().mean(1)
    return torch.where(inner(x, x) > 0, square, 0.0)


def gain(x: Tensor, y: Tensor) -> Tensor:
    """Eq. 14: g = x^T y / x^T x, zero where x^T x is; (C, K, P) twice -> (C, P)."""
    energy = inner(x, x)
    return torch.where(energy > 0, inner(x, y) / energy.clamp(min=NULL_PRODUCT), 0.0)


def deformation_variance(x: Tensor, y: Tensor, g: Tensor) -> Tensor:
    """Eq. 15: s_v^2 = (1/K) (y^T y - g x^T y), never below zero; (C, P).

    It is computed as |y - g x|^2 / K, which is the same number by Eq. 14 and the form it is derived from, but
    does not cancel when y is close to g x.
    """
    variance = (y - g[:, None] * x).square().mean(1)
    return torch.where(inner(y, y) > 0, variance, 0.0)


def information(a2: Tensor, g: Tensor, s_v2: Tensor, eigenvalues: Tensor, *, noise_variance: float = 0.4) -> Tensor:
    """Eq. 11: the weight w = I(x|p) + I(y|q) - I(p|q) in closed form.

    Parameters
    ----------
    a2, g, s_v2 : Tensor, (C, P)
        Of Eqs. 13, 14 and 15.
    eigenvalues : Tensor, (C, K)
        Of C_u; null ones are 0 and still contribute log(1 + s_v^2 / s_n^2).
    noise_variance : float
        s_n^2 in squared grey levels (D1).

    Returns
    -------
    Tensor, (C, P)
        In nats, not negative.
    """
    offset = s_v2 / noise_variance
    slope = (s_v2 / noise_variance**2 + (1 + g.square()) / noise_variance) * a2
    return 0.5 * torch.log1p(offset[:, None] + slope[:, None] * eigenvalues.to(a2.dtype)[..., None]).sum(1)


def information_from_covariances(c_u: Tensor, a2: float, g: float, s_v2: float, noise_variance: float) -> Tensor:
    """Eqs. 3 to 8: the weight of one neighbourhood from determinants, before its simplification to Eq. 11.

    For Gaussians I(x|p) = 1/2 log(|C_p| / |s_n^2 I|), I(y|q) likewise, and
    I(p|q) = 1/2 log(|C_p| |C_q| / |C_(p,q)|), with C_(p,q) the covariance of p and q together.

    Parameters
    ----------
    c_u : Tensor, (K, K)
    a2, g, s_v2, noise_variance : float

    Returns
    -------
    Tensor, ()
        In nats.
    """
    identity = torch.eye(len(c_u), dtype=c_u.dtype, device=c_u.device)
    c_x, c_y = a2 * c_u, g**2 * a2 * c_u + s_v2 * identity
    noise = noise_variance * identity
    c_p, c_q, cross = c_x + noise, c_y + noise, g * a2 * c_u
    joint = torch.cat([torch.cat([c_p, cross], 1), torch.cat([cross.mT, c_q], 1)])
    p, q, n, pq = (torch.logdet(matrix) for matrix in (c_p, c_q, noise, joint))
    return 0.5 * ((p - n) + (q - n) - (p + q - pq))


def frame_weights(x: Tensor, y: Tensor, spectrum: Spectrum, *, noise_variance: float = 0.4) -> Tensor:
    """Eqs. 11 and 13 to 15 for the neighbourhoods (C, K, P) of one frame of x and of y; (C, P) in nats."""
    g = gain(x, y)
    a2, s_v2 = multiplier(x, spectrum.whitening), deformation_variance(x, y, g)
    return information(a2, g, s_v2, spectrum.eigenvalues, noise_variance=noise_variance)


def information_weights(
    x: Tensor, y: Tensor, *, window: int = 5, depth: int = 1, noise_variance: float = 0.4, center: bool = True
) -> Tensor:
    """Weights w_{j,i} of Eq. 6 for every frame and point of two segments.

    Parameters
    ----------
    x, y : Tensor, (l, C, H, W) floating
        Reference and deformed segment on 0..255.
    window, depth, noise_variance, center
        Decisions D3, D1 and D2.

    Returns
    -------
    Tensor, (l, C, H, W)
        In nats, not negative.
    """

    def of(segment: Tensor, frame: int) -> Tensor:
        return neighbourhoods(segment, frame, window=window, depth=depth, center=center)

    spectrum = decompose(covariance(of(x, frame) for frame in range(len(x))))
    weights = [
        frame_weights(of(x, frame), of(y, frame), spectrum, noise_variance=noise_variance) for frame in range(len(x))
    ]
    return torch.stack(weights).reshape(x.shape)


def weighted_difference(weights: Tensor, x: Tensor, y: Tensor, *, window: int = 5) -> Tensor:
    """Evaluate the bracket of Eq. 6: m_j = sum_i w_{j,i} (x_{j,i} - y_{j,i})^2 / sum_i w_{j,i}.

    The sums run over the window x window neighbourhood of the point in frame j (D4), weights and differences
    reflected at the border alike (D8).

    Parameters
    ----------
    weights, x, y : Tensor, (l, C, H, W)

    Returns
    -------
    Tensor, (l, C, H, W)
        In squared grey levels; 0 where no weight is positive.
    """

    def local_mean(maps: Tensor) -> Tensor:
        return F.avg_pool2d(reflect(maps, window // 2), window, stride=1)

    total = local_mean(weights)
    moment = local_mean(weights * (x - y).square())
    return torch.where(total > 0, moment / torch.where(total > 0, total, 1.0), 0.0)


def feature_map(
    x: Tensor, y: Tensor, *, window: int = 5, depth: int = 1, noise_variance: float = 0.4, center: bool = True
) -> Tensor:
    """Eq. 6 for two consecutive segments, as the mean logarithm (1/l) log SSD(X, Y).

    Parameters
    ----------
    x, y : Tensor, (l, C, H, W) floating
        Reference and deformed segment on 0..255.
    window, depth, noise_variance, center
        Decisions D3, D1 and D2.

    Returns
    -------
    Tensor, (C, H, W)
        (1/l) sum_j log m_j, each m_j at least 1e-10.
    """
    weights = information_weights(x, y, window=window, depth=depth, noise_variance=noise_variance, center=center)
    return weighted_difference(weights, x, y, window=window).clamp(min=NULL_PRODUCT).log().mean(0)


def aggregate(maps: Tensor, *, segment_length: int = 20, domain: str = "rms") -> Tensor:
    """Aggregate the maps: image = sum_s b_s e_s with b_s = exp(e_s) / sum_s exp(e_s), at each point.

    Parameters
    ----------
    maps : Tensor, (S - 1, C, H, W)
        Mean logarithms from `feature_map`.
    segment_length : int
        l, which ``domain="product"`` needs.
    domain : {"rms", "log", "product"}
        What e is (D5): the geometric mean over the segment of the weighted RMS difference, in grey levels;
        the mean logarithm itself; or Eq. 6 as printed.

    Returns
    -------
    Tensor, (C, H, W)
        Infinite only where the true value exceeds the range of the dtype, which ``"product"`` can do.
    """
    if domain == "log":
        return (maps.softmax(0) * maps).sum(0)
    logarithm = maps * {"rms": 0.5, "product": float(segment_length)}[domain]
    # Relative to the largest e of the point, ratio = e / top and e - top = -top (1 - ratio): neither
    # overflows to an undefined difference of infinities.
    top = logarithm.amax(0)
    gap = -torch.expm1(logarithm - top)
    shortfall = torch.where(gap > 0, top.exp() * gap, 0.0)
    ratio = ((-shortfall).softmax(0) * (logarithm - top).exp()).sum(0)
    return (top + ratio.log()).exp()


def to_image(values: Tensor, *, normalize: str | None = "joint") -> Tensor:
    """Stretch the aggregated map to 0..255 by min-max (D7).

    Parameters
    ----------
    values : Tensor, (..., C, H, W)
        Finite.
    normalize : {"joint", "channel", None}
        Extremes over all channels of an image together, over each channel, or no change at all.

    Returns
    -------
    Tensor, (..., C, H, W)
        uint8, rounded to nearest; a map without contrast becomes 0. Unchanged for ``normalize=None``.
    """
    if normalize is None:
        return values
    axes = EXTREMES[normalize]
    low, high = values.amin(axes, keepdim=True), values.amax(axes, keepdim=True)
    scale = torch.where(high > low, high - low, 1.0)
    return ((values - low) / scale * 255).round().to(torch.uint8)
