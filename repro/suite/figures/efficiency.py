"""Accuracy against the number of labelled clips."""

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
    say_simulated,
    set_apart,
    unique,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["efficiency_plot"]


def efficiency_plot(frame: pd.DataFrame) -> Figure:
    """Draw accuracy against the number of labelled clips: a panel for each metric, fine-tuned or probed.

    Parameters
    ----------
    frame : DataFrame
        Tidy rows whose labels read ``PRETEXT, fine-tuned, 24`` or ``PRETEXT, probed, all``.

    Returns
    -------
    Figure
        190 mm wide, with 95 % intervals.
    """
    from matplotlib import pyplot

    main = main_numbers(frame)
    labels = main.row.str.extract(r"^(?P<arm>.+), (?P<network>fine-tuned|probed), (?P<labels>\w+)$")
    main = main.assign(**labels)
    columns, networks, steps = (unique(main[name]) for name in ("column", "network", "labels"))
    figure, axes = pyplot.subplots(
        len(columns), len(networks), figsize=(FULL, 2.0 * HEIGHT), sharex=True, sharey="row", squeeze=False
    )
    for line_of_panels, column in zip(axes, columns, strict=True):
        for axis, network in zip(line_of_panels, networks, strict=True):
            part = main[(main.column == column) & (main.network == network)]
            arms = unique(part.arm)
            for place, arm in enumerate(arms):
                line = part[part.arm == arm].set_index("labels").loc[steps]
                # Set apart a little so that intervals do not cover each other.
                x = [i + set_apart(place, len(arms), 0.07) for i in range(len(steps))]
                _draw_arm(axis, arm, place, x, line)
            chance(axis, part.metric.iloc[0])
            axis.set_title(f"{column}, {network}" if column == columns[0] else network)
            axis.set_xticks(range(len(steps)), steps)
        line_of_panels[0].set_ylabel(METRICS[main[main.column == column].metric.iloc[0]].label)
    for axis in axes[-1]:
        axis.set_xlabel("labelled clips")
    legend(figure, axes.flat)
    say_simulated(figure, frame)
    return figure


_OURS: dict[str, dict[str, Any]] = {
    "no pretext": {"color": "black", "marker": "x", "linestyle": "-", "linewidth": 1.8, "zorder": 6},
    "the images' pixels": {"color": "0.45", "marker": "*", "linestyle": "-.", "linewidth": 1.2, "zorder": 4},
    "Our method": {"color": "#D55E00", "marker": "o", "linestyle": "-", "linewidth": 1.8, "zorder": 5},
    "Our method, distance of means": {"color": "#D55E00", "marker": "o", "linestyle": ":", "markerfacecolor": "white"},
}
"""Lines that stand out: what is compared with, and what is proposed."""

_RIVALS = (("0072B2", "s"), ("009E73", "^"), ("CC79A7", "D"), ("E69F00", "v"), ("56B4E9", "P"))
"""Colours and markers of the others."""


def _draw_arm(axis: Axes, arm: str, place: int, x: list[float], line: pd.DataFrame) -> None:
    """Draw one line with its intervals; those of rivals are thin."""
    style = _OURS.get(arm)
    if style is None:
        colour, marker = _RIVALS[place % len(_RIVALS)]
        style = {"color": f"#{colour}", "marker": marker, "linestyle": "--", "linewidth": 0.8, "elinewidth": 0.4}
    axis.errorbar(x, line.value, yerr=intervals(line), label=arm, **style)
