"""Accounts for readers: lines of text, the ledger of what is left out, and the counts as tidy CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from repro.data.accounting import Account, Comparison, compare, words
from repro.data.biovid import CLASSES
from repro.files import write_atomically

__all__ = ["COUNT_COLUMNS", "LEDGER_COLUMNS", "describe", "describe_scales", "state", "write_counts", "write_ledger"]

LEDGER_COLUMNS = ("what", "file", "reason", "kept")
"""Columns of a ledger; ``kept`` is True for what is only remarkable."""

COUNT_COLUMNS = (
    "dataset", "data", "scale", "held", "quantity", "subject", "level", "found", "published", "source", "agrees",
)  # fmt: skip
"""Columns of the counts. ``data`` is "simulated" or "licensed", ``scale`` that of the suite's own simulated data,
``held`` "on disk" or "planned"; ``agrees`` is empty where simulated and real counts are not expected to be equal."""


_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings of texts that spreadsheets compute."""


def describe(account: Account) -> list[str]:
    """Return one account as lines: counts, coverage, what was left out and why, and what is remarkable."""
    heading = f"{account.name}: {account.data} data"
    if account.simulated:
        heading += "; the published counts are the real dataset's and are not expected here"
    if account.name == "manifest":
        heading = f"{account.name}: your own data, of which nothing is published"
    rows = compare(account)
    totals = [[row.quantity, _count(row.found), _count(row.published), _mark(row)] for row in rows if _is_total(row)]
    lines = [heading, *_grid([["", "found", "published", ""], *totals])]
    lines += _describe_levels(account, [row for row in rows if row.level is not None])
    lines += _describe_subjects(account, [row for row in rows if row.subject])
    lines += [f"  {row.what}: {row.found:,} of {row.total:,} {row.unit}" for row in account.covered]
    lines += _describe_ledger(account)
    return [*lines, f"  {len(account.left_out)} left out, {len(account.ledger) - len(account.left_out)} notes"]


def _describe_levels(account: Account, rows: Sequence[Comparison]) -> list[str]:
    """Set each level's count and share beside the published ones."""
    if not rows:
        return []
    unit = words(account.name).levels_of
    real = [row.published for row in rows if row.published is not None]
    body = [
        [
            _level(account.name, row),
            _count(row.found),
            _count(row.published),
            _share(row.found, sum(other.found for other in rows)),
            _share(row.published, sum(real)),
            _mark(row),
        ]
        for row in rows
    ]
    return _grid([[f"{unit} of each level", "found", "published", "share", "published", ""], *body])


def _describe_subjects(account: Account, rows: Sequence[Comparison]) -> list[str]:
    if not rows:
        return []
    counted = words(account.name)
    by_subject: dict[str, dict[str, Comparison]] = {}
    for row in rows:
        by_subject.setdefault(row.subject, {})[row.quantity] = row
    body = []
    for subject, found in by_subject.items():
        videos, frames = found[counted.videos], found[counted.frames]
        numbers = [_count(n) for n in (videos.found, videos.published, frames.found, frames.published)]
        body.append([subject, *numbers, _mark(videos) or _mark(frames)])
    return _grid([["subject", counted.videos, "published", counted.frames, "published", ""], *body])


def _describe_ledger(account: Account, of: str = "") -> list[str]:
    return [
        f"  {'note' if kept else 'left out'}{of}: {what} {file}: {reason}"
        for what, file, reason, kept in account.ledger
    ]


def describe_scales(name: str, accounts: Mapping[str, Account]) -> list[str]:
    """Return the accounts of a simulated dataset at several scales as lines, beside the published counts.

    Parameters
    ----------
    name : {"unbc", "biovid"}
    accounts : mapping of scale to Account
        At least one.
    """
    columns = [[row for row in compare(account) if not row.subject] for account in accounts.values()]
    sums = [sum(row.found for row in column if row.level is not None) for column in columns]
    real = sum(row.published or 0 for row in columns[0] if row.level is not None)
    totals, levels = [], []
    for rows in zip(*columns, strict=True):
        first = rows[0]
        if _is_total(first):
            totals.append([first.quantity, *(_count(row.found) for row in rows), _count(first.published)])
        else:
            shares = [_share(row.found, total) for row, total in zip(rows, sums, strict=True)]
            levels.append([_level(name, first), *shares, _share(first.published, real)])
    empty = [""] * (len(accounts) + 1)
    lines = _grid(
        [
            ["", *["simulated"] * len(accounts), "real"],
            ["", *accounts, "published"],
            *totals,
            [f"share of {words(name).levels_of}", *empty],
            *levels,
        ]
    )
    heading = f"{name}: SIMULATED data of each scale; only the last column counts the real dataset"
    lines = [heading, *lines, *(f"  {scale}: {state(account)}" for scale, account in accounts.items())]
    for scale, account in accounts.items():
        lines += _describe_ledger(account, f" ({scale})")
    return lines


def state(account: Account) -> str:
    """Say whether a simulated dataset is on disk and, for one of full size, whether its totals are the real ones."""
    text = "planned, not on disk" if account.planned else "on disk"
    if not account.full_size:
        return text
    differing = [row for row in compare(account) if row.agrees is False]
    if not differing:
        return f"{text}; all totals agree with the published ones"
    told = ", ".join(f"{row.quantity} {_count(row.found)} against {_count(row.published)}" for row in differing)
    return f"{text}; totals differ from the published ones: {told}"


def _is_total(row: Comparison) -> bool:
    return row.level is None and not row.subject


def _mark(row: Comparison) -> str:
    return "differs" if row.agrees is False else ""


def _count(number: float | None) -> str:
    """Write a count with its thousands apart, and a half where a median has one."""
    if number is None:
        return ""
    return f"{number:,.0f}" if number == int(number) else f"{number:,.1f}"


def _share(number: float | None, total: float) -> str:
    """Write a share in percent: three decimals tell one frame of 48,398 from none."""
    return "" if number is None or not total else f"{100 * number / total:.3f} %"


def _level(name: str, row: Comparison) -> str:
    if name == "biovid" and row.level is not None:
        return CLASSES[row.level]
    return f"{'PSPI' if name == 'unbc' else 'label'} {row.level}"


def _grid(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns: the first to the left, others to the right; indented, without blanks at the end."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(text.rjust(width) for text, width in zip(others, widths[1:], strict=True))]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines


def write_ledger(account: Account, out: Path) -> Path:
    """Write ``<out>/tables/<simulated|licensed>/ledger_<name>.csv`` and return its path.

    A dataset without exclusions and notes gets a file with the header alone: it replaces an older ledger.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    return _write(out, account, "ledger", LEDGER_COLUMNS, account.ledger)


def write_counts(accounts: Mapping[str, Account], out: Path) -> Path:
    """Write ``<out>/tables/<simulated|licensed>/accounting_<name>.csv`` and return its path.

    Parameters
    ----------
    accounts : mapping of scale to Account
        Of one dataset; the scale is "" for a dataset that was given.
    out : path

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    rows: list[tuple[object, ...]] = []
    for scale, account in accounts.items():
        begin = (account.name, account.data, scale, "planned" if account.planned else "on disk")
        for row in compare(account):
            numbers = (_exact(row.found), _exact(row.published))
            rows.append((*begin, row.quantity, row.subject, row.level, *numbers, row.source, row.agrees))
        for cover in account.covered:
            rows.append((*begin, f"{cover.unit} with {cover.what}", "", None, cover.found, None, "", None))
    return _write(out, next(iter(accounts.values())), "accounting", COUNT_COLUMNS, rows)


def _exact(number: float | None) -> float | None:
    return int(number) if number is not None and number == int(number) else number


def _harmless(value: object) -> object:
    r"""Return a value that no spreadsheet takes for a formula: texts that begin like one get an apostrophe.

    A carriage return, which would end the row, is written as ``\r``.
    """
    if not isinstance(value, str):
        return value
    return (f"'{value}" if value.startswith(_FORMULA) else value).replace("\r", "\\r")


def _write(out: Path, account: Account, kind: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_harmless(value) for value in row] for row in rows)
    path = out / "tables" / account.data / f"{kind}_{account.name}.csv"
    write_atomically(path, text.getvalue().encode())
    return path
