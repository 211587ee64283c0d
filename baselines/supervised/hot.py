"""Histograms of topographical features and support vector regression (HoT).

C. Florea, L. Florea and C. Vertan, "Learning pain from emotion: transferred HoT data representation for pain intensity
estimation", ECCV 2014 workshops, describe regions of a frame's face by histograms of gradient and Hessian, reduce them
by a projection, and regress PSPI by support vectors. Ours is a reconstruction, as no code is public: the histograms are
those of `baselines.features.topographic`; the projection is a PCA of the training frames, where the authors learned
theirs from the emotions of the Cohn-Kanade database, which is not part of this suite.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from baselines.features.topographic import Topographic
from baselines.supervised.inner_folds import best_of, inner_folds
from baselines.supervised.moments import MomentRegressor
from repro.data.features import ClipSet, Extractor
from repro.learning.seeds import seed_from

__all__ = ["Choice", "HoT"]


class Choice(NamedTuple):
    """Hyper-parameters of the regression: penalty, width of the kernel, and half the width of the tube."""

    C: float
    gamma: float
    epsilon: float


@dataclass
class HoT(MomentRegressor):
    """Epsilon-SVR with an RBF kernel on principal components of a frame's topographical histograms.

    It learns levels of moments: of frames, or of maps by the highest level of their frames. See `MomentRegressor` for
    what becomes of a clip's answers.

    Parameters
    ----------
    frames : int
        Frames of a clip that are looked at.
    scale : float
        Of the derivatives, in distances between the eyes; see `Topographic`.
    variance : float
        Share of the training moments' variance that the principal components keep.
    C, gamma, epsilon : tuple of float
        Candidates, of which inner folds of whole subjects choose those with the least squared error over moments. gamma
        is in multiples of one over the total variance of the components.
    most_moments : int
        Moments that are learned from at most: support vector regression takes time as the square of their number. Of
        more, so many are drawn, with the same chance for each.
    """

    name: ClassVar[str] = "hot"
    version: ClassVar[int] = 1

    frames: int = 5
    scale: float = 0.06
    variance: float = 0.95
    C: tuple[float, ...] = (1.0, 10.0)
    gamma: tuple[float, ...] = (1.0, 0.1)
    epsilon: tuple[float, ...] = (0.1, 0.5)
    most_moments: int = 4000

    def extractors(self) -> tuple[Extractor, ...]:
        """Return the one extractor."""
        return (Topographic(frames=self.frames, scale=self.scale),)

    def _fit(self, clips: ClipSet, levels: NDArray[np.int64], groups: NDArray[Any]) -> None:
        moments = clips.features(*self.extractors())
        y, people = self._moment_levels(clips, moments, levels), groups[moments.clip]
        x = moments.values.astype(np.float64)
        if len(x) > self.most_moments:
            random = np.random.default_rng(seed_from("hot", self.seed))
            drawn = np.sort(random.choice(len(x), self.most_moments, replace=False))
            x, y, people = x[drawn], y[drawn], people[drawn]
        self.choice_ = best_of(
            [Choice(*values) for values in product(self.C, self.gamma, self.epsilon)],
            lambda choice, train, test: self._machine(choice, x[train], y[train]).predict(x[test]),
            y,
            inner_folds(people, y),
        )
        self.machine_ = self._machine(self.choice_, x, y)

    def _machine(self, choice: Choice, x: NDArray[np.float64], y: NDArray[np.int64]) -> Any:
        from sklearn.decomposition import PCA
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVR

        prepare = make_pipeline(StandardScaler(), PCA(self.variance, svd_solver="full"))
        components = prepare.fit_transform(x)
        gamma = choice.gamma / max(components.var(axis=0).sum(), 1e-12)
        machine = SVR(C=choice.C, gamma=gamma, epsilon=choice.epsilon).fit(components, y)
        return make_pipeline(prepare, machine)

    def _intensity(self, clips: ClipSet) -> NDArray[np.float64]:
        moments = clips.features(*self.extractors())
        return self._of_clips(moments, self.machine_.predict(moments.values.astype(np.float64)))
