"""The plot of Tables 4 and 5 draws the numbers that it is given."""

import pandas as pd
import pytest
from matplotlib import pyplot

from repro.suite.figures import share_plot


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
