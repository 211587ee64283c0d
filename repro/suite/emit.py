"""Writes a table: tidy CSV, Markdown and LaTeX in the paper's shape, JSON provenance, and its plot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.suite import sheet
from repro.suite.display import METRICS, format_number
from repro.suite.drawn import write_figure
from repro.suite.published import published_reason
from repro.suite.spec import Column, Row, Scale, Table
from repro.suite.work import MEASURED

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["emit", "to_latex", "to_markdown"]

_NO_REASONS: Mapping[str, str] = {}
_SIMULATED = "Simulated data: values are not comparable with the paper's; orderings are, as far as the intervals allow."


def emit(
    table: Table,
    frame: pd.DataFrame,
    scale: Scale,
    out: Path,
    data: str,
    provenance: Mapping[str, Any],
    reasons: Mapping[str, str] = _NO_REASONS,
) -> list[Path]:
    """Write everything a table emits.

    Parameters
    ----------
    table : Table
    frame : DataFrame
        As returned by `repro.suite.tabulate.tabulate`.
    scale : Scale
    out : path
        ``tables/<data>/`` and ``figures/<data>/`` are made below it.
    data : {"simulated", "licensed"}
    provenance : mapping
        Written as JSON.
    reasons : mapping of str to str
        Why rows, or rows on one input, could not be computed; told below the table.

    Returns
    -------
    list of Path
        The files, in the order written.
    """
    written = sheet.write_sheet(_sheet(table, frame, scale, reasons), frame, out / "tables" / data, provenance)
    return written + (_plot(table, frame, out / "figures" / data) if table.plot else [])


def _plot(table: Table, frame: pd.DataFrame, folder: Path) -> list[Path]:
    if table.plot is None or not (frame.cells_done > 0).any():
        return []
    return write_figure(table.plot, frame, frame, folder, table.name)


def _notes(table: Table, frame: pd.DataFrame, scale: Scale, reasons: Mapping[str, str]) -> list[str]:
    """Sentences below the table: what the numbers are and what is missing."""
    notes = []
    if (frame["data"] == "simulated").any():
        notes.append(_SIMULATED)
    notes.append(
        "Mean over held-out subjects with a 95 % interval (bootstrap over subjects). The CSV also has the values "
        "pooled over all clips that papers quote; they mix folds, so that even a constant predictor is not at 50 there."
    )
    main = frame[(frame["aggregate"] != "pooled") & ~frame.metric.isin(MEASURED)]
    seeds = _counts(main.n_seeds)
    noun = "repetition" if seeds == "1" else "repetitions"
    means = main[main["aggregate"] == "subject_mean"]
    subjects, folds = (_counts(means[name]) for name in ("n_subjects", "n_folds"))
    notes.append(f"{subjects or 'no'} subjects in {folds or 'no'} folds, {seeds or 'no'} {noun} of a row.")
    if scale.protocol_of(table) != table.protocol:
        notes.append(
            f"The paper leaves out one subject at a time; scale '{scale.name}' leaves out groups of them, unless "
            "--protocol leave_one_subject_out is given."
        )
    if frame.metric.isin(MEASURED).any():
        notes.append("Times and likenesses are means over videos or subjects, with the interval over these.")
    if (main["aggregate"] == "gain").any():
        leads = {row.label: row.lead[0] for row in table.rows}
        others = ", ".join(dict.fromkeys(leads[row.versus] for row in table.rows if row.versus))
        notes.append(
            f"Gain: mean difference within subjects to {others}, with the same labels, folds and repetitions; its "
            "interval is not adjusted for the number of comparisons."
        )
    if main.metric.str.startswith("pretext_").any():
        notes.append(
            "Accuracy and chance of a pretext are those on its held-out subjects, in the unit named; in brackets the "
            "lowest and the highest run."
        )
    constant = (main.n_undefined > 0) & (main.n_undefined == main.n_subjects)
    if constant.any():
        notes.append("A prediction that is the same for all clips has no correlation.")
    if (undefined := main.n_undefined[~constant].max()) > 0:
        notes.append(
            f"Up to {undefined} of the subjects have no defined value, such as one without any pain, and "
            "are left out of a mean; the CSV counts them."
        )
    notes += [table.note] if table.note else []
    notes.append(f"Scale '{scale.name}': {scale.note}.")
    missing = frame[frame.cells_done < frame.cells_total]
    if len(missing):
        notes.append(f"INCOMPLETE: {missing.row.nunique()} of {frame.row.nunique()} rows lack cells (marked *).")
    notes += [f"{place}: cannot be computed, as {reason}." for place, reason in reasons.items()]
    return notes


def _counts(numbers: pd.Series) -> str:
    return " or ".join(f"{count:g}" for count in sorted(set(numbers) - {0}))


def to_markdown(table: Table, frame: pd.DataFrame, scale: Scale, reasons: Mapping[str, str] = _NO_REASONS) -> str:
    """Return the table as Markdown that also reads well as plain text."""
    return sheet.to_markdown(_sheet(table, frame, scale, reasons))


def to_latex(table: Table, frame: pd.DataFrame, scale: Scale, reasons: Mapping[str, str] = _NO_REASONS) -> str:
    r"""Return a booktabs table and one ``\newcommand`` for each number, to be quoted in running text."""
    return sheet.to_latex(_sheet(table, frame, scale, reasons))


def _sheet(table: Table, frame: pd.DataFrame, scale: Scale, reasons: Mapping[str, str]) -> sheet.Sheet:
    """Lay the table out in the paper's shape, the paper's value beside ours."""
    main = frame[frame["aggregate"] != "pooled"].set_index(["row", "column"])
    best = _best(table, frame)
    shaped: list[tuple[bool, tuple[sheet.Cell, ...]]] = []
    for row in table.rows:
        cells: list[sheet.Cell] = list(row.lead)
        for column in table.columns:
            place = (row.label, column.label)
            number = main.loc[place]
            cells.append(_number(sheet.macro_name(table.name, *place), number, column.metric, place in best))
            if column.published:
                cells.append(_paper(table, row, column, number.paper))
        shaped.append((row.published, tuple(cells)))
    header = _header(table)
    return sheet.Sheet(
        name=table.name,
        title=table.title,
        caption=table.caption,
        header=tuple(header),
        alignment="l" * len(table.lead) + "r" * (len(header) - len(table.lead)),
        rows=tuple(shaped),
        notes=tuple(_notes(table, frame, scale, reasons)),
    )


def _paper(table: Table, row: Row, column: Column, value: float) -> str:
    """Return what the paper prints: its number, or why it has none."""
    if not row.published:
        return ""
    return published_reason(table.name, row.label, column.label) or format_number(value, column.metric)


def _number(macro: str, number: Any, metric: str, best: bool) -> sheet.Number:
    """Round a number of the tidy frame and its interval."""
    value = format_number(number.value, metric) if number.cells_total else "N/A"
    low, high = (format_number(bound, metric) for bound in (number.ci_low, number.ci_high))
    complete = number.cells_done == number.cells_total
    return sheet.Number(
        macro,
        value,
        interval="" if value in ("–", "N/A") else f"[{low}, {high}]",
        best=best,
        lacking="" if complete else f"{number.cells_done}/{number.cells_total}",
    )


def _best(table: Table, frame: pd.DataFrame) -> set[tuple[str, str]]:
    """(row, column) of the best published row for each target, in each column; a number that lacks cells is not."""
    main = frame[frame["aggregate"] != "pooled"].set_index(["row", "column"])
    whole = main.value.where(main.cells_done == main.cells_total)
    best = set()
    for column in table.columns:
        targets = {row.label: row.place(column).population.dataset for row in table.rows if row.published}
        for target in dict.fromkeys(targets.values()):
            labels = [label for label, own in targets.items() if own == target]
            values = whole.loc[[(label, column.label) for label in labels]].dropna()
            if len(values) and METRICS[column.metric].higher_is_better is not None:
                pick = values.idxmax() if METRICS[column.metric].higher_is_better else values.idxmin()
                best.add(pick)
    return best


def _header(table: Table) -> list[str]:
    header = list(table.lead)
    for column in table.columns:
        header.append(f"{column.label} [95 % CI]")
        if column.published:
            header.append(f"{column.label}, paper")
    return header
