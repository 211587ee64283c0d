"""What plots share: widths, intervals, legends, and how chance, the paper and what is not applicable are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from repro.suite.display import METRICS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "FULL",
    "HEIGHT",
    "MIDDLE",
    "chance",
    "intervals",
    "legend",
    "lines_of_dots",
    "main_numbers",
    "mm",
    "name_lines",
    "not_applicable",
    "papers",
    "say_simulated",
    "set_apart",
    "unique",
]


def mm(length: float) -> float:
    """Return a length in inches."""
    return length / 25.4


FULL, MIDDLE, HEIGHT = mm(190), mm(140), mm(75)
"""Inches: the full width of a two-column journal page, one and a half columns, and the usual height."""


def unique(values: Iterable[Any]) -> list[Any]:
    """Return each value once, in the order of their first occurrences."""
    return list(dict.fromkeys(values))


def main_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the means over subjects, without pooled numbers and gains."""
    return frame[frame["aggregate"] == "subject_mean"]


def intervals(values: pd.DataFrame) -> list[pd.Series]:
    """Return how far intervals reach below and above the values; a bootstrap's may lie beside its value."""
    return [(values.value - values.ci_low).clip(lower=0), (values.ci_high - values.value).clip(lower=0)]


def set_apart(place: int, count: int, step: float) -> float:
    """Return the offset of one of ``count`` series that stand beside each other."""
    return step * (place - (count - 1) / 2)


def chance(axis: Axes, metric: str, *, vertical: bool = False) -> None:
    """Draw what guessing gives, where that is known."""
    if (value := METRICS[metric].chance) is not None:
        draw = axis.axvline if vertical else axis.axhline
        draw(value, color="0.6", linestyle=(0, (1, 1)), marker="", linewidth=0.8, label="chance", zorder=1.6)


def papers(axis: Axes, x: Sequence[float] | pd.Series, y: Sequence[float] | pd.Series) -> None:
    """Draw the paper's values as small crosses, above all else."""
    axis.plot(x, y, color="black", marker="x", markersize=3.5, linestyle="", label="paper", zorder=7)


def not_applicable(axis: Axes, values: pd.DataFrame, y: Sequence[float]) -> None:
    """Say N/A at the left, on the lines of numbers that cannot be: without cells."""
    if (values.cells_total == 0).any():
        for one in axis.get_shared_x_axes().get_siblings(axis):
            one.margins(x=0.1)  # Room, so that it does not lie on a mark.
    for place, total in zip(y, values.cells_total, strict=True):
        if total == 0:
            axis.annotate(
                "N/A",
                (0.0, place),
                xycoords=("axes fraction", "data"),
                xytext=(2, 0),
                textcoords="offset points",
                color="0.35",
                fontsize=5.5,
                va="center",
            )


def legend(figure: Figure, axes: Iterable[Axes], columns: int = 5) -> None:
    """Put one legend below all panels."""
    entries = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=min(columns, len(entries)))


def say_simulated(figure: Figure, frame: pd.DataFrame) -> None:
    """Write above a figure of simulated data what it is."""
    if (frame["data"] == "simulated").any():
        figure.suptitle("simulated data: not comparable with the paper's values", fontsize=7, color="0.35")


def lines_of_dots(
    axis: Axes, numbers: pd.DataFrame, rows: Sequence[str], series: Sequence[str], by: tuple[str, str], *, step: float
) -> None:
    """Draw a line of the page for each row, and on it a dot with its interval for each series, in the cycle's styles.

    Parameters
    ----------
    axis : Axes
        The first row is at 0, the next at 1.
    numbers : DataFrame
        One number for each row and series; where there are no cells it says N/A.
    rows, series : sequence of str
    by : tuple of str
        Columns that hold the row and the series.
    step : float
        Between dots of one row.
    """
    for place, name in enumerate(series):
        values = numbers[numbers[by[1]] == name].set_index(by[0]).reindex(rows)
        y = [i + set_apart(place, len(series), step) for i in range(len(rows))]
        axis.errorbar(values.value, y, xerr=intervals(values), linestyle="", label=name)
        not_applicable(axis, values, y)
        if values.paper.notna().any():
            papers(axis, values.paper, y)
    axis.grid(axis="y", color="0.92", linewidth=0.6)


def name_lines(axis: Axes, rows: Sequence[str]) -> None:
    """Write the rows' names beside their lines, the first at the top."""
    axis.set_yticks(range(len(rows)), rows)
    axis.set_ylim(len(rows) - 0.5, -0.5)
