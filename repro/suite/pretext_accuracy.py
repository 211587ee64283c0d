"""How well pretext tasks were solved: their natural accuracy on held-out subjects, beside chance."""

from __future__ import annotations

import math
from collections.abc import Iterable

from repro.learning.statistics import Estimate
from repro.suite.spec import Column
from repro.suite.store import DamagedEntry, Store

__all__ = ["PRETEXT_METRICS", "pretext_estimate"]

PRETEXT_METRICS = ("pretext_accuracy", "pretext_chance")
"""Metrics of a column that are read from a row's pretext networks, not from its predictions."""


def pretext_estimate(store: Store, keys: Iterable[str], column: Column) -> Estimate | None:
    """Average the last held-out accuracy, or chance, of pretext networks.

    Parameters
    ----------
    store : Store
    keys : iterable of str
        Those that are missing or damaged do not count.
    column : Column
        With one of `PRETEXT_METRICS`.

    Returns
    -------
    Estimate or None
        Its interval is that of the single runs, from the lowest to the highest, as there are too few runs for another;
        None without a network. ``n_seeds`` is the number of networks.
    """
    values = []
    for key in keys:
        try:
            described, _ = store.read_artifact(key)
        except DamagedEntry:
            continue
        values.append(float(described["history"][-1][column.metric.replace("pretext", "held_out")]))
    if not values:
        return None
    return Estimate(
        metric=column.metric,
        aggregate="subject_mean",
        value=math.fsum(values) / len(values),
        ci_low=min(values),
        ci_high=max(values),
        n_subjects=0,
        n_folds=0,
        n_seeds=len(values),
    )
