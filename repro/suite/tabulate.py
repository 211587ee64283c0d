"""Stored predictions become numbers: a pure function of what is on disk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from repro.learning.metrics import MetricOptions
from repro.learning.predictions import Predictions
from repro.learning.statistics import Estimate, paired_test, per_subject, pooled, subject_mean
from repro.suite.display import METRICS
from repro.suite.pretext_accuracy import PRETEXT_METRICS, pretext_estimate
from repro.suite.published import published_value
from repro.suite.spec import Column, Row, Scale, Table
from repro.suite.store import CellPredictions, DamagedEntry, Store
from repro.suite.work import Plan

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "judge", "tabulate"]

COLUMNS = (
    "experiment", "row", "column", "metric", "aggregate", "value", "ci_low", "ci_high", "n_subjects", "n_folds",
    "n_undefined", "n_seeds", "cells_done", "cells_total", "paper", "data", "scale",
)  # fmt: skip
"""Columns of the tidy CSV, one row a number."""

MAIN, GAIN = "subject_mean", "gain"
"""Aggregates that tables show: the mean over subjects, and the mean difference within them to another row."""

PAIN: Mapping[str, Mapping[str, tuple[int, ...] | None]] = {
    "unbc": {"negative": (0,), "positive": None},
    "biovid": {"negative": (0,), "positive": (4,)},
}
"""Levels that the binary AUC compares (decision D16): PSPI 0 against above; BL1 against PA4."""


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

    available, damaged = _read(plan, store)
    rows: list[dict[str, Any]] = []
    for row in table.rows:
        for column in table.columns:
            cells = [c for c in plan.cells if c.row == row.label and c.input == column.input and c.applicable]
            done = [available[c.key] for c in cells if c.key in available]
            if column.metric in PRETEXT_METRICS:
                estimates = {MAIN: pretext_estimate(store, plan.artifacts.get(row.label, ()), column)}
            elif column.gain:
                others = [c.key for c in plan.cells if c.row == row.versus and c.input == column.input]
                estimates = {GAIN: _gain(row, column, done, [available[k] for k in others if k in available])}
            else:
                estimates = _estimates(row, column, done)
            for aggregate, estimate in estimates.items():
                factor = METRICS[column.metric].factor
                main = aggregate == MAIN
                rows.append(
                    {
                        "experiment": table.name,
                        "row": row.label,
                        "column": column.label,
                        "metric": column.metric,
                        "aggregate": aggregate,
                        "value": estimate.value * factor if estimate else math.nan,
                        "ci_low": estimate.ci_low * factor if estimate else math.nan,
                        "ci_high": estimate.ci_high * factor if estimate else math.nan,
                        "n_subjects": estimate.n_subjects if estimate else 0,
                        "n_folds": estimate.n_folds if estimate else 0,
                        "n_undefined": estimate.n_undefined if estimate else 0,
                        "n_seeds": estimate.n_seeds if estimate else 0,
                        "cells_done": len(done),
                        "cells_total": len(cells),
                        "paper": published_value(table.name, row.label, column.label) if main else None,
                        "data": data,
                        "scale": scale.name,
                    }
                )
    return pd.DataFrame(rows, columns=list(COLUMNS)), damaged


def _read(plan: Plan, store: Store) -> tuple[dict[str, CellPredictions], list[str]]:
    available: dict[str, CellPredictions] = {}
    damaged: list[str] = []
    for key in plan.keys:
        if not store.has(key):
            continue
        try:
            available[key] = store.read(key)[1]
        except DamagedEntry as error:
            damaged.append(f"{error}; set aside as {store.set_aside(store.result_folder(key))}")
    return available, damaged


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


def _estimates(row: Row, column: Column, done: list[CellPredictions]) -> dict[str, Estimate | None]:
    """Aggregate a metric over what was predicted, in its own unit."""
    if not done:
        return {MAIN: None, "pooled": None}
    predictions = Predictions.concatenate([cell.for_statistics() for cell in done])
    options = MetricOptions(**PAIN[row.target])  # type: ignore[arg-type]
    return {
        MAIN: subject_mean(per_subject(predictions, column.metric, options)),
        "pooled": pooled(predictions, column.metric, options),
    }


def _gain(row: Row, column: Column, done: list[CellPredictions], others: list[CellPredictions]) -> Estimate | None:
    """Mean difference within subjects to the row that this one is compared with, over the cells that both have."""
    runs = {(cell.fold, cell.seed) for cell in done} & {(cell.fold, cell.seed) for cell in others}
    if not runs:
        return None
    options = MetricOptions(**PAIN[row.target])  # type: ignore[arg-type]
    values = []
    for cells in (done, others):
        paired = [cell.for_statistics() for cell in cells if (cell.fold, cell.seed) in runs]
        values.append(per_subject(Predictions.concatenate(paired), column.metric, options))
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
