"""Eq. 21 as printed, for a general convex solver: slow and independent of `repro.siamese.affine_hull`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["OracleSolution", "solve"]

_Array = npt.NDArray[np.float64]
_TOLERANCES = {"tol_gap_abs": 1e-13, "tol_gap_rel": 1e-11, "tol_feas": 1e-11}


class OracleSolution(NamedTuple):
    """Solution of Eq. 21.

    Attributes
    ----------
    value, gap : float
        The optimum, and F of Eq. 18 at it, in squared units of the representations.
    alpha, beta : array, shape (n_i,) and (n_j,)
        Coefficients over the samples.
    point_i, point_j : array, shape (D,)
        mu + U v of the two halves.
    """

    value: float
    gap: float
    alpha: _Array
    beta: _Array
    point_i: _Array
    point_j: _Array


def solve(
    h_i: _Array,
    h_j: _Array,
    *,
    fidelity: float = 0.01,
    sparsity: float = 0.1,
    energy: float = 1.0,
    lambda_i: float | None = None,
    lambda_j: float | None = None,
) -> OracleSolution:
    """Solve Eq. 21 for one pair in the variables v_i, v_j, alpha, beta with cvxpy and Clarabel.

    Parameters
    ----------
    h_i, h_j : array, shape (n_i, D) and (n_j, D)
        One representation a row.
    fidelity, sparsity, energy, lambda_i, lambda_j : float
        As for `repro.siamese.affine_hull.dissimilarity`.

    Returns
    -------
    OracleSolution

    Raises
    ------
    RuntimeError
        Clarabel reports anything but an optimum.
    """
    import cvxpy as cp

    # Eq. 21 is homogeneous of degree two: in units of the largest entry, tolerances are relative.
    unit = max(float(np.abs(h_i).max()), float(np.abs(h_j).max())) or 1.0
    points: list[Any] = []
    misfits: list[Any] = []
    penalties: list[Any] = []
    coefficients: list[Any] = []
    for h, given in ((h_i / unit, lambda_i), (h_j / unit, lambda_j)):
        mean, basis = affine_hull(h, energy)
        coefficient = cp.Variable(len(h))
        point = mean + basis @ cp.Variable(basis.shape[1]) if basis.shape[1] else cp.Constant(mean)
        weight = sparsity * np.abs(2 * fidelity * h @ mean).max() if given is None else given / unit**2
        points.append(point)
        misfits.append(cp.sum_squares(point - h.T @ coefficient))
        penalties.append(weight * cp.norm1(coefficient))
        coefficients.append(coefficient)
    gap = cp.sum_squares(points[0] - points[1])
    problem = cp.Problem(cp.Minimize(gap + fidelity * sum(misfits) + sum(penalties)))
    problem.solve(solver=cp.CLARABEL, **_TOLERANCES)
    if problem.status != cp.OPTIMAL:
        raise RuntimeError(f"Clarabel found no optimum: {problem.status}")
    return OracleSolution(
        float(problem.value) * unit**2,
        float(gap.value) * unit**2,
        coefficients[0].value,
        coefficients[1].value,
        points[0].value * unit,
        points[1].value * unit,
    )


def affine_hull(h: _Array, energy: float = 1.0) -> tuple[_Array, _Array]:
    """Mean (D,) and orthonormal directions (D, r) of the affine hull of (n, D) samples (Eq. 17).

    The rank is that of the samples in double precision; `energy` below 1 keeps the fewest leading directions
    that hold that share of the squared singular values.
    """
    mean = h.mean(0)
    _, spread, rows = np.linalg.svd(h - mean, full_matrices=False)
    rank = int((spread > 16 * len(h) * np.finfo(np.float64).eps * np.linalg.norm(h)).sum())
    if energy < 1 and rank:
        share = np.cumsum(spread**2) / np.sum(spread**2)
        rank = min(rank, int(np.searchsorted(share, energy * (1 - 1e-12))) + 1)
    return mean, rows[:rank].T
