"""What the paper claims and what was found."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from repro.suite.display import METRICS
from repro.suite.figures.common import FULL, intervals, legend, mm, papers, say_simulated, unique

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["claims_plot"]

_VERDICTS: dict[str, dict[str, Any]] = {
    "supported": {"color": "#009E73", "marker": "o"},
    "contradicted": {"color": "#D55E00", "marker": "X", "markersize": 4.5},
    "not decided": {"color": "0.45", "marker": "s", "markerfacecolor": "white"},
    "incomplete": {"color": "0.7", "marker": "D", "markerfacecolor": "white"},
}
"""Colour and marker, so that verdicts are told apart in grey."""

_LINE = mm(3.2)
"""Height of a line of the page."""

_PANEL = mm(9)
"""What a panel takes beside its lines."""

_TALLEST = mm(150)
"""Panels that take more are set in two columns."""

_LETTERS = 148
"""Of a claim's text on one line, where there is one column."""

_SMALL = 6
"""Points, of the names of comparisons."""


def claims_plot(frame: pd.DataFrame) -> Figure:
    """Draw each comparison that a claim rests on: the difference found with its interval, its verdict, the paper's.

    Parameters
    ----------
    frame : DataFrame
        ``claim, comparison, value, ci_low, ci_high, verdict, metric, paper, data``: differences in the unit of
        tables, above 0 where the first side is larger; claims as readers see them; the verdict is "supported",
        "contradicted", "not decided" or "incomplete".

    Returns
    -------
    Figure
        190 mm wide: a panel for each metric, each with its own scale, in one column or, if there is much, in two.

    Raises
    ------
    ValueError
        For another verdict.
    """
    from matplotlib import pyplot

    if strange := set(frame.verdict) - set(_VERDICTS):
        raise ValueError(f"verdicts {sorted(strange)} are unknown; known are {', '.join(_VERDICTS)}")
    panels = [frame[frame.metric == metric] for metric in unique(frame.metric)]
    columns = [[_with_lines(panel, _LETTERS) for panel in panels]]
    if _height(columns[0]) > _TALLEST and len(panels) > 1:
        narrow = [_with_lines(panel, _LETTERS // 2 - 6) for panel in panels]
        cut = min(range(1, len(panels)), key=lambda i: max(_height(narrow[:i]), _height(narrow[i:])))
        columns = [narrow[:cut], narrow[cut:]]
    figure = pyplot.figure(figsize=(FULL, mm(14) + max(map(_height, columns))))
    for place, column in zip(figure.subfigures(1, len(columns), squeeze=False)[0], columns, strict=True):
        ratios = [_lines(panel) for panel in column]
        axes = place.subplots(len(column), 1, squeeze=False, height_ratios=ratios)[:, 0]
        # Claims begin about where the longest name of their column does; half an em a letter.
        back = 0.5 * _SMALL * max(panel.comparison.str.len().max() for panel in column) + 6
        for axis, panel in zip(axes, column, strict=True):
            _comparisons(axis, panel)
            _claims(axis, panel, back)
    legend(figure, figure.axes)
    say_simulated(figure, frame)
    return figure


def _with_lines(panel: pd.DataFrame, letters: int) -> pd.DataFrame:
    """Return comparisons with the lines they stand on, and claims in lines of text, for which lines are left free."""
    texts = {claim: textwrap.fill(claim, letters) for claim in unique(panel.claim)}
    order = panel.claim.map(list(texts).index)
    panel = panel.assign(claim=panel.claim.map(texts), order=order).sort_values("order", kind="stable")
    heights = np.cumsum([text.count("\n") + 1 for text in texts.values()])
    return panel.assign(line=np.arange(len(panel)) + heights[panel.order])


def _lines(panel: pd.DataFrame) -> int:
    return int(panel.line.max()) + 1


def _height(panels: list[pd.DataFrame]) -> float:
    """Return the inches that panels take, one below the other."""
    return sum(_PANEL + _LINE * _lines(panel) for panel in panels)


def _comparisons(axis: Axes, panel: pd.DataFrame) -> None:
    """Draw the comparisons of one metric line by line."""
    axis.axvline(0, color="0.4", marker="", linestyle="-", linewidth=0.8, zorder=1.6)
    for verdict, style in _VERDICTS.items():
        these = panel[panel.verdict == verdict]
        if len(these):
            looks = {"markersize": 3, "capsize": 1.5, "linestyle": "", **style}
            axis.errorbar(these.value, these.line, xerr=intervals(these), label=verdict, **looks)
    if panel.paper.notna().any():
        papers(axis, panel.paper, panel.line)
    axis.grid(axis="y", color="0.92", linewidth=0.6)
    axis.set_yticks(panel.line, panel.comparison, fontsize=_SMALL)
    axis.set_ylim(_lines(panel) - 0.5, -0.5)
    axis.set_xlabel(_difference(panel.metric.iloc[0]), loc="right")


def _claims(axis: Axes, panel: pd.DataFrame, back: float) -> None:
    """Write each claim above its comparisons, beginning ``back`` points before the axis."""
    for claim, line in panel.groupby("claim", sort=False).line.min().items():
        text = axis.annotate(
            str(claim),
            (0, line - (str(claim).count("\n") + 2) / 2),
            xycoords=("axes fraction", "data"),
            xytext=(-back, 0),
            textcoords="offset points",
            va="center",
            fontsize=_SMALL,
            fontweight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )
        text.set_in_layout(False)


def _difference(metric: str) -> str:
    """Return what an axis of differences says, and which way is better."""
    shown = METRICS[metric]
    better = {True: "; above 0 is better", False: "; below 0 is better", None: ""}[shown.higher_is_better]
    return f"difference in {shown.label}{better}"
