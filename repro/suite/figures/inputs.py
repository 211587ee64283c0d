"""Inputs against each other (Table 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repro.suite.display import METRICS
from repro.suite.figures.common import (
    MIDDLE,
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
    from matplotlib.figure import Figure

__all__ = ["inputs_plot"]


def inputs_plot(frame: pd.DataFrame) -> Figure:
    """Draw a line of the page for each input and a panel for each dataset, both AUCs and the paper's.

    Parameters
    ----------
    frame : DataFrame
        Tidy rows of inputs; columns read ``DATASET`` or ``DATASET, pain AUC``.

    Returns
    -------
    Figure
        140 mm wide, with 95 % intervals; where an input cannot be made it says so.
    """
    from matplotlib import pyplot

    main = main_numbers(frame)
    main = main.assign(dataset=main.column.str.partition(", ")[0], shown=main.metric.map(lambda m: METRICS[m].label))
    datasets, rows, shown = (unique(main[name]) for name in ("dataset", "row", "shown"))
    size = (MIDDLE, mm(24 + 8 * len(rows)))
    figure, axes = pyplot.subplots(1, len(datasets), figsize=size, sharex=True, sharey=True, squeeze=False)
    for axis, dataset in zip(axes[0], datasets, strict=True):
        part = main[main.dataset == dataset]
        lines_of_dots(axis, part, rows, shown, ("row", "shown"), step=0.3)
        chance(axis, part.metric.iloc[0], vertical=True)
        axis.set_title(dataset)
        axis.set_xlabel("AUC (%)")
    name_lines(axes[0][0], rows)
    legend(figure, axes[0])
    say_simulated(figure, frame)
    return figure
