"""The store at the size of the paper's grid, and beyond: planning all tables, and tabulating 10^5 results.

Results are of the grid of Tables 6 and 7: 17 methods, two inputs, each of 25 or 87 subjects left out in turn, and 26
repetitions, 99,008 in all, of 20 clips each. What is asked for: a plan of all tables within 5 seconds once the datasets
are there, and all results tabulated within 10.
"""

import argparse
import hashlib
import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from repro.__main__ import EXPERIMENTS
from repro.suite import bills
from repro.suite.command import add_options
from repro.suite.plan import Cell, Plan
from repro.suite.scales import SCALES
from repro.suite.spec import Column, Row, Table
from repro.suite.store import CellPredictions, Store, hash_of
from repro.suite.tabulate import tabulate

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()

METHODS, REPETITIONS, CLIPS = 17, 26, 20
INPUTS = ("RGB", "SSD(RGB)")
METRICS = {"unbc": ("mse", "pcc", "auc_binary"), "biovid": ("auc_ovr", "auc_binary")}
SUBJECTS = {"unbc": 25, "biovid": 87}
LEVELS = {"unbc": 17, "biovid": 5}


def table(dataset):
    rows = tuple(Row(f"method {i}", (f"method {i}",), dataset, "scratch", published=False) for i in range(METHODS))
    columns = tuple(Column(f"{kind} {m}", m, kind, published=False) for kind in INPUTS for m in METRICS[dataset])
    return Table(f"grid of {dataset}", "A grid", "-", ("Method",), rows, columns, "leave_one_subject_out")


def describe(dataset, cell):
    """Return a description as long as a real one."""
    return {
        "version": 1,
        "method": cell.row,
        "data": {"fingerprint": "f" * 64, "length": 60, "stride": 20, "shortest": 40, "level": "max"},
        "input": {"kind": cell.place.input, "size": 224, "segment_length": 20, "window": 5, "noise_variance": 0.4},
        "protocol": {"train_subjects": [f"{dataset}{s:03}" for s in range(SUBJECTS[dataset]) if s != cell.fold]},
        "fold": cell.fold,
        "seed": cell.repetition,
        "fine_tuning": {"schedule": {"epochs": 5, "learning_rate": 0.001}, "backbone": {"name": "resnet50"}},
    }


def predictions(dataset, cell, rng):
    levels = np.arange(CLIPS) % LEVELS[dataset]
    scores = rng.random((CLIPS, LEVELS[dataset]), dtype=np.float32)
    scores /= scores.sum(axis=1, keepdims=True)
    subject = f"{dataset}{cell.fold:03}"
    names = np.array([f"{subject}/video{i:02}:0-138" for i in range(CLIPS)])
    return CellPredictions(names, np.full(CLIPS, subject), levels, scores, cell.fold, cell.repetition)


def write(store, key, made, description):
    """Write a result as the store does, without waiting for the disk."""
    folder, data = store.result_folder(key), made.to_bytes()
    folder.mkdir(parents=True)
    (folder / "predictions.npz").write_bytes(data)
    run = {"seconds": 1.0, "peak_bytes": 1, "python": "3", "torch": "2", "machine": "x", "threads": 1}
    record = {"key": key, "description": description, "run": run, "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "result.json").write_text(json.dumps(record, indent=1, sort_keys=True))


def filled(store, dataset, repetitions):
    """Write all results of a dataset's table and return its plan."""
    rng, cells = np.random.default_rng(0), []
    for row in table(dataset).rows:
        for place in table(dataset).places(row):
            for repetition in range(repetitions):
                for fold in range(SUBJECTS[dataset]):
                    cell = Cell(row.label, place, fold, repetition, "")
                    described = describe(dataset, cell)
                    key = hash_of(described)
                    write(store, key, predictions(dataset, cell, rng), described)
                    cells.append(Cell(row.label, place, fold, repetition, key))
    return Plan(tuple(cells), (), {}, {})


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """A store of 10^5 results, and the plans of its two tables."""
    store = Store(tmp_path_factory.mktemp("grid"))
    return store, {dataset: filled(store, dataset, REPETITIONS) for dataset in SUBJECTS}


def test_tabulate_all(benchmark, grid):
    store, plans = grid

    def run():
        fresh = Store(store.root)  # remembers nothing
        return [tabulate(table(d), plan, fresh, SCALES["paper"], "simulated") for d, plan in plans.items()]

    results = benchmark.pedantic(run, rounds=1, iterations=1)
    benchmark.extra_info["results"] = sum(len(plan.cells) for plan in plans.values())
    for frame, damaged in results:
        assert damaged == [] and (frame.cells_done == frame.cells_total).all() and frame.value.notna().all()


def test_read_all(benchmark, grid):
    store, plans = grid
    keys = [key for plan in plans.values() for key in plan.keys]
    benchmark.pedantic(lambda: [store.read(key) for key in keys], rounds=1, iterations=1)
    benchmark.extra_info["results"] = len(keys)


def test_plan_all_tables_of_the_paper(benchmark, tmp_path):
    parser = argparse.ArgumentParser()
    add_options(parser)
    bills.add_plan_options(parser)
    options = parser.parse_args(["--store", str(tmp_path / "store"), "--scale", "paper", "--device", "cpu", "--quiet"])
    tables = [t for t in (import_module(f"repro.{name}").TABLE for name in EXPERIMENTS) if isinstance(t, Table)]

    def opened():
        """Count and cut the datasets, which is not what is timed."""
        data = bills._Data(options)
        for one in tables:
            planned = one.at("paper").without_simulated_rows().on_given_data()
            data.corpora(planned, SCALES["paper"])
        return (options, tables, data, "cpu"), {}

    made = benchmark.pedantic(bills.bills_of, setup=opened, rounds=1)
    cells, networks = sum(bill.cells for bill in made), sum(bill.steps["pretext"] for bill in made)
    benchmark.extra_info["cells"] = cells
    assert f"| all | {cells:,} | {networks:,} |" in README, "the README says what the paper's scale is"
