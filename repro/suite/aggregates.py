"""Stored cells become means over subjects and pooled numbers; those of very many cells in several processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import NamedTuple

from repro.learning.metrics import MetricOptions
from repro.learning.statistics import Estimate, per_subject, pooled, subject_mean
from repro.suite.collection import paused_collection
from repro.suite.engine import available_cores
from repro.suite.runner import Runner, TaskEnded, referred
from repro.suite.store import CellPredictions, DamagedEntry, Store, joined

__all__ = ["MAIN", "POOLED", "Aggregates", "Request", "aggregate", "aggregate_all", "read_cells"]

MAIN, POOLED = "subject_mean", "pooled"
"""Aggregates of cells: the mean over subjects, which tables show, and the metric of all samples together."""

_MANY = 10_000
"""Cells from which on another process saves more time than it takes to start, a third of a second."""


class Request(NamedTuple):
    """The keys of cells that belong together, such as all folds and seeds of a method, and the metrics to be taken."""

    keys: Sequence[str]
    metrics: Sequence[tuple[str, MetricOptions]]


class Aggregates(NamedTuple):
    """What was made of a request.

    Attributes
    ----------
    estimates : tuple of mapping
        For each metric, aggregate -> estimate from the cells that are there and sound, None without any.
    n_cells : int
        Number of these cells.
    damaged : tuple of str
        What failed its check, where it was moved to.
    """

    estimates: tuple[Mapping[str, Estimate | None], ...]
    n_cells: int
    damaged: tuple[str, ...]


def read_cells(keys: Iterable[str], store: Store) -> tuple[list[CellPredictions], list[str]]:
    """Read the cells that are there and sound, and set damaged ones aside; with what is told of these."""
    cells, damaged = [], []
    for key in keys:
        try:
            recalled = store.recall(key)
        except DamagedEntry as error:
            damaged.append(store.reject(error, store.result_folder(key)))
        else:
            if recalled is not None:
                cells.append(recalled.predictions)
    return cells, damaged


def aggregate(request: Request, store: Store) -> Aggregates:
    """Read a request's cells and compute its metrics."""
    cells, damaged = read_cells(request.keys, store)
    if not cells:
        return Aggregates(({MAIN: None, POOLED: None},) * len(request.metrics), 0, tuple(damaged))
    predictions = joined(cells)
    estimates = tuple(
        {MAIN: subject_mean(per_subject(predictions, *metric)), POOLED: pooled(predictions, *metric)}
        for metric in request.metrics
    )
    return Aggregates(estimates, len(cells), tuple(damaged))


@paused_collection()
def aggregate_all(requests: Sequence[Request], store: Store, processes: int | None = None) -> list[Aggregates]:
    """Aggregate several requests: what `aggregate` gives of each.

    Parameters
    ----------
    requests : sequence of Request
    store : Store
        Read by other processes, too; this one remembers what it has read itself.
    processes : int, optional
        This one included. As many as there are cores where there are so many cells that it pays, else one.

    Returns
    -------
    list of Aggregates
        In the order of the requests.
    """
    if processes is None:
        processes = available_cores() if sum(len(request.keys) for request in requests) >= _MANY else 1
    found: dict[int, Aggregates] = {}
    waiting = deque(sorted(range(len(requests)), key=lambda number: -len(requests[number].keys)))
    runners = [Runner() for _ in range(min(processes, len(requests)) - 1)]
    helpers = [Thread(target=_help, args=(runner, requests, store, waiting, found), daemon=True) for runner in runners]
    try:
        for helper in helpers:
            helper.start()
        _take(requests, store, waiting, found)
        for helper in helpers:
            helper.join()
        _take(requests, store, waiting, found)  # what another process did not finish
    finally:
        waiting.clear()
        for runner in runners:
            runner.close()
    return [found[number] for number in range(len(requests))]


def _take(requests: Sequence[Request], store: Store, waiting: deque[int], found: dict[int, Aggregates]) -> None:
    """Aggregate requests, the largest first, as long as there are any."""
    with suppress(IndexError):
        while True:
            number = waiting.popleft()
            found[number] = aggregate(requests[number], store)


def _help(
    runner: Runner, requests: Sequence[Request], store: Store, waiting: deque[int], found: dict[int, Aggregates]
) -> None:
    """Have requests aggregated by another process; one that it does not finish is left to this one."""
    with suppress(IndexError):
        while True:
            number = waiting.popleft()
            try:
                work = referred(_elsewhere, {"request": requests[number], "store": store.root})
                found[number] = runner.run(work)
            except (TaskEnded, OSError):
                waiting.append(number)
                return


@paused_collection()
def _elsewhere(request: Request, store: Path, report: object) -> Aggregates:
    return aggregate(request, Store(store))
