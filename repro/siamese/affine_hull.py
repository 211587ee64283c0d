r"""Dissimilarity of two sets of representations through their affine hulls (Section 2.2, Eqs. 16-21).

The dissimilarity is the optimum of a convex program, Eq. 21, solved exactly and batched:

1. Each half is written in coordinates of its own span (`repro.siamese.coordinates`).
2. The hull coordinates v are eliminated in closed form, which leaves a lasso in z = (alpha, beta).
3. The lasso is solved by an interior point and its active set (`repro.siamese.lasso`).

The gradient is that of the optimum with the solution held fixed (envelope theorem), the points of the hulls
written as affine combinations of the samples. A truncated hull adds the turning of its basis with them.
"""

from __future__ import annotations

import math
import string
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from repro.siamese.coordinates import Hull, affine_weights, blocks, hulls, per_pair, turning
from repro.siamese.lasso import Lasso, minimise

__all__ = ["AffineHullDissimilarity", "Dissimilarity", "dissimilarity"]

_EPS = torch.finfo(torch.float64).eps
# Below this fidelity the overlap of two hulls leaves v undetermined in double precision: least norm decides.
_RIDGE = 1e-12
# A value below this share of the samples' sum of squares counts as zero where violations are made relative.
_NOTHING = 1e-8


class Dissimilarity(NamedTuple):
    """Solution of Eq. 21; only `value` carries a gradient.

    Attributes
    ----------
    value : Tensor, shape (...,)
        The optimum of Eq. 21, >= 0, in squared units of the representations.
    gap : Tensor, shape (...,)
        F of Eq. 18, the squared distance between `point_i` and `point_j`.
    alpha, beta : Tensor, shape (..., n_i) and (..., n_j)
        Coefficients of the two points over the samples. They need not sum to one.
    point_i, point_j : Tensor, shape (..., D)
        mu + U v of the two halves.
    residual : Tensor, shape (...,)
        Violation of the optimality conditions in units of the objective, relative to `value` or, where that is
        smaller, to 1e-8 of the samples' sum of squares. Up to rounding it bounds the relative distance from the
        optimum, if an optimum has |v| <= |v found| and |(alpha, beta)|_1 <= 1 + 2 |(alpha, beta) found|_1.
    """

    value: Tensor
    gap: Tensor
    alpha: Tensor
    beta: Tensor
    point_i: Tensor
    point_j: Tensor
    residual: Tensor


class _Settings(NamedTuple):
    fidelity: float
    sparsity: float
    energy: float
    lambda_i: Tensor | float | None
    lambda_j: Tensor | float | None


# --------------------------------------------------------------------------------- steps 2 and 3: the optimum


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


class _Solution(NamedTuple):
    """What writes the optimum in terms of the samples; leading dimensions are those of the pairs."""

    combinations: list[Tensor]  # (..., 2, n) for each half: affine weights w, and alpha or beta
    weights: list[Tensor]  # (...), l2 and l3
    turns: list[Tensor]  # (..., n, n) for each half from `turning`; empty for whole hulls
    violation: Tensor  # (...), of the optimality conditions, in units of the objective
    least: Tensor  # (...), units of the objective: what `violation` is relative to at least


def _solve(h_i: Tensor, h_j: Tensor, settings: _Settings, batch: torch.Size) -> _Solution:
    """Take steps 1 to 3."""
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
        v.split([hull_i.spread.shape[-1], hull_j.spread.shape[-1]], -2),
        slope.split([hull_i.mean.shape[-1], hull_j.mean.shape[-1]], -2),
        z.split(counts, -1),
        (weight_i, weight_j),
        strict=True,
    )
    combinations, turns = [], []
    for hull, v_half, slope_half, z_half, weight_half in split:
        along = torch.where(hull.kept.mT > 0, v_half / hull.spread.mT, 0.0)
        w = affine_weights(hull, along)
        combination = torch.stack([w, torch.where(weight_half > 0, z_half, w)], -2)
        combinations.append(combination.reshape(*batch, *combination.shape[-2:]))
        if settings.energy < 1:
            turn = turning(hull, along, slope_half)
            turns.append(turn.reshape(*batch, *turn.shape[-2:]))
    violation = (problem.violation(z) + stray).reshape(batch)
    least = _NOTHING * pair.samples.square().sum((-2, -1)).reshape(batch)
    return _Solution(combinations, [weight.expand(batch) for weight in weights], turns, violation, least)


def _weight(hull: Hull, settings: _Settings, given: Tensor | float | None) -> Tensor:
    """l2 or l3, by the rule of Section 3.1 or as given."""
    rule = settings.sparsity * 2 * settings.fidelity * (hull.samples @ hull.mean.mT).abs().amax((-2, -1))
    return rule if given is None else torch.as_tensor(given, dtype=rule.dtype, device=rule.device).detach()


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


# -------------------------------------------------------------------------------------------- differentiation


class _Optimum(torch.autograd.Function):
    """The optimum of Eq. 21 as a function of the samples."""

    @staticmethod
    def forward(ctx: Any, h_i: Tensor, h_j: Tensor, settings: _Settings, batch: torch.Size) -> tuple[Tensor, ...]:
        solution = _solve(h_i, h_j, settings, batch)
        fidelity = settings.fidelity
        left_i, left_j = solution.combinations
        point_i, sparse_i = _combine(left_i, h_i).unbind(-2)
        point_j, sparse_j = _combine(left_j, h_j).unbind(-2)
        apart, misfit_i, misfit_j = point_i - point_j, point_i - sparse_i, point_j - sparse_j
        alpha, beta = left_i[..., 1, :], left_j[..., 1, :]
        gap = apart.square().sum(-1)
        value = gap + fidelity * (misfit_i.square().sum(-1) + misfit_j.square().sum(-1))
        value = value + solution.weights[0] * alpha.abs().sum(-1) + solution.weights[1] * beta.abs().sum(-1)
        unit = torch.maximum(value, solution.least)
        residual = torch.where(unit > 0, solution.violation / unit, solution.violation)
        right_i = torch.stack([2 * (fidelity * misfit_i + apart), -2 * fidelity * misfit_i], -2)
        right_j = torch.stack([2 * (fidelity * misfit_j - apart), -2 * fidelity * misfit_j], -2)
        ctx.save_for_backward(h_i, h_j, left_i, left_j, right_i, right_j, *solution.turns)
        outputs = tuple(out.to(h_i.dtype) for out in (value, gap, alpha, beta, point_i, point_j, residual))
        ctx.mark_non_differentiable(*outputs[1:])
        return outputs

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *unused: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError("dissimilarity can be differentiated once: do without create_graph=True")
        h_i, h_j, left_i, left_j, right_i, right_j, *turns = ctx.saved_tensors
        turn_i, turn_j = turns or (None, None)
        grad = grad.double()[..., None, None]
        needs_i, needs_j, *_ = ctx.needs_input_grad
        return (
            _chain(grad, h_i, left_i, right_i, turn_i) if needs_i else None,
            _chain(grad, h_j, left_j, right_j, turn_j) if needs_j else None,
            None,
            None,
        )


def _combine(weights: Tensor, h: Tensor) -> Tensor:
    """Weighted sums of samples in float64: (..., m, n) and (..., n, D) give (..., m, D)."""
    parts = []
    for columns in blocks(h):
        x = h[..., columns].double()
        # The large weights of near-duplicates meet their small differences, not their size.
        spread = torch.einsum("...mn,...nd->...md", weights, x - x[..., :1, :])
        parts.append(spread + weights.sum(-1, keepdim=True) * x[..., :1, :])
    return torch.cat(parts, -1)


def _chain(grad: Tensor, h: Tensor, left: Tensor, right: Tensor, turn: Tensor | None) -> Tensor:
    """Gradient for h (..., n, D): grad * (left' right + turn (h - mean)), summed over a half's pairs."""
    batch = right.shape[:-2]
    lead = (1,) * (len(batch) + 2 - h.ndim) + h.shape[:-2]
    names = string.ascii_uppercase[: len(batch)]
    own = "".join(name for name, size, pairs in zip(names, lead, batch, strict=True) if size == pairs)
    left, right = (grad * left).to(h.dtype), right.to(h.dtype)
    out = torch.einsum(f"{names}mn,{names}md->{own}nd", left, right).reshape(h.shape)
    if turn is not None:
        turn = (grad * turn).sum_to_size(*lead, *turn.shape[-2:]).reshape(*h.shape[:-1], h.shape[-2])
        for columns in blocks(h):
            x = h[..., columns].double()
            out[..., columns] += turn @ (x - x.mean(-2, keepdim=True))
    return out


# ----------------------------------------------------------------------------------------------------- public


def dissimilarity(
    h_i: Tensor,
    h_j: Tensor,
    *,
    fidelity: float = 0.01,
    sparsity: float = 0.1,
    energy: float = 1.0,
    lambda_i: Tensor | float | None = None,
    lambda_j: Tensor | float | None = None,
) -> Dissimilarity:
    r"""Dissimilarity of two sets of representations, the optimum of Eq. 21.

    .. math::
        \min_{v_i, v_j, \alpha, \beta} F + \lambda_1 (G + Q) + \lambda_2 |\alpha|_1 + \lambda_3 |\beta|_1

    with F the squared distance of the points mu_i + U_i v_i and mu_j + U_j v_j of the two affine hulls, G and
    Q the squared distances of either point from the combination of its samples by alpha or beta.

    Parameters
    ----------
    h_i, h_j : Tensor, shape (..., n_i, D) and (..., n_j, D)
        One representation a row, both float32 or both float64. Leading dimensions broadcast: the pairs of
        (8, 1, n, D) and (1, 8, n, D) share the work that belongs to one half. Solved in float64 throughout.
    fidelity : float
        lambda_1 of Eq. 21, >= 0; 0.01 in Section 3.1.
    sparsity : float
        lambda_2 = sparsity * max|2 fidelity H_i' mu_i|, lambda_3 likewise, >= 0; 0.1 in Section 3.1. Both are
        constants in the gradient (D11).
    energy : float
        Share of the squared singular values that the leading directions U of a hull hold, in (0, 1]; 1 is the
        whole hull of Eq. 16 (D10). Directions of equal singular values are kept or dropped together.
    lambda_i, lambda_j : float or Tensor, optional
        lambda_2 and lambda_3 themselves, >= 0, broadcastable to the leading dimensions. They replace the rule
        and receive no gradient.

    Returns
    -------
    Dissimilarity
        `value` can be differentiated once in both arguments, all else is detached. Where the optimum
        has no derivative (hulls that begin to meet, samples that coincide) the gradient is that of one of its
        solutions, and finite.

    Raises
    ------
    ValueError
        Shapes that do not fit, empty halves, another dtype, NaN or infinite entries, parameters out of range.

    Notes
    -----
    Near-duplicates span a direction of their own in a whole hull, however close they are, and the gradient
    grows as the inverse of their distance. An `energy` below 1 drops such directions.
    """
    settings = _Settings(fidelity, sparsity, energy, lambda_i, lambda_j)
    batch = _check(h_i, h_j, settings)
    return Dissimilarity(*_Optimum.apply(h_i, h_j, settings, batch))


class AffineHullDissimilarity(nn.Module):
    """`dissimilarity` with its settings held in a module.

    Parameters
    ----------
    fidelity, sparsity, energy : float
        As for `dissimilarity`.

    Raises
    ------
    ValueError
        A parameter out of range.
    """

    def __init__(self, *, fidelity: float = 0.01, sparsity: float = 0.1, energy: float = 1.0) -> None:
        super().__init__()
        _check_parameters(fidelity, sparsity, energy)
        self.fidelity, self.sparsity, self.energy = fidelity, sparsity, energy

    def forward(
        self,
        h_i: Tensor,
        h_j: Tensor,
        *,
        lambda_i: Tensor | float | None = None,
        lambda_j: Tensor | float | None = None,
    ) -> Dissimilarity:
        """Compare (..., n_i, D) with (..., n_j, D) representations; see `dissimilarity`."""
        settings = {"fidelity": self.fidelity, "sparsity": self.sparsity, "energy": self.energy}
        return dissimilarity(h_i, h_j, lambda_i=lambda_i, lambda_j=lambda_j, **settings)

    def extra_repr(self) -> str:
        """Return the settings, for printing."""
        return f"fidelity={self.fidelity}, sparsity={self.sparsity}, energy={self.energy}"


# ----------------------------------------------------------------------------------------------------- checks


def _check(h_i: Tensor, h_j: Tensor, settings: _Settings) -> torch.Size:
    """Check all but finiteness, which costs a pass over the samples, and return the pairs' dimensions."""
    _check_parameters(settings.fidelity, settings.sparsity, settings.energy)
    _check_samples("h_i", h_i)
    _check_samples("h_j", h_j)
    for what in ("dtype", "device"):
        first, second = getattr(h_i, what), getattr(h_j, what)
        if first != second:
            raise ValueError(f"h_i and h_j must have one {what}, got {first} and {second}")
    shapes = f"got {tuple(h_i.shape)} and {tuple(h_j.shape)}"
    if h_i.shape[-1] != h_j.shape[-1]:
        raise ValueError(f"h_i and h_j must have one feature dimension D, {shapes}")
    try:
        batch = torch.broadcast_shapes(h_i.shape[:-2], h_j.shape[:-2])
    except RuntimeError as error:
        raise ValueError(f"the leading dimensions of h_i and h_j must broadcast, {shapes}") from error
    _check_weight("lambda_i", settings.lambda_i, batch)
    _check_weight("lambda_j", settings.lambda_j, batch)
    return batch


def _check_parameters(fidelity: float, sparsity: float, energy: float) -> None:
    for name, value in (("fidelity", fidelity), ("sparsity", sparsity)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be finite and >= 0, got {value}")
    if not 0 < energy <= 1:
        raise ValueError(f"energy must lie in (0, 1], got {energy}")


def _check_samples(name: str, h: Tensor) -> None:
    if not isinstance(h, Tensor):
        raise ValueError(f"{name} must be a tensor of shape (..., n, D), got {type(h).__name__}")
    if h.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{name} must be float32 or float64, got {h.dtype}: convert it with .float()")
    if h.ndim < 2 or 0 in h.shape[-2:]:
        raise ValueError(f"{name} must have shape (..., n, D) with n >= 1, D >= 1, got {tuple(h.shape)}")


def _check_weight(name: str, weight: Tensor | float | None, batch: torch.Size) -> None:
    if weight is None:
        return
    given = torch.as_tensor(weight)
    if not bool((torch.isfinite(given) & (given >= 0)).all()):
        raise ValueError(f"{name} must be finite and >= 0, got {given.tolist()}")
    try:
        given.expand(batch)
    except RuntimeError as error:
        raise ValueError(f"{name} must broadcast to {tuple(batch)}, got {tuple(given.shape)}") from error
