"""The README's example of an own supervised system, written down and registered as shown, keeps the contract."""

import importlib.util
import inspect
import re
import sys
from pathlib import Path
from types import MappingProxyType

import pandas as pd
import pytest

import baselines
from baselines import supervised
from repro.baselines import TABLE, label
from repro.suite import command, work
from repro.suite.spec import Row

ROOT = Path(__file__).resolve().parents[1]
SECTION = (ROOT / "README.md").read_text().partition("### A supervised system\n")[2].partition("\n### ")[0]
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", SECTION, re.S)
(LINE,) = re.findall(r"```text\n(.*?)```", SECTION, re.S)
(ALONE,) = re.findall(r"```py\n(.*?)```", SECTION, re.S)


def _module(name):
    """Load a module of the contract tests, which are in no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"tests/contracts/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CONTRACT, LEAKS = _module("test_supervised"), _module("test_leaks")
CHECKS = [
    (name, dict(zip((mark.args[0] for mark in marks), values, strict=True)))
    for name, check in inspect.getmembers(CONTRACT.TestSystem, inspect.isfunction)
    for marks in [getattr(check, "pytestmark", [])]
    for values in ([(value,) for value in marks[0].args[1]] if marks else [()])
]

fitted = CONTRACT.fitted


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """Write the example into the package of its registry line, add the line, and return the method's name."""
    patch = pytest.MonkeyPatch()
    (method,) = eval(f"[{LINE}]", {"Method": baselines.Method})
    module = method.location.partition(":")[0]
    folder = tmp_path_factory.mktemp("package")
    (folder / f"{module.rpartition('.')[2]}.py").write_text(EXAMPLE)
    patch.setattr(supervised, "__path__", [*supervised.__path__, str(folder)])
    methods = MappingProxyType({**baselines.METHODS, method.name: method})
    for place in (baselines, CONTRACT, LEAKS, work):
        patch.setattr(place, "METHODS", methods)
    yield method.name
    patch.undo()
    sys.modules.pop(module, None)


def test_the_example_is_short():
    assert len(EXAMPLE.splitlines()) <= 75 and len(CHECKS) >= 9


@pytest.mark.parametrize(("check", "values"), CHECKS, ids=lambda value: value if isinstance(value, str) else "")
def test_it_keeps_the_contract(registered, check, values, fitted, drawn):
    bound = getattr(CONTRACT.TestSystem(), check)
    given = {"fitted": fitted, "drawn": drawn, "name": registered, **values}
    bound(**{name: given[name] for name in inspect.signature(bound).parameters})


def test_it_takes_maps_and_does_not_leak(registered, fitted, drawn, monkeypatch, tmp_path):
    CONTRACT.test_maps_of_segments(registered, fitted)
    LEAKS.test_other_test_subjects_leave_what_is_learned_as_it_is(registered, drawn, monkeypatch, tmp_path)


def test_the_table_has_its_rows(registered, tmp_path, smoke_store):
    name = label("Tile ridge", "unbc")
    rows = (Row(name, ("Tile ridge", "UNBC-McMaster", "–"), "unbc", registered, published=False),)
    own = type(TABLE)(**{**vars(TABLE), "rows": rows, "checks": (), "plot": None})
    options = ["--scale", "smoke", "--jobs", "1", "--quiet", "--device", "cpu"]
    assert command.main(own, [*options, "--store", str(smoke_store(tmp_path / "store")), "--out", str(tmp_path)]) == 0
    frame = pd.read_csv(tmp_path / "tables/simulated/baselines.csv")
    assert set(frame.row) == {name} and (frame.cells_done == frame.cells_total).all()
    assert frame[frame.metric == "mse"].value.notna().all()


def test_it_works_without_a_table(registered, drawn, monkeypatch, capsys):
    def labelled_clips(data, spec, *, length, stride):
        assert data == "videos" and spec.size == 96 and (length, stride) == (60, 30)
        return drawn("RGB")

    monkeypatch.setattr("repro.data.open_dataset", lambda layout, path: "videos")
    monkeypatch.setattr("repro.data.labelled.labelled_clips", labelled_clips)
    exec(ALONE.replace("lbp_top", registered), {})
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["s0", "s1", "s2", "s3"]
