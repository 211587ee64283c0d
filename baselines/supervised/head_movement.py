"""How the head moves, and a support vector machine (Head-movement).

S. Walter, S. Gruss, H. Ehleiter, J. Tan, H. C. Traue, P. Werner, A. Al-Hamadi, S. Crawcour, A. O. Andrade and G.
Moreira da Silva, "The BioVid heat pain database: data for the advancement and systematic validation of an automated
pain recognition system", IEEE CYBCONF 2013, is what the compared numbers are cited from. No description that could be
implemented was found. So all of this is our interpretation: the six coordinates of the head's pose, described by the
statistics that the same group published later (`baselines.features.time_series`), and an SVM with an RBF kernel.

The pose is fitted to landmarks that expressions move, too (`baselines.features.head_pose`). On the simulated
UNBC-McMaster data, whose landmarks are exact, much of what this system knows is expression, not movement of the head:
with the same movement and a neutral face it is clearly worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from baselines.features.face_activity import HeadPose
from baselines.supervised.estimator import SupervisedEstimator
from baselines.supervised.ordinal import OrdinalSVM
from repro.data.features import ClipSet, Extractor

__all__ = ["HeadMovement"]


@dataclass
class HeadMovement(SupervisedEstimator):
    """An RBF-SVM on `HeadPose`; see `OrdinalSVM` for what becomes of missing values and of more than two levels.

    Parameters
    ----------
    C, gamma : tuple of float
        Candidates, see `OrdinalSVM`.
    """

    name: ClassVar[str] = "head_movement"
    version: ClassVar[int] = 1

    C: tuple[float, ...] = (1.0, 10.0)
    gamma: tuple[float, ...] = (1.0, 0.1)

    def extractors(self) -> tuple[Extractor, ...]:
        """Return the one extractor."""
        return (HeadPose(),)

    def _fit(self, clips: ClipSet, levels: NDArray[np.int64], groups: NDArray[Any]) -> None:
        self.model_ = OrdinalSVM(self.C, self.gamma).fit(self._features(clips), levels, groups)

    def predict_proba(self, clips: ClipSet) -> NDArray[np.float64]:
        """Return level probabilities, shape (n, highest training level + 1)."""
        return self.model_.predict_proba(self._features(clips))

    def _features(self, clips: ClipSet) -> NDArray[Any]:
        return clips.features(*self.extractors()).of_clips()
