"""A support vector machine on the features of one extractor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.supervised.estimator import SupervisedEstimator
from baselines.supervised.ordinal import OrdinalSVM
from repro.data.features import ClipSet

__all__ = ["FeatureSVM"]


@dataclass
class FeatureSVM(SupervisedEstimator):
    """An RBF-SVM on what the system's one extractor tells of whole clips.

    See `OrdinalSVM` for what becomes of missing values and of more than two levels.

    Parameters
    ----------
    C, gamma : tuple of float
        Candidates, see `OrdinalSVM`.
    """

    C: tuple[float, ...] = (1.0, 10.0)
    gamma: tuple[float, ...] = (1.0, 0.1)

    def _svm(self) -> OrdinalSVM:
        """Make the machine."""
        return OrdinalSVM(self.C, self.gamma)

    def _features(self, clips: ClipSet) -> NDArray[Any]:
        """Return what it sees of the clips, (n, d)."""
        return clips.features(*self.extractors()).of_clips()

    def _fit(self, clips: ClipSet, levels: NDArray[np.int64], groups: NDArray[Any]) -> None:
        self.model_ = self._svm().fit(self._features(clips), levels, groups)

    def _probabilities(self, clips: ClipSet) -> NDArray[np.float64]:
        return self.model_.predict_proba(self._features(clips))
