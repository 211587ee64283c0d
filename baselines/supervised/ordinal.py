"""Support vector machines for ordered levels: one for each threshold, with probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.supervised.inner_folds import best_of, inner_folds, out_of_fold

__all__ = ["OrdinalSVM", "thresholds"]

FEWEST = 5
"""Training clips that each side of a threshold must have."""


class OrdinalSVM:
    """RBF support vector machines, one for each threshold between levels (Frank and Hall, ECML 2001).

    With two levels it is the plain SVM, as the systems that use it were published; more levels are ordered, which this
    scheme uses. The rarest of sixteen are too few for a machine each: thresholds with fewer than `FEWEST` clips on a
    side are left out. Classes are weighted inversely to their frequency. Margins become probabilities by Platt's
    logistic curve, fitted to margins of clips whose subjects the machine had not seen. C and gamma are those with the
    best AUC at the most even threshold over inner folds of whole subjects. Features are standardised first; missing
    ones (NaN) take the training mean.

    Parameters
    ----------
    C : sequence of float
        Candidates of the penalty; the first of each is taken where there is nothing to compare.
    gamma : sequence of float
        Candidates of the kernel's width, in multiples of one over the number of features.
    before : callable, optional
        Makes further scikit-learn transformers between standardising and the machine, such as a PCA; they are fitted to
        training clips only.
    """

    def __init__(
        self,
        C: Sequence[float] = (1.0, 10.0),
        gamma: Sequence[float] = (1.0, 0.1),
        before: Callable[[], list[Any]] | None = None,
    ) -> None:
        self.C, self.gamma, self.before = tuple(C), tuple(gamma), before

    def fit(self, features: NDArray[Any], levels: NDArray[np.int64], groups: NDArray[Any]) -> OrdinalSVM:
        """Fit features (n, d) to levels (n,) of the subjects `groups`."""
        x = np.asarray(features, dtype=np.float64)
        self.counts_ = np.bincount(levels)
        self.thresholds_ = thresholds(levels)
        middle = min(self.thresholds_, key=lambda k: abs(np.mean(levels > k) - 0.5))
        choices = [(C, gamma) for C, gamma in product(self.C, self.gamma)]
        self.choice_ = best_of(
            choices,
            lambda choice, train, test: self._machine(choice, x[train], levels[train] > middle).decision_function(
                x[test]
            ),
            levels > middle,
            inner_folds(groups, (levels > middle).astype(np.int64)),
            loss=_one_minus_auc,
        )
        self.machines_, self.curves_ = [], []
        for k in self.thresholds_:
            above = levels > k
            machine = self._machine(self.choice_, x, above)
            self.machines_.append(machine)
            self.curves_.append(self._curve(machine, x, above, groups))
        return self

    def predict_proba(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """Return level probabilities, shape (n, highest training level + 1)."""
        x = np.asarray(features, dtype=np.float64)
        above = np.ones((len(x), len(self.thresholds_) + 2))
        above[:, -1] = 0
        for number, (machine, curve) in enumerate(zip(self.machines_, self.curves_, strict=True), 1):
            above[:, number] = curve.predict_proba(machine.decision_function(x)[:, None])[:, 1]
        above = np.minimum.accumulate(above, axis=1)  # each machine was fitted for itself
        return -np.diff(above, axis=1) @ self._shares()

    def _shares(self) -> NDArray[np.float64]:
        """Divide the range between two thresholds among its levels, as often as each occurs: (ranges, L)."""
        edges = [0, *(k + 1 for k in self.thresholds_), len(self.counts_)]
        shares = np.zeros((len(edges) - 1, len(self.counts_)))
        for number, (start, stop) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
            own = self.counts_[start:stop]
            shares[number, start:stop] = own / own.sum()
        return shares

    def _machine(self, choice: tuple[float, float], x: NDArray[np.float64], above: NDArray[np.bool_]) -> Any:
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC

        C, gamma = choice
        steps = [SimpleImputer(keep_empty_features=True), StandardScaler(), *(self.before() if self.before else [])]
        prepare = make_pipeline(*steps)
        prepared = prepare.fit_transform(x)
        machine = SVC(C=C, gamma=gamma / prepared.shape[1], class_weight="balanced").fit(prepared, above)
        return make_pipeline(prepare, machine)

    def _curve(self, machine: Any, x: NDArray[np.float64], above: NDArray[np.bool_], groups: NDArray[Any]) -> Any:
        """Fit Platt's curve to margins of unseen subjects; to the training margins if there is only one subject."""
        from sklearn.linear_model import LogisticRegression

        folds = inner_folds(groups, above.astype(np.int64))
        rows, margins = np.arange(len(x)), np.empty(0)
        if folds:
            rows, margins = out_of_fold(
                lambda choice, train, test: self._machine(choice, x[train], above[train]).decision_function(x[test]),
                self.choice_,
                folds,
            )
        if len(np.unique(above[rows])) < 2 or not folds:
            rows, margins = np.arange(len(x)), machine.decision_function(x)
        return LogisticRegression(C=1.0).fit(margins[:, None], above[rows])


def thresholds(levels: NDArray[np.int64]) -> list[int]:
    """Return the thresholds k, "level above k", with at least `FEWEST` clips on each side, else the most even one."""
    occurring = np.unique(levels)[:-1]
    kept = [int(k) for k in occurring if FEWEST <= (levels > k).sum() <= len(levels) - FEWEST]
    return kept or [int(min(occurring, key=lambda k: abs(np.mean(levels > k) - 0.5)))]


def _one_minus_auc(truth: NDArray[Any], margins: NDArray[np.float64]) -> float:
    from sklearn.metrics import roc_auc_score

    return 1 - float(roc_auc_score(truth, margins)) if len(np.unique(truth)) > 1 else 0.5
