"""Methods line by line: a panel for each metric, inputs beside each other (Tables 6 and 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from baselines import METHODS
from repro.suite.display import METRICS
from repro.suite.figures.common import (
    FULL,
    chance,
    legend,
    lines_of_dots,
    main_numbers,
    mm,
    name_lines,
    say_simulated,
    unique,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["grid_plot", "methods_plot", "systems_plot"]

_OF_SYSTEMS = ("auc_binary", "mse", "pcc")
"""Metrics that are drawn of supervised systems."""

_KINDS = {method.label: method.kind for method in METHODS.values()}

_GROUPS = {"reference": "references"}
"""What groups are called, where it is not their kind."""

_PROPOSED = METHODS["siamese"].label

_BETWEEN = 0.7
"""Lines left free between groups of methods."""


def methods_plot(frame: pd.DataFrame) -> Figure:
    """Draw a line of the page for each method and a panel for each metric, inputs beside each other.

    Parameters
    ----------
    frame : DataFrame
        Tidy rows of methods, in the order of the page; columns read ``INPUT METRIC``. Accuracies of pretext tasks,
        whose units differ, are not drawn.

    Returns
    -------
    Figure
        190 mm wide, with 95 % intervals.
    """
    from matplotlib import pyplot

    main = _with_inputs(frame)
    metrics, inputs, rows = (unique(main[name]) for name in ("metric", "input", "row"))
    size = (FULL, mm(18 + 6 * len(rows)))
    figure, axes = pyplot.subplots(1, len(metrics), figsize=size, sharey=True, squeeze=False)
    for axis, metric in zip(axes[0], metrics, strict=True):
        _metric(axis, main[main.metric == metric], rows, inputs)
        axis.set_xlabel(METRICS[metric].label)
    name_lines(axes[0][0], rows)
    legend(figure, axes.flat)
    say_simulated(figure, frame)
    return figure


def systems_plot(frame: pd.DataFrame) -> Figure:
    """Draw a panel for each dataset and metric, a line for each system, inputs beside each other.

    Parameters
    ----------
    frame : DataFrame
        Tidy rows of systems, in the order of the page; rows read ``SYSTEM, DATASET`` and columns ``INPUT METRIC``.

    Returns
    -------
    Figure
        190 mm wide, with 95 % intervals; where a system is not applicable it says so.
    """
    from matplotlib import pyplot

    main = _with_inputs(frame[frame.metric.isin(_OF_SYSTEMS)])
    parts = main.row.str.rpartition(", ")
    main = main.assign(row=parts[0], dataset=parts[2])
    datasets, inputs, systems = (unique(main[name]) for name in ("dataset", "input", "row"))
    size = (FULL, mm(20 + len(datasets) * (12 + 5 * len(systems))))
    figure, axes = pyplot.subplots(
        len(datasets), len(_OF_SYSTEMS), figsize=size, sharey=True, sharex="col", squeeze=False
    )
    for line_of_panels, dataset in zip(axes, datasets, strict=True):
        for axis, metric in zip(line_of_panels, _OF_SYSTEMS, strict=True):
            _metric(axis, main[(main.metric == metric) & (main.dataset == dataset)], systems, inputs)
            axis.set_xlabel(METRICS[metric].label if dataset == datasets[-1] else "")
        line_of_panels[0].set_title(dataset, loc="left")
    name_lines(axes[0][0], systems)
    legend(figure, axes.flat)
    say_simulated(figure, frame)
    return figure


def grid_plot(frame: pd.DataFrame) -> Figure:
    """Draw all methods of Table 6 or 7 beside the paper's values: groups of methods apart, a panel for each metric.

    Parameters
    ----------
    frame : DataFrame
        Tidy rows of methods under the labels of the registry, in the order of the page; what the registry does not
        hold is a reference. Columns read ``INPUT METRIC``.

    Returns
    -------
    Figure
        190 mm wide, with 95 % intervals; where a method is not applicable it says so.
    """
    from matplotlib import pyplot

    main = _with_inputs(frame)
    metrics, inputs = (unique(main[name]) for name in ("metric", "input"))
    groups: dict[str, list[str]] = {}
    for row in unique(main.row):
        groups.setdefault(_KINDS.get(row, "reference"), []).append(row)
    counts = [len(rows) for rows in groups.values()]
    figure, axes = pyplot.subplots(
        len(groups),
        len(metrics),
        figsize=(FULL, mm(24 + 5 * (sum(counts) + _BETWEEN * len(counts)))),
        sharex="col",
        sharey="row",
        squeeze=False,
        height_ratios=counts,
    )
    for line_of_panels, (kind, rows) in zip(axes, groups.items(), strict=True):
        for axis, metric in zip(line_of_panels, metrics, strict=True):
            _metric(axis, main[main.metric == metric], rows, inputs)
        name_lines(line_of_panels[0], rows)
        for name in line_of_panels[0].get_yticklabels():
            name.set_fontweight("bold" if name.get_text() == _PROPOSED else "normal")
        line_of_panels[0].set_ylabel(_GROUPS.get(kind, kind))
    figure.align_ylabels(axes[:, 0])
    for axis, metric in zip(axes[-1], metrics, strict=True):
        axis.set_xlabel(METRICS[metric].label)
    legend(figure, axes.flat)
    say_simulated(figure, frame)
    return figure


def _with_inputs(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the numbers to draw with the inputs that their columns name."""
    main = main_numbers(frame)
    main = main[~main.metric.str.startswith("pretext_")]
    return main.assign(input=main.column.str.partition(" ")[0])


def _metric(axis: Axes, numbers: pd.DataFrame, rows: list[str], inputs: list[str]) -> None:
    lines_of_dots(axis, numbers, rows, inputs, ("row", "input"), step=0.25)
    chance(axis, numbers.metric.iloc[0], vertical=True)
