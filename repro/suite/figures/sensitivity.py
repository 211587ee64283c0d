"""What the alternatives to decisions change."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from repro.suite.display import METRICS
from repro.suite.figures.common import FULL, intervals, legend, mm, name_lines, not_applicable, say_simulated, unique

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["sensitivity_plot"]

CHANGE, ALIKE = "Change", "Image correlation"
"""Columns that rank alternatives, and that tell how alike their images are to the default's."""

ALTERNATIVE = r"D\d+: "
"""How rows of alternatives begin; the others are what they are compared with."""


def sensitivity_plot(frame: pd.DataFrame) -> Figure:
    """Draw what each alternative changes, the largest change at the top, and how alike its images are to the default's.

    Parameters
    ----------
    frame : DataFrame
        Tidy rows; those of alternatives read such as ``D2: center=False``. Columns of gains hold differences within
        subjects to the default, of which ``Change`` ranks the alternatives; column ``Image correlation`` holds the
        likeness of images.

    Returns
    -------
    Figure
        190 mm wide: a panel for each column. Changes whose 95 % interval holds 0 are drawn open.
    """
    from matplotlib import pyplot

    tried = frame[frame.row.str.match(ALTERNATIVE)]
    gains = tried[tried["aggregate"] == "gain"]
    changes = unique(gains.column)
    ranked = gains[gains.column == CHANGE].set_index("row").value.abs()
    rows = list(ranked.sort_values(ascending=False, na_position="last", kind="stable").index)
    size = (FULL, mm(26 + 4.2 * len(rows)))
    figure, axes = pyplot.subplots(1, len(changes) + 1, figsize=size, sharey=True, squeeze=False)
    for axis, column in zip(axes[0], changes, strict=False):
        _changes(axis, gains[gains.column == column].set_index("row").loc[rows])
    alike = tried[(tried.column == ALIKE) & (tried["aggregate"] == "subject_mean")].set_index("row").loc[rows]
    right = axes[0][-1]
    right.errorbar(alike.value, range(len(rows)), xerr=intervals(alike), color="#009E73", marker="D", linestyle="")
    not_applicable(right, alike, range(len(rows)))
    right.set_xlabel(_wrapped(f"{METRICS['image_correlation'].label} with the default's"))
    for axis in axes[0]:
        axis.grid(axis="y", color="0.92", linewidth=0.6)
    name_lines(axes[0][0], rows)
    legend(figure, axes[0])
    say_simulated(figure, frame)
    return figure


def _changes(axis: Axes, changes: pd.DataFrame) -> None:
    """Draw changes that are told from none filled, the others open."""
    axis.axvline(0, color="0.4", marker="", linestyle="-", linewidth=0.8, zorder=1.6)
    y = changes.assign(y=range(len(changes)))
    told = (y.ci_low > 0) | (y.ci_high < 0)
    for part, colour, face, label in (
        (y[told], "#D55E00", "#D55E00", "told from no change"),
        (y[~told], "0.35", "white", "not told from no change"),
    ):
        axis.errorbar(
            part.value,
            part.y,
            xerr=intervals(part),
            color=colour,
            marker="o",
            markerfacecolor=face,
            linestyle="",
            label=label,
        )
    not_applicable(axis, changes, range(len(changes)))
    axis.set_xlabel(_wrapped(f"change of {METRICS[changes.metric.iloc[0]].label}"))


def _wrapped(label: str) -> str:
    return textwrap.fill(label, 24)
