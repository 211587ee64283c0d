"""Ordinal support vector regression: its optimisation problem, and two solvers that reach the same optimum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

__all__ = ["OrdinalProblem", "Solution", "Solver", "apex_pairs", "solve"]

Array = NDArray[np.float64]

Solver = Literal["lbfgs", "admm"]

_PENALTY = 0.5
"""Of the method of multipliers, in multiples of a row's mu. Best at 2 where most rows are above 0, lower where few."""

_RELAXATION = 1.6
"""Of the same; 1 is none. Boyd et al., Foundations and Trends in Machine Learning 3(1), 2011, section 3.4.3."""


@dataclass(frozen=True, eq=False)
class OrdinalProblem:
    """Find w with levels near ``w.x`` and, in each pair, the first moment above the second.

    Minimise ``ridge / 2 |w|^2 + sum_k mu_k ((A w + c)_k)_+^2`` over w (Zhao et al. 2016, restated) with these rows:

    * for each moment ``w.x - y - epsilon[0]`` and ``y - w.x - epsilon[0]``, mu = ``gamma[0]``;
    * for each pair ``epsilon[1] - w.(x_first - x_second)``, mu = ``gamma[1] / distance``.

    A is never formed: its products are made of ``X w`` and differences of its elements. An offset is a constant column
    of x, which is regularised like the others.

    Parameters
    ----------
    x : ndarray, (M, D) float64
    y : ndarray, (M,) float64
    pairs : ndarray, (P, 2) int64
        Rows of x, the one that shall be above first.
    distances : ndarray, (P,)
        Of each pair in time, above 0.
    ridge : float
        lambda, above 0.
    gamma, epsilon : (float, float)
        Weights and margins of regression and order; not negative, the first weight above 0.

    Raises
    ------
    ValueError
        If shapes do not agree or a number is out of its range.
    """

    x: Array
    y: Array
    pairs: NDArray[np.int64]
    distances: Array
    ridge: float = 1.0
    gamma: tuple[float, float] = (100.0, 1.0)
    epsilon: tuple[float, float] = (0.1, 1.0)

    def __post_init__(self) -> None:
        """Check what is not a problem of this kind."""
        if self.x.ndim != 2 or self.y.shape != self.x.shape[:1]:
            raise ValueError(f"x must be (M, D) and y (M,), got {self.x.shape} and {self.y.shape}")
        if self.pairs.shape != (len(self.distances), 2) or self.distances.ndim != 1:
            raise ValueError(f"pairs must be (P, 2), distances (P,), got {self.pairs.shape}, {self.distances.shape}")
        if not (np.isfinite(self.x).all() and np.isfinite(self.y).all()):
            raise ValueError("x and y must be finite; impute missing features first")
        if self.pairs.size and not (0 <= self.pairs.min() and self.pairs.max() < len(self.x)):
            raise ValueError(f"pairs name rows {self.pairs.min()} to {self.pairs.max()}; x has {len(self.x)}")
        if not (self.distances > 0).all():
            raise ValueError(f"distances must be above 0, got {self.distances.min()}")
        if not (self.ridge > 0 and self.gamma[0] > 0 and self.gamma[1] >= 0 and min(self.epsilon) >= 0):
            raise ValueError(
                "ridge and the first gamma must be above 0, the second and epsilon not below; got "
                f"{self.ridge}, {self.gamma}, {self.epsilon}"
            )

    @cached_property
    def weights(self) -> Array:
        """The mu of each row, (2 M + P,)."""
        return np.concatenate([np.full(2 * len(self.x), self.gamma[0]), self.gamma[1] / self.distances])

    def rows(self, w: Array) -> Array:
        """Return ``A w + c``, (2 M + P,); what is above 0 counts as loss."""
        scores = self.x @ w
        above = scores - self.y
        first, second = self.pairs.T
        order = self.epsilon[1] - (scores[first] - scores[second])
        return np.concatenate([above - self.epsilon[0], -above - self.epsilon[0], order])

    def adjoint(self, values: Array) -> Array:
        """Return ``A^T values``, (D,)."""
        m = len(self.x)
        first, second = self.pairs.T
        order = values[2 * m :]
        scores = values[:m] - values[m : 2 * m]
        scores = scores + np.bincount(second, order, m) - np.bincount(first, order, m)
        return scores @ self.x

    def curvature(self, both: bool) -> Array:
        """Return ``A^T diag(mu) A``, (D, D); of a moment's two rows, which are never both above 0, one or both."""
        first, second = self.pairs.T
        steps = (self.x[first] - self.x[second]) * np.sqrt(self.weights[2 * len(self.x) :, None])
        result: Array = (2.0 if both else 1.0) * self.gamma[0] * self.x.T @ self.x + steps.T @ steps
        return result

    def objective(self, w: Array) -> tuple[float, Array]:
        """Return the value to be minimised, and its gradient (D,)."""
        loss = np.maximum(self.rows(w), 0)
        weighted = self.weights * loss
        value = self.ridge / 2 * (w @ w) + weighted @ loss
        return float(value), self.ridge * w + 2 * self.adjoint(weighted)

    def gap(self, gradient: Array) -> float:
        """Return how far a value can lie above the optimum at most, from the gradient there.

        The objective minus ``ridge / 2 |w|^2`` is convex, so ``|gradient|^2 / (2 ridge)`` bounds it; this is the
        duality gap for the multipliers ``2 mu (A w + c)_+``.
        """
        return float(gradient @ gradient) / (2 * self.ridge)


class Solution(NamedTuple):
    """Where a solver ended.

    Attributes
    ----------
    w : ndarray, (D,)
    value : float
        Of the objective.
    gap : float
        Proven bound of the value's distance from the optimum, see `OrdinalProblem.gap`.
    iterations : int
    """

    w: Array
    value: float
    gap: float
    iterations: int


def solve(
    problem: OrdinalProblem, solver: Solver = "lbfgs", *, tolerance: float = 1e-6, max_iterations: int = 5000
) -> Solution:
    """Minimise an ordinal problem.

    Both solvers factorise one D x D matrix and then cost a few products with x an iteration. The objective is smooth
    and strictly convex, so there is one optimum. L-BFGS takes some ten iterations. So does the other where most rows
    are above 0, as with real levels; it takes thousands where levels are fitted perfectly and ridge is small.

    Parameters
    ----------
    problem : OrdinalProblem
    solver : {"lbfgs", "admm"}
        L-BFGS on the objective, in coordinates in which it is a sphere where all rows are above 0; or the alternating
        direction method of multipliers on rows ``z = A w + c``, as in the paper. There, one penalty holds for all rows;
        here it is a multiple of a row's mu, which makes the number of iterations independent of units.
    tolerance : float
        Proven gap at which to stop, as a share of the value.
    max_iterations : int

    Raises
    ------
    ValueError
        If there is no such solver.
    FloatingPointError
        If the gap is not reached.
    """
    if solver not in get_args(Solver):
        raise ValueError(f"solver {solver!r} is not one of {', '.join(map(repr, get_args(Solver)))}")
    solution = {"lbfgs": _lbfgs, "admm": _admm}[solver](problem, tolerance, max_iterations)
    if not solution.gap <= tolerance * solution.value:
        raise FloatingPointError(
            f"{solver} reached a gap of {solution.gap:.3g} at value {solution.value:.6g} in {solution.iterations} "
            f"iterations, not {tolerance:g} of it, with ridge {problem.ridge:g}, weights {problem.gamma} and "
            f"{len(problem.x)} moments of {problem.x.shape[1]} features; take a larger ridge, or less weight of order"
        )
    return solution


def _lbfgs(problem: OrdinalProblem, tolerance: float, max_iterations: int) -> Solution:
    from scipy.linalg import cholesky, solve_triangular
    from scipy.optimize import minimize

    dimensions = problem.x.shape[1]
    root = cholesky(problem.ridge * np.eye(dimensions) + 2 * problem.curvature(both=False))
    iterations = 0

    def back(v: Array) -> Array:
        result: Array = solve_triangular(root, v)
        return result

    def objective(v: Array) -> tuple[float, Array]:
        value, gradient = problem.objective(back(v))
        return value, solve_triangular(root, gradient, trans="T")

    def stop(intermediate_result: Any) -> None:
        nonlocal iterations
        iterations += 1
        value, gradient = problem.objective(back(intermediate_result.x))
        if problem.gap(gradient) <= tolerance * value:
            raise StopIteration

    # What scipy knows is of another scale than the gap; only the latter stops it.
    found = minimize(
        objective,
        np.zeros(dimensions),
        jac=True,
        method="L-BFGS-B",
        callback=stop,
        options={"maxiter": max_iterations, "maxfun": 4 * max_iterations, "ftol": 0.0, "gtol": 0.0, "maxcor": 20},
    )
    w = back(found.x)
    value, gradient = problem.objective(w)
    return Solution(w, value, problem.gap(gradient), iterations)


def _admm(problem: OrdinalProblem, tolerance: float, max_iterations: int) -> Solution:
    from scipy.linalg import cho_factor, cho_solve

    dimensions = problem.x.shape[1]
    factor = cho_factor(problem.ridge * np.eye(dimensions) + _PENALTY * problem.curvature(both=True))
    constant = problem.rows(np.zeros(dimensions))
    z, dual = constant.copy(), np.zeros(len(constant))  # the multipliers are _PENALTY mu dual
    w, value, gap = np.zeros(dimensions), np.inf, np.inf
    for iteration in range(1, max_iterations + 1):
        w = cho_solve(factor, problem.adjoint(_PENALTY * problem.weights * (z - dual - constant)))
        value, gradient = problem.objective(w)
        gap = problem.gap(gradient)
        if gap <= tolerance * value:
            return Solution(w, value, gap, iteration)
        shifted = _RELAXATION * problem.rows(w) + (1 - _RELAXATION) * z + dual
        z = np.where(shifted > 0, shifted * _PENALTY / (_PENALTY + 2), shifted)
        dual = shifted - z
    return Solution(w, value, gap, max_iterations)


def apex_pairs(
    levels: NDArray[Any], counts: Sequence[int] | NDArray[np.int64], reach: int
) -> tuple[NDArray[np.int64], Array]:
    """Return pairs of moments whose order in time says which shows more pain.

    An expression rises to its apex and falls after it: before it the later, after it the earlier of two moments shows
    more. The apex of a clip is the moment of the highest level; of several, the middle one, as in the authors' code. A
    clip of one level has none and gives no pair.

    Parameters
    ----------
    levels : ndarray, (M,)
        Of each moment, clip after clip in the order of time.
    counts : array_like of int, (n,)
        Moments of each clip.
    reach : int
        Moments that two of a pair may be apart.

    Returns
    -------
    pairs : ndarray, (P, 2) int64
        Numbers of moments, the one with more pain first.
    distances : ndarray, (P,) float64
        Moments that they are apart.
    """
    found: list[NDArray[np.int64]] = []
    start = 0
    for count in counts:
        own = levels[start : start + count]
        if count and own.min() < own.max():
            highest = np.flatnonzero(own == own.max())
            apex = highest[(len(highest) - 1) // 2]
            earlier, later = np.triu_indices(count, 1)
            near = later - earlier <= reach
            rising, falling = near & (later <= apex), near & (earlier >= apex)
            found.append(start + np.stack([later[rising], earlier[rising]], axis=1))
            found.append(start + np.stack([earlier[falling], later[falling]], axis=1))
        start += count
    pairs = np.concatenate([np.empty((0, 2), np.int64), *found])
    return pairs, np.abs(pairs[:, 0] - pairs[:, 1]).astype(np.float64)
