"""Plots draw the numbers that they are given, where their labels say."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex

from baselines import METHODS
from repro.suite import figures
from repro.suite.figures import (
    claims_plot,
    efficiency_plot,
    grid_plot,
    inputs_plot,
    methods_plot,
    networks_plot,
    sensitivity_plot,
    share_plot,
    supervised_share_plot,
    sweep_plot,
    systems_plot,
)
from repro.suite.published import published_value
from repro.suite.render import render

INPUTS = ("RGB", "OF", "SSD (RGB)", "SSD (OF)", "Dynamic image (RGB)")
DATASETS = [("UNBC-McMaster", "auc_ovr"), ("UNBC-McMaster, pain AUC", "auc_binary"),
            ("BioVid", "auc_ovr"), ("BioVid, pain AUC", "auc_binary")]  # fmt: skip
NETWORKS = ("VGG16", "Inception-V1", "ResNet-18", "ResNet-50")
COSTS = [(f"{kind} {name}", metric) for kind in ("2D", "3D") for name, metric in
         (("time", "seconds_per_frame"), ("AUC", "auc_ovr"), ("pain AUC", "auc_binary"))]  # fmt: skip
PAIN = [("RGB pain AUC", "auc_binary"), ("SSD(RGB) pain AUC", "auc_binary")]
ERRORS = [(f"{kind} {m.upper()}", m) for kind in ("RGB", "SSD(RGB)") for m in ("mse", "pcc")] + PAIN
ACCURACIES = [("RGB AUC", "auc_ovr"), ("SSD(RGB) AUC", "auc_ovr"), *PAIN]
LENGTHS, WINDOWS = (5, 10, 20, 30, 40, 60), (3, 5, 7, 9, 11)
SWEEP = [f"segment length {n}" for n in LENGTHS] + [f"window {n}" for n in WINDOWS]
AUCS = [("AUC", "auc_ovr"), ("Pain AUC", "auc_binary")]


def numbers(rows, columns, table="", data="simulated"):
    """One number for each row and column, in order from 1 on, beside the paper's of a table."""
    frame = pd.DataFrame(
        [(row, column, metric) for row in rows for column, metric in columns], columns=["row", "column", "metric"]
    )
    frame = frame.assign(value=np.arange(1.0, len(frame) + 1), aggregate="subject_mean", data=data, cells_total=1)
    paper = [published_value(table, row, column) for row, column in zip(frame.row, frame.column, strict=True)]
    return frame.assign(ci_low=frame.value - 0.5, ci_high=frame.value + 0.75, paper=np.array(paper, dtype=float))


def methods(table):
    own = [method.label for method in METHODS.values() if table in method.tables and method.kind == "supervised"]
    learned = [method.label for method in METHODS.values() if method.kind == "self-supervised"]
    return [*own, *learned, "no pretext", "mean predictor"]


def shares(table="table4", data="simulated"):
    """Numbers of Table 4 or 5 on one dataset: 1 to 4, and 5 for the reference."""
    sources = ("BioVid", *(f"BioVid + UNBC-McMaster ({share}%)" for share in (10, 30, 50)), "no pretext")
    return numbers([f"{source} → UNBC-McMaster" for source in sources], [("AUC", "auc_ovr")], table, data)


def alternatives(data="simulated"):
    """Five alternatives of rising change, one without images, one that could not be tried."""
    rows = ("D2: center=False", "D1: noise_variance=4", "D16: pairs of levels", "D5: domain=log", "D9: flow=tv-l1")
    changes = [(0.5, -1.0, 2.0), (-6.0, -9.0, -3.0), (2.0, 0.5, 4.0), (-1.0, -3.5, 1.0), (math.nan, math.nan, math.nan)]
    alike = [(0.99, 0.98, 1.0), (0.4, 0.3, 0.5), (math.nan, math.nan, math.nan), (0.9, 0.85, 0.93), (0.7, 0.6, 0.8)]
    made = []
    for column, metric, kind, values in (
        ("Change", "auc_binary", "gain", changes),
        ("Image correlation", "image_correlation", "subject_mean", alike),
    ):
        for row, (value, low, high) in zip(rows, values, strict=True):
            made.append((row, column, metric, kind, value, low, high, int(not math.isnan(value)), data))
    for row in rows:
        made.append((row, "PCC change", "pcc", "gain", 0.01 * len(made), -0.1, 0.3, 1, data))
    names = ["row", "column", "metric", "aggregate", "value", "ci_low", "ci_high", "cells_total", "data"]
    table = pd.DataFrame(made, columns=names)
    # What the default is has no change against itself, and no line.
    return pd.concat([table[table.row == rows[0]].assign(row="default", value=math.nan), table])


def claims(data="simulated"):
    made = [
        ("SSD beats optical flow", "UNBC-McMaster", 4.0, 1.0, 7.5, "supported", "auc_ovr", 2.3),
        ("SSD beats optical flow", "BioVid", 0.5, -3.0, 4.0, "not decided", "auc_ovr", 1.2),
        ("Every method gains from SSD", "RVR", -2.5, -4.0, -1.0, "contradicted", "auc_ovr", math.nan),
        ("Every method gains from SSD", "HoT", -0.3, -0.5, -0.1, "supported", "mse", -0.23),
    ]
    names = ["claim", "comparison", "value", "ci_low", "ci_high", "verdict", "metric", "paper"]
    return pd.DataFrame(made, columns=names).assign(data=data)


EXAMPLES = {
    "claims_plot": claims(),
    "efficiency_plot": numbers([f"{arm}, probed, {n}" for arm in ("no pretext", "OPN") for n in ("6", "all")], AUCS),
    "grid_plot": numbers(methods("table6"), ERRORS, "table6"),
    "inputs_plot": numbers(INPUTS, DATASETS, "table2"),
    "methods_plot": numbers(["no pretext", "Jigsaw"], PAIN),
    "motion_plot": numbers([f"head motion {m}, aligned" for m in ("0", "0.4")], [("RGB", "auc_binary")]),
    "networks_plot": numbers(NETWORKS, COSTS, "table3"),
    "sensitivity_plot": alternatives(),
    "share_plot": shares(),
    "supervised_share_plot": shares("table5"),
    "sweep_plot": numbers(SWEEP, AUCS, "figure3"),
    "systems_plot": numbers(["RVR, UNBC-McMaster", "RVR, BioVid"], [*PAIN, *ERRORS[:4]]),
}


@pytest.fixture(autouse=True)
def closed():
    yield
    pyplot.close("all")


def dots(axis):
    """Series of an axis: name -> (x, y)."""
    return {bars.get_label(): tuple(map(list, bars.lines[0].get_data())) for bars in axis.containers}


def line(axis, label):
    found = [line for line in axis.get_lines() if line.get_label() == label]
    assert len(found) == 1
    return found[0]


def texts(axis):
    return [text.get_text() for text in axis.texts]


def test_every_plot_has_an_example():
    assert set(EXAMPLES) == set(figures.__all__)


@pytest.mark.parametrize("name", EXAMPLES)
def test_simulated_data_is_called_so_and_figures_fit_a_page(name):
    plot = getattr(figures, name)
    assert "simulated" in (figure := plot(EXAMPLES[name])).get_suptitle()
    assert plot(EXAMPLES[name].assign(data="licensed")).get_suptitle() == ""
    assert min(abs(figure.get_figwidth() * 25.4 - width) for width in (190, 140, 90)) < 1e-9


@pytest.mark.parametrize("name", ["grid_plot", "networks_plot", "sensitivity_plot", "sweep_plot", "claims_plot"])
def test_nothing_is_cut_off_or_lies_on_other_text(name):
    """In the journal's style: all text within the figure, and the tick labels of an axis apart."""
    with pyplot.style.context(str(Path(figures.__file__).parents[1] / "style.mplstyle")):
        figure = getattr(figures, name)(EXAMPLES[name])
        figure.canvas.draw()
    whole = figure.bbox
    for axis in figure.axes:
        inside = axis.get_tightbbox()
        assert whole.x0 <= inside.x0 and inside.x1 <= whole.x1 and whole.y0 <= inside.y0 and inside.y1 <= whole.y1
        for labels in (axis.get_xticklabels(), axis.get_yticklabels()):
            boxes = [text.get_window_extent() for text in labels if text.get_text() and text.get_visible()]
            low, high = (axis.bbox.x0 - 1, axis.bbox.x1 + 1) if labels == axis.get_xticklabels() else (-1e9, 1e9)
            boxes = [box for box in boxes if low <= (box.x0 + box.x1) / 2 <= high]
            assert not any(one.overlaps(other) for one, other in zip(boxes, boxes[1:], strict=False))


def test_equal_frames_give_equal_files():
    frame = EXAMPLES["sweep_plot"]
    assert render(sweep_plot, frame, frame) == render(sweep_plot, frame.copy(), frame)


def test_shares_lie_where_they_are_beside_the_papers():
    (axis,) = share_plot(shares()).axes
    assert dots(axis)["this run"] == ([0, 10, 30, 50], [1, 2, 3, 4])
    assert list(line(axis, "paper").get_ydata()) == [69.2, 71.3, 73.5, 74.2]
    assert set(line(axis, "no pretext").get_ydata()) == {5.0}
    assert axis.get_xlabel() == "% of UNBC in the pretext"
    (axis,) = supervised_share_plot(shares("table5")).axes
    assert list(line(axis, "paper").get_ydata()) == [80.1, 81.2, 82.3, 83.5]
    assert axis.get_xlabel() == "% of UNBC in the labelled data"
    assert set(line(axis, "its own training subjects").get_ydata()) == {5.0}


def test_methods_have_a_line_each_and_inputs_their_place():
    columns = [("RGB AUC", "auc_binary"), ("RGB MSE", "mse"), ("SSD(RGB) AUC", "auc_binary"), ("SSD(RGB) MSE", "mse")]
    given = numbers(["no pretext", "Jigsaw"], [*columns, ("RGB accuracy", "pretext_accuracy")])
    first, second = methods_plot(given).axes
    assert [label.get_text() for label in first.get_yticklabels()] == ["no pretext", "Jigsaw"]
    assert dots(first)["RGB"][0] == [1, 6] and dots(first)["SSD(RGB)"][0] == [3, 8]
    assert dots(second)["SSD(RGB)"][0] == [4, 9]


def test_systems_have_a_panel_for_each_dataset_and_metric():
    axes = systems_plot(EXAMPLES["systems_plot"]).axes
    assert len(axes) == 6
    assert [dots(axis)["RGB"][0] for axis in axes] == [[1], [3], [4], [7], [9], [10]]


def test_accuracy_against_labels_has_a_panel_for_each_metric_and_use_of_the_network():
    arms = ("no pretext", "Jigsaw")
    rows = [f"{arm}, {use}, {n}" for use in ("fine-tuned", "probed") for arm in arms for n in ("24", "all")]
    figure = efficiency_plot(numbers(rows, [("Pain AUC", "auc_binary"), ("PCC", "pcc")]))
    assert len(figure.axes) == 4
    tuned, probed = figure.axes[:2]
    assert list(dots(tuned)) == list(arms)
    assert dots(tuned)["no pretext"][1] == [1, 3]
    assert dots(probed)["Jigsaw"][1] == [13, 15]
    assert [label.get_text() for label in figure.axes[2].get_xticklabels()] == ["24", "all"]


@pytest.mark.parametrize("table", ["table6", "table7"])
def test_groups_of_methods_stand_apart(table):
    columns = ERRORS if table == "table6" else ACCURACIES
    figure = grid_plot(numbers(methods(table), columns, table))
    n_metrics = len({metric for _, metric in columns})
    axes = np.array(figure.axes).reshape(3, n_metrics)
    assert [axis.get_ylabel() for axis in axes[:, 0]] == ["supervised", "self-supervised", "references"]
    named = [label.get_text() for axis in axes[:, 0] for label in axis.get_yticklabels()]
    assert named == methods(table) and len(named) == 14
    ours = 11 * len(columns)
    for axis, metric in zip(axes[1], dict.fromkeys(metric for _, metric in columns), strict=True):
        place = [metric for _, metric in columns].index(metric)
        assert dots(axis)["RGB"][0][-1] == ours + place + 1, "the last of the group is the proposed method"


def test_the_papers_values_are_crosses_beside_their_input():
    figure = grid_plot(EXAMPLES["grid_plot"])
    rgb, ssd = [one for one in figure.axes[0].get_lines() if one.get_label() == "paper"]
    assert np.array_equal(rgb.get_xdata(), [1.39, 1.21, math.nan, 1.54, 0.74, 0.32], equal_nan=True)
    assert np.array_equal(ssd.get_xdata(), [1.15, 0.98, 1.06, 1.27, 0.69, math.nan], equal_nan=True)
    assert list(rgb.get_ydata()) == dots(figure.axes[0])["RGB"][1] != list(ssd.get_ydata())
    assert "paper" not in [one.get_label() for one in figure.axes[-1].get_lines()], "pain AUC of references is ours"


def test_what_is_not_applicable_is_said_on_its_line():
    given = EXAMPLES["grid_plot"].copy()
    gone = (given.row == "SCN") & given.column.str.startswith("SSD(RGB)")
    given.loc[gone, ["value", "ci_low", "ci_high"]] = math.nan
    assert not any(texts(axis) for axis in grid_plot(given).axes), "a number that is only missing yet says nothing"
    given.loc[gone, "cells_total"] = 0
    axes = grid_plot(given).axes
    assert [texts(axis) for axis in axes[:3]] == [["N/A"]] * 3 and not any(texts(axis) for axis in axes[3:])
    assert axes[0].texts[0].xy[1] == dots(axes[0])["SSD(RGB)"][1][5]


def test_inputs_have_a_panel_for_each_dataset_with_both_aucs():
    left, right = inputs_plot(EXAMPLES["inputs_plot"]).axes
    assert (left.get_title(), right.get_title()) == ("UNBC-McMaster", "BioVid")
    assert dots(left)["AUC over levels (%)"][0] == [1, 5, 9, 13, 17]
    assert dots(right)["AUC pain against none (%)"][0] == [4, 8, 12, 16, 20]
    cross = line(right, "paper")
    assert list(cross.get_xdata())[:4] == [69.4, 69.8, 71.0, 70.3] and math.isnan(cross.get_xdata()[4])
    assert [label.get_text() for label in left.get_yticklabels()] == list(INPUTS)


def test_networks_are_drawn_at_their_cost_and_their_accuracy():
    auc, pain, paper, ratio = networks_plot(EXAMPLES["networks_plot"]).axes
    first = [tuple(map(list, bars.lines[0].get_data())) for bars in auc.containers][:2]
    assert first == [([1], [2]), ([4], [5])], "2D, then 3D, of the first network"
    assert [list(bars.lines[0].get_ydata()) for bars in pain.containers][:2] == [[3], [6]]
    assert [list(bars.lines[0].get_xdata()) for bars in paper.containers][-2:] == [[1.299], [2.892]]
    assert auc.get_xscale() == "log" and paper.get_title() == "paper"
    assert list(line(ratio, "this run").get_xdata()) == [4 / 1, 10 / 7, 16 / 13, 22 / 19]
    assert list(line(ratio, "paper").get_xdata())[3] == pytest.approx(2.892 / 1.299)


def test_both_sweeps_have_their_own_axis_and_the_papers_best_is_ringed():
    figure = sweep_plot(EXAMPLES["sweep_plot"])
    below, above = figure.axes[0], figure.axes[2]
    assert dots(below)["frames a segment"] == (list(LENGTHS), [1, 3, 5, 7, 9, 11])
    assert dots(above)["neighbourhood"] == (list(WINDOWS), [13, 15, 17, 19, 21])
    assert [label.get_text() for label in above.get_xticklabels()] == [f"{n} × {n}" for n in WINDOWS]
    assert above.get_ylim() == below.get_ylim()
    assert tuple(map(list, line(below, "best in the paper").get_data())) == ([20], [5])
    assert tuple(map(list, line(above, "best in the paper").get_data())) == ([5], [15])


def test_alternatives_are_ranked_by_their_effect():
    left, middle, right = sensitivity_plot(alternatives()).axes
    named = [label.get_text() for label in left.get_yticklabels()]
    assert [name.partition(":")[0] for name in named] == ["D1", "D16", "D5", "D2", "D9"]
    assert dots(left)["told from no change"] == ([-6, 2], [0, 1])
    assert dots(left)["not told from no change"][0][:2] == [-1, 0.5]
    (bars,) = right.containers
    assert list(bars.lines[0].get_xdata()) == pytest.approx([0.4, math.nan, 0.9, 0.99, 0.7], nan_ok=True)
    assert sorted(dots(middle)["not told from no change"][0]) == pytest.approx([0.1, 0.11, 0.12, 0.13, 0.14])
    assert texts(left) == ["N/A"] == texts(right) and not texts(middle)
    assert (left.texts[0].xy[1], right.texts[0].xy[1]) == (4, 1)


def test_verdicts_differ_in_colour_and_in_shape():
    above, below = claims_plot(claims()).axes
    drawn = dots(above)
    assert drawn["supported"] == ([4], [1]) and drawn["not decided"] == ([0.5], [2])
    assert drawn["contradicted"] == ([-2.5], [4]) and dots(below)["supported"] == ([-0.3], [1])
    headings = {text.get_text(): text.xy[1] for text in above.texts}
    assert headings == {"SSD beats optical flow": 0, "Every method gains from SSD": 3}
    assert [label.get_text() for label in above.get_yticklabels()] == ["UNBC-McMaster", "BioVid", "RVR"]
    looks = [(to_hex(bars.lines[0].get_color()), bars.lines[0].get_marker()) for bars in above.containers]
    assert len({colour for colour, _ in looks}) == len({marker for _, marker in looks}) == 3
    assert list(line(below, "paper").get_xdata()) == [-0.23]
    assert below.get_xlabel() == "difference in MSE; below 0 is better"
    with pytest.raises(ValueError, match=r"\['maybe'\] are unknown; known are supported"):
        claims_plot(claims().assign(verdict="maybe"))


def test_many_comparisons_stand_in_two_columns():
    given = claims()
    assert len(claims_plot(given).subfigs) == 1
    long = "Each of the methods that the paper compares, supervised or not, on either of the datasets, gains from SSD"
    more = [given.assign(comparison=given.comparison + f" {i}", claim=long) for i in range(12)]
    figure = claims_plot(pd.concat(more))
    assert len(figure.subfigs) == 2 and [len(place.axes) for place in figure.subfigs] == [1, 1]
    (text,) = figure.subfigs[0].axes[0].texts
    assert " ".join(text.get_text().split("\n")) == long and "\n" in text.get_text(), "in lines that fit a column"
    assert min(dots(figure.subfigs[0].axes[0])["supported"][1]) == 2, "below both lines of the claim"
    assert figure.get_figheight() * 25.4 < 230
