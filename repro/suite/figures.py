"""Plots of tables: functions from a tidy frame to a Figure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["share_plot"]


def share_plot(frame: pd.DataFrame) -> Figure:
    """Draw AUC against the share of the target's videos in the pretext, ours beside the paper's (Tables 4 and 5).

    Parameters
    ----------
    frame : DataFrame
        Tidy rows of a table whose row labels read ``A → B`` or ``A + B (30%) → B``, or name a reference ``… → B``.

    Returns
    -------
    Figure
        190 mm wide; one panel for each downstream dataset, one line for each metric.
    """
    from matplotlib import pyplot

    main = frame[frame["aggregate"] == "subject_mean"].copy()
    main["target"] = main.row.str.rpartition(" → ")[2]
    main["source"] = main.row.str.rpartition(" → ")[0]
    targets = list(dict.fromkeys(main.target))
    figure, axes = pyplot.subplots(1, len(targets), figsize=(190 / 25.4, 72 / 25.4), sharey=True, squeeze=False)
    for axis, target in zip(axes[0], targets, strict=True):
        _panel(axis, main[main.target == target], target)
    axes[0][0].set_ylabel("AUC (%)")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)))
    if (frame["data"] == "simulated").any():
        figure.suptitle("Simulated data", fontsize=7, fontstyle="italic", color="0.35")
    return figure


_REFERENCES = {
    "no pretext": ("0.25", (0, (5, 1))),
    "no pretext, shuffled labels": ("0.6", (0, (1, 1))),
    "ceiling: true PSPI": ("0.25", (0, (3, 1, 1, 1))),
}
"""Rows drawn as horizontal lines, for the binary metric: colour and dashes."""


def _panel(axis: Axes, rows: pd.DataFrame, target: str) -> None:
    datasets = {name for row in rows.source for name in re.split(r" \+ ", re.sub(r" \(\d+%\)", "", row))}
    sources = [name for name in datasets if name in set(rows.target) | {"UNBC-McMaster", "BioVid"} and name != target]
    swept = rows[rows.source.str.startswith(tuple(sources))].copy()
    swept["share"] = swept.source.str.extract(r"\((\d+)%\)", expand=False).fillna("0").astype(int)
    for offset, (column, line) in enumerate(swept.sort_values("share").groupby("column", sort=False)):
        errors = [line.value - line.ci_low, line.ci_high - line.value]
        axis.errorbar(line.share + 0.6 * offset, line.value, yerr=errors, label=f"{column}, this run")
        if line.paper.notna().any():
            axis.plot(line.share, line.paper, color="black", marker="x", linestyle=":", label=f"{column}, paper")
    binary = rows[rows.metric == "auc_binary"].set_index("source").value
    for name, (colour, dashes) in _REFERENCES.items():
        if name in binary.index:
            axis.axhline(
                binary[name], color=colour, linestyle=dashes, marker="", linewidth=0.8, label=f"Pain AUC, {name}"
            )
    axis.set_title(f"fine-tuned and tested on {target}")
    axis.set_xlabel(f"share of {target} videos in the pretext (%)")
    axis.set_xticks(sorted(set(swept.share)))
