"""Plots of tables: functions from a tidy frame to a Figure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from repro.suite.display import METRICS
from repro.suite.spec import DATASET_LABELS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["efficiency_plot", "methods_plot", "motion_plot", "share_plot", "systems_plot"]

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
    _legend(figure, axes[0])
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


def methods_plot(frame: pd.DataFrame) -> Figure:
    """Draw a line of the page for each method and a panel for each metric, inputs beside each other.

    Parameters
    ----------
    frame : DataFrame
        Tidy rows of methods, in the order of the page; columns read ``INPUT METRIC``. Accuracies of pretext tasks,
        whose units differ, are not drawn.

    Returns
    -------
    Figure
        190 mm wide, with 95 % intervals.
    """
    from matplotlib import pyplot

    main = frame[(frame["aggregate"] == "subject_mean") & ~frame.metric.str.startswith("pretext_")]
    main = main.assign(input=main.column.str.partition(" ")[0])
    metrics, inputs = (list(dict.fromkeys(main[name])) for name in ("metric", "input"))
    rows = list(dict.fromkeys(main.row))
    height = (18 + 6 * len(rows)) / 25.4
    figure, axes = pyplot.subplots(1, len(metrics), figsize=(_WIDTH, height), sharey=True, squeeze=False)
    for axis, metric in zip(axes[0], metrics, strict=True):
        for place, kind in enumerate(inputs):
            values = main[(main.metric == metric) & (main.input == kind)].set_index("row").loc[rows]
            y = [i + 0.25 * (place - (len(inputs) - 1) / 2) for i in range(len(rows))]
            errors = [values.value - values.ci_low, values.ci_high - values.value]
            axis.errorbar(values.value, y, xerr=errors, linestyle="", label=kind)
        shown = METRICS[metric]
        if shown.chance is not None:
            axis.axvline(shown.chance, color="0.6", linestyle=(0, (1, 1)), marker="", linewidth=0.8, label="chance")
        axis.set_xlabel(shown.label)
        axis.grid(axis="y", color="0.92", linewidth=0.6)
    axes[0][0].set_yticks(range(len(rows)), rows)
    axes[0][0].set_ylim(len(rows) - 0.5, -0.5)
    _legend(figure, axes.flat)
    _say_simulated(figure, frame)
    return figure


def systems_plot(frame: pd.DataFrame) -> Figure:
    """Draw a panel for each dataset and metric, a line for each system, inputs beside each other.

    Parameters
    ----------
    frame : DataFrame
        Tidy rows of systems, in the order of the page; rows read ``SYSTEM, DATASET`` and columns ``INPUT METRIC``.

    Returns
    -------
    Figure
        190 mm wide, with 95 % intervals; where a system is not applicable there is no mark.
    """
    from matplotlib import pyplot

    main = frame[(frame["aggregate"] == "subject_mean") & frame.metric.isin(_OF_SYSTEMS)]
    parts = main.row.str.rpartition(", ")
    main = main.assign(system=parts[0], dataset=parts[2], input=main.column.str.partition(" ")[0])
    datasets, inputs, systems = (list(dict.fromkeys(main[name])) for name in ("dataset", "input", "system"))
    height = (20 + len(datasets) * (12 + 5 * len(systems))) / 25.4
    figure, axes = pyplot.subplots(
        len(datasets), len(_OF_SYSTEMS), figsize=(_WIDTH, height), sharey=True, sharex="col", squeeze=False
    )
    for line_of_panels, dataset in zip(axes, datasets, strict=True):
        for axis, metric in zip(line_of_panels, _OF_SYSTEMS, strict=True):
            part = main[(main.metric == metric) & (main.dataset == dataset)]
            _draw_systems(axis, part, systems, inputs)
            axis.set_xlabel(METRICS[metric].label if dataset == datasets[-1] else "")
        line_of_panels[0].set_title(dataset, loc="left")
    axes[0][0].set_yticks(range(len(systems)), systems)
    axes[0][0].set_ylim(len(systems) - 0.5, -0.5)
    _legend(figure, axes.flat)
    _say_simulated(figure, frame)
    return figure


_OF_SYSTEMS = ("auc_binary", "mse", "pcc")
"""Metrics that are drawn of supervised systems."""


def _draw_systems(axis: Axes, part: pd.DataFrame, systems: list[str], inputs: list[str]) -> None:
    """Draw one metric on one dataset."""
    for place, kind in enumerate(inputs):
        values = part[part.input == kind].set_index("system").loc[systems]
        y = [i + 0.25 * (place - (len(inputs) - 1) / 2) for i in range(len(systems))]
        errors = [values.value - values.ci_low, values.ci_high - values.value]
        axis.errorbar(values.value, y, xerr=errors, linestyle="", label=kind)
    chance = METRICS[part.metric.iloc[0]].chance
    if chance is not None:
        axis.axvline(chance, color="0.6", linestyle=(0, (1, 1)), marker="", linewidth=0.8, label="chance")
    axis.grid(axis="y", color="0.92", linewidth=0.6)


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

    main = frame[frame["aggregate"] == "subject_mean"]
    labels = main.row.str.extract(r"^(?P<arm>.+), (?P<network>fine-tuned|probed), (?P<labels>\w+)$")
    main = main.assign(**labels)
    columns, networks, steps = (list(dict.fromkeys(main[name])) for name in ("column", "network", "labels"))
    figure, axes = pyplot.subplots(
        len(columns), len(networks), figsize=(_WIDTH, 2.0 * _HEIGHT), sharex=True, sharey="row", squeeze=False
    )
    for line_of_panels, column in zip(axes, columns, strict=True):
        for axis, network in zip(line_of_panels, networks, strict=True):
            part = main[(main.column == column) & (main.network == network)]
            arms = list(dict.fromkeys(part.arm))
            for place, arm in enumerate(arms):
                line = part[part.arm == arm].set_index("labels").loc[steps]
                # Set apart a little so that intervals do not cover each other.
                x = [i + 0.07 * (place - (len(arms) - 1) / 2) for i in range(len(steps))]
                errors = [line.value - line.ci_low, line.ci_high - line.value]
                _draw_arm(axis, arm, place, x, line.value, errors)
            chance = METRICS[part.metric.iloc[0]].chance
            if chance is not None:
                axis.axhline(chance, color="0.6", linestyle=(0, (1, 1)), marker="", linewidth=0.8, label="chance")
            axis.set_title(f"{column}, {network}" if column == columns[0] else network)
            axis.set_xticks(range(len(steps)), steps)
        line_of_panels[0].set_ylabel(METRICS[main[main.column == column].metric.iloc[0]].label)
    for axis in axes[-1]:
        axis.set_xlabel("labelled clips")
    _legend(figure, axes.flat)
    _say_simulated(figure, frame)
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


def _draw_arm(axis: Axes, arm: str, place: int, x: list[float], y: pd.Series, errors: list[pd.Series]) -> None:
    """Draw one line with its intervals; those of rivals are thin."""
    style = _OURS.get(arm)
    if style is None:
        colour, marker = _RIVALS[place % len(_RIVALS)]
        style = {"color": f"#{colour}", "marker": marker, "linestyle": "--", "linewidth": 0.8, "elinewidth": 0.4}
    axis.errorbar(x, y, yerr=errors, label=arm, **style)


def _legend(figure: Figure, axes: Iterable[Axes]) -> None:
    """Put one legend below all panels."""
    entries = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=min(5, len(entries)))


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
