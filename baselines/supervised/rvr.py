"""Relevance vector regressions on the face's low frequencies and its local binary patterns, fused by their mean.

S. Kaltwang, O. Rudovic and M. Pantic, "Continuous pain intensity estimation from facial expressions", ISVC 2012. Theirs
are the features of the aligned face in a 9x9 grid, the DCT and uniform LBP; one relevance vector regression with a
Gaussian kernel on each; and the mean of their answers, frame by frame. They tried the shape of the face, too, which is
left out here.

Ours, as no public source settles it: 9 coefficients of each cell; the scaling of features; the choice of the kernel's
width; the limit to the candidates of relevance vectors, without which a corpus's thousands of frames cannot be fitted;
and from frames to clips, the highest answer or the mean (decision D17).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from baselines.features.dct import DCT
from baselines.features.lbp import LBP
from baselines.supervised.inner_folds import best_of, inner_folds
from baselines.supervised.moments import MomentRegressor
from baselines.supervised.relevance import RelevanceVectorRegression, squared_distances
from repro.data.features import ClipSet, Extractor

__all__ = ["RVR"]

_ROUNDING = 1e-6
"""Share of the largest feature up to which a deviation is that of float32's rounding: cells that are flat in all
training pictures have such coefficients, which those of other pictures exceed by ten orders of magnitude."""

ITERATIONS = 100
"""Most iterations of the fixed point while widths are compared; later ones remove columns that matter little."""


@dataclass
class RVR(MomentRegressor):
    """Two relevance vector regressions of moments, on `DCT` and on `LBP`, and the mean of both.

    Coefficients of the DCT are divided by their standard deviation. Of the histograms the square root is taken, so that
    distances are Hellinger's. A kernel's width is a multiple of the median distance between candidates, that of least
    squared error over inner folds of subjects. The evidence, which would need no folds, is not asked: moments of a clip
    are alike, which a model of independent noise takes for certainty. On simulated data it was largest for kernels so
    narrow that the faces of other people are answered by little more than the constant.

    Parameters
    ----------
    frames : int
        Frames of a clip that are looked at; of maps, all are.
    grid : int
        Cells along each side of the face.
    coefficients : int
        Of the DCT of each cell.
    widths : tuple of float
        Multiples of the median distance to choose from; the first without inner folds.
    candidates : int
        Most moments that may become relevance vectors, taken evenly from those of training in the order of their
        levels; all moments are fitted.
    """

    name: ClassVar[str] = "rvr"
    version: ClassVar[int] = 2

    frames: int = 5
    grid: int = 9
    coefficients: int = 9
    widths: tuple[float, ...] = (2.0, 1.0, 4.0)
    candidates: int = 500

    def __post_init__(self) -> None:
        """Check that there can be distances between candidates."""
        if self.candidates < 2:
            raise ValueError(f"candidates={self.candidates}: at least 2 moments must be able to be relevance vectors")

    def extractors(self) -> tuple[Extractor, ...]:
        """Return those of the low frequencies and of the patterns."""
        return DCT(self.frames, self.grid, self.coefficients), LBP(self.frames, self.grid)

    def _fit(self, clips: ClipSet, levels: NDArray[np.int64], groups: NDArray[Any]) -> None:
        """Fit both regressions to the levels of moments."""
        self.machines_: list[_Machine] = []
        for number, extractor in enumerate(self.extractors()):
            self.report(number / 2, f"relevance vector regression on {extractor.name}")
            moments = clips.features(extractor)
            targets = self._moment_levels(clips, moments, levels)
            histograms = isinstance(extractor, LBP)
            self.machines_.append(self._machine(moments.values, targets, groups[moments.clip], histograms))
        self.choice_ = tuple(machine.width for machine in self.machines_)

    def _machine(self, x: NDArray[Any], targets: NDArray[np.int64], people: NDArray[Any], histograms: bool) -> _Machine:
        """Choose the width for moments (M, d) of some people and fit a regression to all of them."""

        def predict(width: float, train: NDArray[np.intp], test: NDArray[np.intp]) -> NDArray[np.float64]:
            machine = _Machine(width, self.candidates, histograms, ITERATIONS).fit(x[train], targets[train])
            return machine.predict(x[test])

        width = best_of(self.widths, predict, targets, inner_folds(people, targets))
        return _Machine(width, self.candidates, histograms).fit(x, targets)

    def _intensity(self, clips: ClipSet) -> NDArray[np.float64]:
        """Return the mean of both answers, the highest or the mean of each clip's moments."""
        found = [clips.features(extractor) for extractor in self.extractors()]
        answers = [machine.predict(moments.values) for machine, moments in zip(self.machines_, found, strict=True)]
        return self._of_clips(found[0], np.mean(answers, axis=0))


@dataclass
class _Machine:
    """A regression of one kind of features: their scaling, the kernel's width and the candidates."""

    width: float
    candidates: int
    histograms: bool
    iterations: int = 500

    def fit(self, x: NDArray[np.float32], targets: NDArray[np.int64]) -> _Machine:
        """Fit rows (N, d) to targets (N,)."""
        self.scale_ = None if self.histograms else _one_over_deviation(x)
        prepared = self._prepared(x)
        order = np.argsort(targets, kind="stable")
        places = np.linspace(0, len(order) - 1, min(self.candidates, len(order)))
        centres = prepared[order[places.round().astype(np.int64)]]
        distances = np.sqrt(squared_distances(centres, centres)[np.triu_indices(len(centres), 1)])
        apart = float(np.median(distances)) or 1.0  # equal faces have any width
        self.regression_ = RelevanceVectorRegression(self.width * apart, self.iterations)
        self.regression_.fit(prepared, targets, centres)
        return self

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the answers (n,) for rows (n, d)."""
        return self.regression_.predict(self._prepared(x))

    def _prepared(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.sqrt(x) if self.scale_ is None else x * self.scale_


def _one_over_deviation(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return one over each column's standard deviation (d,); 0 for those that vary by no more than rounding."""
    deviation = np.std(x, axis=0, dtype=np.float64)
    varies = deviation > _ROUNDING * np.abs(x).max()
    return np.where(varies, 1 / np.where(varies, deviation, 1), 0).astype(np.float32)
