"""How the head moves, and a support vector machine (Head-movement).

S. Walter, S. Gruss, H. Ehleiter, J. Tan, H. C. Traue, P. Werner, A. Al-Hamadi, S. Crawcour, A. O. Andrade and G.
Moreira da Silva, "The BioVid heat pain database: data for the advancement and systematic validation of an automated
pain recognition system", IEEE CYBCONF 2013, is what the compared numbers are cited from. No description that could be
implemented was found. So all of this is our interpretation: the six coordinates of the head's pose, described by the
statistics that the same group published later (`baselines.features.time_series`), and an SVM with an RBF kernel.

The pose is fitted to landmarks that expressions move, too (`baselines.features.head_pose`): part of what this system
knows is expression, the more so the more exact landmarks are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from baselines.features.face_activity import HeadPose
from baselines.supervised.feature_svm import FeatureSVM
from repro.data.features import Extractor

__all__ = ["HeadMovement"]


@dataclass
class HeadMovement(FeatureSVM):
    """`FeatureSVM` on `HeadPose`."""

    name: ClassVar[str] = "head_movement"
    version: ClassVar[int] = 2

    def extractors(self) -> tuple[Extractor, ...]:
        """Return the one extractor."""
        return (HeadPose(),)
