"""Intensity from the order of frames: ordinal support vector regression of landmarks and texture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from baselines.features.lbp import LBP
from baselines.features.shape import Shape
from baselines.supervised.inner_folds import best_of, inner_folds
from baselines.supervised.levels import bounded
from baselines.supervised.moments import MomentRegressor
from baselines.supervised.ordinal_regression import OrdinalProblem, Solver, apex_pairs, solve
from repro.data.features import ClipSet, Extractor, Moments
from repro.learning.seeds import seed_from

__all__ = ["OSVR"]

Array = NDArray[np.float64]


@dataclass
class OSVR(MomentRegressor):
    """Ordinal support vector regression (R. Zhao, Q. Gan, S. Wang and Q. Ji, CVPR 2016).

    A linear function of a frame's features that lies near the frame's level and grows towards the apex of the
    expression: `baselines.supervised.ordinal_regression` states the problem and solves it. From the paper and its
    authors' code are both losses, squared hinges; their weights, which for order fall with the distance in time; the
    margins; the apex; the offset, which is regularised like the other coefficients; and geometric and appearance
    features. Reconstructed here:

    * features are those of `baselines.features`, standardised; each kind is reduced to its first principal components
      and brought to a total variance of 1, so that neither outweighs the other by its number of features. All of this
      is fitted to training moments; missing values take their mean;
    * some frames of a clip are looked at, and distances in time count these. They make fewer pairs than all frames do,
      so the weight of order is chosen among larger ones beside the paper's, and lambda likewise: by the squared error
      of clips over inner folds of whole subjects;
    * levels count from their training mean, so that the regularised offset shrinks to it, not to no pain;
    * clips of one level throughout have no apex and say nothing about order;
    * a clip's intensity is the highest of its moments', as its level is (decision D17).

    A moment of an SSD input is the map of two segments, with the highest level of its frames, and the features of the
    map (`Shape` says what they are of landmarks); two maps are ordered like two frames.

    Where frames have no levels of their own, as on BioVid, no apex is known. Then there are no pairs: what remains is a
    support vector regression with squared loss, in which each moment has the level of its clip, whose intensity is the
    mean over moments.

    Parameters
    ----------
    frames : int
        Frames of a clip that are looked at.
    appearance : bool
        Whether texture is looked at beside landmarks.
    grid : int
        Cells of the texture along each side.
    shape_components, appearance_components : int
        Principal components of each kind of feature.
    ridge : sequence of float
        Candidates of lambda; the first of each is taken where there is nothing to compare.
    gamma1 : float
        Weight of the regression rows.
    gamma2 : sequence of float
        Candidates of the weight of order between neighbours.
    epsilon : (float, float)
        Margins of regression and of order, in levels.
    reach : int
        Looked-at moments that two of a pair may be apart.
    solver : {"lbfgs", "admm"}
        Both reach one optimum; the paper has the latter.
    """

    name: ClassVar[str] = "osvr"
    version: ClassVar[int] = 1

    frames: int = 10
    appearance: bool = True
    grid: int = 9
    shape_components: int = 30
    appearance_components: int = 60
    ridge: Sequence[float] = (1.0, 1e2, 1e3, 1e4, 1e5)
    gamma1: float = 100.0
    gamma2: Sequence[float] = (1.0, 10.0, 100.0)
    epsilon: tuple[float, float] = (0.1, 1.0)
    reach: int = 20
    solver: Solver = "lbfgs"

    def extractors(self) -> tuple[Extractor, ...]:
        """Return the extractors of landmarks' and, if it is looked at, of texture's features."""
        return (Shape(self.frames), *([LBP(self.frames, self.grid)] if self.appearance else []))

    def _fit(self, clips: ClipSet, levels: NDArray[np.int64], groups: NDArray[Any]) -> None:
        kinds = self._kinds(clips)
        own = self._moment_levels(clips, kinds[0], levels)
        made: dict[bytes, tuple[_Part, Array]] = {}

        def predict(choice: tuple[float, float], train: NDArray[np.intp], test: NDArray[np.intp]) -> Array:
            tested = [kind.select(test) for kind in kinds]
            if train.tobytes() not in made:
                part = self._part(kinds, own, train)
                made[train.tobytes()] = part, part.scores(tested)
            part, scores = made[train.tobytes()]
            return bounded(self._of_clips(tested[0], part.mean + scores @ self._solve(part, choice)), levels.max())

        weights = self.gamma2 if self.takes_highest_ else self.gamma2[:1]
        choices = list(product(self.ridge, weights))
        self.choice_ = best_of(choices, predict, levels, inner_folds(groups, levels))
        part = self._part(kinds, own, np.arange(len(levels)))
        self.reductions_, self.mean_ = part.reductions, part.mean
        self.coefficients_ = self._solve(part, self.choice_)

    def _intensity(self, clips: ClipSet) -> Array:
        kinds = self._kinds(clips)
        scores = _scores(self.reductions_, kinds)
        return self._of_clips(kinds[0], self.mean_ + scores @ self.coefficients_)

    def _kinds(self, clips: ClipSet) -> list[Moments]:
        """Return each kind of feature, which must be of the same moments."""
        kinds = [clips.features(extractor) for extractor in self.extractors()]
        for extractor, kind in zip(self.extractors(), kinds, strict=True):
            if not np.array_equal(kind.counts, kinds[0].counts) or not np.array_equal(kind.spans, kinds[0].spans):
                raise ValueError(f"{self.name}: features {extractor.name} are of other moments than landmarks")
        return kinds

    def _part(self, kinds: list[Moments], own: NDArray[np.int64], train: NDArray[np.intp]) -> _Part:
        """Prepare what is learned from some of the clips."""
        selected = [kind.select(train) for kind in kinds]
        levels = Moments(own, kinds[0].counts, kinds[0].spans).select(train).values.astype(np.float64)
        sizes = (self.shape_components, self.appearance_components)
        seed = seed_from(self.name, self.seed) % 2**32
        reductions = [_Reduction(size, seed).fit(kind.values) for kind, size in zip(selected, sizes, strict=False)]
        counts = selected[0].counts if self.takes_highest_ else ()
        pairs, distances = apex_pairs(levels, counts, self.reach)
        return _Part(reductions, _scores(reductions, selected), levels, pairs, distances)

    def _solve(self, part: _Part, choice: tuple[float, float]) -> Array:
        ridge, gamma2 = choice
        problem = OrdinalProblem(
            part.x,
            part.levels - part.mean,
            part.pairs,
            part.distances,
            ridge=ridge,
            gamma=(self.gamma1, gamma2),
            epsilon=self.epsilon,
        )
        return solve(problem, self.solver).w


class _Part(NamedTuple):
    """Training moments: how their features are reduced, to what, their levels and pairs."""

    reductions: list[_Reduction]
    x: Array
    levels: Array
    pairs: NDArray[np.int64]
    distances: Array

    @property
    def mean(self) -> float:
        return float(self.levels.mean())

    def scores(self, kinds: list[Moments]) -> Array:
        return _scores(self.reductions, kinds)


class _Reduction:
    """Principal components of standardised features, with a total variance of 1 over what they were fitted to."""

    def __init__(self, components: int, seed: int) -> None:
        self.components, self.seed = components, seed

    def fit(self, values: NDArray[Any]) -> _Reduction:
        """Fit features (M, d); NaN where they are missing."""
        from sklearn.decomposition import PCA
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self.varies_ = np.fmax.reduce(values) > np.fmin.reduce(values)  # they pass over NaN
        if not self.varies_.any():
            return self
        varying = values[:, self.varies_]
        size = min(self.components, *varying.shape)
        # To select columns is to copy them; what follows works in place.
        self.steps_ = make_pipeline(
            SimpleImputer(copy=False),
            StandardScaler(copy=False),
            PCA(size, copy=False, svd_solver="randomized", random_state=self.seed),
        )
        self.scale_ = float(np.sqrt(self.steps_.fit_transform(varying).var(axis=0).sum())) or 1.0
        return self

    def scores(self, values: NDArray[Any]) -> Array:
        """Return the components of features, (M, components) float64; none if nothing varied in training."""
        if not self.varies_.any():
            return np.empty((len(values), 0))
        result: Array = self.steps_.transform(values[:, self.varies_]).astype(np.float64) / self.scale_
        return result


def _scores(reductions: list[_Reduction], kinds: list[Moments]) -> Array:
    """Return the components of all kinds of features and a constant, (M, D)."""
    scores = [reduction.scores(kind.values) for reduction, kind in zip(reductions, kinds, strict=True)]
    return np.hstack([*scores, np.ones((len(scores[0]), 1))])
