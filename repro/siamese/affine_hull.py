r"""Dissimilarity of two sets of representations through their affine hulls (Section 2.2, Eqs. 16-21).

The dissimilarity is the optimum of a convex program, Eq. 21, solved exactly and batched:

1. Each half is written in coordinates of its own span (`repro.siamese.coordinates`).
2. The hull coordinates v are eliminated in closed form (`repro.siamese.program`), which leaves a lasso in
   z = (alpha, beta).
3. The lasso is solved exactly, on its active set (`repro.siamese.lasso`).

The gradient is that of the optimum with the solution held fixed (envelope theorem), the points of the hulls
written as affine combinations of the samples. A truncated hull adds the turning of its basis with them.
"""

from __future__ import annotations

import math
import string
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from repro.siamese.coordinates import as_batch, blocks
from repro.siamese.program import Settings, solve

__all__ = ["AffineHullDissimilarity", "Dissimilarity", "dissimilarity"]


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


class _Optimum(torch.autograd.Function):
    """The optimum of Eq. 21 as a function of the samples."""

    @staticmethod
    def forward(ctx: Any, h_i: Tensor, h_j: Tensor, settings: Settings, batch: torch.Size) -> tuple[Tensor, ...]:
        solution = solve(h_i, h_j, settings, batch)
        left_i, left_j = solution.combinations
        meeting = _meet(h_i, h_j, left_i, left_j, settings.fidelity)
        gap, misfit_i, misfit_j = meeting.squares.unbind(-1)
        alpha, beta = left_i[..., 1, :], left_j[..., 1, :]
        value = gap + settings.fidelity * (misfit_i + misfit_j)
        value = value + solution.weights[0] * alpha.abs().sum(-1) + solution.weights[1] * beta.abs().sum(-1)
        unit = torch.maximum(value, solution.least)
        residual = torch.where(unit > 0, solution.violation / unit, solution.violation)
        right_i, right_j = meeting.right_i, meeting.right_j
        ctx.save_for_backward(h_i, h_j, left_i, left_j, right_i, right_j, *solution.turns)
        outputs = tuple(out.to(h_i.dtype) for out in (value, gap, alpha, beta, *meeting.points, residual))
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


class _Meeting(NamedTuple):
    """What Eq. 21 and its gradient need of the features at the solution."""

    squares: Tensor  # (..., 3), F, G and Q of Eqs. 18 to 20
    points: tuple[Tensor, ...]  # (..., D), of either hull
    right_i: Tensor  # (..., 2, D), gradient of F + fidelity (G + Q) in the point and in the sparse combination
    right_j: Tensor


def _meet(h_i: Tensor, h_j: Tensor, left_i: Tensor, left_j: Tensor, fidelity: float) -> _Meeting:
    """Combine samples (..., n, D) by weights (..., 2, n) in float64; right sides are rounded to the samples' type."""
    batch = left_i.shape[:-2]
    if h_i.device.type == "cpu" and h_i.shape[:-2] == h_j.shape[:-2]:
        from repro.siamese.kernels import in_threads, meet  # here, as Numba takes long to import

        squares = left_i.new_empty(*batch, 3)
        points, right_i, right_j = (h_i.new_empty(*batch, 2, h_i.shape[-1]) for _ in range(3))
        parts = [as_batch(part) for part in (left_i, left_j, h_i, h_j, squares.unsqueeze(-2), points, right_i, right_j)]
        in_threads(partial(meet, fidelity), torch.get_num_threads(), *parts)
        return _Meeting(squares, points.unbind(-2), right_i, right_j)
    point_i, sparse_i = _combine(left_i, h_i).unbind(-2)
    point_j, sparse_j = _combine(left_j, h_j).unbind(-2)
    apart, misfit_i, misfit_j = point_i - point_j, point_i - sparse_i, point_j - sparse_j
    squares = torch.stack([part.square().sum(-1) for part in (apart, misfit_i, misfit_j)], -1)
    right_i = torch.stack([2 * (fidelity * misfit_i + apart), -2 * fidelity * misfit_i], -2)
    right_j = torch.stack([2 * (fidelity * misfit_j - apart), -2 * fidelity * misfit_j], -2)
    return _Meeting(squares, (point_i, point_j), right_i.to(h_i.dtype), right_j.to(h_j.dtype))


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
    out = torch.einsum(f"{names}mn,{names}md->{own}nd", (grad * left).to(h.dtype), right).reshape(h.shape)
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
    settings = Settings(fidelity, sparsity, energy, lambda_i, lambda_j)
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


def _check(h_i: Tensor, h_j: Tensor, settings: Settings) -> torch.Size:
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
