"""A table as it is laid out, whatever it is about: Markdown, LaTeX, and the files that every table emits."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cell", "Number", "Sheet", "macro_name", "to_latex", "to_markdown", "write_sheet"]

_LATEX = str.maketrans(
    {
        **{mark: "\\" + mark for mark in "%&_#${}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "→": r"$\rightarrow$",
        "–": "--",
        "\n": " ",
    }
)
"""What texts hold and LaTeX would take for something else; they may hold the names of files."""
_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


@dataclass(frozen=True)
class Number:
    r"""A number of ours in a table.

    Attributes
    ----------
    macro : str
        Name of its LaTeX command, without the backslash; see `macro_name`.
    value : str
        As readers see it; a dash where there is none.
    interval : str
        Such as ``[65.0, 77.1]``; "" for none.
    best : bool
        Whether it is set in bold.
    lacking : str
        Such as "3/4" where only some of what it is computed from is there; "" where all is.
    unit : str
        Of what is lacking.
    """

    macro: str
    value: str
    interval: str = ""
    best: bool = False
    lacking: str = ""
    unit: str = "cells"

    def markdown(self) -> str:
        """Return it for Markdown."""
        text = f"{self.value} {self.interval}".rstrip()
        text = f"**{text}**" if self.best else text
        return f"{text} * ({self.lacking} {self.unit})" if self.lacking else text

    def latex(self) -> str:
        """Return it for LaTeX, by its macro."""
        text = rf"\textbf{{\{self.macro}}}" if self.best else rf"\{self.macro}{{}}"
        text += rf" {{\scriptsize {self.interval}}}" if self.interval else ""
        text += f"$^*$ ({self.lacking})" if self.lacking else ""
        return text.replace("–", "--")


Cell = str | Number
"""What stands in one place of a table: a text, such as a label or the paper's number, or a number of ours."""


@dataclass(frozen=True)
class Sheet:
    """A table that is laid out.

    Attributes
    ----------
    name, title, caption : str
    header : tuple of str
        Label of each column.
    alignment : str
        LaTeX's letter for each column.
    rows : tuple of (bool, tuple of Cell)
        Whether the paper has the row, and its cells. Others stand below a line, as ours.
    notes : tuple of str
        Sentences below the table.
    """

    name: str
    title: str
    caption: str
    header: tuple[str, ...]
    alignment: str
    rows: tuple[tuple[bool, tuple[Cell, ...]], ...]
    notes: tuple[str, ...]


def to_markdown(sheet: Sheet) -> str:
    """Return the table as Markdown that also reads well as plain text."""
    shaped = [(published, [_as_markdown(cell) for cell in cells]) for published, cells in sheet.rows]
    body = [cells for published, cells in shaped if published]
    if ours := [cells for published, cells in shaped if not published]:
        # a table without any row of the paper says so in its title
        divider = [["*not in the paper:*"] + [""] * (len(sheet.header) - 1)] if body else []
        body += [*divider, *ours]
    widths = [max(len(line[i]) for line in [sheet.header, *body]) for i in range(len(sheet.header))]
    lines = [f"**{sheet.title}**", ""]
    for number, line in enumerate([sheet.header, *body]):
        lines.append("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |")
        if number == 0:
            lines.append("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join([*lines, "", *(f"{note}  " for note in sheet.notes)]).rstrip() + "\n"


def _as_markdown(cell: Cell) -> str:
    return cell.markdown() if isinstance(cell, Number) else cell


def to_latex(sheet: Sheet) -> str:
    r"""Return a booktabs table and one ``\newcommand`` for each number, to be quoted in running text."""
    shaped = [(published, " & ".join(_as_latex(cell) for cell in cells) + r" \\") for published, cells in sheet.rows]
    numbers = [cell for _, cells in sheet.rows for cell in cells if isinstance(cell, Number)]
    paper, ours = ([line for published, line in shaped if published is wanted] for wanted in (True, False))
    return "\n".join(
        [
            f"% {sheet.name}: needs booktabs",
            *(rf"\newcommand{{\{number.macro}}}{{{number.value}}}" for number in numbers),
            r"\begin{table}[t]",
            r"\centering\footnotesize",
            rf"\caption{{{' '.join([sheet.caption, *sheet.notes]).translate(_LATEX)}}}",
            rf"\label{{tab:{sheet.name}}}",
            rf"\begin{{tabular}}{{{sheet.alignment}}}",
            r"\toprule",
            " & ".join(text.translate(_LATEX) for text in sheet.header) + r" \\",
            r"\midrule",
            *paper,
            *([r"\midrule"] if paper and ours else []),
            *ours,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _as_latex(cell: Cell) -> str:
    return cell.latex() if isinstance(cell, Number) else cell.translate(_LATEX)


def macro_name(*parts: str) -> str:
    r"""Join names to a control sequence of letters only."""
    spelled = re.sub(
        r"\d", lambda digit: _DIGITS[int(digit[0])], " ".join(parts).replace("→", "to").replace("+", "and")
    )
    words = re.findall(r"[A-Za-z]+", spelled)
    return "".join(word[0].upper() + word[1:] for word in words)


def write_sheet(sheet: Sheet, frame: pd.DataFrame, folder: Path, provenance: Mapping[str, Any]) -> list[Path]:
    """Write ``<folder>/<name>.csv``, ``.md``, ``.tex`` and ``.json``.

    Parameters
    ----------
    sheet : Sheet
    frame : DataFrame
        Tidy numbers, written as CSV with all their digits.
    folder : path
    provenance : mapping
        Written as JSON.

    Returns
    -------
    list of Path
        The files, in the order written.
    """
    texts = {
        ".csv": frame.to_csv(index=False, lineterminator="\n"),
        ".md": to_markdown(sheet),
        ".tex": to_latex(sheet),
        ".json": json.dumps(provenance, indent=1, sort_keys=True, default=str) + "\n",
    }
    for suffix, text in texts.items():
        write_atomically(folder / f"{sheet.name}{suffix}", text.encode())
    return [folder / f"{sheet.name}{suffix}" for suffix in texts]
