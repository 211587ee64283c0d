"""What a folder holds of a dataset, beside what the real dataset is published to hold."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from repro.data.biovid import CLASSES
from repro.data.schema import Dataset, Exclusion
from repro.files import write_atomically

__all__ = ["LEDGER_COLUMNS", "Account", "Comparison", "account", "compare", "describe", "write_ledger"]

LEDGER_COLUMNS = ("what", "file", "reason", "kept")
"""Columns of a ledger; ``kept`` is True for what is only remarkable."""

_VIDEOS = {"unbc": "sequences", "biovid": "videos"}
_COUNTED = {"unbc": "frames", "biovid": "videos"}
"""What a video is called, and what the histogram of levels counts, in each dataset."""


@dataclass(frozen=True)
class Account:
    """Counts of the videos that a dataset keeps, and its ledger.

    Attributes
    ----------
    name : {"unbc", "biovid"}
        Layout of the dataset.
    simulated : bool
        Whether the simulator wrote it.
    counts : dict of str to int
        Numbers of "subjects", of "sequences" (UNBC) or "videos" (BioVid), and of "frames", as the files declare
        them: only a dataset that passed `Dataset.verify` is known to give that many.
    histogram : dict of int to int
        UNBC: frames of each PSPI, 0..16; BioVid: videos of each class, 0..4. Levels without any have 0.
    excluded, notes : tuple of Exclusion
        What was left out, along with subjects without a metric, who stay; and what is remarkable but was kept. File
        names in the reasons are relative to the dataset's root, so that a ledger tells nothing of the machine.
    """

    name: str
    simulated: bool
    counts: dict[str, int]
    histogram: dict[int, int]
    excluded: tuple[Exclusion, ...] = field(default=())
    notes: tuple[Exclusion, ...] = field(default=())

    @property
    def data(self) -> str:
        """What tables call this data: "simulated" or "licensed"."""
        return "simulated" if self.simulated else "licensed"

    @property
    def left_out(self) -> tuple[Exclusion, ...]:
        """Rows of `excluded` that cost data: all but those of metrics, whose subjects stay."""
        return tuple(row for row in self.excluded if row.what != "metric")

    @property
    def ledger(self) -> list[tuple[str, str, str, bool]]:
        """Every exclusion, then every note, in `LEDGER_COLUMNS`."""
        rows = [(row, row.what == "metric") for row in self.excluded] + [(row, True) for row in self.notes]
        return [(row.what, row.file, row.reason, kept) for row, kept in rows]


@dataclass(frozen=True)
class Comparison:
    """One count beside the published one.

    Attributes
    ----------
    quantity : str
        What is counted, such as "subjects", or "frames" of one level.
    level : int or None
        PSPI (UNBC) or class (BioVid); None for a total.
    found, published : int
        Count of the dataset at hand, and of the real one.
    source : str
        Where the published count is from.
    agrees : bool or None
        Whether both are equal; None for simulated data, which are not meant to have the real dataset's size.
    """

    quantity: str
    level: int | None
    found: int
    published: int
    source: str
    agrees: bool | None


def account(dataset: Dataset) -> Account:
    """Count what a dataset keeps; nothing is decoded.

    Parameters
    ----------
    dataset : Dataset
        UNBC-McMaster or BioVid; best opened with ``strict=False``, so that its ledger is whole.

    Returns
    -------
    Account

    Raises
    ------
    ValueError
        If it is another dataset: there is nothing to compare it with.
    """
    if dataset.name not in _VIDEOS:
        raise ValueError(f"there are no published counts of {dataset.name!r}, only of {', '.join(_VIDEOS)}")
    records = dataset.records
    per_frame = _COUNTED[dataset.name] == "frames"
    levels = [record.levels if per_frame else record.levels[:1] for record in records]
    found = np.bincount(np.concatenate([np.empty(0, np.int64), *levels]), minlength=dataset.n_levels)
    return Account(
        name=dataset.name,
        simulated=dataset.simulated,
        counts={
            "subjects": len(dataset.subjects),
            _VIDEOS[dataset.name]: len(records),
            "frames": sum(record.n_frames for record in records),
        },
        histogram=dict(enumerate(found.tolist())),
        excluded=_without_root(dataset.excluded, dataset.root),
        notes=_without_root(dataset.notes, dataset.root),
    )


def _without_root(rows: Iterable[Exclusion], root: Path) -> tuple[Exclusion, ...]:
    """Make file names in the reasons relative to the root."""
    prefix = re.compile(rf"(?<![\w./\\-]){re.escape(f'{root}/')}")
    return tuple(Exclusion(row.what, row.file, prefix.sub("", row.reason)) for row in rows)


@cache
def _published() -> tuple[tuple[str, str, int | None, int, str], ...]:
    """Read dataset, quantity, level, count and source of each published count."""
    text = resources.files("repro.data").joinpath("published_counts.csv").read_text(encoding="utf-8")
    return tuple(
        (row["dataset"], row["quantity"], int(row["level"]) if row["level"] else None, int(row["count"]), row["source"])
        for row in csv.DictReader(io.StringIO(text))
    )


def compare(account: Account) -> list[Comparison]:
    """Set an account beside the published counts of the real dataset.

    Returns
    -------
    list of Comparison
        The totals, then a row for each level, in the order of ``published_counts.csv``.
    """
    rows = []
    for dataset, quantity, level, published, source in _published():
        if dataset == account.name:
            found = account.counts[quantity] if level is None else account.histogram[level]
            agrees = None if account.simulated else found == published
            rows.append(Comparison(quantity, level, found, published, source, agrees))
    return rows


def describe(account: Account) -> list[str]:
    """Return the account as lines for a reader: counts, what was left out and why, and what is remarkable."""
    heading = f"{account.name}: {account.data} data"
    if account.simulated:
        heading += "; the published counts are the real dataset's and are not expected here"
    lines = [heading, f"  {'':<16}{'found':>9}{'published':>11}"]
    for row in compare(account):
        mark = "  differs" if row.agrees is False else ""
        lines.append(f"  {_label(account.name, row):<16}{row.found:>9}{row.published:>11}{mark}")
    for what, file, reason, kept in account.ledger:
        lines.append(f"  {'note' if kept else 'left out'}: {what} {file}: {reason}")
    lines.append(f"  {len(account.left_out)} left out, {len(account.ledger) - len(account.left_out)} notes")
    return lines


def _label(name: str, row: Comparison) -> str:
    if row.level is None:
        return row.quantity
    return f"{row.quantity}, " + (f"PSPI {row.level}" if name == "unbc" else CLASSES[row.level])


def write_ledger(account: Account, out: Path) -> Path:
    """Write ``<out>/tables/<simulated|licensed>/ledger_<name>.csv`` and return its path.

    A dataset without exclusions and notes gets a file with the header alone: it replaces an older ledger.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(LEDGER_COLUMNS)
    writer.writerows(account.ledger)
    path = out / "tables" / account.data / f"ledger_{account.name}.csv"
    write_atomically(path, text.getvalue().encode())
    return path
