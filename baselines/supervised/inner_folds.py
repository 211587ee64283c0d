"""Hyper-parameters are chosen by folds of whole subjects within the training subjects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from repro.learning.protocols import Split, grouped_k_fold

__all__ = ["best_of", "inner_folds", "out_of_fold", "squared_error"]

Choice = TypeVar("Choice")

Predict = Callable[[Any, NDArray[np.intp], NDArray[np.intp]], NDArray[np.float64]]
"""From a choice, training rows and validation rows to predictions for the latter."""


def inner_folds(groups: NDArray[Any], levels: NDArray[np.int64], k: int = 3) -> list[Split]:
    """Divide training rows into at most k folds of whole subjects; empty with a single subject.

    Parameters
    ----------
    groups : ndarray, (n,)
        Subject of each row.
    levels : ndarray, (n,)
        Pain (above 0) is spread over the folds. A fold whose training part has only one level is left out, as nothing
        can be learned there.
    k : int
    """
    k = min(k, len(np.unique(groups)))
    if k < 2:
        return []
    splits = grouped_k_fold(groups, k, seed=0, strata=levels > 0)
    return [split for split in splits if len(np.unique(levels[split.train])) > 1]


def out_of_fold(predict: Predict, choice: Any, folds: Sequence[Split]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the rows that some fold tests, and predictions for them by what was learned without their subjects."""
    rows = np.concatenate([split.test for split in folds])
    return rows, np.concatenate([predict(choice, split.train, split.test) for split in folds])


def squared_error(truth: NDArray[Any], predicted: NDArray[np.float64]) -> float:
    """Return the mean squared error."""
    return float(np.mean((truth - predicted) ** 2))


def best_of(
    choices: Sequence[Choice],
    predict: Predict,
    truth: NDArray[Any],
    folds: Sequence[Split],
    loss: Callable[[NDArray[Any], NDArray[np.float64]], float] = squared_error,
) -> Choice:
    """Return the choice with the smallest loss over all validation rows together.

    Parameters
    ----------
    choices : sequence
        The first is taken where nothing can be compared: a single choice, or no inner folds; and of equals.
    predict : callable
        From (choice, training rows, validation rows) to predictions for the latter; it must fit all that it learns,
        scalers included, to the training rows.
    truth : ndarray, (n,)
    folds : sequence of Split
        As `inner_folds` makes them.
    loss : callable
    """
    if len(choices) == 1 or not folds:
        return choices[0]
    losses = []
    for choice in choices:
        rows, predicted = out_of_fold(predict, choice, folds)
        losses.append(loss(truth[rows], predicted))
    return choices[int(np.argmin(losses))]
