"""Stored predictions become numbers: a pure function of what is on disk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from repro.learning.predictions import Predictions
from repro.learning.statistics import Estimate, paired_test, per_subject
from repro.suite.aggregates import MAIN
from repro.suite.display import METRICS
from repro.suite.plan import Plan
from repro.suite.pretext_accuracy import PRETEXT_METRICS, pretext_estimate
from repro.suite.published import published_value
from repro.suite.readings import Readings, metric_of
from repro.suite.spec import Column, Row, Scale, Table
from repro.suite.store import Store
from repro.suite.work import MEASURED

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "judge", "tabulate"]

COLUMNS = (
    "experiment", "row", "column", "metric", "aggregate", "value", "ci_low", "ci_high", "n_subjects", "n_folds",
    "n_undefined", "n_seeds", "cells_done", "cells_total", "paper", "data", "scale",
)  # fmt: skip
"""Columns of the tidy CSV, one row a number."""

GAIN = "gain"
"""The aggregate of a column of gains: the mean difference within subjects to another row."""


def tabulate(table: Table, plan: Plan, store: Store, scale: Scale, data: str) -> tuple[pd.DataFrame, list[str]]:
    """Compute every number of a table from the predictions that are there.

    Parameters
    ----------
    table : Table
    plan : Plan
    store : Store
    scale : Scale
    data : {"simulated", "licensed"}

    Returns
    -------
    frame : DataFrame with the columns `COLUMNS`
        A number over an incomplete set of cells is computed from those that are there, and ``cells_done`` is below
        ``cells_total``, which is 0 where a method is not applicable.
    damaged : list of str
        Entries that failed their check; they were set aside and count as missing.
    """
    import pandas as pd

    readings = Readings(table, plan, store)
    of_cells = readings.aggregates((row, column) for row in table.rows for column in table.columns if _is_plain(column))
    by_label = {row.label: row for row in table.rows}
    rows: list[dict[str, Any]] = []
    for row in table.rows:
        for column in table.columns:
            place = (row.label, column.label)
            estimates: Mapping[str, Estimate | None]
            if column.metric in MEASURED:
                estimate, n_all = readings.estimate_of_measured(*place)
                estimates, n_done = {MAIN: estimate}, int(estimate is not None)
            elif place in of_cells:
                estimates, n_done, n_all = of_cells[place]
            else:
                n_done, n_all = readings.counts(*place)
                if column.metric in PRETEXT_METRICS:
                    networks = plan.networks(row.label, row.place(column).input)
                    estimate = pretext_estimate(store, networks, column)
                    estimates = {MAIN: estimate}
                    if (n_there := estimate.n_seeds if estimate else 0) < len(networks):
                        n_done = min(n_done, n_all * n_there // len(networks))
                else:
                    versus = by_label.get(row.versus)
                    others, n_others = readings.counts(versus.label, column.label) if versus else (0, 0)
                    if others < n_others:  # what the other row lacks, a difference to it lacks, too
                        n_done = min(n_done, n_all * others // n_others)
                    pair = (row, versus or row)
                    both = [readings.predictions(one.label, column.label) for one in pair] if versus else [None, None]
                    estimates = {GAIN: _gain(pair, column, both)}
            for aggregate, estimate in estimates.items():
                factor = METRICS[column.metric].factor
                main = aggregate == MAIN
                rows.append(
                    {
                        "experiment": table.name,
                        "row": row.label,
                        "column": column.label,
                        "metric": row.metric(column),
                        "aggregate": aggregate,
                        "value": estimate.value * factor if estimate else math.nan,
                        "ci_low": estimate.ci_low * factor if estimate else math.nan,
                        "ci_high": estimate.ci_high * factor if estimate else math.nan,
                        "n_subjects": estimate.n_subjects if estimate else 0,
                        "n_folds": estimate.n_folds if estimate else 0,
                        "n_undefined": estimate.n_undefined if estimate else 0,
                        "n_seeds": estimate.n_seeds if estimate else 0,
                        "cells_done": n_done,
                        "cells_total": n_all,
                        "paper": published_value(table.name, row.label, column.label) if main else None,
                        "data": data,
                        "scale": scale.name,
                    }
                )
    return pd.DataFrame(rows, columns=list(COLUMNS)), readings.damaged


def judge(table: Table, frame: pd.DataFrame, scale: Scale) -> list[dict[str, Any]]:
    """Judge the table's checks at this scale; an absent or incomplete number fails its check."""
    verdicts = []
    for check in (c for c in table.checks if scale.name in c.scales):
        number = _number(frame, check.name, check.row, check.column)
        reference = _number(frame, check.name, check.row, check.reference).value if check.reference else 0.0
        values = {name: float(number[name] - reference) for name in ("value", "ci_low", "ci_high")}
        complete = number.cells_done == number.cells_total
        holds = bool(complete and check.holds(values["value"], values["ci_low"], values["ci_high"]))
        verdicts.append({"check": check.name, "row": check.row, "column": check.column, **values, "holds": holds})
    return verdicts


def _number(frame: pd.DataFrame, check: str, row: str, column: str) -> Any:
    found = frame[(frame.row == row) & (frame.column == column) & (frame["aggregate"] != "pooled")]
    if len(found) != 1:
        raise KeyError(f"check {check!r} asks for {row!r}, {column!r}: found {len(found)} numbers")
    return found.iloc[0]


def _is_plain(column: Column) -> bool:
    """Whether a column shows a metric of each row's own cells."""
    return column.metric not in MEASURED and column.metric not in PRETEXT_METRICS and not column.gain


def _gain(rows: tuple[Row, Row], column: Column, of_rows: Sequence[Predictions | None]) -> Estimate | None:
    """Mean difference within subjects of a row to the one that it is compared with, over the runs that both have.

    Clips that are cut or labelled otherwise may be divided into other folds, so that runs are a subject's with a seed.
    """
    predictions = [of_row for of_row in of_rows if of_row is not None]
    if len(predictions) < len(rows):
        return None
    runs = [list(zip(own.subject.tolist(), own.seed.tolist(), strict=True)) for own in predictions]
    common = set(runs[0]) & set(runs[1])
    if not common:
        return None
    values = []
    for row, own, run in zip(rows, predictions, runs, strict=True):
        paired = own.select(np.array([one in common for one in run]))
        values.append(replace(per_subject(paired, *metric_of(row, column)), metric=column.metric))
    test = paired_test(*values)
    return Estimate(
        metric=column.metric,
        aggregate=GAIN,
        value=test.mean_difference,
        ci_low=test.ci_low,
        ci_high=test.ci_high,
        n_subjects=len(values[0].subjects),
        n_folds=values[0].n_folds,
        n_seeds=values[0].n_seeds,
        undefined=test.undefined,
    )
