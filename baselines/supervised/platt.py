"""From an SVM's margins to probabilities: Platt's curve."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["PlattCurve", "fit_platt"]

FLATTEST = 1e-3
"""Least slope, for margins in units of their standard deviation."""


class PlattCurve(NamedTuple):
    """The logistic curve ``1 / (1 + exp(-(slope * margin + offset)))``; it rises."""

    slope: float
    offset: float

    def __call__(self, margins: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return the probability of the upper class for each margin."""
        from scipy.special import expit

        probabilities: NDArray[np.float64] = expit(self.slope * np.asarray(margins, np.float64) + self.offset)
        return probabilities


def fit_platt(margins: NDArray[np.floating[Any]], above: NDArray[np.bool_]) -> PlattCurve:
    """Fit the curve by maximum likelihood (J. C. Platt, in Advances in Large Margin Classifiers, 1999).

    The targets are Platt's, not 0 and 1 but ``1 / (n_below + 2)`` and ``(n_above + 1) / (n_above + 2)``, which keeps
    the curve finite where margins part the classes. Ours: the slope is at least `FLATTEST`. Where margins of unseen
    people happen to fall, probabilities then stay near the base rate, in the order of the margins; Platt's curve would
    turn that order round.

    Parameters
    ----------
    margins : ndarray, (n,)
        Of clips whose subjects the machine has not seen, as far as there are any.
    above : ndarray, (n,) bool
        Which of them belong to the upper class; some do and some do not.

    Returns
    -------
    PlattCurve
    """
    from scipy.optimize import minimize

    count = int(above.sum())
    targets = np.where(above, (count + 1) / (count + 2), 1 / (len(above) - count + 2))
    unit = float(np.std(margins)) or 1.0
    scaled = np.asarray(margins, np.float64) / unit

    def loss(curve: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = curve[0] * scaled + curve[1]
        wrong = 1 / (1 + np.exp(-np.clip(logits, -500, 500))) - targets
        return float(np.sum(np.logaddexp(0, logits) - targets * logits)), np.array([wrong @ scaled, wrong.sum()])

    start = np.array([1.0, np.log(targets.mean() / (1 - targets.mean()))])
    slope, offset = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=[(FLATTEST, None), (None, None)], options={"gtol": 1e-9}
    ).x
    return PlattCurve(float(slope) / unit, float(offset))
