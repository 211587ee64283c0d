"""Support vector machines for ordered levels: one for each threshold, with probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.supervised.inner_folds import best_of, inner_folds, out_of_fold
from baselines.supervised.platt import PlattCurve, fit_platt
from repro.learning.protocols import Split

__all__ = ["OrdinalSVM", "thresholds"]

FEWEST = 5
"""Training clips that each side of a threshold must have."""


class OrdinalSVM:
    """RBF support vector machines, one for each threshold between levels (Frank and Hall, ECML 2001).

    With two levels it is the plain SVM, as the systems that use it were published; more levels are ordered, which this
    scheme uses. The rarest of sixteen are too few for a machine each: thresholds with fewer than `FEWEST` clips on a
    side are left out. Classes are weighted inversely to their frequency. Margins become probabilities by Platt's curve
    (`fit_platt`), fitted to margins of clips whose subjects the machine had not seen. C and gamma are those with the
    best AUC at the most even threshold over inner folds of whole subjects. Missing features (NaN) take the training
    mean.

    Parameters
    ----------
    C : sequence of float
        Candidates of the penalty; the first of each is taken where there is nothing to compare.
    gamma : sequence of float
        Candidates of the kernel's width, in multiples of one over the total variance of the features that the machine
        sees: one over their number if they are standardised.
    before : callable, optional
        Makes further scikit-learn transformers before the machine, such as a PCA. They are fitted to training clips
        only, and know no levels.
    standardise : bool
        Whether features are brought to mean 0 and variance 1 first. Not for those whose distances mean something, such
        as square roots of histograms: the rarest bins would weigh as much as the fullest.
    """

    def __init__(
        self,
        C: Sequence[float] = (1.0, 10.0),
        gamma: Sequence[float] = (1.0, 0.1),
        before: Callable[[], list[Any]] | None = None,
        standardise: bool = True,
    ) -> None:
        self.C, self.gamma, self.before, self.standardise = tuple(C), tuple(gamma), before, standardise

    def fit(self, features: NDArray[Any], levels: NDArray[np.int64], groups: NDArray[Any]) -> OrdinalSVM:
        """Fit features (n, d) to levels (n,) of the subjects `groups`."""
        x = np.asarray(features, dtype=np.float64)
        self.counts_ = np.bincount(levels)
        self.thresholds_ = thresholds(levels)
        middle = min(self.thresholds_, key=lambda k: abs(np.mean(levels > k) - 0.5))
        unseen = _Unseen(x, self._preparation)
        self.choice_ = best_of(
            list(product(self.C, self.gamma)),
            lambda choice, train, test: unseen.margins(choice, levels > middle, train, test),
            levels > middle,
            inner_folds(groups, (levels > middle).astype(np.int64)),
            loss=_one_minus_auc,
        )
        self.preparation_ = self._preparation().fit(x)
        prepared = self.preparation_.transform(x)
        self.machines_, self.curves_ = [], []
        for k in self.thresholds_:
            above = levels > k
            machine = _machine(self.choice_, prepared, above)
            self.machines_.append(machine)
            folds = inner_folds(groups, above.astype(np.int64))
            self.curves_.append(_curve(unseen, self.choice_, above, folds, machine.decision_function(prepared)))
        return self

    def predict_proba(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """Return level probabilities, shape (n, highest training level + 1)."""
        prepared = self.preparation_.transform(np.asarray(features, dtype=np.float64))
        above = np.ones((len(prepared), len(self.thresholds_) + 2))
        above[:, -1] = 0
        for number, (machine, curve) in enumerate(zip(self.machines_, self.curves_, strict=True), 1):
            above[:, number] = curve(machine.decision_function(prepared))
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

    def _preparation(self) -> Any:
        """Make what is fitted to features alone."""
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        scaler = [StandardScaler()] if self.standardise else []
        return make_pipeline(
            SimpleImputer(keep_empty_features=True), *scaler, *(self.before() if self.before is not None else [])
        )


class _Unseen:
    """Margins of rows by machines that were fitted to others; each set of others is prepared for once."""

    def __init__(self, x: NDArray[np.float64], preparation: Callable[[], Any]) -> None:
        self._x, self._preparation = x, preparation
        self._prepared: dict[bytes, NDArray[np.float64]] = {}

    def margins(
        self, choice: tuple[float, float], above: NDArray[np.bool_], train: NDArray[np.intp], test: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Return the margins of the rows `test` by what the rows `train` alone have taught."""
        key = train.tobytes()
        if key not in self._prepared:
            self._prepared[key] = self._preparation().fit(self._x[train]).transform(self._x)
        x = self._prepared[key]
        margins: NDArray[np.float64] = _machine(choice, x[train], above[train]).decision_function(x[test])
        return margins


def _machine(choice: tuple[float, float], x: NDArray[np.float64], above: NDArray[np.bool_]) -> Any:
    from sklearn.svm import SVC

    C, gamma = choice
    return SVC(C=C, gamma=gamma / max(x.var(axis=0).sum(), 1e-12), class_weight="balanced").fit(x, above)


def _curve(
    unseen: _Unseen,
    choice: tuple[float, float],
    above: NDArray[np.bool_],
    folds: Sequence[Split],
    seen: NDArray[np.float64],
) -> PlattCurve:
    """Fit Platt's curve to margins of unseen subjects; to those of seen ones where there are no others."""
    rows, margins = np.arange(len(above)), seen
    if folds:
        found = out_of_fold(lambda choice, train, test: unseen.margins(choice, above, train, test), choice, folds)
        if len(np.unique(above[found[0]])) > 1:
            rows, margins = found
    return fit_platt(margins, above[rows])


def thresholds(levels: NDArray[np.int64]) -> list[int]:
    """Return the thresholds k, "level above k", with at least `FEWEST` clips on each side, else the most even one."""
    occurring = np.unique(levels)[:-1]
    kept = [int(k) for k in occurring if FEWEST <= (levels > k).sum() <= len(levels) - FEWEST]
    return kept or [int(min(occurring, key=lambda k: abs(np.mean(levels > k) - 0.5)))]


def _one_minus_auc(truth: NDArray[Any], margins: NDArray[np.float64]) -> float:
    from sklearn.metrics import roc_auc_score

    return 1 - float(roc_auc_score(truth, margins)) if len(np.unique(truth)) > 1 else 0.5
