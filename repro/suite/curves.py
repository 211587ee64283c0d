"""Learning curves of pretext networks: a function from a tidy frame to a Figure."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import fill
from typing import TYPE_CHECKING, Any

from repro.data.encoding import KINDS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["curves_plot"]

_COLUMN, _PAGE = 90 / 25.4, 190 / 25.4
"""Inches: widths of a column and of a two-column journal page."""

_ROW, _EDGE, _LINE = 34 / 25.4, 12 / 25.4, 3.6 / 25.4
"""Inches: heights of a row of panels, of what stands above and below them, and of a line of the legend."""

_PAGE_TEXT, _HANDLE = 150, 9
"""Characters that a page is wide, and that a line's handle in the legend takes."""

_MARKERS = 8
"""Markers on a line, at most about so many."""

_CHANCE: dict[str, Any] = {"color": "0.5", "linestyle": (0, (1, 1)), "marker": "", "linewidth": 0.8, "zorder": 1}


def curves_plot(frame: pd.DataFrame) -> Figure:
    """Draw loss and natural accuracy by epoch: a row of panels for each method, for each input a panel of both.

    Parameters
    ----------
    frame : DataFrame
        With the columns of `repro.suite.histories.COLUMNS`. Lines are means over runs, and single runs are faint
        behind them; chance is dotted.

    Returns
    -------
    Figure
        90 mm wide with one input, else 190 mm.
    """
    from matplotlib import pyplot

    methods = list(dict.fromkeys(frame.method))
    inputs = [kind for kind in KINDS if kind in set(frame.input)]
    panels = [(what, kind) for what in ("loss", "accuracy") for kind in inputs]
    lines = list(dict.fromkeys(_line_of(frame)))
    columns = 1 if len(inputs) == 1 else min(3, max(1, _PAGE_TEXT // (max(map(len, lines)) + _HANDLE)))
    height = _ROW * len(methods) + _EDGE + _LINE * -(-(len(lines) + 1) // columns)
    figure, axes = pyplot.subplots(
        len(methods),
        len(panels),
        figsize=(_COLUMN if len(inputs) == 1 else _PAGE, height),
        sharex="row",
        squeeze=False,
    )
    for row, method in zip(axes, methods, strict=True):
        own = frame[frame.method == method]
        for axis, (what, kind) in zip(row, panels, strict=True):
            first = row[0] if what == "loss" else row[len(inputs)]
            if axis is first:
                axis.set_ylabel(_label(own.iloc[0], what))
            else:
                axis.sharey(first)
                axis.tick_params(labelleft=False)
            _panel(axis, own[own.input == kind], what, lines)
    for axis, (what, kind) in zip(axes[0], panels, strict=True):
        axis.set_title(f"{what}, {kind}")
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
    _legend(figure, axes.flat, columns)
    if (frame["data"] == "simulated").any():
        figure.suptitle("simulated data", fontsize=7, color="0.35")
    return figure


def _line_of(frame: pd.DataFrame) -> pd.Series[str]:
    """Name the line that each row belongs to: what was seen, and in what settings."""
    return frame.pretext.where(frame.settings == "", frame.pretext + ", " + frame.settings)


def _label(row: pd.Series, what: str) -> str:
    """Name a row of panels and its unit."""
    if what == "loss":
        return f"{row.label}\nloss"
    return fill(row.accuracy_is, 24) + ("" if row.higher_is_better else "\n(lower is better)")


def _panel(axis: Axes, rows: pd.DataFrame, what: str, lines: list[str]) -> None:
    """Draw one method on one input."""
    from matplotlib import rcParams
    from matplotlib.ticker import MaxNLocator

    styles = list(rcParams["axes.prop_cycle"])
    for name, runs in rows.groupby(_line_of(rows), sort=False):
        place = lines.index(str(name))
        style: dict[str, Any] = dict(styles[place % len(styles)])
        if place >= len(styles):  # the cycle begins anew, and markers become hollow
            style["markerfacecolor"] = "white"
        if runs.network.nunique() > 1:
            for _, run in runs.groupby("network", sort=False):
                faint = {**style, "marker": "", "linestyle": "-", "linewidth": 0.5, "alpha": 0.4}
                axis.plot(run.epoch, run[what], gid="run", **faint)
        mean = runs.groupby("epoch")[[what, "chance"]].mean()
        line = mean[what].dropna()
        axis.plot(line.index, line, label=str(name), markevery=-(-len(line) // _MARKERS), **style)
        if what == "accuracy":
            axis.plot(mean.index, mean.chance, label="chance", **_CHANCE)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))


def _legend(figure: Figure, axes: Iterable[Axes], columns: int) -> None:
    """Put one legend below all panels; chance comes last."""
    entries = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    names = [*(name for name in entries if name != "chance"), "chance"]
    figure.legend([entries[name] for name in names], names, loc="outside lower center", ncols=columns)
