"""The plot of Tables 4 and 5 draws the numbers that it is given."""

import pandas as pd
import pytest
from matplotlib import pyplot

from repro.suite.figures import efficiency_plot, methods_plot, share_plot


def frame(data="simulated"):
    rows = []
    for share, source in ((0, "BioVid"), (10, "BioVid + UNBC-McMaster (10%)"), (50, "BioVid + UNBC-McMaster (50%)")):
        rows.append((f"{source} → UNBC-McMaster", 60 + share / 10, 69 + share / 10))
    rows.append(("no pretext → UNBC-McMaster", 55.0, None))
    columns = ["row", "value", "paper"]
    table = pd.DataFrame(rows, columns=columns).assign(
        column="AUC", metric="auc_ovr", aggregate="subject_mean", data=data
    )
    return table.assign(ci_low=table.value - 5, ci_high=table.value + 5)


@pytest.fixture(autouse=True)
def closed():
    yield
    pyplot.close("all")


def test_points_lie_where_the_shares_are():
    (axis,) = share_plot(frame()).axes
    (bars,) = axis.containers
    line = bars.lines[0]
    assert list(line.get_xdata()) == [0, 10, 50] and list(line.get_ydata()) == [60, 61, 65]
    paper = next(line for line in axis.get_lines() if line.get_label() == "paper")
    assert list(paper.get_ydata()) == [69, 70, 74]
    reference = next(line for line in axis.get_lines() if line.get_label() == "no pretext")
    assert set(reference.get_ydata()) == {55.0}


def test_simulated_data_is_called_so():
    assert "simulated" in share_plot(frame()).get_suptitle()
    assert share_plot(frame("licensed")).get_suptitle() == ""


def test_the_figure_is_as_wide_as_a_page():
    assert share_plot(frame()).get_figwidth() * 25.4 == pytest.approx(190)


def numbers(rows, columns):
    """One number for each row and column, in order from 1 on."""
    table = pd.DataFrame(
        [(row, column, metric) for row in rows for column, metric in columns], columns=["row", "column", "metric"]
    )
    table = table.assign(value=range(1, len(table) + 1), aggregate="subject_mean", data="simulated")
    return table.assign(ci_low=table.value - 0.5, ci_high=table.value + 0.5)


def test_methods_have_a_line_each_and_inputs_their_place():
    columns = [("RGB AUC", "auc_binary"), ("RGB MSE", "mse"), ("SSD(RGB) AUC", "auc_binary"), ("SSD(RGB) MSE", "mse")]
    given = numbers(["no pretext", "Jigsaw"], [*columns, ("RGB accuracy", "pretext_accuracy")])
    first, second = (figure := methods_plot(given)).axes
    assert [label.get_text() for label in first.get_yticklabels()] == ["no pretext", "Jigsaw"]
    rgb, ssd = (bars.lines[0] for bars in first.containers)
    assert list(rgb.get_xdata()) == [1, 6] and list(ssd.get_xdata()) == [3, 8]
    assert list(second.containers[1].lines[0].get_xdata()) == [4, 9]
    assert "simulated" in figure.get_suptitle() and figure.get_figwidth() * 25.4 == pytest.approx(190)


def test_accuracy_against_labels_has_a_panel_for_each_metric_and_use_of_the_network():
    arms = ("no pretext", "Jigsaw")
    rows = [f"{arm}, {use}, {n}" for use in ("fine-tuned", "probed") for arm in arms for n in ("24", "all")]
    figure = efficiency_plot(numbers(rows, [("Pain AUC", "auc_binary"), ("PCC", "pcc")]))
    assert len(figure.axes) == 4
    tuned, probed = figure.axes[:2]
    assert [bars.get_label() for bars in tuned.containers] == list(arms)
    assert list(tuned.containers[0].lines[0].get_ydata()) == [1, 3]
    assert list(probed.containers[1].lines[0].get_ydata()) == [13, 15]
    assert [label.get_text() for label in figure.axes[2].get_xticklabels()] == ["24", "all"]
