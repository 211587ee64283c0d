"""Accuracy against head motion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repro.suite.figures.common import HEIGHT, MIDDLE, chance, intervals, legend, main_numbers, say_simulated, unique

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["motion_plot"]


def motion_plot(frame: pd.DataFrame) -> Figure:
    """Draw AUC against head motion, a panel for each input and a line for each way to bring faces to one frame.

    Parameters
    ----------
    frame : DataFrame
        Tidy rows whose labels read ``head motion M, FACES``.

    Returns
    -------
    Figure
        140 mm wide, with 95 % intervals.
    """
    from matplotlib import pyplot

    main = main_numbers(frame)
    labels = main.row.str.extract(r"^head motion (?P<motion>[\d.]+), (?P<faces>.+)$")
    main = main.assign(motion=labels.motion.astype(float), faces=labels.faces)
    columns = unique(main.column)
    figure, axes = pyplot.subplots(1, len(columns), figsize=(MIDDLE, HEIGHT), sharey=True, squeeze=False)
    steps = sorted(set(main.motion))
    for axis, column in zip(axes[0], columns, strict=True):
        rows = main[main.column == column]
        for place, (faces, line) in enumerate(rows.groupby("faces", sort=False)):
            line = line.sort_values("motion")
            # Evenly spaced, and set apart a little so that intervals do not cover each other.
            x = [steps.index(motion) + 0.08 * (place - 1) for motion in line.motion]
            axis.errorbar(x, line.value, yerr=intervals(line), label=str(faces))
        chance(axis, "auc_binary")
        axis.set_xticks(range(len(steps)), [f"{step:g}" for step in steps])
        axis.set_xlabel("head motion (1: about 3° of yaw)")
        axis.set_title(str(column))
    axes[0][0].set_ylabel("pain AUC (%)")
    legend(figure, axes[0])
    say_simulated(figure, frame)
    return figure
