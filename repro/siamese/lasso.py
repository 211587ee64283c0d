"""Batched lassos in quadratic form, solved exactly: an active set, found by coordinate descent or an interior point."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["ITERATIONS", "Lasso", "minimise"]

# Stops of the interior point, in mean primal * slack and units of the largest weight: where the active set is
# mostly known, and rounding.
_STOPS = (1e-8, 1e-14)
ITERATIONS = 30
"""Of the interior point at most. The hardest of thousands of random and of ill-posed problems takes 16."""
# Sweeps of coordinate descent after which a problem is left to the interior point.
_SWEEPS = 200
# A solution this close to optimal, in units of |q|'|z|, is as good as double precision gets.
_EXACT = 1e-13
# Weights count as this share of the largest one at least where progress on all coefficients is averaged.
_LEAST_WEIGHT = 1e-9


class Lasso(NamedTuple):
    """A batch of problems min_z 1/2 z'Pz - q'z + sum_k weight_k |z_k| with P positive semidefinite.

    Attributes
    ----------
    quadratic : Tensor, shape (B, N, N)
        P, symmetric.
    linear : Tensor, shape (B, N)
        q.
    weight : Tensor, shape (B, N)
        Penalties, >= 0.
    rounding : Tensor, shape (B, N)
        Size of the rounding errors on the diagonal of P, >= 0: what regularises a singular P.
    """

    quadratic: Tensor
    linear: Tensor
    weight: Tensor
    rounding: Tensor

    def slope(self, z: Tensor) -> Tensor:
        """Gradient Pz - q of the smooth part, (B, N)."""
        return (self.quadratic @ z.unsqueeze(-1)).squeeze(-1) - self.linear

    def violation(self, z: Tensor) -> Tensor:
        """Violation of the optimality conditions in units of the objective, (B,).

        It bounds the distance from the optimum where an optimal z has an l1 norm of at most 1 + 2 |z|_1.
        """
        slope = self.slope(z)
        loose = (slope * z + self.weight * z.abs()).abs().sum(-1)
        excess = (slope.abs() - self.weight).clamp_min(0).amax(-1)
        return loose + excess * (1 + 2 * z.abs().sum(-1))


def minimise(problem: Lasso, *, waits: bool | None = None) -> Tensor:
    """Return solutions of a batch of lassos.

    Parameters
    ----------
    problem : Lasso
        In float64.
    waits : bool, optional
        Whether to look at the numbers on the way: easy problems are then solved by coordinate descent and the
        interior point stops when all are solved. Else it runs a fixed number of iterations, solved problems
        standing still, and the host never waits for a device. By default only on a CPU.

    Returns
    -------
    Tensor, shape (B, N)
        The solution for the active set that was found, or the interior point itself where that has less
        `violation`. Always finite; whether it is optimal is for `violation` to say.
    """
    scaled = _scale(problem)
    if waits is None:
        waits = problem.linear.device.type == "cpu"
    if not waits:
        return _interior_point(scaled, waits=False)
    z, solved = _descend(scaled)
    if not bool(solved.all()):
        z[~solved] = _interior_point(Lasso(*(part[~solved] for part in scaled)), waits=True)
    return z


def _scale(problem: Lasso) -> Lasso:
    """Divide each problem by its largest number, which leaves its solution."""
    diagonal = problem.quadratic.diagonal(dim1=-2, dim2=-1)
    scale = torch.cat([diagonal, problem.linear.abs(), problem.weight], -1).amax(-1, keepdim=True)
    scale = torch.where(scale > 0, scale, 1.0)
    # An empty row of P needs a pivot of any size.
    rounding = torch.where(problem.rounding > 0, problem.rounding / scale, 1.0)
    return Lasso(problem.quadratic / scale.unsqueeze(-1), problem.linear / scale, problem.weight / scale, rounding)


def _descend(problem: Lasso) -> tuple[Tensor, Tensor]:
    """Solutions (B, N) by coordinate descent on a CPU, and which of them (B,) are exact."""
    from repro.siamese.kernels import descend  # here, as Numba takes long to import

    z = torch.empty_like(problem.linear)
    solved = torch.empty(len(z), dtype=torch.bool)
    parts = [part.detach().contiguous().numpy() for part in problem]
    descend(*parts, _SWEEPS, _EXACT, z.numpy(), solved.numpy())
    return z, solved


def _interior_point(problem: Lasso, *, waits: bool) -> Tensor:
    """Follow the central path to its end and solve for the active set found there."""
    iterate = _start(problem)
    for stop in _STOPS if waits else _STOPS[-1:]:
        iterate = _follow_path(problem, iterate, stop, waits=waits)
        found = _solve_active(problem, (iterate[:2] > iterate[2:]).to(iterate.dtype))
        if waits and bool((problem.violation(found) <= _EXACT * (problem.linear * found).abs().sum(-1)).all()):
            return found
    # Where a coefficient and its slack both vanish, the path's end does not tell them apart, but its neighbours do.
    pull = problem.quadratic.diagonal(dim1=-2, dim2=-1) * found - problem.slope(found)
    signs = torch.stack([pull > problem.weight, -pull > problem.weight]).to(pull.dtype)
    candidates = torch.stack([found, _solve_active(problem, signs), iterate[0] - iterate[1]])
    best = torch.stack([problem.violation(z) for z in candidates]).argmin(0, keepdim=True)
    return candidates.take_along_dim(best.unsqueeze(-1), 0).squeeze(0)


def _follow_path(problem: Lasso, iterate: Tensor, stop: float, *, waits: bool) -> Tensor:
    """Solve Pz - q + weight * s = 0 with s in [-1, 1] by Mehrotra's predictor-corrector method.

    The iterate (4, B, N) > 0 holds primal (2) and slack (2): z = primal[0] - primal[1] and s = 1 - slack[0] =
    slack[1] - 1, with primal * slack -> 0. As s is in units of the weights, a weight of zero needs no care.
    """
    largest = problem.weight.amax(-1, keepdim=True)
    share = torch.where(largest > 0, problem.weight / largest, 1.0).clamp_min(_LEAST_WEIGHT)
    infeasible = torch.ones_like(largest)
    for _ in range(ITERATIONS):
        primal, slack = iterate[:2], iterate[2:]
        gap = (primal * slack * share).mean((0, 2)).unsqueeze(-1)
        pending = torch.maximum(gap, infeasible) > stop
        if waits and not bool(pending.any()):
            break
        newton = _Newton(problem, primal, slack)
        predictor = newton.step(-primal)
        ahead = iterate + _length(iterate, predictor, torch.ones_like(gap)) * predictor
        reached = (ahead[:2] * ahead[2:] * share).mean((0, 2)).unsqueeze(-1)
        centre = (reached / gap) ** 3 * gap / share
        corrector = newton.step((centre - predictor[:2] * predictor[2:]) / slack - primal)
        # Steps go closer to the boundary as the gap closes, which makes the end of the path superlinear.
        length = _length(iterate, corrector, (1 - gap).clamp(0.995, 1 - 1e-6))
        length = torch.where(pending & length.isfinite(), length, 0.0)
        iterate = torch.where(length > 0, iterate + length * corrector, iterate)
        infeasible = (1 - length) * infeasible
    return iterate


def _regularised(matrix: Tensor, diagonal: Tensor) -> Tensor:
    """Cholesky factor of matrix + diag(diagonal), (B, N, N)."""
    total = matrix.clone()
    total.diagonal(dim1=-2, dim2=-1).add_(diagonal)
    factor, _ = torch.linalg.cholesky_ex(total)
    return factor


def _start(problem: Lasso) -> Tensor:
    """First iterate (4, B, N): the ridge solution, each part well inside the boundary."""
    factor = _regularised(problem.quadratic, problem.rounding + problem.weight / 2)
    z = torch.cholesky_solve(problem.linear.unsqueeze(-1), factor).squeeze(-1).nan_to_num(0.0, 0.0, 0.0)
    inside = (0.5 * (z.abs() + z.abs().mean(-1, keepdim=True))).clamp_min(1e-3)
    one = torch.ones_like(z)
    return torch.stack([z.clamp_min(0) + inside, (-z).clamp_min(0) + inside, one, one])


class _Newton:
    """The linear system of one interior-point iteration, reduced to z."""

    def __init__(self, problem: Lasso, primal: Tensor, slack: Tensor) -> None:
        self.ratio = primal / slack
        self.total = self.ratio.sum(0)
        self.damping = problem.weight / self.total
        self.residual = problem.slope(primal[0] - primal[1]) + problem.weight * (slack[1] - slack[0]) / 2
        self.factor = _regularised(problem.quadratic, self.damping + problem.rounding)

    def step(self, target: Tensor) -> Tensor:
        """Step (4, B, N) of primal and slack for which d primal + ratio * d slack = target."""
        difference = target[0] - target[1]
        right = self.damping * difference - self.residual
        d_z = torch.cholesky_solve(right.unsqueeze(-1), self.factor).squeeze(-1)
        d_s = (d_z - difference) / self.total
        d_slack = torch.stack([-d_s, d_s])
        return torch.cat([target - self.ratio * d_slack, d_slack])


def _length(iterate: Tensor, step: Tensor, fraction: Tensor) -> Tensor:
    """Largest step (B, 1), at most 1, that goes no further than `fraction` of the way to the boundary."""
    return fraction / torch.maximum((-step / iterate).amax((0, 2)).unsqueeze(-1), fraction)


def _solve_active(problem: Lasso, signs: Tensor) -> Tensor:
    """Solve for the coefficients of sign signs[0] - signs[1], those of sign zero being zero."""
    sign = signs[0] - signs[1]
    active = sign.abs()
    matrix = problem.quadratic * active.unsqueeze(-1) * active.unsqueeze(-2)
    factor = _regularised(matrix, problem.rounding + 1 - active)
    z = torch.zeros_like(sign)
    for _ in range(2):  # the second pass removes the bias of the regularisation
        right = -active * (problem.slope(z) + problem.weight * sign)
        z = z + active * torch.cholesky_solve(right.unsqueeze(-1), factor).squeeze(-1)
    return z.nan_to_num(0.0, 0.0, 0.0)
