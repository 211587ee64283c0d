"""Eq. 21 in coordinates of the samples' spans: v is eliminated, a lasso is left, and its solution is written back."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from repro.siamese.coordinates import Hull, affine_weights, hulls, per_pair, turning
from repro.siamese.lasso import Lasso, minimise

__all__ = ["Settings", "Solution", "solve"]

_EPS = torch.finfo(torch.float64).eps
# Below this fidelity the overlap of two hulls leaves v undetermined in double precision: least norm decides.
_RIDGE = 1e-12
# A value below this share of the samples' sum of squares counts as zero where violations are made relative.
_NOTHING = 1e-8


class Settings(NamedTuple):
    """Parameters of `repro.siamese.affine_hull.dissimilarity`."""

    fidelity: float
    sparsity: float
    energy: float
    lambda_i: Tensor | float | None
    lambda_j: Tensor | float | None


class _Pair(NamedTuple):
    """Two halves stacked: F = x' metric x and G + Q = |x - samples' z|^2 at x = mean + directions v."""

    samples: Tensor  # (B, N, K), block diagonal, N = n_i + n_j
    mean: Tensor  # (B, K, 1)
    directions: Tensor  # (B, K, R), block diagonal
    metric: Tensor  # (B, K, K), [[I, -B_i' B_j], [-B_j' B_i, I]]
    fidelity: Tensor  # (B, K, 1), l1 of either half
    factor: Tensor  # (B, R, R), Cholesky factor of half the Hessian in v
    offset: Tensor  # (B, R, 1); v = offset + slope z minimises Eq. 21 for given z
    slope: Tensor  # (B, R, N)

    def slope_at(self, v: Tensor, z: Tensor) -> Tensor:
        """Gradient of the objective in x, (B, K, 1), for v (B, R, 1) and z (B, N, 1)."""
        x = self.mean + self.directions @ v
        return 2 * (self.metric @ x + self.fidelity * (x - self.samples.mT @ z))


def _block_diagonal(first: Tensor, second: Tensor) -> Tensor:
    rows, columns = first.shape[-2:]
    out = first.new_zeros(first.shape[0], rows + second.shape[-2], columns + second.shape[-1])
    out[:, :rows, :columns] = first
    out[:, rows:, columns:] = second
    return out


def _eliminate(hull_i: Hull, hull_j: Hull, cross: Tensor, fidelity_i: Tensor, fidelity_j: Tensor) -> _Pair:
    """Stack two hulls and solve for v in terms of z; l1 of either half is (B, 1, 1)."""
    samples = _block_diagonal(hull_i.samples, hull_j.samples)
    directions = _block_diagonal(hull_i.directions, hull_j.directions)
    mean = torch.cat([hull_i.mean, hull_j.mean], -1).mT
    k_i, k_j = cross.shape[-2:]
    metric = torch.eye(k_i + k_j, dtype=mean.dtype, device=mean.device).repeat(mean.shape[0], 1, 1)
    metric[:, :k_i, k_i:] = -cross
    metric[:, k_i:, :k_i] = -cross.mT
    fidelity = torch.cat([fidelity_i.expand(-1, k_i, 1), fidelity_j.expand(-1, k_j, 1)], -2)
    along = directions.mT @ (metric + torch.diag_embed(fidelity.squeeze(-1).clamp_min(_RIDGE)))
    dropped = 1 - torch.cat([hull_i.kept, hull_j.kept], -1).squeeze(-2)
    factor, _ = torch.linalg.cholesky_ex(along @ directions + torch.diag_embed(dropped))
    targets = torch.cat([-along @ mean, directions.mT @ (fidelity * samples.mT)], -1)
    solved = torch.cholesky_solve(targets, factor)
    return _Pair(samples, mean, directions, metric, fidelity, factor, solved[..., :1], solved[..., 1:])


def _lasso(pair: _Pair, weight: Tensor) -> Lasso:
    """Eq. 21 in z alone."""
    weighted = pair.samples * pair.fidelity.mT
    quadratic = 2 * weighted @ (pair.samples.mT - pair.directions @ pair.slope)
    linear = 2 * weighted @ (pair.mean + pair.directions @ pair.offset)
    rounding = 16 * _EPS * (1 + pair.fidelity.amax(-2)) * pair.samples.square().sum(-1)
    return Lasso((quadratic + quadratic.mT) / 2, linear.squeeze(-1), weight, rounding)


class Solution(NamedTuple):
    """What writes the optimum in terms of the samples; leading dimensions are those of the pairs."""

    combinations: list[Tensor]  # (..., 2, n) for each half: affine weights w, and alpha or beta
    weights: list[Tensor]  # (...), l2 and l3
    turns: list[Tensor]  # (..., n, n) for each half from `turning`; empty for whole hulls
    violation: Tensor  # (...), of the optimality conditions, in units of the objective
    least: Tensor  # (...), units of the objective: what `violation` is relative to at least


def solve(h_i: Tensor, h_j: Tensor, settings: Settings, batch: torch.Size) -> Solution:
    """Solve Eq. 21 for the pairs (`batch`) of h_i (..., n_i, D) and h_j (..., n_j, D).

    On a GPU the host waits for the device once, to choose how to factorise (`hulls`); and where singular values are
    needed, for ill-conditioned samples or an energy below 1, PyTorch waits for them.
    """
    *halves, cross = hulls(h_i, h_j, settings.energy)
    hull_i, hull_j = (Hull(*(per_pair(part, batch) for part in hull)) for hull in halves)
    weights = [_weight(halves[0], settings, settings.lambda_i), _weight(halves[1], settings, settings.lambda_j)]
    weight_i, weight_j = (weight.expand(batch).reshape(-1, 1) for weight in weights)
    # A half without penalty takes its affine weights for coefficients: no G, whatever the fidelity.
    fidelities = [settings.fidelity * (w > 0).to(w.dtype).unsqueeze(-1) for w in (weight_i, weight_j)]
    pair = _eliminate(hull_i, hull_j, per_pair(cross, batch), *fidelities)
    counts = [h_i.shape[-2], h_j.shape[-2]]
    weight = torch.cat([weight_i.expand(-1, counts[0]), weight_j.expand(-1, counts[1])], -1)
    problem = _lasso(pair, weight)
    z = minimise(problem)

    v, slope, stray = _settle(pair, z)
    split = zip(
        (hull_i, hull_j),
        v.split([hull_i.kept.shape[-1], hull_j.kept.shape[-1]], -2),
        slope.split([hull_i.mean.shape[-1], hull_j.mean.shape[-1]], -2),
        z.split(counts, -1),
        (weight_i, weight_j),
        strict=True,
    )
    combinations, turns = [], []
    for hull, v_half, slope_half, z_half, weight_half in split:
        w = affine_weights(hull, v_half)
        combination = torch.stack([w, torch.where(weight_half > 0, z_half, w)], -2)
        combinations.append(combination.reshape(*batch, *combination.shape[-2:]))
        if settings.energy < 1:
            turn = turning(hull, v_half, slope_half)
            turns.append(turn.reshape(*batch, *turn.shape[-2:]))
    violation = (problem.violation(z) + stray).reshape(batch)
    least = _NOTHING * pair.samples.square().sum((-2, -1)).reshape(batch)
    return Solution(combinations, [weight.expand(batch) for weight in weights], turns, violation, least)


def _weight(hull: Hull, settings: Settings, given: Tensor | float | None) -> Tensor:
    """l2 or l3, by the rule of Section 3.1 or as given."""
    rule = settings.sparsity * 2 * settings.fidelity * (hull.samples @ hull.mean.mT).abs().amax((-2, -1))
    if isinstance(given, Tensor):
        return given.detach().to(rule)
    return rule if given is None else rule.new_full((), given)


def _settle(pair: _Pair, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Optimal v for given z, (B, R, 1), the gradient in x, (B, K, 1), and a bound on what v misses, (B,)."""
    z = z.unsqueeze(-1)
    v = pair.offset + pair.slope @ z
    # One step of refinement removes the bias of the ridge.
    v = v - torch.cholesky_solve(pair.directions.mT @ pair.slope_at(v, z) / 2, pair.factor)
    slope = pair.slope_at(v, z)
    # Strong convexity of modulus 2 l1 bounds it, and so does convexity with an optimum no longer than v.
    square = (pair.directions.mT @ slope).square().sum((-2, -1))
    strong = square / (4 * pair.fidelity.amin((-2, -1))).clamp_min(_EPS**2)
    return v, slope, torch.minimum(strong, 2 * square.sqrt() * v.square().sum((-2, -1)).sqrt())
