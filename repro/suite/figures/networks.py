"""What a frame costs and what it brings: 2D networks on SSD images against 3D networks (Table 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from repro.suite.display import METRICS
from repro.suite.figures.common import (
    FULL,
    HEIGHT,
    chance,
    intervals,
    legend,
    main_numbers,
    name_lines,
    papers,
    say_simulated,
    unique,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["networks_plot"]

_STYLES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#E69F00", "v"), ("#56B4E9", "P"))
"""Colours and markers of networks, in the order of the page."""

_KINDS = ("2D", "3D")


def networks_plot(frame: pd.DataFrame) -> Figure:
    """Draw accuracy against seconds a frame, the 2D and the 3D form of each network joined, and how much faster 2D is.

    Parameters
    ----------
    frame : DataFrame
        Tidy rows of networks; columns read ``2D time``, ``3D time``, and ``2D X`` and ``3D X`` of an AUC X.

    Returns
    -------
    Figure
        190 mm wide: a panel for each AUC of this run with 95 % intervals, one for the paper's, one for the ratios.
    """
    from matplotlib import pyplot

    main = main_numbers(frame)
    rows = unique(main.row)
    measures = unique(column.partition(" ")[2] for column in main.column if column.startswith("2D "))
    measures.remove("time")
    table = main.set_index(["row", "column"])
    printed = table.assign(value=table.paper, ci_low=table.paper, ci_high=table.paper)
    panels = [(measure, table, "this run") for measure in measures]
    panels += [(measure, printed, "paper") for measure in measures if printed.value[:, f"2D {measure}"].notna().any()]
    figure, axes = pyplot.subplots(1, len(panels) + 1, figsize=(FULL, HEIGHT), squeeze=False)
    for axis, (measure, numbers, whose) in zip(axes[0], panels, strict=False):
        _clouds(axis, numbers, rows, measure)
        metric = table.metric[:, f"2D {measure}"].iloc[0]
        axis.set_ylabel(METRICS[metric].label)
        axis.set_title(whose)
        if whose == "this run":
            chance(axis, metric)
    _ratios(axes[0][-1], table, rows)
    legend(figure, axes[0])
    say_simulated(figure, frame)
    return figure


def _clouds(axis: Axes, numbers: pd.DataFrame, rows: list[str], measure: str) -> None:
    """Draw the two forms of each network, 2D filled and 3D open."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for row, (colour, marker) in zip(rows, _STYLES, strict=False):
        times, values = (
            numbers.loc[[(row, f"{kind} {what}") for kind in _KINDS]].reset_index() for what in ("time", measure)
        )
        axis.plot(times.value, values.value, color=colour, linestyle=":", linewidth=0.8, marker="")
        for i, face in enumerate((colour, "white")):
            one = values.iloc[[i]]
            looks: dict[str, Any] = {
                "color": colour,
                "marker": marker,
                "markerfacecolor": face,
                "elinewidth": 0.6,
                "capsize": 1.5,
            }
            axis.errorbar(times.value.iloc[[i]], one.value, yerr=intervals(one), linestyle="", **looks)
        axis.plot([], [], color=colour, marker=marker, linestyle="", label=row)
    for kind, face in zip(_KINDS, ("0.4", "white"), strict=True):
        name = "2D, on SSD images" if kind == "2D" else "3D, on videos"
        axis.plot([], [], color="0.4", marker="o", markerfacecolor=face, linestyle="", label=name)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("seconds a frame")


def _ratios(axis: Axes, table: pd.DataFrame, rows: list[str]) -> None:
    """Draw how many times as long a frame takes in 3D."""
    ours, printed = (
        values[:, "3D time"].loc[rows] / values[:, "2D time"].loc[rows] for values in (table.value, table.paper)
    )
    y = range(len(rows))
    axis.hlines(y, 1, ours, color="0.6", linewidth=0.8)
    axis.plot(ours, y, color="black", marker="o", linestyle="", label="this run")
    papers(axis, printed, y)
    axis.axvline(1, color="0.4", marker="", linestyle="-", linewidth=0.8, zorder=1.6)
    axis.set_title("3D against 2D")
    axis.set_xlabel("times as many seconds")
    name_lines(axis, rows)
    axis.grid(axis="y", color="0.92", linewidth=0.6)
