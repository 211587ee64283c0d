"""Emitted tables, read back: the layout from Markdown, which number is which from LaTeX, its digits from the CSV."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from repro.suite.sheet import macro_name

__all__ = ["EmittedTable", "Field", "UnreadableTable", "parse_table", "read_rows"]

_DIVIDER = "*not in the paper:*"
_PAPER = ", paper"
_INTERVAL = " [95 % CI]"
_NONE = ("–", "N/A")
_NUMBER = re.compile(
    r"(?P<bold>\*\*)?(?P<value>–|N/A|[-+]?[\d,]*\.?\d+(?:e[-+]?\d+)?)(?: (?P<interval>\[[^\]]*\]))?(?(bold)\*\*)"
    r"(?: \* \((?P<lacking>[^)]*)\))?"
)
_MACRO = re.compile(r"(?:\\textbf\{)?\\(?P<macro>[A-Za-z]+)(?:\{\}|\})")
_CELLS = re.compile(r"(?<!\\)&")


class UnreadableTable(ValueError):
    """A file is not as tables are emitted, or does not belong to the others of its table."""


@dataclass(frozen=True)
class Field:
    """What stands in one place of a table.

    Attributes
    ----------
    text : str
        As readers see it, without the interval.
    value : float or None
        By which it is sorted, with all digits that are known; None for words and what is not there.
    interval : str
        Such as ``[65.0, 77.1]``; "" for none.
    best : bool
    lacking : str
        Such as "3/4 cells" where only some of what it is computed from is there; "" where all is.
    """

    text: str
    value: float | None = None
    interval: str = ""
    best: bool = False
    lacking: str = ""


@dataclass(frozen=True)
class EmittedTable:
    """A table as it was laid out.

    Attributes
    ----------
    title : str
    header : tuple of str
        Labels, as in the Markdown.
    kinds : tuple of {"label", "text", "ours", "paper"}
        Of each column; labels stand before the first number.
    rows : tuple of (bool, tuple of Field)
        Whether the row stands above the line that sets apart what is not in the paper, and its fields.
    notes : tuple of str
    lists : tuple of (str, tuple of str)
        What stands below the notes, each list with its heading.
    """

    title: str
    header: tuple[str, ...]
    kinds: tuple[str, ...]
    rows: tuple[tuple[bool, tuple[Field, ...]], ...]
    notes: tuple[str, ...]
    lists: tuple[tuple[str, tuple[str, ...]], ...] = ()


def read_rows(text: str, name: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file.

    Raises
    ------
    UnreadableTable
        If it has no header, or a row has more or fewer fields than that.
    """
    rows = list(csv.reader(io.StringIO(text)))
    if not rows:
        raise UnreadableTable(f"{name} is empty")
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise UnreadableTable(f"{name}: record {number} has {len(row)} fields, not {len(rows[0])}")
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def parse_table(name: str, markdown: str, latex: str | None, numbers: Sequence[Mapping[str, str]]) -> EmittedTable:
    r"""Read a table back.

    Parameters
    ----------
    name : str
        Of the table and its files.
    markdown : str
    latex : str or None
        Tells by its commands which fields are numbers of ours, and which; None if it is not there, so that a number
        is known with the digits shown only.
    numbers : sequence of mapping
        Rows of the CSV.

    Raises
    ------
    UnreadableTable
        If the Markdown has no table or not one, or shows another number than the CSV has.
    """
    title, grid, below = _split(name, markdown)
    header = tuple(grid[0])
    above, shaped = True, []
    for line in grid[1:]:
        if line[0] == _DIVIDER:
            above = False
        else:
            shaped.append((above, [_field(text) for text in line]))
    macros = _macros(name, latex, shaped) if latex is not None else None
    kinds = _kinds(header, macros, [fields for _, fields in shaped])
    if macros is not None:
        known = _by_macro(name, numbers)
        for (_, fields), own in zip(shaped, macros, strict=True):
            _fill(name, fields, own, kinds, known)
    rows = tuple((published, tuple(fields)) for published, fields in shaped)
    return EmittedTable(title, header, kinds, rows, *_below(below))


def _split(name: str, markdown: str) -> tuple[str, list[list[str]], list[str]]:
    """Return title, cells and the lines below."""
    lines = [line.rstrip() for line in markdown.splitlines()]
    table = [number for number, line in enumerate(lines) if line.startswith("|")]
    if len(table) < 2 or not re.fullmatch(r"\|(-+\|)+", lines[table[1]]):
        raise UnreadableTable(f"{name}.md holds no table")
    if table != list(range(table[0], table[-1] + 1)):
        raise UnreadableTable(f"{name}.md holds more than one table")
    # Cells are padded to one width, so that a label may hold a bar.
    bars = [place for place, sign in enumerate(lines[table[1]]) if sign == "|"]
    grid = []
    for number in (table[0], *table[2:]):
        line = lines[number]
        if len(line) != bars[-1] + 1 or any(line[place] != "|" for place in bars):
            raise UnreadableTable(f"{name}.md: the cells of line {number + 1} do not stand below the header's")
        grid.append([line[left + 1 : right].strip() for left, right in zip(bars, bars[1:], strict=False)])
    title = " ".join(line for line in lines[: table[0]] if line).removeprefix("**").removesuffix("**")
    return title, grid, [line for line in lines[table[-1] + 1 :] if line]


def _below(lines: Sequence[str]) -> tuple[tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...]]:
    """Return notes, and lists with their headings."""
    notes: list[str] = []
    lists: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.startswith("**") and line.endswith("**"):
            lists.append((line[2:-2], []))
        elif line.startswith("- ") and lists:
            lists[-1][1].append(line[2:])
        else:
            notes.append(line)
    return tuple(notes), tuple((heading, tuple(items)) for heading, items in lists)


def _field(text: str) -> Field:
    found = _NUMBER.fullmatch(text)
    if found is None:
        best = len(text) > 4 and text.startswith("**") and text.endswith("**")
        return Field(text[2:-2] if best else text, best=best)
    return Field(
        found["value"],
        _shown(found["value"]),
        interval=found["interval"] or "",
        best=found["bold"] is not None,
        lacking=found["lacking"] or "",
    )


def _shown(text: str) -> float | None:
    """Return the value of a number as it is shown; None for a dash."""
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def _macros(name: str, latex: str, shaped: Sequence[tuple[bool, Sequence[Field]]]) -> list[list[str | None]]:
    """Return, for each field of the table, the LaTeX command that it is; None for words and the paper's numbers."""
    body = re.search(r"\\midrule\n(.*)\\bottomrule", latex, re.DOTALL)
    lines = [line for line in body[1].splitlines() if line != r"\midrule"] if body else []
    macros = []
    for line in lines:
        found = [_MACRO.match(cell.strip()) for cell in _CELLS.split(line.removesuffix(r"\\"))]
        macros.append([match["macro"] if match else None for match in found])
    if [len(own) for own in macros] != [len(fields) for _, fields in shaped]:
        raise UnreadableTable(f"{name}.tex and {name}.md are not of one run: their rows differ; emit both again")
    return macros


def _kinds(
    header: Sequence[str], macros: Sequence[Sequence[str | None]] | None, rows: Sequence[Sequence[Field]]
) -> tuple[str, ...]:
    kinds = []
    for number, label in enumerate(header):
        ours = label.endswith(_INTERVAL) if macros is None else any(own[number] for own in macros)
        # A verdict is ours, too, but no number.
        words = all(fields[number].value is None and fields[number].text not in _NONE for fields in rows)
        kinds.append("text" if words else "paper" if label.endswith(_PAPER) else "ours" if ours else "text")
    first = next((number for number, kind in enumerate(kinds) if kind != "text"), 1)
    return tuple("label" if number < first else kind for number, kind in enumerate(kinds))


def _by_macro(name: str, numbers: Sequence[Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
    """Return the CSV's rows that tables show by their LaTeX commands; none for a command of several."""
    shown = [row for row in numbers if {"row", "column", "value"} <= set(row) and row.get("aggregate") != "pooled"]
    macros = [macro_name(name, row["row"], row["column"]) for row in shown]
    unique = {macro for macro, count in Counter(macros).items() if count == 1}
    return {macro: row for macro, row in zip(macros, shown, strict=True) if macro in unique}


def _fill(
    name: str,
    fields: list[Field],
    macros: Sequence[str | None],
    kinds: Sequence[str],
    known: Mapping[str, Mapping[str, str]],
) -> None:
    """Give a row's numbers the digits of the CSV, and see that they are those shown."""
    for place, macro in enumerate(macros):
        row = known.get(macro) if macro else None
        if row is None:
            continue
        value = _number(name, row["value"])
        _compare(name, fields[place], value, row)
        fields[place] = replace(fields[place], value=value)
        if place + 1 < len(kinds) and kinds[place + 1] == "paper" and fields[place + 1].value is not None:
            paper = _number(name, row.get("paper", ""))
            fields[place + 1] = replace(fields[place + 1], value=paper)


def _number(name: str, text: str) -> float | None:
    try:
        value = float(text) if text else math.nan
    except ValueError:
        raise UnreadableTable(f"{name}.csv: {text!r} is not a number") from None
    return None if math.isnan(value) else value


def _compare(name: str, field: Field, value: float | None, row: Mapping[str, str]) -> None:
    """See that a number shown is the CSV's, rounded."""
    decimals = len(field.text.partition(".")[2])
    rounded = (
        field.text if value is None and field.value is None else f"{math.nan if value is None else value:,.{decimals}f}"
    )
    if rounded != field.text:
        raise UnreadableTable(
            f"{name}.csv and {name}.md are not of one run: {row['row']}, {row['column']} is {row['value'] or 'empty'} "
            f"in one and {field.text} in the other; emit both again"
        )
