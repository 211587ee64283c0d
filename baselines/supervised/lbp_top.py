"""Local binary patterns on three orthogonal planes, and a support vector machine (LBP).

R. Yang et al., "On pain assessment from facial videos using spatio-temporal local descriptors", IPTA 2016; what is from
there and what is ours is told in `baselines.supervised.histogram_svm`. The patterns are those of
`baselines.features.lbp_top`: uniform ones of eight neighbours at radii 1, 1 and 3, in 4 x 4 blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from baselines.features.lbp_top import LBPTop
from baselines.supervised.histogram_svm import HistogramSVM
from repro.data.features import Extractor

__all__ = ["LBPTopSVM"]


@dataclass
class LBPTopSVM(HistogramSVM):
    """`HistogramSVM` on `LBPTop`.

    Parameters
    ----------
    radius, time_radius : int
        See `LBPTop`.
    """

    name: ClassVar[str] = "lbp_top"
    version: ClassVar[int] = 2

    radius: int = 1
    time_radius: int = 3

    def extractors(self) -> tuple[Extractor, ...]:
        """Return the one extractor."""
        return (LBPTop(self.grid, self.radius, self.time_radius),)
