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
from torch.autograd.function import once_differentiable

from repro.siamese.coordinates import Hull, affine_weights, blocks, hulls, per_pair, turning
from repro.siamese.lasso import Lasso, minimise

__all__ = ["AffineHullDissimilarity", "Dissimilarity", "dissimilarity"]

_EPS = torch.finfo(torch.float64).eps
# Below this fidelity the overlap of two hulls leaves v undetermined in double precision.
_RIDGE = 1e-12


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
        Violation of the optimality conditions in units of the objective, relative to `value` (to a millionth
        of the objective at v = alpha = beta = 0 where `value` is smaller). Up to rounding it bounds the
        relative distance from the optimum, if an optimal (alpha, beta) has an l1 norm of at most one plus twice
        that of the solution.
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
    weight_i: Tensor | float | None
    weight_j: Tensor | float | None


# --------------------------------------------------------------------------------- steps 2 and 3: the optimum


class _Pair(NamedTuple):
    """Two halves stacked: F + l1 (G + Q) = x' metric x + l1 |x - samples' z|^2 at x = mean + directions v."""

    samples: Tensor  # (B, N, K), block diagonal, N = n_i + n_j
    mean: Tensor  # (B, K, 1)
    directions: Tensor  # (B, K, R), block diagonal
    metric: Tensor  # (B, K, K), [[I, -B_i' B_j], [-B_j' B_i, I]]
    offset: Tensor  # (B, R, 1); v = offset + slope z minimises Eq. 21 for given z
    slope: Tensor  # (B, R, N)


def _block_diagonal(first: Tensor, second: Tensor) -> Tensor:
    rows, columns = first.shape[-2:]
    out = first.new_zeros(first.shape[0], rows + second.shape[-2], columns + second.shape[-1])
    out[:, :rows, :columns] = first
    out[:, rows:, columns:] = second
    return out


def _eliminate(hull_i: Hull, hull_j: Hull, cross: Tensor, fidelity: float) -> _Pair:
    """Stack two hulls and solve for v in terms of z."""
    samples = _block_diagonal(hull_i.samples, hull_j.samples)
    directions = _block_diagonal(hull_i.directions, hull_j.directions)
    mean = torch.cat([hull_i.mean, hull_j.mean], -1).mT
    k = cross.shape[-2]
    identity = torch.eye(mean.shape[-2], dtype=mean.dtype, device=mean.device)
    metric = identity.repeat(mean.shape[0], 1, 1)
    metric[:, :k, k:] = -cross
    metric[:, k:, :k] = -cross.mT
    along = directions.mT @ (metric + max(fidelity, _RIDGE) * identity)
    dropped = 1 - torch.cat([hull_i.kept, hull_j.kept], -1).squeeze(-2)
    factor, _ = torch.linalg.cholesky_ex(along @ directions + torch.diag_embed(dropped))
    targets = torch.cat([-along @ mean, fidelity * (samples @ directions).mT], -1)
    solved = torch.cholesky_solve(targets, factor)
    return _Pair(samples, mean, directions, metric, solved[..., :1], solved[..., 1:])


def _lasso(pair: _Pair, weight: Tensor, fidelity: float) -> Lasso:
    """Eq. 21 in z alone."""
    gram = pair.samples @ pair.samples.mT
    shared = pair.samples @ pair.directions
    quadratic = 2 * fidelity * (gram - shared @ pair.slope)
    linear = 2 * fidelity * (pair.samples @ pair.mean + shared @ pair.offset).squeeze(-1)
    rounding = 16 * _EPS * (1 + fidelity) * gram.diagonal(dim1=-2, dim2=-1)
    return Lasso((quadratic + quadratic.mT) / 2, linear, weight, rounding)


class _Solution(NamedTuple):
    """What writes the optimum in terms of the samples; leading dimensions are those of the pairs."""

    combinations: list[Tensor]  # (..., 2, n) for each half: affine weights w, and alpha or beta
    weights: list[Tensor]  # (...), l2 and l3
    turns: list[Tensor]  # (..., n, n) for each half from `turning`; empty for whole hulls
    violation: Tensor  # (...), of the optimality conditions, in units of the objective
    reference: Tensor  # (...), the objective at v = alpha = beta = 0


def _solve(h_i: Tensor, h_j: Tensor, settings: _Settings, batch: torch.Size) -> _Solution:
    """Take steps 1 to 3."""
    fidelity = settings.fidelity
    *halves, cross = hulls(h_i, h_j, settings.energy)
    weights = []
    for hull, given in zip(halves, (settings.weight_i, settings.weight_j), strict=True):
        rule = settings.sparsity * 2 * fidelity * (hull.samples @ hull.mean.mT).abs().amax((-2, -1))
        weight = rule if given is None else torch.as_tensor(given, dtype=rule.dtype, device=rule.device)
        weights.append(weight.detach().expand(batch))
    hull_i, hull_j = (Hull(*(per_pair(part, batch) for part in hull)) for hull in halves)
    pair = _eliminate(hull_i, hull_j, per_pair(cross, batch), fidelity)
    counts = [h_i.shape[-2], h_j.shape[-2]]
    weight = torch.cat([w.reshape(-1, 1).expand(-1, n) for w, n in zip(weights, counts, strict=True)], -1)
    problem = _lasso(pair, weight, fidelity)
    z = minimise(problem)

    v = pair.offset + pair.slope @ z.unsqueeze(-1)
    x = pair.mean + pair.directions @ v
    slope = 2 * (pair.metric @ x + fidelity * (x - pair.samples.mT @ z.unsqueeze(-1)))
    # Eq. 21 is strongly convex in v with modulus 2 l1, which turns a slope into a distance from the optimum.
    stray = (pair.directions.mT @ slope).square().sum((-2, -1)) / (4 * max(fidelity, _RIDGE))
    reference = pair.mean.mT @ (pair.metric @ pair.mean + fidelity * pair.mean)
    combinations, turns = [], []
    split = zip(
        (hull_i, hull_j),
        v.split([hull_i.spread.shape[-1], hull_j.spread.shape[-1]], -2),
        slope.split([hull_i.mean.shape[-1], hull_j.mean.shape[-1]], -2),
        z.split(counts, -1),
        strict=True,
    )
    for hull, v_half, slope_half, z_half in split:
        along = torch.where(hull.kept.mT > 0, v_half / hull.spread.mT, 0.0)
        combination = torch.stack([affine_weights(hull, along), z_half], -2)
        combinations.append(combination.reshape(*batch, *combination.shape[-2:]))
        if settings.energy < 1:
            turn = turning(hull, along, slope_half)
            turns.append(turn.reshape(*batch, *turn.shape[-2:]))
    violation = problem.violation(z) + stray
    return _Solution(combinations, weights, turns, violation.reshape(batch), reference.reshape(batch))


# -------------------------------------------------------------------------------------------- differentiation


class _Optimum(torch.autograd.Function):
    """The optimum of Eq. 21 as a function of the samples."""

    @staticmethod
    def forward(
        ctx: Any, h_i: Tensor, h_j: Tensor, settings: _Settings, batch: torch.Size
    ) -> tuple[Tensor, ...]:
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
        unit = torch.maximum(value, 1e-6 * solution.reference)
        residual = torch.where(unit > 0, solution.violation / unit, solution.violation)
        right_i = torch.stack([2 * (fidelity * misfit_i + apart), -2 * fidelity * misfit_i], -2)
        right_j = torch.stack([2 * (fidelity * misfit_j - apart), -2 * fidelity * misfit_j], -2)
        ctx.save_for_backward(h_i, h_j, left_i, left_j, right_i, right_j, *solution.turns)
        outputs = tuple(out.to(h_i.dtype) for out in (value, gap, alpha, beta, point_i, point_j, residual))
        ctx.mark_non_differentiable(*outputs[1:])
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *unused: Tensor) -> tuple[Tensor | None, ...]:
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
    if turn is not None:
        turn = (grad * turn).sum_to_size(*lead, *turn.shape[-2:])
        turn = turn.reshape(*h.shape[:-2], *turn.shape[-2:])
    out = torch.empty(h.shape, dtype=h.dtype, device=h.device)
    for columns in blocks(h):
        block = torch.einsum(f"{names}mn,{names}md->{own}nd", grad * left, right[..., columns])
        block = block.reshape(*h.shape[:-1], -1)
        if turn is not None:
            x = h[..., columns].double()
            block = block + turn @ (x - x.mean(-2, keepdim=True))
        out[..., columns] = block
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
        `value` can be differentiated once in both arguments, everything else is detached. Where the optimum
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
    _check_weight("lambda_i", settings.weight_i, batch)
    _check_weight("lambda_j", settings.weight_j, batch)
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
        raise ValueError(f"{name} must be finite and >= 0, got {weight}")
    try:
        given.expand(batch)
    except RuntimeError as error:
        raise ValueError(f"{name} must broadcast to {tuple(batch)}, got {tuple(given.shape)}") from error
