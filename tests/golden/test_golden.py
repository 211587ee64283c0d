"""Everything at ``--scale smoke``, compared with committed tables: ``python -m pytest -m golden``.

What is compared exactly: files, columns, rows and their order, metrics, published numbers, counts of subjects, folds
and cells. Numbers have tolerances, by what they come from:

* predictors without arithmetic that differs between machines (the mean, the true PSPI) and counts: 1e-9;
* fits of convex or closed form: 0.1 in PCC; in AUC what one subject can change who has two clips to rank, as their
  order may flip with the last digits of their features;
* networks: a few updates amplify rounding, which differs between processors and releases of PyTorch: of these only the
  range is looked at, and that not more than a fifth of all numbers is away by over 25 points of AUC;
* seconds: that they are positive.

The committed tables are those of ``python -m repro all --scale smoke --out tests/golden/expected``, of which the CSV
files of ``tables/simulated`` are kept; renew them when a change of numbers is meant.
"""

import math
import shutil
from pathlib import Path

import pandas as pd
import pytest

from repro import __main__ as suite
from repro.suite.command import COMPLETE
from repro.suite.engine import available_cores
from repro.suite.tabulate import COLUMNS

pytestmark = pytest.mark.golden

EXPECTED = Path(__file__).with_name("expected")
TABLES = sorted(file.stem for file in EXPECTED.glob("*.csv"))

EXACT_ROWS = ("mean predictor", "true PSPI")
CLASSICAL_ROWS = ("RVR", "HoT", "OSVR", "Time-windows", "LBP", "BSIF", "FAD set", "Head-movement")
RANGES = {
    "auc_ovr": (0, 100), "auc_ovo": (0, 100), "auc_binary": (0, 100), "pcc": (-1, 1), "icc": (-1, 1),
    "pcc_argmax": (-1, 1), "mse": (0, math.inf), "mse_argmax": (0, math.inf), "mae": (0, math.inf),
    "seconds_per_frame": (0, math.inf), "training_overhead": (0, math.inf), "image_correlation": (-1, 1),
    "share": (0, 100), "count": (0, math.inf),
}  # fmt: skip
"""Of values that are no differences, in the unit shown."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run everything from nothing, once."""
    folder = tmp_path_factory.mktemp("all")
    jobs = str(min(2, available_cores()))
    options = ["--scale", "smoke", "--store", str(folder / "store"), "--jobs", jobs, "--quiet"]
    assert suite.main(["all", *options, "--out", str(folder / "out")]) == COMPLETE
    return folder, options


def table(folder, name):
    return pd.read_csv(folder / "out" / "tables" / "simulated" / f"{name}.csv")


def test_every_experiment_is_compared():
    declared = {name for name in suite.EXPERIMENTS if not name.startswith("figure")} | {"figure3"}
    assert set(TABLES) == declared


@pytest.mark.parametrize("name", TABLES)
def test_the_schema_is_exact(run, name):
    found, expected = table(run[0], name), pd.read_csv(EXPECTED / f"{name}.csv")
    assert list(found.columns) == list(expected.columns)
    numbers = (
        "value", "ci_low", "ci_high", "n_undefined", "difference", "found", "p", "p_within", "p_claim", "p_holm",
        "level", "verdict", "first", "second",
    )  # fmt: skip
    fixed = [column for column in expected.columns if column not in numbers]
    pd.testing.assert_frame_equal(found[fixed], expected[fixed], rtol=1e-9)
    assert (found["data"] == "simulated").all() and (found["scale"] == "smoke").all()


@pytest.mark.parametrize("name", [name for name in TABLES if name != "claims"])
def test_numbers_are_possible(run, name):
    found = table(run[0], name)
    assert list(found.columns) == list(COLUMNS)
    for row in found.itertuples():
        if math.isnan(row.value):
            continue
        low, high = RANGES.get(row.metric, (-math.inf, math.inf)) if row.aggregate != "gain" else (-math.inf, math.inf)
        assert low <= row.value <= high, row
        if not math.isnan(row.ci_low):
            assert row.ci_low <= row.value + 1e-9 and row.value <= row.ci_high + 1e-9, row
        assert row.cells_done == row.cells_total, row


@pytest.mark.parametrize("name", [name for name in TABLES if name != "claims"])
def test_numbers_are_the_committed_ones_within_tolerances(run, name):
    found, expected = table(run[0], name), pd.read_csv(EXPECTED / f"{name}.csv")
    away = []
    for now, before in zip(found.itertuples(), expected.itertuples(), strict=True):
        if now.metric in ("seconds_per_frame", "training_overhead"):
            assert now.value > 0
            continue
        percent = now.metric.startswith("auc") or now.metric == "share"
        if now.metric in ("count", "share") or any(name in now.row for name in EXACT_ROWS):
            assert now.value == pytest.approx(before.value, abs=1e-9, nan_ok=True), now
        elif any(now.row.startswith(name) for name in CLASSICAL_ROWS):
            if not (math.isnan(now.value) or math.isnan(before.value)) and (percent or now.metric == "pcc"):
                assert abs(now.value - before.value) <= (100 / now.n_subjects if percent else 0.1), now
        elif percent and not math.isnan(now.value) and not math.isnan(before.value):
            away.append(abs(now.value - before.value) > 25)
    assert not away or sum(away) <= len(away) / 5


def test_a_second_run_computes_nothing_and_writes_the_same(run, tmp_path):
    folder, options = run
    assert suite.main(["all", *options, "--mode", "only-cache", "--out", str(tmp_path / "again")]) == COMPLETE
    first, second = folder / "out" / "tables" / "simulated", tmp_path / "again" / "tables" / "simulated"
    assert sorted(file.name for file in first.iterdir()) == sorted(file.name for file in second.iterdir())
    for file in first.glob("*.csv"):
        assert (second / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_run_goes_on_where_it_lacks_something(run, tmp_path):
    folder, options = run
    store = tmp_path / "store"
    shutil.copytree(folder / "store", store)
    gone = sorted(store.glob("[0-9a-f][0-9a-f]/*"))[::20]
    for entry in gone:
        shutil.rmtree(entry)
    options = [str(store) if option == str(folder / "store") else option for option in options]
    assert suite.main(["all", *options, "--out", str(tmp_path / "out")]) == COMPLETE
    for file in (folder / "out" / "tables" / "simulated").glob("*.csv"):
        assert (tmp_path / "out" / "tables" / "simulated" / file.name).read_bytes() == file.read_bytes(), file.name


def test_the_report_shows_everything(run):
    page = run[0] / "out" / "report.html"
    text = page.read_text()
    assert page.stat().st_size < 3e6
    for name in suite.EXPERIMENTS:
        assert f'id="simulated-{name}"' in text, name
