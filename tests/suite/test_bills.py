"""The plan of costs: hours are units times measured rates, and where there is no rate there is no number."""

import argparse
from types import SimpleNamespace

import pytest

from repro.suite import bills
from repro.suite.bills import Bill, add_plan_options, format_plan, plan_costs
from repro.suite.command import COMPLETE, USAGE, add_options
from repro.suite.rates import Rate, rates_file, write_rates
from repro.suite.spec import Column, Row, Table
from repro.suite.units import Encoding, FineTune, Fit, Pretrain


def options(tmp_path, *arguments):
    parser = argparse.ArgumentParser()
    add_options(parser)
    add_plan_options(parser)
    return parser.parse_args(["--store", str(tmp_path), "--device", "cpu", "--quiet", *arguments])


TRAINING = FineTune("training", "resnet50 2D, 224 px", None, None)
OTHER = Pretrain("other", "siamese", None, None, None, None, False)
FRAMES = Encoding("frames", "SSD(RGB) of unbc", None)
FITS = Fit("fits", "rvr")
BILLS = [
    Bill("table6", 50, {"cell": 40, "pretext": 2}, {TRAINING: 7200, OTHER: 3600, FRAMES: 36_000, FITS: 25}),
    Bill("table7", 20, {"cell": 20}, {TRAINING: 3600}),
]
TRAINING_RATE = Rate(TRAINING.label, "images", 0.5, "3 updates", 2e12)
FRAMES_RATE = Rate(FRAMES.label, "frames", 0.1, "60 frames", None)


def formatted(tmp_path, rates, *arguments):
    text = format_plan(BILLS, rates, "cpu", options(tmp_path, *arguments), {"unbc": None})
    rows = [line.strip("| ").split("|") for line in text.splitlines() if line.startswith("| ")]
    return text, {row[0].strip(): [value.strip() for value in row[1:]] for row in rows}


def test_without_a_rate_there_are_counts_and_no_hours(tmp_path):
    text, rows = formatted(tmp_path, {})
    assert rows["table6"] == ["50", "40", "2", "0.04 M", "0", "0.01 M", "25", "0", "–", "–"]
    assert rows["all"][:3] == ["70", "60", "2"]
    assert "nothing was measured on this machine; add --measure" in text
    assert "By published counts, as they are not given: unbc" in text


def test_hours_are_units_times_measured_rates(tmp_path):
    rates = {TRAINING.key: TRAINING_RATE, OTHER.key: Rate("siamese", "images", 1.0, "", 1e12), FRAMES.key: FRAMES_RATE}
    text, rows = formatted(tmp_path, rates)
    assert rows["table6"][-2:] == ["2.0", "1.0"]
    assert rows["table7"][-2:] == ["0.5", "0"]
    assert rows["all"][-2:] == ["2.5", "1.0"]
    assert "Network hours: measured on one core of" in text and "CALCULATED" not in text


def test_hours_without_all_rates_are_a_lower_bound(tmp_path):
    _, rows = formatted(tmp_path, {TRAINING.key: TRAINING_RATE})
    assert rows["table6"][-2:] == ["at least 1.0", "–"]


def test_tflops_replace_the_rates_of_networks_only_and_are_called_calculated(tmp_path):
    rates = {TRAINING.key: TRAINING_RATE, FRAMES.key: FRAMES_RATE}
    text, rows = formatted(tmp_path, rates, "--tflops", "100")
    # 3600 images of 2e12 operations at 1e14 a second take 72 seconds
    assert rows["table7"][-2] == f"{72 / 3600:.1f}"
    assert rows["all"][-1] == "1.0"
    assert "CALCULATED from --tflops 100, not measured" in text


def table(name, *rows):
    return Table(name, name, name, ("",), rows, (Column("AUC", "auc_binary"),), "grouped_k_fold")


def test_a_table_is_planned_on_published_counts(tmp_path, capsys):
    tables = [
        SimpleNamespace(name="no table of cells"),
        table("one", Row("scratch", ("",), "unbc", "scratch")),
        table("two", Row("again", ("",), "unbc", "scratch"), Row("mean", ("",), "unbc", "mean")),
        table("three", Row("pspi", ("",), "unbc", "pspi", simulated_only=True)),
    ]
    given = options(tmp_path, "--scale", "smoke")
    assert plan_costs(given, tables) == COMPLETE
    lines = capsys.readouterr().out.splitlines()
    one, two = (next(line for line in lines if line.startswith(f"| {name} ")) for name in ("one", "two"))
    assert [value.strip() for value in one.split("|")][2:5] == ["2", "2", "0"]
    # the first row is the first table's, the second has an estimator's two fits
    assert [value.strip() for value in two.split("|")][2:9] == ["4", "2", "0", "0", "0", "0", "2"]
    assert not any(line.startswith("| three") for line in lines)


def test_measured_rates_are_kept_and_used(tmp_path, capsys, monkeypatch):
    class Clock:
        def __init__(self, device):
            self.device = device

        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda self, *_: None  # noqa: E731

        def measure(self, work):
            if isinstance(work, FineTune):
                raise ValueError("too large")
            return Rate(work.label, work.unit, 3.6, "once", 1e9 if work.on_device else None)

    monkeypatch.setattr(bills, "Stopwatch", Clock)
    one = table("one", Row("scratch", ("",), "unbc", "scratch"))
    assert plan_costs(options(tmp_path, "--scale", "smoke", "--measure"), [one]) == COMPLETE
    measured = capsys.readouterr()
    assert "not measured: fine-tuning: resnet18 x 0.125 2D, 32 px: too large" in measured.err
    assert plan_costs(options(tmp_path, "--scale", "smoke"), [one]) == COMPLETE
    assert capsys.readouterr().out == measured.out
    assert "| at least " in measured.out


@pytest.mark.parametrize(("how", "times"), [("missing", 0), ("all", 3)])
def test_what_was_measured_before_is_measured_again_only_if_asked(tmp_path, capsys, monkeypatch, how, times):
    asked = []

    class Clock:
        def __init__(self, device):
            asked.clear()

        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda self, *_: None  # noqa: E731

        def measure(self, work):
            asked.append(work.kind)
            return Rate(work.label, work.unit, 1.0, "once")

    monkeypatch.setattr(bills, "Stopwatch", Clock)
    one = table("one", Row("probed", ("",), "unbc", "scratch", probed=True))
    plan_costs(options(tmp_path, "--scale", "smoke", "--measure"), [one])
    assert sorted(asked) == ["encoding", "inference", "reading"]
    plan_costs(options(tmp_path, "--scale", "smoke", "--measure", how), [one])
    assert len(asked) == times


@pytest.mark.parametrize("value", ["0", "-3", "nan"])
def test_tflops_that_mean_nothing_are_refused(tmp_path, capsys, value):
    assert plan_costs(options(tmp_path, "--tflops", value), []) == USAGE
    assert "must be positive" in capsys.readouterr().err


def test_damaged_rates_are_refused(tmp_path, capsys):
    write_rates(rates_file(tmp_path, "cpu"), {}, "cpu")
    rates_file(tmp_path, "cpu").write_text("no JSON")
    assert plan_costs(options(tmp_path), []) == USAGE
    assert "remove it and measure again" in capsys.readouterr().err
