"""What is stored of a table, read once: predictions and measurements where a row meets a column."""

from __future__ import annotations

from collections.abc import Mapping

from repro.learning.metrics import MetricOptions, with_decoding
from repro.learning.predictions import Predictions
from repro.learning.statistics import Estimate, SubjectValues, by_unit, per_subject, subject_mean
from repro.suite.plan import Cell, Plan
from repro.suite.spec import Column, Place, Row, Table
from repro.suite.store import CellPredictions, DamagedEntry, Store, joined
from repro.suite.work import MEASURED

__all__ = ["PAIN", "Readings", "metric_of"]

PAIN: Mapping[str, Mapping[str, tuple[int, ...] | None]] = {
    "unbc": {"negative": (0,), "positive": None},
    "biovid": {"negative": (0,), "positive": (4,)},
}
"""Levels that the binary AUC compares (decision D16): PSPI 0 against above; BL1 against PA4."""


def metric_of(row: Row, column: Column) -> tuple[str, MetricOptions]:
    """Return the metric that a row shows in a column, and what it needs to know of the dataset that they are about."""
    options = MetricOptions(**PAIN[row.place(column).population.dataset])  # type: ignore[arg-type]
    return with_decoding(row.metric(column), options)


class Readings:
    """The cells and measurements of a table that are there and sound; damaged ones are set aside.

    Parameters
    ----------
    table : Table
    plan : Plan
    store : Store

    Attributes
    ----------
    damaged : list of str
        What failed its check, where it was moved to; it counts as missing.
    """

    def __init__(self, table: Table, plan: Plan, store: Store) -> None:
        self.plan = plan
        self.damaged: list[str] = []
        self._rows = {row.label: row for row in table.rows}
        self._columns = {column.label: column for column in table.columns}
        self._cells: dict[tuple[str, Place], list[Cell]] = {}
        self._joined: dict[tuple[str, Place], Predictions | None] = {}
        for cell in plan.cells:
            if cell.applicable:
                self._cells.setdefault((cell.row, cell.place), []).append(cell)
        self._available = self._read(store)
        self._series = self._read_series(store)

    def cells(self, row: str, column: str) -> tuple[list[CellPredictions], int]:
        """Return the predictions that are there, and how many there should be (0: not applicable)."""
        planned = self._cells.get((row, self._rows[row].place(self._columns[column])), [])
        return [self._available[cell.key] for cell in planned if cell.key in self._available], len(planned)

    def predictions(self, row: str, column: str) -> Predictions | None:
        """Return the predictions that are there, joined once for all columns that show the same; None without any."""
        place = row, self._rows[row].place(self._columns[column])
        if place not in self._joined:
            done, _ = self.cells(row, column)
            self._joined[place] = joined(done) if done else None
        return self._joined[place]

    def measured(self, row: str, column: str) -> tuple[SubjectValues | None, int]:
        """Return what was measured of each unit, or None if it is not there, and whether it should be (0 or 1)."""
        place = self.plan.measured[row, column]
        return self._series.get((place.key, place.series)), int(bool(place.key))

    def estimate_of_measured(self, row: str, column: str) -> tuple[Estimate | None, int]:
        """Return the mean of what was measured, or None if it is not there, and whether it should be (0 or 1)."""
        values, expected = self.measured(row, column)
        if values is None:
            return None, expected
        return subject_mean(values), expected

    def values(self, row: str, column: str) -> SubjectValues | None:
        """Return a number's values for each subject, in the metric's own unit; None if nothing is there.

        Of what is measured, each unit, such as a video, stands for a subject.

        Raises
        ------
        KeyError
            If the table has no such row or column.
        """
        own = self._columns[column]
        if own.metric in MEASURED:
            return self.measured(row, column)[0]
        predictions = self.predictions(row, column)
        return None if predictions is None else per_subject(predictions, *metric_of(self._rows[row], own))

    def is_complete(self, row: str, column: str) -> bool:
        """Whether all that a number is computed from is there, and it is defined on this data at all."""
        if self._columns[column].metric in MEASURED:
            found, expected = self.measured(row, column)
            return bool(expected) and found is not None
        done, expected = self.cells(row, column)
        return bool(expected) and len(done) == expected

    def _read(self, store: Store) -> dict[str, CellPredictions]:
        available: dict[str, CellPredictions] = {}
        for key in self.plan.keys:
            if not store.has(key):
                continue
            try:
                available[key] = store.recall(key).predictions
            except DamagedEntry as error:
                self.damaged.append(store.reject(error, store.result_folder(key)))
        return available

    def _read_series(self, store: Store) -> dict[tuple[str, str], SubjectValues]:
        found: dict[tuple[str, str], SubjectValues] = {}
        for key in self.plan.measurements:
            if not store.has_measurement(key):
                continue
            try:
                measured = store.read_measurement(key)[1]
            except DamagedEntry as error:
                self.damaged.append(store.reject(error, store.measurement_folder(key)))
                continue
            for name, one in measured.items():
                found[key, name] = by_unit(name, one["values"], one["units"])
        return found
