"""What is stored of a table, read once: predictions and measurements where a row meets a column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

from repro.learning.metrics import MetricOptions, with_decoding
from repro.learning.predictions import Predictions
from repro.learning.statistics import Estimate, SubjectValues, by_unit, per_subject, subject_mean
from repro.suite.aggregates import Request, aggregate_all, read_cells
from repro.suite.plan import Plan
from repro.suite.spec import Column, Place, Row, Table
from repro.suite.store import DamagedEntry, Store, joined
from repro.suite.work import MEASURED

__all__ = ["PAIN", "Readings", "metric_of"]

_At: TypeAlias = tuple[str, Place]
"""A row's label and the place where it meets a column: what several columns may show of the same cells."""

PAIN: Mapping[str, Mapping[str, tuple[int, ...] | None]] = {
    "unbc": {"negative": (0,), "positive": None},
    "biovid": {"negative": (0,), "positive": (4,)},
}
"""Levels that the binary AUC compares (decision D16): PSPI 0 against above; BL1 against PA4."""


def metric_of(row: Row, column: Column) -> tuple[str, MetricOptions]:
    """Return the metric that a row shows in a column, and what it needs to know of the dataset that they are about."""
    options = MetricOptions(**PAIN[row.place(column).population.dataset])  # type: ignore[arg-type]
    return with_decoding(row.metric(column), options)


class Tabulated(NamedTuple):
    """A number's estimates by their aggregates, from how many cells, and from how many they should be."""

    estimates: Mapping[str, Estimate | None]
    n_cells: int
    n_planned: int


class Readings:
    """The cells and measurements of a table that are there and sound; damaged ones are set aside.

    Cells are read when they are asked for.

    Parameters
    ----------
    table : Table
    plan : Plan
    store : Store

    Attributes
    ----------
    damaged : list of str
        What failed its check until now, where it was moved to; it counts as missing.
    """

    def __init__(self, table: Table, plan: Plan, store: Store) -> None:
        self.plan = plan
        self.damaged: list[str] = []
        self._store = store
        self._rows = {row.label: row for row in table.rows}
        self._columns = {column.label: column for column in table.columns}
        self._keys: dict[_At, list[str]] = {}
        self._read: dict[_At, tuple[Predictions | None, int]] = {}
        for cell in plan.cells:
            if cell.applicable:
                self._keys.setdefault((cell.row, cell.place), []).append(cell.key)
        self._series = self._read_series()

    def counts(self, row: str, column: str) -> tuple[int, int]:
        """Return the number of cells that are there and sound, and how many there should be (0: not applicable)."""
        at = self._at(row, column)
        return self._found(at)[1], len(self._keys.get(at, ()))

    def predictions(self, row: str, column: str) -> Predictions | None:
        """Return the predictions that are there, joined once for all columns that show the same; None without any."""
        return self._found(self._at(row, column))[0]

    def aggregates(self, numbers: Iterable[tuple[Row, Column]]) -> dict[tuple[str, str], Tabulated]:
        """Aggregate cells, those of very many in several processes.

        Parameters
        ----------
        numbers : iterable of (Row, Column)
            Rows and columns of the table, whose numbers are metrics of a row's own cells.

        Returns
        -------
        dict
            Labels of row and column -> what is there.
        """
        shown: dict[_At, list[tuple[Row, Column]]] = {}
        for row, column in numbers:
            shown.setdefault(self._at(row.label, column.label), []).append((row, column))
        requests = [
            Request(list(filter(None, self._keys.get(at, ()))), [metric_of(*number) for number in own])
            for at, own in shown.items()
        ]
        found: dict[tuple[str, str], Tabulated] = {}
        for (at, own), made in zip(shown.items(), aggregate_all(requests, self._store), strict=True):
            self.damaged += made.damaged
            for (row, column), estimates in zip(own, made.estimates, strict=True):
                found[row.label, column.label] = Tabulated(estimates, made.n_cells, len(self._keys.get(at, ())))
        return found

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
        done, expected = self.counts(row, column)
        return bool(expected) and done == expected

    def _at(self, row: str, column: str) -> _At:
        return row, self._rows[row].place(self._columns[column])

    def _found(self, at: _At) -> tuple[Predictions | None, int]:
        """Return what is there where a row meets columns, joined, and of how many cells; damaged ones are told."""
        if at not in self._read:
            cells, damaged = read_cells(filter(None, self._keys.get(at, ())), self._store)
            self.damaged += damaged
            self._read[at] = joined(cells) if cells else None, len(cells)
        return self._read[at]

    def _read_series(self) -> dict[tuple[str, str], SubjectValues]:
        found: dict[tuple[str, str], SubjectValues] = {}
        for key in self.plan.measurements:
            if not self._store.has_measurement(key):
                continue
            try:
                measured = self._store.read_measurement(key)[1]
            except DamagedEntry as error:
                self.damaged.append(self._store.reject(error, self._store.measurement_folder(key)))
                continue
            for name, one in measured.items():
                found[key, name] = by_unit(name, one["values"], one["units"])
        return found
