"""Accuracy against shares of the target's videos (Tables 4 and 5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from repro.suite.figures.common import FULL, HEIGHT, intervals, legend, main_numbers, say_simulated, unique
from repro.suite.spec import DATASET_LABELS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["share_plot", "supervised_share_plot"]

_REFERENCES = {
    "no pretext": ("0.25", (0, (5, 1))),
    "no pretext, shuffled labels": ("0.6", (0, (1, 1))),
    "true PSPI only": ("0.25", (0, (3, 1, 1, 1))),
}
"""Rows drawn as horizontal lines: colour and dashes."""


_OF_LABELLED = {"no pretext": "its own training subjects", "no pretext, shuffled labels": "its own, shuffled labels"}
"""What they are called beside networks that are trained with labels: labelled data of the target alone."""


def share_plot(frame: pd.DataFrame) -> Figure:
    """Draw AUC against the share of the target's videos in the pretext, ours beside the paper's (Table 4).

    Parameters
    ----------
    frame : DataFrame
        Tidy rows whose labels read ``A → B``, ``A + B (30%) → B``, or ``reference → B``.

    Returns
    -------
    Figure
        190 mm wide; one panel for each downstream dataset and metric, with 95 % intervals.
    """
    return _plot(frame, "pretext", {})


def supervised_share_plot(frame: pd.DataFrame) -> Figure:
    """Draw AUC against the share of the target's videos among those that pain is learned from (Table 5).

    Parameters and result are those of `share_plot`; without a pretext a network is trained on the target's own
    training subjects.
    """
    return _plot(frame, "labelled data", _OF_LABELLED)


def _plot(frame: pd.DataFrame, data: str, names: Mapping[str, str]) -> Figure:
    """Draw panels; ``data`` is what the share is in, and ``names`` what references are called, if not as in rows."""
    from matplotlib import pyplot

    main = main_numbers(frame)
    targets = unique(main.row.str.rpartition(" → ")[2])
    columns = unique(main.column)
    panels = [(target, column) for target in targets for column in columns]
    figure, axes = pyplot.subplots(1, len(panels), figsize=(FULL, HEIGHT), sharey=True, squeeze=False)
    for axis, (target, column) in zip(axes[0], panels, strict=True):
        _panel(axis, main[(main.column == column) & main.row.str.endswith(f" → {target}")], target, names)
        axis.set_xlabel(f"% of {target.removesuffix('-McMaster')} in the {data}")
        axis.set_title(f"{target}: {column}")
    axes[0][0].set_ylabel("AUC (%)")
    legend(figure, axes[0])
    say_simulated(figure, frame)
    return figure


def _panel(axis: Axes, rows: pd.DataFrame, target: str, names: Mapping[str, str]) -> None:
    """Draw one metric on one downstream dataset."""
    swept = rows.assign(share=rows.row.map(_share)).dropna(subset=["share"]).sort_values("share")
    axis.errorbar(swept.share, swept.value, yerr=intervals(swept), label="this run")
    if swept.paper.notna().any():
        axis.plot(swept.share, swept.paper, color="black", marker="x", linestyle=":", label="paper")
    values = rows.set_index("row").value
    for name, (colour, dashes) in _REFERENCES.items():
        if (label := f"{name} → {target}") in values.index:
            axis.axhline(
                values[label], color=colour, linestyle=dashes, marker="", linewidth=0.8, label=names.get(name, name)
            )
    axis.set_xticks(sorted(set(swept.share)))


def _share(label: str) -> float | None:
    """Return the target's share in per cent that a row's label tells: 0 for ``A → B``, None for a reference."""
    source, _, target = label.rpartition(" → ")
    others = [name for name in DATASET_LABELS.values() if name != target]
    if source in others:
        return 0.0
    found = re.fullmatch(rf".+ \+ {re.escape(target)} \((\d+)%\)", source)
    return float(found[1]) if found else None
