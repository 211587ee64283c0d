"""Affine hulls (Eqs. 16 and 17) in coordinates of their samples' span: the feature dimension is met once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Hull", "affine_weights", "as_batch", "blocks", "hulls", "per_pair", "turning"]

_EPS = torch.finfo(torch.float64).eps
# A basis from Cholesky factors is orthonormal up to _EPS * condition^2, 2e-10 at this bound; beyond it, QR.
_GRAM_CONDITION = 1e3
# Squared singular values closer than this share are one cluster, which a truncated hull keeps or drops whole.
_TIE = 1e-8
# Samples that are converted to double precision at a time: a block stays in the cache.
_BLOCK = 1 << 18


class Hull(NamedTuple):
    """A half in coordinates of its span."""

    samples: Tensor  # (..., n, k)
    mean: Tensor  # (..., 1, k)
    directions: Tensor  # (..., k, r), U of Eq. 17, dropped directions being zero
    kept: Tensor  # (..., 1, r), 1 for a direction of the hull, 0 for a dropped one
    weights: Tensor  # (..., n, r), what writes the kept directions in terms of the samples
    left: Tensor  # (..., n, r); the centred samples are left diag(spread) right',
    spread: Tensor  # (..., 1, r), descending; both are empty (r = 0) where a hull is whole for certain


def blocks(*samples: Tensor) -> Iterator[slice]:
    """Return column ranges in which to read samples (..., n, D); a single one on a GPU."""
    width = samples[0].shape[-1]
    rows = sum(h.numel() for h in samples) // width
    step = width if samples[0].is_cuda else max(64, _BLOCK // max(rows, 1))
    return (slice(start, start + step) for start in range(0, width, step))


def hulls(h_i: Tensor, h_j: Tensor, energy: float) -> tuple[Hull, Hull, Tensor]:
    """Find the affine hulls of two halves.

    Parameters
    ----------
    h_i, h_j : Tensor, shape (..., n_i, D) and (..., n_j, D)
        Samples, float32 or float64; leading dimensions broadcast.
    energy : float
        Share of the squared singular values that the directions of a hull hold, in (0, 1].

    Returns
    -------
    hull_i, hull_j : Hull
        In float64 coordinates of orthonormal bases B_i and B_j, leading dimensions as given.
    cross : Tensor, shape (..., k_i, k_j)
        B_i' B_j for each pair.

    Raises
    ------
    ValueError
        Entries that are NaN, infinite or too large to be squared.
    """
    factors = _factorise(h_i, h_j) if max(h_i.shape[-2], h_j.shape[-2]) <= h_i.shape[-1] else None
    if factors is not None:
        x_i, x_j, cross = factors
        return _independent(x_i, energy), _independent(x_j, energy), cross
    _check_finite("h_i", h_i)
    _check_finite("h_j", h_j)
    basis_i, centred_i, mean_i = _orthogonalise(h_i)
    basis_j, centred_j, mean_j = _orthogonalise(h_j)
    cross = torch.einsum("...dk,...dl->...kl", basis_i, basis_j)
    return _hull(centred_i, mean_i, energy), _hull(centred_j, mean_j, energy), cross


def _factorise(h_i: Tensor, h_j: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """Coordinates by Cholesky factors of the Gram matrices; None where a basis would not be orthonormal."""
    gram_i, gram_j, cross = _products(h_i, h_j)
    factor_i, info_i = torch.linalg.cholesky_ex(gram_i)
    factor_j, info_j = torch.linalg.cholesky_ex(gram_j)
    sound_i = ((info_i == 0) & (_condition(factor_i) < _GRAM_CONDITION)).all()
    sound_j = ((info_j == 0) & (_condition(factor_j) < _GRAM_CONDITION)).all()
    if not bool(sound_i & sound_j):
        return None
    half = torch.linalg.solve_triangular(factor_i, cross, upper=False)
    return factor_i, factor_j, torch.linalg.solve_triangular(factor_j, half.mT, upper=False).mT


def _products(h_i: Tensor, h_j: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Inner products in float64 within h_i (..., n_i, D), within h_j and between them, the latter for each pair."""
    lead, n_i, n_j = h_i.shape[:-2], h_i.shape[-2], h_j.shape[-2]
    if h_i.device.type == "cpu" and lead == h_j.shape[:-2]:
        from repro.siamese.kernels import grams, in_threads  # here, as Numba takes long to import

        products = torch.empty(lead.numel(), n_i + n_j, n_i + n_j, dtype=torch.float64)
        in_threads(grams, torch.get_num_threads(), *(as_batch(part) for part in (products, h_i, h_j)))
        products = products.reshape(*lead, n_i + n_j, n_i + n_j)
        return products[..., :n_i, :n_i], products[..., n_i:, n_i:], products[..., :n_i, n_i:]
    gram_i = gram_j = cross = torch.zeros((), dtype=torch.float64, device=h_i.device)
    for columns in blocks(h_i, h_j):
        x, y = h_i[..., columns].double(), h_j[..., columns].double()
        gram_i = gram_i + x @ x.mT
        gram_j = gram_j + y @ y.mT
        cross = cross + torch.einsum("...nd,...md->...nm", x, y)
    return gram_i, gram_j, cross


def as_batch(part: Tensor) -> np.ndarray:
    """View (..., a, b) on a CPU as an array (B, a, b) for a kernel."""
    return part.detach().reshape(part.shape[:-2].numel(), *part.shape[-2:]).contiguous().numpy()


def _condition(factor: Tensor) -> Tensor:
    """Upper bound on the condition numbers of lower triangular matrices (Frobenius norms)."""
    identity = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device).expand_as(factor)
    inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
    return factor.norm(dim=(-2, -1)) * inverse.norm(dim=(-2, -1))


def _orthogonalise(h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Basis (..., D, k), centred samples (..., n, k) and mean (..., 1, k) by Householder QR.

    Centred samples are exact differences where samples nearly coincide, and QR keeps the relative accuracy of
    each column. A second centring removes the rounding of the first mean.
    """
    mean = h.double().mean(-2, keepdim=True)
    centred = h.double() - mean
    shift = centred.mean(-2, keepdim=True)
    basis, upper = torch.linalg.qr(torch.cat([centred - shift, mean + shift], -2).mT)
    return basis, upper.mT[..., :-1, :], upper.mT[..., -1:, :]


def _independent(samples: Tensor, energy: float) -> Hull:
    """Affine hull of samples that are the rows of a well-conditioned lower triangular matrix L (..., n, n).

    The whole hull is the hyperplane of all x with a'x = 1, L a = 1; a reflection that takes a to the first axis
    gives an orthonormal basis of it without a singular value decomposition.
    """
    mean = samples.mean(-2, keepdim=True)
    if energy < 1:
        return _hull(samples - mean, mean, energy)
    ones = samples.new_ones(*samples.shape[:-1], 1)
    normal = torch.linalg.solve_triangular(samples, ones, upper=False)
    normal = normal / normal.norm(dim=-2, keepdim=True)
    axis = torch.eye(samples.shape[-1], dtype=samples.dtype, device=samples.device)
    mirror = normal + torch.where(normal[..., :1, :] < 0, -axis[:, :1], axis[:, :1])
    directions = (axis - 2 * mirror @ mirror.mT / mirror.square().sum(-2, keepdim=True))[..., 1:]
    weights = torch.linalg.solve_triangular(samples.mT, directions, upper=True)
    return Hull(samples, mean, directions, ones.mT[..., 1:], weights, samples[..., :0], mean[..., :0])


def _hull(centred: Tensor, mean: Tensor, energy: float) -> Hull:
    """Orthonormal directions of the affine hull (Eq. 17) of samples given as (..., n, k) and (..., 1, k)."""
    samples = centred + mean
    left, spread, right = torch.linalg.svd(centred, full_matrices=False)
    spread = spread.unsqueeze(-2)
    # Differences below the rounding of the samples themselves are none.
    kept = spread > 16 * samples.shape[-2] * _EPS * samples.norm(dim=(-2, -1), keepdim=True)
    if energy < 1:
        kept = kept & _leading(spread.square(), energy)
    mask = kept.to(samples.dtype)
    weights = torch.where(kept, left / spread, 0.0)
    return Hull(samples, mean, right.mT * mask, mask, weights, left, spread)


def _leading(power: Tensor, energy: float) -> Tensor:
    """Mark the fewest of descending entries that hold `energy` of their sum, clusters kept whole."""
    before = power.cumsum(-1) - power
    needed = before < energy * (1 - 1e-12) * power.sum(-1, keepdim=True)
    breaks = power[..., 1:] < (1 - _TIE) * power[..., :-1]
    cluster = nn.functional.pad(breaks.long().cumsum(-1), (1, 0))
    return cluster <= torch.where(needed, cluster, 0).amax(-1, keepdim=True)


def per_pair(part: Tensor, batch: torch.Size) -> Tensor:
    """Repeat (..., a, b) over the pairs that it is part of, in one batch dimension."""
    return part.expand(*batch, *part.shape[-2:]).reshape(batch.numel(), *part.shape[-2:])


def affine_weights(hull: Hull, v: Tensor) -> Tensor:
    """Return weights w (B, n) of sum one for which H' w = mu + U v, given v (B, r, 1)."""
    w = (hull.weights @ v).squeeze(-1)
    return w - w.mean(-1, keepdim=True) + 1 / w.shape[-1]


def turning(hull: Hull, v: Tensor, slope: Tensor) -> Tensor:
    """Return Omega (B, n, n): a truncated basis that turns with the samples adds <Omega C, dC> to d value.

    Let the centred samples be C = sum_k s_k a_k b_k', of which the hull keeps some b_k, P the projector onto
    those, and g the slope of the objective at the point mu + U v, which is orthogonal to the kept b_k. With
    c_k = v_k / s_k, t_l = a_l' C g and first-order perturbation of P,

        g' dP U v = sum_k c_k a_k' dC g + sum_kl c_k t_l / (s_k^2 - s_l^2) (a_k' dC C' a_l + a_l' dC C' a_k)

    over kept k and dropped l. The first sum is what affine weights held fixed give, the second is Omega's.
    Clusters are kept whole (`_leading`), so no denominator vanishes.
    """
    along = torch.where(hull.kept.mT > 0, v / hull.spread.mT, 0.0)
    pull = (hull.left.mT @ ((hull.samples - hull.mean) @ slope)).mT
    power = hull.spread.square()
    mixed = (hull.kept.mT > 0) & (hull.kept == 0)
    inner = torch.where(mixed, along * pull / (power.mT - power), 0.0)
    return hull.left @ (inner + inner.mT) @ hull.left.mT


def _check_finite(name: str, h: Tensor) -> None:
    finite = torch.isfinite(h)
    if not bool(finite.all()):
        index = tuple(int(i) for i in (~finite).nonzero()[0])
        raise ValueError(f"{name} must be finite, got {h[index].item()} at index {index}")
    largest = float(h.abs().max()) if h.numel() else 0.0
    if largest > 1e100:
        raise ValueError(f"{name} must stay below 1e100 for its squares to fit, got {largest}: rescale it")
