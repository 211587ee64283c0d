"""Tables of what datasets hold: nothing is trained, the numbers are accounts."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.data.accounting import LEVELS_THAT_OCCUR, Account, account, compare, words
from repro.data.simulator import GENERATOR_VERSION
from repro.suite.accounts import simulated_account
from repro.suite.command import COMPLETE, INCOMPLETE, INTERRUPTED, USAGE, add_options, open_given, parsed
from repro.suite.display import METRICS, format_number
from repro.suite.ledgers import state
from repro.suite.provenance import circumstances
from repro.suite.published import published_value
from repro.suite.scales import SCALES
from repro.suite.session import Session
from repro.suite.sheet import Cell, Number, Sheet, macro_name, to_markdown, write_sheet
from repro.suite.spec import Scale
from repro.suite.store import Store
from repro.suite.tabulate import COLUMNS

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Characteristics",
    "Quantity",
    "Text",
    "main",
    "n_frames",
    "n_left_out",
    "n_levels",
    "n_subjects",
    "n_videos",
    "pain_share",
    "run_characteristics",
]

_MOST_TOLD = 10
"""Exclusions told below the table; the JSON has all."""


def n_subjects(account: Account) -> int:
    """Return the number of subjects."""
    return account.counts[words(account.name).subjects]


def n_videos(account: Account) -> int:
    """Return the number of videos."""
    return account.counts[words(account.name).videos]


def n_frames(account: Account) -> int:
    """Return the number of frames."""
    return account.counts[words(account.name).frames]


def n_levels(account: Account) -> int:
    """Return the number of levels that occur."""
    return int(account.quantities[LEVELS_THAT_OCCUR])


def pain_share(account: Account) -> float:
    """Return the share, 0..1, of the frames whose level is above 0; NaN without any frame."""
    frames = n_frames(account)
    return account.frames_above_zero / frames if frames else math.nan


def n_left_out(account: Account) -> int:
    """Return the number of exclusions that cost data."""
    return len(account.left_out)


@dataclass(frozen=True)
class Quantity:
    """A column of numbers.

    Parameters
    ----------
    label : str
    measure : callable
        From an account to the number, in the metric's own unit.
    metric : {"count", "share"}
    published : bool
        Whether the paper has this column.
    """

    label: str
    measure: Callable[[Account], float]
    metric: str = "count"
    published: bool = True


@dataclass(frozen=True)
class Text:
    """A column of words, one for each dataset."""

    label: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class Characteristics:
    """A table with a dataset in each row.

    Parameters
    ----------
    name, title, caption : str
    lead : str
        Label of the first column.
    rows : mapping of str to str
        Layout and label of each dataset.
    columns : tuple of Quantity and Text
    notes : tuple of str
        Sentences that say how is counted.
    """

    name: str
    title: str
    caption: str
    lead: str
    rows: Mapping[str, str]
    columns: tuple[Quantity | Text, ...]
    notes: tuple[str, ...] = ()


def main(table: Characteristics, arguments: Sequence[str] | None = None) -> int:
    """Run one such table from the command line and return the exit status; see :func:`run_characteristics`."""
    parser = argparse.ArgumentParser(prog=f"python -m repro.{table.name}", description=table.title, allow_abbrev=False)
    add_options(parser)
    return run_characteristics(table, parsed(parser, arguments))


def run_characteristics(table: Characteristics, options: argparse.Namespace, session: Session | None = None) -> int:
    """Count, write and print; datasets are opened once in a session.

    Without licensed data the simulated data of the scale are counted: on disk, or as they would be written. With some
    of the datasets given, the rows of the others stay empty: licensed and simulated data are never mixed.

    Returns
    -------
    int
        0: complete; 1: a dataset was not given; 2: the options or the data cannot be used; 130: interrupted.
    """
    begin = time.monotonic()
    try:
        if options.mode == "plan":
            sys.stdout.write(f"{table.name}: {len(table.rows)} datasets to count; nothing to compute\n")
            return COMPLETE
        accounts = _accounts(table, options, session)
        return _finish(table, accounts, options, begin)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{table.name}: {error}\n")
        return USAGE
    except KeyboardInterrupt:
        sys.stderr.write(f"{table.name}: interrupted; nothing was written\n")
        return INTERRUPTED


def _accounts(table: Characteristics, options: argparse.Namespace, session: Session | None) -> dict[str, Account]:
    """Account for the given datasets or, if none is given, for the simulated ones."""
    roots = {name: Path(root) for name in table.rows if (root := getattr(options, name)) is not None}
    if not roots:
        store, scale = Store(options.store), SCALES[options.scale]
        opened = partial(session.dataset, given=False) if session else None
        return {
            name: simulated_account(store, name, scale, strict=options.strict, opened=opened) for name in table.rows
        }
    accounts = {}
    for name, root in roots.items():
        if not options.quiet:
            sys.stderr.write(f"{table.name}: reading {root}\n")
        found = session.dataset(name, root, given=True) if session else open_given(name, root, options)
        accounts[name] = account(found)
    return accounts


def _finish(table: Characteristics, accounts: Mapping[str, Account], options: argparse.Namespace, begin: float) -> int:
    scale = SCALES[options.scale]
    data = "simulated" if any(found.simulated for found in accounts.values()) else "licensed"
    frame = _tidy(table, accounts, scale, data)
    sheet = _lay_out(table, accounts, frame, scale)
    record = circumstances(table.name, options) | {
        "data": {name: _describe(found, scale) for name, found in accounts.items()},
        "seconds": {"this command": round(time.monotonic() - begin, 1)},
    }
    written = write_sheet(sheet, frame, options.out / "tables" / data, record)
    sys.stdout.write(to_markdown(sheet))
    sys.stderr.write("written: " + ", ".join(str(path) for path in written) + "\n")
    missing = [name for name in table.rows if name not in accounts]
    if missing:
        sys.stderr.write(f"{table.name} is INCOMPLETE: add {' '.join(f'--{name} DIR' for name in missing)}\n")
    return INCOMPLETE if missing else COMPLETE


def _tidy(table: Characteristics, accounts: Mapping[str, Account], scale: Scale, data: str) -> pd.DataFrame:
    """Return one row a number, in the columns of all tables; a dataset that is not there has NaN."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for name, label in table.rows.items():
        found = accounts.get(name)
        for column in (column for column in table.columns if isinstance(column, Quantity)):
            rows.append(
                {
                    "experiment": table.name,
                    "row": label,
                    "column": column.label,
                    "metric": column.metric,
                    "aggregate": "total",
                    "value": column.measure(found) * METRICS[column.metric].factor if found else math.nan,
                    "ci_low": math.nan,
                    "ci_high": math.nan,
                    "n_subjects": n_subjects(found) if found else 0,
                    "n_folds": 0,
                    "n_undefined": 0,
                    "n_seeds": 1,
                    "cells_done": int(found is not None),
                    "cells_total": 1,
                    "paper": published_value(table.name, label, column.label),
                    "data": data,
                    "scale": scale.name,
                }
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _lay_out(table: Characteristics, accounts: Mapping[str, Account], frame: pd.DataFrame, scale: Scale) -> Sheet:
    """Lay the table out in the paper's shape, the paper's number beside ours."""
    numbers = frame.set_index(["row", "column"])
    header, alignment = [table.lead], "l"
    for column in table.columns:
        header.append(column.label)
        alignment += "l" if isinstance(column, Text) else "r"
        if isinstance(column, Quantity) and column.published:
            header.append(f"{column.label}, paper")
            alignment += "r"
    rows = []
    for name, label in table.rows.items():
        cells: list[Cell] = [label]
        for column in table.columns:
            if isinstance(column, Text):
                cells.append(column.values[name])
                continue
            number = numbers.loc[(label, column.label)]
            value = format_number(number.value, column.metric)
            cells.append(Number(macro_name(table.name, label, column.label), value))
            if column.published:
                cells.append(format_number(number.paper, column.metric))
        rows.append((True, tuple(cells)))
    notes = tuple(_notes(table, accounts, scale))
    return Sheet(table.name, table.title, table.caption, tuple(header), alignment, tuple(rows), notes)


def _notes(table: Characteristics, accounts: Mapping[str, Account], scale: Scale) -> list[str]:
    """Sentences below the table: whose numbers these are, how is counted, and what was left out."""
    notes = []
    if any(found.simulated for found in accounts.values()):
        notes.append("SIMULATED data: only the paper's numbers count the real datasets.")
        notes += [
            f"{table.rows[name]}, simulated, scale '{scale.name}': {state(found)}."
            for name, found in accounts.items()
            if found.simulated
        ]
    notes += table.notes
    for name, label in table.rows.items():
        found = accounts.get(name)
        if found is None:
            notes.append(f"{label} was not given.")
            continue
        notes += [f"{label}, left out: {row.file}: {row.reason}." for row in found.left_out[:_MOST_TOLD]]
        if more := len(found.left_out) - _MOST_TOLD:
            notes += [f"{label}, left out: {more} more, listed in {table.name}.json."] if more > 0 else []
    return notes


def _describe(found: Account, scale: Scale) -> dict[str, Any]:
    """Return an account for the JSON."""
    size = asdict(scale.simulated[found.name]) | {"generator": GENERATOR_VERSION}
    return {
        "simulated": found.simulated,
        "planned": found.planned,
        "simulation": size if found.planned else None,
        "fingerprint": found.fingerprint,
        "quantities": found.quantities,
        "histogram": found.histogram,
        "subjects": found.subjects,
        "coverage": [asdict(cover) for cover in found.covered],
        "published": [asdict(row) for row in compare(found) if row.published is not None],
        "excluded": [tuple(row) for row in found.excluded],
        "notes": [tuple(row) for row in found.notes],
    }
