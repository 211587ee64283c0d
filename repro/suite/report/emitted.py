"""What lies in ``tables/`` and ``figures/``: read, and held against what is expected to be there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repro.suite.engine import available_cores
from repro.suite.report.images import Picture, picture
from repro.suite.report.parsing import EmittedTable, UnreadableTable, parse_table, read_rows

__all__ = ["DATA", "Emission", "Part", "missing", "read_emitted"]

DATA = ("licensed", "simulated")
"""Kinds of data, by the names of their folders, in the page's order."""

_TABLE_FILES = (".csv", ".md", ".tex", ".json")
_FIGURE_FILES = (".png", ".pdf", ".csv")
_SHAPES: Mapping[str, type] = {
    key: list if key == "checks" else dict
    for key in ("checks", "command", "versions", "hardware", "scale", "data", "cost", "seconds", "networks", "pretext")
}
"""What values of a JSON's keys are."""


@dataclass(frozen=True)
class Emission:
    """The files of one experiment on one kind of data.

    Attributes
    ----------
    name : str
    table : EmittedTable or None
        None where there is none, or it cannot be read.
    csv, latex : bytes or None
    record : mapping
        The JSON; empty where there is none.
    figure : Picture or None
    figure_csv : bytes or None
        Numbers of the figure where they are not the table's.
    faults : tuple of str
        What is lacking, damaged or computed from only some cells, in words.
    """

    name: str
    table: EmittedTable | None = None
    csv: bytes | None = None
    latex: bytes | None = None
    record: Mapping[str, Any] = field(default_factory=dict)
    figure: Picture | None = None
    figure_csv: bytes | None = None
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """What was emitted on one kind of data.

    Attributes
    ----------
    data : {"simulated", "licensed"}
    titles : mapping of str to str
        Of each experiment, in order: as emitted, otherwise as declared.
    emissions : mapping of str to Emission or None
        For each experiment, in order; None for one without any file.
    others : tuple of str
        Files of other names, which are not shown.
    """

    data: str
    titles: Mapping[str, str]
    emissions: Mapping[str, Emission | None]
    others: tuple[str, ...]


def read_emitted(out: Path, experiments: Mapping[str, str]) -> list[Part]:
    """Read everything that the experiments emitted below a folder.

    Parameters
    ----------
    out : path
        Holds ``tables/<data>/`` and ``figures/<data>/``.
    experiments : mapping of str to str
        Names, in the page's order, and declared titles.

    Returns
    -------
    list of Part
        One for each kind of data that has a folder with a file.

    Raises
    ------
    ValueError
        If there is none.
    """
    parts = [part for data in DATA if (part := _read_part(out, data, experiments)) is not None]
    if not parts:
        raise ValueError(
            f"{out} holds neither tables/ nor figures/ with something in them; run python -m repro all --out {out} "
            "first, or give another --out"
        )
    return parts


def missing(parts: Sequence[Part]) -> list[str]:
    """Return the experiments that were emitted on no kind of data."""
    return [name for name in parts[0].emissions if all(part.emissions[name] is None for part in parts)]


def _read_part(out: Path, data: str, experiments: Mapping[str, str]) -> Part | None:
    folders = {kind: out / kind / data for kind in ("tables", "figures")}
    found = {kind: _files(folder) for kind, folder in folders.items()}
    if not any(found.values()):
        return None
    expected = {
        "tables": {f"{name}{suffix}" for name in experiments for suffix in _TABLE_FILES},
        "figures": {f"{name}{suffix}" for name in experiments for suffix in (*_FIGURE_FILES, ".json")},
    }
    others = [f"{kind}/{data}/{name}" for kind, names in found.items() for name in names if name not in expected[kind]]
    with ThreadPoolExecutor(available_cores()) as pool:  # pictures take half a second each, outside of Python
        read = pool.map(lambda name: _read(name, data, folders, found), experiments)
        emissions = dict(zip(experiments, read, strict=True))
    titles = {
        name: emission.table.title if emission and emission.table else experiments[name]
        for name, emission in emissions.items()
    }
    return Part(data, titles, emissions, tuple(others))


def _files(folder: Path) -> list[str]:
    """Return sorted names; those that start with a dot are being written."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _read(name: str, data: str, folders: Mapping[str, Path], found: Mapping[str, list[str]]) -> Emission | None:
    """Read the files of one experiment; None without any."""
    contents: dict[str, dict[str, bytes]] = {"tables": {}, "figures": {}}
    faults = []
    for kind, suffixes in (("tables", _TABLE_FILES), ("figures", _FIGURE_FILES)):
        there = [suffix for suffix in suffixes if f"{name}{suffix}" in found[kind]]
        contents[kind] = {suffix: (folders[kind] / f"{name}{suffix}").read_bytes() for suffix in there}
        faults += [f"{kind}/{data}/{name}{s} is missing" for s in suffixes if there and s not in there]
    tables, figures = contents["tables"], contents["figures"]
    if not tables and not figures:
        return None
    record = _record(name, tables.get(".json"), faults)
    rows, table = _table(name, tables, faults)
    faults += _foreign(f"tables/{data}/{name}", data, rows) + _unfinished(rows, table)
    own = figures.get(".csv")
    if own not in (None, tables.get(".csv")):
        faults += _foreign(f"figures/{data}/{name}", data, _table(name, {".csv": own or b""}, faults)[0])
    shown = _picture(name, figures.get(".png"), faults)
    return Emission(
        name,
        table,
        csv=tables.get(".csv"),
        latex=tables.get(".tex"),
        record=record,
        figure=shown,
        figure_csv=None if own == tables.get(".csv") else own,
        faults=tuple(faults),
    )


def _record(name: str, content: bytes | None, faults: list[str]) -> dict[str, Any]:
    """Return the JSON, without what is not of the expected form."""
    if content is None:
        return {}
    try:
        record = json.loads(content)
        if not isinstance(record, dict):
            raise ValueError("it is not an object")
    except ValueError as error:
        faults.append(f"{name}.json cannot be read: {error}")
        return {}
    for key, shape in _SHAPES.items():
        if key in record and not isinstance(record[key], shape):
            faults.append(f"{name}.json: {key} is not {'a list' if shape is list else 'an object'}; it is not shown")
            del record[key]
    return record


def _picture(name: str, content: bytes | None, faults: list[str]) -> Picture | None:
    """Return the figure as the page shows it; None where there is none, or it cannot be shown."""
    try:
        return None if content is None else picture(content)
    except ValueError as error:
        faults.append(f"{name}.png cannot be shown: {error}")
        return None


def _table(
    name: str, files: Mapping[str, bytes], faults: list[str]
) -> tuple[list[dict[str, str]], EmittedTable | None]:
    """Return the rows of the CSV, and the table as laid out; None where it cannot be read."""
    rows: list[dict[str, str]] = []
    try:
        texts = {suffix: files[suffix].decode() for suffix in (".csv", ".md", ".tex") if suffix in files}
        if ".csv" in texts:
            rows = read_rows(texts[".csv"], f"{name}.csv")
        return rows, parse_table(name, texts[".md"], texts.get(".tex"), rows) if ".md" in texts else None
    except UnicodeDecodeError as error:
        faults.append(f"{name}: a file is not text in UTF-8: {error}")
    except UnreadableTable as error:
        faults.append(str(error))
    return rows, None


def _foreign(name: str, data: str, rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Say which rows are of other data than the folder's."""
    found = sorted({row["data"] for row in rows if "data" in row} - {data})
    return [f"{name}.csv is in the folder of {data} data, but has numbers of {', '.join(found)} data"] if found else []


def _unfinished(rows: Sequence[Mapping[str, str]], table: EmittedTable | None) -> list[str]:
    """Say how many numbers are not of all their cells, or what the table says of itself."""
    counted = [row for row in rows if row.get("aggregate") != "pooled" and "cells_done" in row and "cells_total" in row]
    lacking = sum(row["cells_done"] != row["cells_total"] for row in counted)
    if lacking:
        return [f"incomplete: {lacking} of {len(counted)} numbers lack some of their cells"]
    return [note for note in (table.notes if table else ()) if note.startswith("INCOMPLETE")]
