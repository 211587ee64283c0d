"""Two halves of a batch, the solution of Eq. 21 for them, and the plane that shows most of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from repro.siamese.affine_hull import Dissimilarity, dissimilarity

__all__ = ["FIDELITY", "Pair", "Plane", "pair_of"]

FIDELITY, SPARSITY = 0.01, 0.1
"""lambda_1, and the factor of the rule for lambda_2 and lambda_3 (Section 3.1)."""


@dataclass(frozen=True, eq=False)
class Plane:
    """The plane of the two main directions of the samples of both halves.

    Parameters
    ----------
    origin : Tensor, (D,)
        Mean of the samples.
    axes : Tensor, (2, D)
        Orthonormal.
    share : float
        Of the samples' variance that lies in the plane, 0..1.
    """

    origin: Tensor
    axes: Tensor
    share: float

    @classmethod
    def of(cls, samples: Tensor) -> Plane:
        """Find the plane of samples (n, D); axes point where their largest entry is positive."""
        origin = samples.mean(0)
        _, values, directions = torch.linalg.svd(samples - origin, full_matrices=False)
        axes = directions[:2]
        signs = axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
        power = values.square()
        return cls(origin, axes * signs, float(power[:2].sum() / power.sum()))

    def project(self, points: Tensor) -> Tensor:
        """Project points (..., D) to coordinates (..., 2)."""
        return (points - self.origin) @ self.axes.mT


@dataclass(frozen=True, eq=False)
class Pair:
    """Two halves, their representations and the solution of Eq. 21.

    Parameters
    ----------
    title : str
    images : pair of Tensor, (n, 3, H, W) uint8
        As the network saw them.
    clips : pair of sequence of str
    samples : pair of Tensor, (n, D) float64
        Representations, one a row.
    solution : Dissimilarity
    weights : (float, float)
        lambda_2 and lambda_3.
    """

    title: str
    images: tuple[Tensor, Tensor]
    clips: tuple[Sequence[str], Sequence[str]]
    samples: tuple[Tensor, Tensor]
    solution: Dissimilarity
    weights: tuple[float, float]

    @property
    def points(self) -> tuple[Tensor, Tensor]:
        """The points mu + U v of the hulls, (D,)."""
        return self.solution.point_i, self.solution.point_j

    @property
    def coefficients(self) -> tuple[Tensor, Tensor]:
        """Alpha and beta, (n,)."""
        return self.solution.alpha, self.solution.beta

    @property
    def plane(self) -> Plane:
        """Where the pair is drawn."""
        return Plane.of(torch.cat(self.samples))

    @property
    def terms(self) -> dict[str, float]:
        """F, G and Q of Eqs. 18 to 20, both sparsity terms and the optimum d, whose parts they are."""
        misfits = [
            float((point - own @ samples).square().sum())
            for point, own, samples in zip(self.points, self.coefficients, self.samples, strict=True)
        ]
        sparse = [weight * float(own.abs().sum()) for weight, own in zip(self.weights, self.coefficients, strict=True)]
        return {
            "F": float(self.solution.gap),
            "G": misfits[0],
            "Q": misfits[1],
            "lambda_2 |alpha|": sparse[0],
            "lambda_3 |beta|": sparse[1],
            "d": float(self.solution.value),
        }


def pair_of(
    title: str,
    images: tuple[Tensor, Tensor],
    clips: tuple[Sequence[str], Sequence[str]],
    samples: tuple[Tensor, Tensor],
) -> Pair:
    """Solve Eq. 21 for two halves; see `Pair`."""
    first, second = (SPARSITY * float((2 * FIDELITY * h @ h.mean(0)).abs().max()) for h in samples)
    solution = dissimilarity(*samples, fidelity=FIDELITY, lambda_i=first, lambda_j=second)
    return Pair(title, images, clips, samples, solution, (first, second))
