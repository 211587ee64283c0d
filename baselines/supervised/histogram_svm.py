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

from baselines.supervised.feature_svm import FeatureSVM
from baselines.supervised.ordinal import OrdinalSVM
from repro.data.features import ClipSet

__all__ = ["HistogramSVM"]


@dataclass
class HistogramSVM(FeatureSVM):
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
    """

    grid: int = 4
    variance: float = 0.95
    standardise: bool = False

    def _svm(self) -> OrdinalSVM:
        return OrdinalSVM(self.C, self.gamma, partial(_components, self.variance), self.standardise)

    def _features(self, clips: ClipSet) -> NDArray[Any]:
        return np.sqrt(super()._features(clips), dtype=np.float64)


def _components(variance: float) -> list[Any]:
    from sklearn.decomposition import PCA

    return [PCA(variance, svd_solver="full")]
