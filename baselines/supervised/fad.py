"""Facial activity descriptors and a random forest (FAD set).

P. Werner, A. Al-Hamadi, K. Limbrecht-Ecklundt, S. Walter, S. Gruss and H. C. Traue, "Automatic pain assessment with
facial activity descriptors", IEEE Trans. Affective Computing 8(3), 2017. From the paper: descriptors of the courses of
distances, wrinkles and head pose, standardised for each subject, and a random forest of 100 trees. Ours: what exactly
is measured (see the modules of `baselines.features`), and everything about the forest but its size, which is
scikit-learn's usual.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from baselines.features.face_activity import FaceActivity
from baselines.supervised.estimator import SupervisedEstimator
from repro.data.features import ClipSet, Extractor
from repro.learning.seeds import seed_from

__all__ = ["FAD", "standardised"]

_ROUNDING = 1e-7
"""Share of a feature's largest magnitude up to which its deviation is that of float32's rounding."""


@dataclass
class FAD(SupervisedEstimator):
    """A random forest on facial activity descriptors that are standardised for each subject.

    Missing descriptors take the training mean. The probability of a level is its share among the training clips of a
    leaf, averaged over trees.

    Parameters
    ----------
    trees : int
    per_subject : bool
        Whether the descriptors of each subject are standardised by the mean and deviation of all clips that are given
        of that person, in training as in prediction, as in the original. It uses no label, but it is transductive: the
        prediction for a clip depends on the other clips of its subject that are predicted with it, and a subject's
        only clip is described by zeros. Without it a clip's prediction depends on that clip alone.
    """

    name: ClassVar[str] = "fad"
    version: ClassVar[int] = 1

    trees: int = 100
    per_subject: bool = True

    def extractors(self) -> tuple[Extractor, ...]:
        """Return the one extractor."""
        return (FaceActivity(),)

    def _fit(self, clips: ClipSet, levels: NDArray[np.int64], groups: NDArray[Any]) -> None:
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline

        seed = int(np.random.default_rng(seed_from("fad", self.seed)).integers(2**31))
        forest = RandomForestClassifier(self.trees, random_state=seed, n_jobs=1)
        self.model_ = make_pipeline(SimpleImputer(keep_empty_features=True), forest)
        self.model_.fit(self._features(clips), levels)

    def _probabilities(self, clips: ClipSet) -> NDArray[np.float64]:
        """Return level probabilities, shape (n, highest training level + 1)."""
        probabilities = np.zeros((len(clips), self.n_levels_))
        probabilities[:, self.model_.classes_] = self.model_.predict_proba(self._features(clips))
        return probabilities

    def _features(self, clips: ClipSet) -> NDArray[np.float64]:
        values = clips.features(*self.extractors()).of_clips().astype(np.float64)
        return standardised(values, clips.subjects) if self.per_subject else values


def standardised(features: NDArray[np.float64], subjects: NDArray[Any]) -> NDArray[np.float64]:
    """Standardise features (n, d) by the mean and deviation (ddof 0) of each subject's rows.

    Missing values (NaN) do not count and stay. A feature that is the same in all rows of a subject becomes 0.
    """
    result = np.array(features)
    for subject in np.unique(subjects):
        rows = subjects == subject
        part = features[rows]
        known = np.isfinite(part)
        count = np.maximum(known.sum(axis=0), 1)
        deviation = part - np.where(known, part, 0).sum(axis=0) / count
        spread = np.sqrt(np.where(known, deviation**2, 0).sum(axis=0) / count)
        constant = spread <= _ROUNDING * np.abs(np.where(known, part, 0)).max(axis=0)
        result[rows] = np.where(constant, 0 * part, deviation / np.where(constant, 1.0, spread))
    return result
