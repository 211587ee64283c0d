"""Your own videos: a CSV file with a row for each video, or for each part of one.

Columns are ``video,subject,label`` and, for parts of videos, ``start,end``::

    video,subject,label,start,end
    clips/anna_1.mp4,anna,0,,
    clips/anna_2.mp4,anna,3,50,170

Videos are given relative to the folder of the CSV file and lie in it, or are linked from it: the fingerprint
must not depend on where that folder is. Labels are whole numbers from 0. ``start`` is the
number of the first frame, counted from 0, and ``end`` that of the first frame after the last; empty means the
video's own.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from repro.data.files import Digest
from repro.data.schema import DataError, Dataset, DatasetUnavailable, Exclusion
from repro.data.video import VideoInfo, probe
from repro.data.video_file import VideoFileRecord

REQUIRED = ("video", "subject", "label")
"""Columns that a manifest must have; ``start`` and ``end`` are optional, others are ignored."""


MAX_LABEL = 1000
"""Largest label that is believed; the number of levels is the largest label and one."""


def open_manifest(root: str | os.PathLike[str], strict: bool = True) -> Dataset:
    """Open the videos that a CSV file lists.

    Parameters
    ----------
    root : path
        The CSV file, or a folder with one CSV file.
    strict : bool
        See `Dataset`.

    Returns
    -------
    Dataset
        A record for each row, named by the video's path without its suffix, and ``@start-end`` if it is a
        part. It has as many levels as the largest label says.

    Raises
    ------
    DatasetUnavailable
        If there is no such file, or it has not the columns.
    DataError
        If `strict` and a row is malformed, or its video is missing or damaged.
    """
    path = _manifest_file(Path(root))
    rows = _read_rows(path)
    digest = Digest()
    digest.text("manifest", path.read_bytes())
    infos: dict[str, VideoInfo] = {}
    records: dict[str, VideoFileRecord] = {}
    excluded: list[Exclusion] = []
    for line, row in rows:
        try:
            record = _record(path, line, row, infos, strict)
            if record.video in records:
                raise DataError(f"{path}: line {line}: {record.video} is listed before; remove one of the rows")
        except DataError as error:
            if strict:
                raise
            excluded.append(Exclusion("video", row["video"] or f"line {line}", str(error)))
            continue
        records[record.video] = record
        digest.size(row["video"], Path(record.path).stat().st_size)
    levels = [int(record.levels.max()) for record in records.values()]
    return Dataset(
        "manifest",
        path,
        records.values(),
        content=digest.hexdigest(),
        n_levels=max(levels, default=0) + 1,
        excluded=excluded,
        strict=strict,
    )


def _manifest_file(root: Path) -> Path:
    if root.is_dir():
        found = sorted(path for path in root.glob("*.csv") if path.name[0] != ".")
        if len(found) == 1:
            return found[0]
        raise DatasetUnavailable(
            f"manifest: expected a CSV file with columns {','.join(REQUIRED)}[,start,end], but {root} is a "
            f"folder with {len(found)} CSV files. Give the CSV file itself."
        )
    if not root.is_file():
        raise DatasetUnavailable(
            f"manifest: expected a CSV file with columns {','.join(REQUIRED)}[,start,end], but {root} does "
            "not exist. "
            "Check the path, or write such a file: a row for each video, paths relative to the file's folder."
        )
    return root


def _read_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return the rows with the numbers of their lines; blanks around names and values do not count."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True, restval="")
            names = [(name or "").strip() for name in reader.fieldnames or ()]
            reader.fieldnames = names
            rows = [(reader.line_num, _strip(row)) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetUnavailable(f"manifest: {path} is not a readable CSV file ({error})") from error
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        separated = any(";" in name or "\t" in name for name in names)
        remedy = "Separate values by commas" if separated else f"Add {','.join(missing)} to its first line"
        raise DatasetUnavailable(
            f"manifest: expected columns {','.join(REQUIRED)}[,start,end] in {path}, but found "
            f"{','.join(names) or 'none'}. {remedy}."
        )
    repeated = [name for name in dict.fromkeys(names) if name and names.count(name) > 1]
    if repeated:
        raise DatasetUnavailable(f"manifest: {path} has several columns {','.join(repeated)}. Keep one of each name.")
    if not rows:
        raise DatasetUnavailable(f"manifest: {path} lists no video. Add a row for each.")
    return rows


def _strip(row: dict[str | Any, str | list[str]]) -> dict[str, str]:
    """Return a row without blanks; what goes beyond the columns, which `csv` files under None, is under ""."""
    texts = {name: text for name, text in row.items() if name and isinstance(text, str)}
    beyond = [text.strip() for text in row.get(None) or () if text.strip()]
    return {name: text.strip() for name, text in texts.items()} | {"": ",".join(beyond)}


def _record(path: Path, line: int, row: dict[str, str], infos: dict[str, VideoInfo], strict: bool) -> VideoFileRecord:
    """Make the record of a row."""
    where = f"{path}: line {line}"
    for name in ("video", "subject"):
        if not row[name]:
            raise DataError(f"{where}: no {name}; fill it in or remove the row")
    if row[""]:
        raise DataError(f"{where}: more values than columns ({row[''][:60]}); quote values that hold a comma")
    label = _whole(where, "label", row["label"])
    if label > MAX_LABEL:
        raise DataError(f"{where}: label {row['label']} is above {MAX_LABEL}; correct the row")
    video = PurePath(row["video"])
    if video.anchor or ".." in video.parts:  # an anchor may also be a drive's, without a path from its root
        raise DataError(
            f"{where}: {row['video']} leads out of the manifest's folder; move or link the video into that folder "
            "and give its path from there"
        )
    file = str(path.parent / video)
    info = infos.get(file) or infos.setdefault(file, probe(file))
    part = bool(row.get("start") or row.get("end"))
    start = _whole(where, "start", row["start"]) if row.get("start") else 0
    stop = _whole(where, "end", row["end"]) if row.get("end") else info.n_frames
    if not start < stop <= info.n_frames:
        raise DataError(
            f"{where}: frames {start} to {stop} of {row['video']}, which has {info.n_frames}; start must be "
            "below end, and end at most the number of frames"
        )
    name = video.as_posix().rpartition(".")[0] or video.as_posix()
    return VideoFileRecord(
        subject=row["subject"],
        video=f"{name}@{start}-{stop}" if part else name,
        n_frames=stop - start,
        levels=np.full(stop - start, label, np.int64),
        fps=info.fps,
        strict=strict,
        path=file,
        start=start,
        stop=stop if part else None,
    )


def _whole(where: str, name: str, text: str) -> int:
    """Read a whole number from 0."""
    try:
        value = -1.0 if "_" in text else float(text)  # Python takes 1_0 for 10
    except ValueError:
        value = -1.0
    if not (value >= 0 and value.is_integer()):
        unit = " of frames" if name != "label" else ""
        raise DataError(f"{where}: {name} {text!r} is not a whole number{unit} from 0; correct the row")
    return int(value)
