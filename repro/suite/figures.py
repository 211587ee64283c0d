"""Plots of tables: functions from a tidy frame to a Figure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from repro.suite.spec import DATASET_LABELS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["motion_plot", "share_plot"]

_WIDTH, _HEIGHT = 190 / 25.4, 75 / 25.4
"""Inches: the full width of a two-column journal page."""

_REFERENCES = {
    "no pretext": ("0.25", (0, (5, 1))),
    "no pretext, shuffled labels": ("0.6", (0, (1, 1))),
    "true PSPI only": ("0.25", (0, (3, 1, 1, 1))),
}
"""Rows drawn as horizontal lines: colour and dashes."""


def share_plot(frame: pd.DataFrame) -> Figure:
    """Draw AUC against the share of the target's videos in the pretext, ours beside the paper's (Tables 4 and 5).

    Parameters
    ----------
    frame : DataFrame
        Tidy rows whose labels read ``A → B``, ``A + B (30%) → B``, or ``reference → B``.

    Returns
    -------
    Figure
        190 mm wide; one panel for each downstream dataset and metric, with 95 % intervals.
    """
    from matplotlib import pyplot

    main = frame[frame["aggregate"] == "subject_mean"]
    targets = list(dict.fromkeys(main.row.str.rpartition(" → ")[2]))
    columns = list(dict.fromkeys(main.column))
    panels = [(target, column) for target in targets for column in columns]
    figure, axes = pyplot.subplots(1, len(panels), figsize=(_WIDTH, _HEIGHT), sharey=True, squeeze=False)
    for axis, (target, column) in zip(axes[0], panels, strict=True):
        _panel(axis, main[(main.column == column) & main.row.str.endswith(f" → {target}")], target)
        axis.set_title(f"{target}: {column}")
    axes[0][0].set_ylabel("AUC (%)")
    entries = {
        label: handle for axis in axes[0] for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=len(entries))
    _say_simulated(figure, frame)
    return figure


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

    main = frame[frame["aggregate"] == "subject_mean"]
    labels = main.row.str.extract(r"^head motion (?P<motion>[\d.]+), (?P<faces>.+)$")
    main = main.assign(motion=labels.motion.astype(float), faces=labels.faces)
    columns = list(dict.fromkeys(main.column))
    figure, axes = pyplot.subplots(1, len(columns), figsize=(140 / 25.4, _HEIGHT), sharey=True, squeeze=False)
    steps = sorted(set(main.motion))
    for axis, column in zip(axes[0], columns, strict=True):
        rows = main[main.column == column]
        for place, (faces, line) in enumerate(rows.groupby("faces", sort=False)):
            line = line.sort_values("motion")
            # Evenly spaced, and set apart a little so that intervals do not cover each other.
            x = [steps.index(motion) + 0.08 * (place - 1) for motion in line.motion]
            axis.errorbar(x, line.value, yerr=[line.value - line.ci_low, line.ci_high - line.value], label=str(faces))
        axis.axhline(50, color="0.6", linestyle=(0, (1, 1)), marker="", linewidth=0.8, label="chance")
        axis.set_xticks(range(len(steps)), [f"{step:g}" for step in steps])
        axis.set_xlabel("head motion (1: about 3° of yaw)")
        axis.set_title(str(column))
    axes[0][0].set_ylabel("pain AUC (%)")
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    _say_simulated(figure, frame)
    return figure


def _say_simulated(figure: Figure, frame: pd.DataFrame) -> None:
    if (frame["data"] == "simulated").any():
        figure.suptitle("simulated data: not comparable with the paper's values", fontsize=7, color="0.35")


def _panel(axis: Axes, rows: pd.DataFrame, target: str) -> None:
    """Draw one metric on one downstream dataset."""
    swept = rows.assign(share=rows.row.map(_share)).dropna(subset=["share"]).sort_values("share")
    errors = [swept.value - swept.ci_low, swept.ci_high - swept.value]
    axis.errorbar(swept.share, swept.value, yerr=errors, label="this run")
    if swept.paper.notna().any():
        axis.plot(swept.share, swept.paper, color="black", marker="x", linestyle=":", label="paper")
    values = rows.set_index("row").value
    for name, (colour, dashes) in _REFERENCES.items():
        if (label := f"{name} → {target}") in values.index:
            axis.axhline(values[label], color=colour, linestyle=dashes, marker="", linewidth=0.8, label=name)
    axis.set_xlabel(f"share of {target.removesuffix('-McMaster')} in the pretext (%)")
    axis.set_xticks(sorted(set(swept.share)))


def _share(label: str) -> float | None:
    """Return the target's share in per cent that a row's label tells: 0 for ``A → B``, None for a reference."""
    source, _, target = label.rpartition(" → ")
    others = [name for name in DATASET_LABELS.values() if name != target]
    if source in others:
        return 0.0
    found = re.fullmatch(rf".+ \+ {re.escape(target)} \((\d+)%\)", source)
    return float(found[1]) if found else None
