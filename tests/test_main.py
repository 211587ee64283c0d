"""``python -m repro list|all|plan`` go through the experiments in their order."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from repro import __main__ as suite
from repro.suite.command import COMPLETE, INCOMPLETE, INTERRUPTED, USAGE


def experiments(monkeypatch, *statuses):
    """Put experiments of these statuses in the place of the real ones; return the names of those that ran."""
    ran = []

    def experiment(name, status):
        def run(options, session):
            ran.append((name, options.mode))
            return status

        return SimpleNamespace(TABLE=SimpleNamespace(name=name, title=f"Title of {name}"), run=run)

    made = [experiment(f"t{index}", status) for index, status in enumerate(statuses)]
    monkeypatch.setattr(suite, "_experiments", lambda: made)
    monkeypatch.setattr(suite, "_report", lambda options: COMPLETE)
    return ran


def test_every_experiment_is_declared_under_its_own_name(capsys):
    assert suite.main(["list"]) == COMPLETE
    printed = capsys.readouterr().out
    for name, experiment in zip(suite.EXPERIMENTS, suite._experiments(), strict=True):
        assert experiment.TABLE.name == name and f"{name}  {experiment.TABLE.title}\n" in printed


def test_the_worst_status_counts_and_no_experiment_hides_another(monkeypatch):
    ran = experiments(monkeypatch, INCOMPLETE, USAGE, COMPLETE)
    assert suite.main(["all"]) == USAGE
    assert ran == [("t0", "only-missing"), ("t1", "only-missing"), ("t2", "only-missing")]


def test_an_interruption_ends_them_all(monkeypatch):
    ran = experiments(monkeypatch, COMPLETE, INTERRUPTED, COMPLETE)
    assert suite.main(["all"]) == INTERRUPTED
    assert [name for name, _ in ran] == ["t0", "t1"]


def test_plan_computes_nothing(monkeypatch):
    ran = experiments(monkeypatch, COMPLETE)
    assert suite.main(["plan"]) == COMPLETE and ran == [("t0", "plan")]


def test_a_table_of_cells_is_run_by_the_suite(monkeypatch):
    table, asked = SimpleNamespace(name="t", title="T"), []
    monkeypatch.setattr(suite, "_experiments", lambda: [SimpleNamespace(TABLE=table)])
    monkeypatch.setattr(suite, "_report", lambda options: COMPLETE)
    monkeypatch.setattr(suite, "run", lambda table, options, session: asked.append(table) or COMPLETE)
    assert suite.main(["all"]) == COMPLETE and asked == [table]


def test_the_real_plan_needs_no_store(tmp_path, capsys):
    assert suite.main(["plan", "--scale", "smoke", "--store", str(tmp_path / "store"), "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "table1: 2 datasets to count" in printed and "table4: 0/" in printed
    assert list(tmp_path.iterdir()) == []


def test_a_command_is_needed():
    with pytest.raises(SystemExit) as exit_:
        suite.main([])
    assert exit_.value.code == USAGE


def test_an_experiment_in_place_of_a_command_is_told_how_it_is_run(capsys):
    with pytest.raises(SystemExit) as error:
        suite.main(["table4", "--scale", "smoke"])
    assert error.value.code == USAGE and "run python -m repro.table4" in capsys.readouterr().err


def test_a_reader_that_has_enough_is_no_error():
    command = [sys.executable, "-m", "repro", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as listing:
        listing.stdout.close()
        assert listing.wait(timeout=120) == INCOMPLETE and listing.stderr.read() == ""
