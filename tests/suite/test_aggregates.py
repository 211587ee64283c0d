"""Aggregates of stored cells: the same from one process and from several, whatever happens to the others."""

import os
import signal

import numpy as np
import pytest

from repro.learning.metrics import MetricOptions
from repro.learning.statistics import per_subject, pooled, subject_mean
from repro.suite import aggregates
from repro.suite.aggregates import MAIN, POOLED, Request, aggregate, aggregate_all
from repro.suite.runner import Runner
from repro.suite.store import CellPredictions, Store, hash_of, joined

METRICS = [("auc_ovr", MetricOptions()), ("mse", MetricOptions(decode="argmax"))]


def cell(place, fold):
    rng = np.random.default_rng([place, fold])
    levels = np.arange(6) % 3
    scores = rng.dirichlet(np.ones(3), 6).astype(np.float32)
    return CellPredictions(np.array([f"{fold}-{i}" for i in range(6)]), np.full(6, f"s{fold}"), levels, scores, fold, 0)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def requests(store):
    """Five places of one to five cells."""
    found = []
    for place in range(5):
        keys = [hash_of({"place": place, "fold": fold}) for fold in range(place + 1)]
        for fold, key in enumerate(keys):
            store.write(key, cell(place, fold), {})
        found.append(Request(keys, METRICS))
    return found


def same(one, other):
    """Compare dataclasses that may hold NaN."""
    return repr(one) == repr(other)


def test_aggregates_are_those_of_the_joined_cells(store, requests):
    made = aggregate(requests[4], store)
    predictions = joined([cell(4, fold) for fold in range(5)])
    assert (made.n_cells, made.damaged) == (5, ())
    for metric, estimates in zip(METRICS, made.estimates, strict=True):
        assert same(estimates[MAIN], subject_mean(per_subject(predictions, *metric)))
        assert same(estimates[POOLED], pooled(predictions, *metric))


def test_nothing_there(store):
    made = aggregate(Request([hash_of({"not": "there"})], METRICS), store)
    assert made == (({MAIN: None, POOLED: None},) * 2, 0, ())
    assert aggregate_all([], store) == []


@pytest.mark.parametrize("processes", [1, 2, 9])
def test_several_processes_give_the_same(store, requests, processes):
    found = aggregate_all(requests, Store(store.root), processes)
    assert same(found, [aggregate(request, store) for request in requests])


def test_very_many_cells_are_shared_among_the_cores(store, requests, monkeypatch):
    started = []
    monkeypatch.setattr(aggregates, "available_cores", lambda: 3)
    monkeypatch.setattr(aggregates, "Runner", lambda: started.append(Runner()) or started[-1])
    aggregate_all(requests, store)
    assert started == []
    monkeypatch.setattr(aggregates, "_MANY", 15)
    aggregate_all(requests, store)
    assert len(started) == 2 and all(runner._process is None for runner in started), "ended when they are done"


def die(request, store, report):
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_another_process_does_not_finish_is_done_here(store, requests, monkeypatch):
    expected = [aggregate(request, store) for request in requests]
    monkeypatch.setattr(aggregates, "_elsewhere", die)
    assert same(aggregate_all(requests, store, 3), expected)


def test_damage_is_told_and_set_aside_wherever_it_is_read(store, requests):
    path = store.result_folder(requests[2].keys[1]) / "predictions.npz"
    path.write_bytes(path.read_bytes()[:-1])
    found = aggregate_all(requests, Store(store.root), 2)
    assert [made.n_cells for made in found] == [1, 2, 2, 4, 5]
    assert [len(made.damaged) for made in found] == [0, 0, 1, 0, 0]
    assert "does not match the hash" in found[2].damaged[0] and not store.has(requests[2].keys[1])


def test_an_error_of_the_data_is_raised_here(store, requests):
    levels = np.array([7])  # has no column in the scores
    wrong = CellPredictions(np.array(["x"]), np.array(["s0"]), levels, np.full((1, 3), 1 / 3), 0, 0)
    key = hash_of({"wrong": 1})
    store.write(key, wrong, {})
    with pytest.raises(ValueError, match=r"whole numbers in 0\.\.2, got \[7"):
        aggregate_all([*requests, Request([key], METRICS)], store, 2)
