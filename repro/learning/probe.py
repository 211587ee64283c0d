"""The linear probe: what a frozen network's features tell of pain, by logistic regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from repro.learning.augmentation import to_network
from repro.learning.protocols import grouped_k_fold

__all__ = ["PENALTIES", "LinearProbe", "features"]

Array = NDArray[np.float64]

PENALTIES: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Weights of the squared norm from which inner folds choose."""

_INNER_FOLDS = 3


@torch.no_grad()
def features(backbone: nn.Module, images: Tensor, *, batch_size: int = 256) -> Array:
    """Compute a frozen network's features, averaged over a clip's images and their mirror images.

    Parameters
    ----------
    backbone : nn.Module
        Maps (B, 3, H, W) to (B, D); it is put in evaluation mode.
    images : Tensor, shape (N, 3, H, W) or (N, V, 3, H, W), uint8

    Returns
    -------
    ndarray, shape (N, D)
    """
    device = next(backbone.parameters()).device
    backbone.eval()
    per_clip = images.shape[1] if images.ndim == 5 else 1
    rows = []
    for chunk in images.view(-1, *images.shape[-3:]).split(batch_size):
        inputs = to_network(chunk).to(device)
        rows.append(0.5 * (backbone(inputs) + backbone(inputs.flip(-1))))
    found: Array = torch.cat(rows).unflatten(0, (-1, per_clip)).mean(1).cpu().double().numpy()
    return found


@dataclass
class LinearProbe:
    """Multinomial logistic regression on standardised features, its penalty chosen by training subjects only.

    The loss is the mean negative log-likelihood plus half the penalty times the squared norm of the weights; the
    intercepts are free. Features are standardised by the training clips; those that do not vary are left out.

    Parameters
    ----------
    n_levels : int
        Levels that the dataset knows, whether they occur in the training clips or not.
    penalties : tuple of float
        The one with the least negative log-likelihood over inner folds, grouped by subject, is used; with training
        clips of one subject only, the largest.
    """

    n_levels: int
    penalties: tuple[float, ...] = PENALTIES

    def fit(self, inputs: Array, levels: NDArray[np.int64], groups: NDArray[np.str_]) -> LinearProbe:
        """Fit features (N, D) to levels (N,) of clips of the subjects `groups` (N,).

        Raises
        ------
        ValueError
            If only one level occurs, or one is out of range.
        """
        present = np.unique(levels)
        if len(present) < 2:
            raise ValueError(f"the training clips show only level {present.tolist()}; a probe needs two levels")
        if present[0] < 0 or present[-1] >= self.n_levels:
            raise ValueError(
                f"levels {present.tolist()} are not all in 0..{self.n_levels - 1}; check the labels' scale"
            )
        self.mean_, scale = inputs.mean(0), inputs.std(0)
        self.scale_ = np.where(scale > 1e-12 * max(1.0, float(scale.max())), scale, np.inf)
        standard = (inputs - self.mean_) / self.scale_
        self.penalty_ = self._choose(standard, levels, groups)
        self.weights_ = _solve(standard, levels, self.n_levels, self.penalty_)
        return self

    def predict_proba(self, inputs: Array) -> Array:
        """Return level probabilities, shape (n, n_levels)."""
        from scipy.special import softmax  # here, as SciPy takes long to import

        found: Array = softmax(_logits(self.weights_, (inputs - self.mean_) / self.scale_), axis=1)
        return found

    def _choose(self, standard: Array, levels: NDArray[np.int64], groups: NDArray[np.str_]) -> float:
        from scipy.special import log_softmax

        n_folds = min(_INNER_FOLDS, len(np.unique(groups)))
        if n_folds < 2 or len(self.penalties) == 1:
            return max(self.penalties)
        splits = list(grouped_k_fold(groups, n_folds, 0, strata=levels > 0))
        losses = []
        for penalty in self.penalties:
            loss = 0.0
            for split in splits:
                weights = _solve(standard[split.train], levels[split.train], self.n_levels, penalty)
                truth = levels[split.test][:, None]
                loss -= np.take_along_axis(log_softmax(_logits(weights, standard[split.test]), 1), truth, 1).sum()
            losses.append(loss)
        return self.penalties[int(np.argmin(losses))]


def _logits(weights: Array, standard: Array) -> Array:
    """Return logits (n, L) of weights (D + 1, L), whose last row holds the intercepts."""
    return standard @ weights[:-1] + weights[-1]


def _solve(standard: Array, levels: NDArray[np.int64], n_levels: int, penalty: float) -> Array:
    """Minimise the penalised loss.

    Intercepts of levels that do not occur would go to minus infinity; a trace of the penalty on them, which otherwise
    changes nothing visible, keeps them finite.
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    truth = np.eye(n_levels)[levels]
    shape = (standard.shape[1] + 1, n_levels)
    weight = np.full((shape[0], 1), penalty)
    weight[-1] = 1e-4

    def loss(flat: Array) -> tuple[float, Array]:
        weights = flat.reshape(shape)
        logs = log_softmax(_logits(weights, standard), axis=1)
        off = (np.exp(logs) - truth) / len(levels)
        gradient = np.vstack([standard.T @ off, off.sum(0)]) + weight * weights
        return float(-(truth * logs).sum() / len(levels) + 0.5 * (weight * weights**2).sum()), gradient.ravel()

    found = minimize(
        loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 500, "maxfun": 1000}
    )
    solution: Array = found.x.reshape(shape)
    return solution
