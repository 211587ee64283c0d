"""Relevance vector regression: sparse Bayesian learning of a function's weights.

M. E. Tipping, "Sparse Bayesian learning and the relevance vector machine", Journal of Machine Learning Research 1,
2001; equation numbers are that paper's. Targets t (N,) are t = Phi w + noise of variance sigma^2, and each weight has a
prior N(0, 1 / alpha_i) of its own (Eqs. 4 and 5). Weights are integrated out; alpha and sigma^2 are those of largest
evidence, with flat priors on their logarithms. Most alpha_i then grow without limit, which removes their columns.

Ours: where the fixed point begins and ends, when a column is removed, the floor of the noise, and that Eq. 18 divides
by 1 at least.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Posterior",
    "RelevanceVectorRegression",
    "SparseFit",
    "gaussian_kernel",
    "maximise_evidence",
    "posterior",
    "squared_distances",
]

Array = NDArray[np.float64]

LIMIT = 1e6
"""A column is removed when its alpha times the variance of the targets is above this: its weight's prior standard
deviation is then a thousandth of the targets', and columns of kernels do not exceed 1."""

START = 0.01
"""The variance of the targets, as a share of that of functions of the first prior. The fixed point ends in a maximum
nearby: from a prior as narrow as the targets, columns of wide kernels, which need large weights, fade at once; from
much wider ones more columns are left than other data bear out."""

LEAST_NOISE = 1e-6
"""Share of the targets' variance below which the noise's variance is not taken: Eq. 18 has no solution for targets that
columns meet exactly."""

_ROWS = 2048


class Posterior(NamedTuple):
    """Distribution of the weights of M columns for given hyper-parameters.

    Attributes
    ----------
    mean : ndarray, (M,)
        Eq. 13.
    spread : ndarray, (M, M)
        R with the covariance R^T R, Eq. 12.
    determined : ndarray, (M,)
        gamma_i of Eq. 17, 0..1: how far the data determine each weight.
    residual : float
        Sum of squares of t - Phi mean.
    evidence : float
        Logarithm of the marginal likelihood, Eq. 15.
    """

    mean: Array
    spread: Array
    determined: Array
    residual: float
    evidence: float


class SparseFit(NamedTuple):
    """What is left of the columns after the evidence was maximised.

    Attributes
    ----------
    columns : ndarray, (M,) int64
        Which ones are left, ascending.
    alpha : ndarray, (M,)
        Precisions of their weights.
    noise : float
        sigma^2.
    posterior : Posterior
        Of their weights.
    evidences : ndarray, (iterations + 1,)
        Log evidence before each iteration and at the end.
    converged : bool
        Whether it ended before the last iteration allowed.
    """

    columns: NDArray[np.int64]
    alpha: Array
    noise: float
    posterior: Posterior
    evidences: Array
    converged: bool


def posterior(design: Array, targets: Array, alpha: Array, noise: float, gram: Array | None = None) -> Posterior:
    """Return the distribution of the weights for given precisions and noise.

    The matrix that is factorised is I + A^-1/2 Phi^T Phi A^-1/2 / sigma^2, whose eigenvalues are 1 at least, so that
    alpha may range over many orders of magnitude.

    Parameters
    ----------
    design : ndarray, (N, M)
        Phi.
    targets : ndarray, (N,)
    alpha : ndarray, (M,)
        Above 0.
    noise : float
        sigma^2, above 0.
    gram : ndarray, (M, M), optional
        Phi^T Phi, if it is known.
    """
    from scipy.linalg import cholesky, lapack  # here, as SciPy takes long to import

    scale = 1 / np.sqrt(alpha)
    inner = (design.T @ design if gram is None else gram) * (scale[:, None] * scale / noise)
    inner[np.diag_indices_from(inner)] += 1
    factor = cholesky(inner, lower=True, overwrite_a=True, check_finite=False)
    root, _ = lapack.dtrtri(factor, lower=1)
    spread = root * scale
    mean = spread.T @ (spread @ (design.T @ targets)) / noise
    residual = float(np.sum((targets - design @ mean) ** 2))
    # Woodbury's identity and the determinant lemma turn Eq. 15, of N x N matrices, into terms of M columns.
    evidence = -0.5 * (
        len(targets) * np.log(2 * np.pi * noise)
        + 2 * np.log(np.diag(factor)).sum()
        + residual / noise
        + alpha @ mean**2
    )
    determined = np.clip(1 - np.sum(root**2, axis=0), np.finfo(float).tiny, 1)
    return Posterior(mean, spread, determined, residual, float(evidence))


def maximise_evidence(design: Array, targets: Array, iterations: int = 500, tolerance: float = 1e-3) -> SparseFit:
    """Find the precisions and the noise of largest evidence by Tipping's fixed point, Eqs. 16 to 18.

    Columns are removed when their alpha passes `LIMIT`. It ends when no logarithm of an alpha or of the noise changes
    by more than the tolerance. The evidence usually rises with each iteration, but these updates do not promise it, as
    the slower ones of expectation maximisation do.

    Parameters
    ----------
    design : ndarray, (N, M)
        Phi.
    targets : ndarray, (N,)
    iterations : int
        Most.
    tolerance : float

    Raises
    ------
    ValueError
        If all targets are equal, or something is not finite.
    """
    if not (np.isfinite(design).all() and np.isfinite(targets).all()):
        raise ValueError("the columns or the targets are not all finite; impute missing values first")
    variance = float(np.var(targets))
    if variance == 0:
        raise ValueError(
            f"all {len(targets)} targets are {targets[0]:g}: there is no function to learn; add other ones"
        )
    gram = design.T @ design
    columns = np.arange(design.shape[1])
    alpha = np.full(len(columns), START * np.trace(gram) / (len(targets) * variance))
    noise = 0.1 * variance
    evidences: list[float] = []
    converged = False
    while True:
        part, own = design[:, columns], gram[np.ix_(columns, columns)]
        found = posterior(part, targets, alpha, noise, own)
        evidences.append(found.evidence)
        if converged or len(evidences) > iterations:
            return SparseFit(columns, alpha, noise, found, np.array(evidences), converged)
        updated = found.determined / np.maximum(found.mean**2, np.finfo(float).tiny)
        wanted = found.residual / max(len(targets) - found.determined.sum(), 1.0)
        wanted = max(wanted, LEAST_NOISE * variance)
        kept = updated * variance < LIMIT
        kept[np.argmin(updated)] = True  # at least one column, if all are irrelevant
        change = np.abs(np.log(np.append(updated[kept], wanted) / np.append(alpha[kept], noise)))
        converged = bool(kept.all() and change.max() < tolerance)
        columns, alpha, noise = columns[kept], updated[kept], wanted


def squared_distances(x: NDArray[Any], centres: NDArray[Any]) -> Array:
    """Return squared Euclidean distances of rows (n, d) from centres (M, d): shape (n, M)."""
    centres = np.asarray(centres, dtype=np.float64)
    found = np.empty((len(x), len(centres)))
    for start in range(0, len(x), _ROWS):  # features are many: they become float64 part by part
        rows = np.asarray(x[start : start + _ROWS], dtype=np.float64)
        found[start : start + _ROWS] = np.sum(rows**2, axis=1)[:, None] - 2 * (rows @ centres.T)
    return np.maximum(found + np.sum(centres**2, axis=1), 0)


def gaussian_kernel(x: NDArray[Any], centres: NDArray[Any], width: float) -> Array:
    """Return exp(-|x - c|^2 / width^2) of rows (n, d) and centres (M, d): shape (n, M)."""
    kernel: Array = np.exp(-squared_distances(x, centres) / width**2)
    return kernel


@dataclass
class RelevanceVectorRegression:
    """Regression on Gaussian kernels of one width and a constant, of which few are left.

    Parameters
    ----------
    width : float
        r of exp(-|x - c|^2 / r^2), above 0, in units of the features.
    iterations, tolerance
        As in `maximise_evidence`.

    Attributes
    ----------
    vectors_ : ndarray, (M, d)
        Relevance vectors: the centres whose columns are left.
    constant_ : bool
        Whether the constant column is left; its weight is the first then.
    posterior_ : Posterior
        Of the weights.
    noise_ : float
        sigma^2.
    converged_ : bool
        Whether the fixed point was reached; if not, what is left to do is mostly the removal of minor columns.
    """

    width: float
    iterations: int = 500
    tolerance: float = 1e-3

    def fit(
        self, x: NDArray[Any], targets: NDArray[Any], centres: NDArray[Any] | None = None
    ) -> RelevanceVectorRegression:
        """Fit features (N, d) to targets (N,).

        Parameters
        ----------
        x : ndarray, (N, d)
        targets : ndarray, (N,)
        centres : ndarray, (M, d), optional
            Candidates of relevance vectors; by default all N rows, as in the paper.

        Raises
        ------
        ValueError
            If the width is not above 0, and as `maximise_evidence` does.
        """
        if not self.width > 0:
            raise ValueError(f"the width of the kernel must be above 0, got {self.width}")
        candidates = np.asarray(x if centres is None else centres)
        design = np.ones((len(x), len(candidates) + 1))
        design[:, 1:] = gaussian_kernel(x, candidates, self.width)
        found = maximise_evidence(design, np.asarray(targets, dtype=np.float64), self.iterations, self.tolerance)
        self.constant_ = bool(found.columns[0] == 0)
        self.vectors_ = candidates[found.columns[int(self.constant_) :] - 1]
        self.posterior_, self.noise_, self.converged_ = found.posterior, found.noise, found.converged
        return self

    def predict(self, x: NDArray[Any]) -> Array:
        """Return the mean (n,) of the predictive distribution, Eq. 21."""
        return self._design(x) @ self.posterior_.mean

    def variance(self, x: NDArray[Any]) -> Array:
        """Return the variance (n,) of the predictive distribution, Eq. 22: of the noise and of the weights.

        Far from all relevance vectors only the noise and the constant are left of it, as is known of these models.
        """
        spread: Array = np.sum((self._design(x) @ self.posterior_.spread.T) ** 2, axis=1)
        return self.noise_ + spread

    def _design(self, x: NDArray[Any]) -> Array:
        kernel = gaussian_kernel(x, self.vectors_, self.width)
        return np.concatenate([np.ones((len(x), 1)), kernel], axis=1) if self.constant_ else kernel
