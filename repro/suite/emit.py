"""Writes a table: tidy CSV, Markdown and LaTeX in the paper's shape, JSON provenance, and its plot."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.files import write_atomically
from repro.suite.display import METRICS, format_number, format_with_interval
from repro.suite.spec import Scale, Table

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
    reasons : mapping of row to str
        Why rows could not be computed; told below the table.

    Returns
    -------
    list of Path
        The files, in the order written.
    """
    folder = out / "tables" / data
    texts = {
        ".csv": frame.to_csv(index=False, lineterminator="\n"),
        ".md": to_markdown(table, frame, scale, reasons),
        ".tex": to_latex(table, frame, scale, reasons),
        ".json": json.dumps(provenance, indent=1, sort_keys=True, default=str) + "\n",
    }
    written = []
    for suffix, text in texts.items():
        written.append(folder / f"{table.name}{suffix}")
        write_atomically(written[-1], text.encode())
    return written + (_plot(table, frame, out / "figures" / data) if table.plot else [])


def _plot(table: Table, frame: pd.DataFrame, folder: Path) -> list[Path]:
    import io

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    if table.plot is None or not (frame.cells_done > 0).any():
        return []
    written = []
    with pyplot.style.context(str(Path(__file__).with_name("style.mplstyle"))):
        figure = table.plot(frame)
        for suffix, metadata in ((".pdf", {"CreationDate": None}), (".png", {"Software": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix[1:], metadata=metadata)
            written.append(folder / f"{table.name}{suffix}")
            write_atomically(written[-1], buffer.getvalue())
        pyplot.close(figure)
    written.append(folder / f"{table.name}.csv")
    write_atomically(written[-1], frame.to_csv(index=False, lineterminator="\n").encode())
    return written


def _notes(frame: pd.DataFrame, scale: Scale, reasons: Mapping[str, str]) -> list[str]:
    """Sentences below the table: what the numbers are and what is missing."""
    notes = []
    if (frame["data"] == "simulated").any():
        notes.append(_SIMULATED)
    notes.append(
        "Mean over held-out subjects with a 95 % interval (bootstrap over subjects). The CSV also has the values "
        "pooled over all clips that papers quote; they mix folds, so that even a constant predictor leaves 50 there."
    )
    notes.append(f"Scale '{scale.name}': {scale.note}.")
    missing = frame[frame.cells_done < frame.cells_total]
    if len(missing):
        notes.append(f"INCOMPLETE: {missing.row.nunique()} of {frame.row.nunique()} rows lack cells (marked *).")
    notes += [f"{row}: cannot be computed on this data, as {reason}." for row, reason in reasons.items()]
    return notes


def _shaped(table: Table, frame: pd.DataFrame) -> list[tuple[bool, list[str]]]:
    """Rows as they are shown: (published, cells), the paper's value beside ours."""
    main = frame[frame["aggregate"] == "subject_mean"].set_index(["row", "column"])
    best = _best(table, frame)
    shaped = []
    for row in table.rows:
        cells = list(row.lead)
        for column in table.columns:
            number = main.loc[(row.label, column.label)]
            text = format_with_interval(number.value, number.ci_low, number.ci_high, column.metric)
            if (row.label, column.label) in best:
                text = f"**{text}**"
            if number.cells_done < number.cells_total:
                text += f" * ({number.cells_done}/{number.cells_total} cells)"
            cells.append(text)
            if column.published:
                paper = None if not row.published else number.paper
                cells.append(format_number(paper, column.metric) if row.published else "")
        shaped.append((row.published, cells))
    return shaped


def _best(table: Table, frame: pd.DataFrame) -> set[tuple[str, str]]:
    """(row, column) of the best published row for each target, in each column."""
    main = frame[frame["aggregate"] == "subject_mean"].set_index(["row", "column"])
    best = set()
    for column in table.columns:
        for target in dict.fromkeys(row.target for row in table.rows):
            labels = [row.label for row in table.rows if row.published and row.target == target]
            values = main.loc[[(label, column.label) for label in labels]].value.dropna()
            if len(values):
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


def to_markdown(table: Table, frame: pd.DataFrame, scale: Scale, reasons: Mapping[str, str] = _NO_REASONS) -> str:
    """Return the table as Markdown that also reads well as plain text."""
    header, shaped = _header(table), _shaped(table, frame)
    body = [cells for published, cells in shaped if published]
    ours = [cells for published, cells in shaped if not published]
    if ours:
        body += [["*not in the paper:*"] + [""] * (len(header) - 1), *ours]
    widths = [max(len(line[i]) for line in [header, *body]) for i in range(len(header))]
    lines = [f"**{table.title}**", ""]
    for number, line in enumerate([header, *body]):
        lines.append("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |")
        if number == 0:
            lines.append("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join([*lines, "", *(f"{note}  " for note in _notes(frame, scale, reasons))]).rstrip() + "\n"


_LATEX = str.maketrans({"%": r"\%", "&": r"\&", "_": r"\_", "#": r"\#", "→": r"$\rightarrow$", "–": "--"})
_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


def to_latex(table: Table, frame: pd.DataFrame, scale: Scale, reasons: Mapping[str, str] = _NO_REASONS) -> str:
    r"""Return a booktabs table and one ``\newcommand`` for each number, to be quoted in running text."""
    macros: list[str] = []
    main = frame[frame["aggregate"] == "subject_mean"].set_index(["row", "column"])
    best = _best(table, frame)
    shaped: list[tuple[bool, list[str]]] = []
    for row in table.rows:
        cells = [text.translate(_LATEX) for text in row.lead]
        for column in table.columns:
            number = main.loc[(row.label, column.label)]
            name = _macro(table.name, row.label, column.label)
            value = format_number(number.value, column.metric)
            macros.append(rf"\newcommand{{\{name}}}{{{value}}}")
            interval = (
                rf"[{format_number(number.ci_low, column.metric)}, {format_number(number.ci_high, column.metric)}]"
            )
            text = rf"\textbf{{\{name}}}" if (row.label, column.label) in best else rf"\{name}{{}}"
            text += rf" {{\scriptsize {interval}}}" if value != "–" else ""
            if number.cells_done < number.cells_total:
                text += rf"$^*$ ({number.cells_done}/{number.cells_total})"
            cells.append(text.replace("–", "--"))
            if column.published:
                cells.append(format_number(number.paper, column.metric).translate(_LATEX) if row.published else "")
        shaped.append((row.published, cells))
    header = [text.translate(_LATEX) for text in _header(table)]
    lines = [" & ".join(cells) + r" \\" for published, cells in shaped if published]
    ours = [" & ".join(cells) + r" \\" for published, cells in shaped if not published]
    caption = " ".join([table.caption, *_notes(frame, scale, reasons)]).translate(_LATEX)
    return "\n".join(
        [
            f"% {table.name}: needs booktabs",
            *macros,
            r"\begin{table}[t]",
            r"\centering\footnotesize",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:{table.name}}}",
            rf"\begin{{tabular}}{{{'l' * len(table.lead)}{'r' * (len(header) - len(table.lead))}}}",
            r"\toprule",
            " & ".join(header) + r" \\",
            r"\midrule",
            *lines,
            *([r"\midrule", *ours] if ours else []),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _macro(*parts: str) -> str:
    r"""Join names to a control sequence of letters only."""
    spelled = re.sub(
        r"\d", lambda digit: _DIGITS[int(digit[0])], " ".join(parts).replace("→", "to").replace("+", "and")
    )
    words = re.findall(r"[A-Za-z]+", spelled)
    return "".join(word[0].upper() + word[1:] for word in words)
