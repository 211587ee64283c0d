"""Accuracy against the length of segments and the size of neighbourhoods (Figure 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from repro.suite.display import METRICS
from repro.suite.figures.common import HEIGHT, MIDDLE, chance, intervals, legend, main_numbers, say_simulated, unique
from repro.suite.published import published_best

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["sweep_plot"]


class _Sweep(NamedTuple):
    """What is varied: how rows begin, the axis's label, how its steps are written, and its looks."""

    start: str
    label: str
    step: str
    colour: str
    marker: str
    line: str


_LENGTH = _Sweep("segment length ", "frames a segment", "{0}", "#0072B2", "o", "-")
_WINDOW = _Sweep("window ", "neighbourhood (pixels)", "{0} × {0}", "#D55E00", "s", "--")


def sweep_plot(frame: pd.DataFrame) -> Figure:
    """Draw accuracy against the length of segments (axis below) and the size of neighbourhoods (axis above).

    Parameters
    ----------
    frame : DataFrame
        Tidy rows whose labels read ``segment length L`` or ``window W``.

    Returns
    -------
    Figure
        140 mm wide: a panel for each metric, with 95 % intervals; what the paper found best is ringed.
    """
    from matplotlib import pyplot

    main = main_numbers(frame)
    columns = unique(main.column)
    best = published_best("figure3")
    figure, axes = pyplot.subplots(1, len(columns), figsize=(MIDDLE, HEIGHT), squeeze=False)
    drawn = list(axes[0])
    for axis, column in zip(axes[0], columns, strict=True):
        part = main[main.column == column]
        above = axis.twiny()
        drawn.append(above)
        _line(axis, part, _LENGTH, best)
        _line(above, part, _WINDOW, best)
        chance(axis, part.metric.iloc[0])
        axis.set_ylabel(METRICS[part.metric.iloc[0]].label)
        above.spines["top"].set(visible=True, color=_WINDOW.colour)
        axis.spines["bottom"].set_color(_LENGTH.colour)
        above.spines["bottom"].set_visible(False)
        above.xaxis.set_label_position("top")
    legend(figure, drawn)
    say_simulated(figure, frame)
    return figure


def _line(axis: Axes, part: pd.DataFrame, sweep: _Sweep, best: tuple[str, ...]) -> None:
    """Draw one of the two on its own axis, and ring what the paper calls best."""
    part = part[part.row.str.startswith(sweep.start)]
    part = part.assign(x=part.row.str.removeprefix(sweep.start).astype(int)).sort_values("x")
    axis.errorbar(
        part.x,
        part.value,
        yerr=intervals(part),
        color=sweep.colour,
        marker=sweep.marker,
        linestyle=sweep.line,
        label=sweep.label.partition(" (")[0],
    )
    ringed = part[part.row.isin(best)]
    axis.plot(
        ringed.x,
        ringed.value,
        color="black",
        marker="o",
        markersize=8,
        markerfacecolor="none",
        linestyle="",
        zorder=6,
        label="best in the paper",
    )
    axis.set_xticks(part.x, [sweep.step.format(x) for x in part.x])
    axis.set_xlabel(sweep.label, color=sweep.colour)
    axis.tick_params(axis="x", colors=sweep.colour)
