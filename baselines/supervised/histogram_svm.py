"""A support vector machine on principal components of a clip's histograms, whatever they count.

R. Yang, S. Tong, M. Bordallo, E. Boutellaa, J. Peng, X. Feng and A. Hadid, "On pain assessment from facial videos using
spatio-temporal local descriptors", IPTA 2016, describe clips of faces by local patterns on three orthogonal planes,
block by block, and classify them by an SVM. No code is public: that histograms are square-rooted, that a PCA keeps 95 %
of their variance, and how C and gamma are chosen are our reconstruction.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.supervised.estimator import SupervisedEstimator
from baselines.supervised.ordinal import OrdinalSVM
from repro.data.features import ClipSet

__all__ = ["HistogramSVM"]


@dataclass
class HistogramSVM(SupervisedEstimator):
    """An RBF-SVM on principal components of the square roots of histograms that sum to 1 each.

    Distances between square roots are Hellinger's, which suit shares: a full bin does not drown the others, and what
    chance makes of a count varies as much in all bins. See `OrdinalSVM` for what becomes of more than two levels.

    Parameters
    ----------
    grid : int
        Blocks of the face along each side.
    variance : float
        Share of the training clips' variance that the principal components keep.
    standardise : bool
        Whether square roots are brought to mean 0 and variance 1 before the PCA. Distances then are Hellinger's no
        more: bins in which clips hardly differ weigh as much as others.
    C, gamma : tuple of float
        Candidates, see `OrdinalSVM`.
    """

    grid: int = 4
    variance: float = 0.95
    standardise: bool = False
    C: tuple[float, ...] = (1.0, 10.0)
    gamma: tuple[float, ...] = (1.0, 0.1)

    def _fit(self, clips: ClipSet, levels: NDArray[np.int64], groups: NDArray[Any]) -> None:
        before = partial(_components, self.variance)
        self.model_ = OrdinalSVM(self.C, self.gamma, before, self.standardise)
        self.model_.fit(self._roots(clips), levels, groups)

    def predict_proba(self, clips: ClipSet) -> NDArray[np.float64]:
        """Return level probabilities, shape (n, highest training level + 1)."""
        return self.model_.predict_proba(self._roots(clips))

    def _roots(self, clips: ClipSet) -> NDArray[np.float64]:
        roots: NDArray[np.float64] = np.sqrt(clips.features(*self.extractors()).of_clips(), dtype=np.float64)
        return roots


def _components(variance: float) -> list[Any]:
    from sklearn.decomposition import PCA

    return [PCA(variance, svd_solver="full")]
