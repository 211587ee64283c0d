"""Statistics of a face's activity in windows of time, and a support vector machine (Time-windows).

S. Walter, S. Gruss, H. Ehleiter, J. Tan, H. C. Traue, P. Werner, A. Al-Hamadi, S. Crawcour, A. O. Andrade and G.
Moreira da Silva, "The BioVid heat pain database: data for the advancement and systematic validation of an automated
pain recognition system", IEEE CYBCONF 2013, is what the compared numbers are cited from. No description that could be
implemented was found. So all of this is our interpretation: distances between landmarks and the head's pose, described
by seven statistics of three signals in overlapping windows, and an SVM with an RBF kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from baselines.features.face_activity import WindowStatistics
from baselines.supervised.feature_svm import FeatureSVM
from repro.data.features import Extractor

__all__ = ["TimeWindows"]


@dataclass
class TimeWindows(FeatureSVM):
    """`FeatureSVM` on `WindowStatistics`.

    Parameters
    ----------
    windows : int
        Overlapping windows that a clip is divided into.
    """

    name: ClassVar[str] = "time_windows"
    version: ClassVar[int] = 2

    windows: int = 5

    def extractors(self) -> tuple[Extractor, ...]:
        """Return the one extractor."""
        return (WindowStatistics(self.windows),)
