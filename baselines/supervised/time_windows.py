"""Statistics of a face's activity in windows of time, and a support vector machine (Time-windows).

S. Walter, S. Gruss, H. Ehleiter, J. Tan, H. C. Traue, P. Werner, A. Al-Hamadi, S. Crawcour, A. O. Andrade and G.
Moreira da Silva, "The BioVid heat pain database: data for the advancement and systematic validation of an automated
pain recognition system", IEEE CYBCONF 2013, is what the compared numbers are cited from. No description that could be
implemented was found. So all of this is our interpretation: distances between landmarks and the head's pose, described
by seven statistics of three signals in overlapping windows, and an SVM with an RBF kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from baselines.features.face_activity import WindowStatistics
from baselines.supervised.estimator import SupervisedEstimator
from baselines.supervised.ordinal import OrdinalSVM
from repro.data.features import ClipSet, Extractor

__all__ = ["TimeWindows"]


@dataclass
class TimeWindows(SupervisedEstimator):
    """An RBF-SVM on `WindowStatistics`; see `OrdinalSVM` for what becomes of missing values and of several levels.

    Parameters
    ----------
    windows : int
        Overlapping windows that a clip is divided into.
    C, gamma : tuple of float
        Candidates, see `OrdinalSVM`.
    """

    name: ClassVar[str] = "time_windows"
    version: ClassVar[int] = 1

    windows: int = 5
    C: tuple[float, ...] = (1.0, 10.0)
    gamma: tuple[float, ...] = (1.0, 0.1)

    def extractors(self) -> tuple[Extractor, ...]:
        """Return the one extractor."""
        return (WindowStatistics(self.windows),)

    def _fit(self, clips: ClipSet, levels: NDArray[np.int64], groups: NDArray[Any]) -> None:
        self.model_ = OrdinalSVM(self.C, self.gamma).fit(self._features(clips), levels, groups)

    def predict_proba(self, clips: ClipSet) -> NDArray[np.float64]:
        """Return level probabilities, shape (n, highest training level + 1)."""
        return self.model_.predict_proba(self._features(clips))

    def _features(self, clips: ClipSet) -> NDArray[Any]:
        return clips.features(*self.extractors()).of_clips()
