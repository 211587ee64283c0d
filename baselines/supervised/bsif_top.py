"""Binarised statistical image features on three orthogonal planes, and a support vector machine (BSIF).

R. Yang et al., "On pain assessment from facial videos using spatio-temporal local descriptors", IPTA 2016; what is from
there and what is ours is told in `baselines.supervised.histogram_svm`. The features are those of
`baselines.features.bsif`: eight filters of 7 x 7, in 4 x 4 blocks. The filters are ours, too: the published ones were
learned from images that are not part of this suite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from baselines.features.bsif import BSIFTop
from baselines.supervised.histogram_svm import HistogramSVM
from repro.data.features import Extractor

__all__ = ["BSIFTopSVM"]


@dataclass
class BSIFTopSVM(HistogramSVM):
    """`HistogramSVM` on `BSIFTop`."""

    name: ClassVar[str] = "bsif_top"
    version: ClassVar[int] = 2

    def extractors(self) -> tuple[Extractor, ...]:
        """Return the one extractor."""
        return (BSIFTop(self.grid),)
