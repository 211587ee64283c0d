"""Reader of the BioVid Heat Pain Database, Part A.

Layout, relative to the root, which may be the folder above ``PartA`` or ``PartA`` itself::

    PartA/video/071309_w_21/071309_w_21-BL1-081.mp4
    PartA/starting_point/samples.csv                 optional; must agree with the names of the videos
    OpenFace/**/071309_w_21-BL1-081.csv              optional, beside or in PartA; or anywhere, by an option

A record is a video and its label is the level of heat: BL1, PA1 .. PA4 are 0 .. 4. The number of frames is
what each file says: derivatives of the dataset are shorter. Links are followed, out of the root too: see
`repro.data.links`.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from repro.data.files import Digest, few, file_size, read_bytes, unavailable
from repro.data.links import broken_links, list_linked, walk_files
from repro.data.schema import DataError, Dataset, DatasetUnavailable, Exclusion, VideoRecord
from repro.data.video import probe
from repro.data.video_file import VideoFileRecord

CLASSES = ("BL1", "PA1", "PA2", "PA3", "PA4")
"""Names of the levels: no pain, then four levels of heat between pain threshold and tolerance."""

NONREACTIVE = tuple(
    (
        "082315_w_60 082414_m_64 082909_m_47 083009_w_42 083013_w_47 083109_m_60 083114_w_55 091914_m_46 "
        "092009_m_54 092014_m_56 092509_w_51 092714_m_64 100514_w_51 100914_m_39 101114_w_37 101209_w_61 "
        "101809_m_59 101916_m_40 111313_m_64 120614_w_61"
    ).split()
)
"""Subjects whose faces show no reaction to the heat (20); often left out, but not in the paper."""

HOLDOUT = tuple(
    (
        "100914_m_39 101114_w_37 082315_w_60 083114_w_55 083109_m_60 072514_m_27 080309_m_29 112016_m_25 "
        "112310_m_20 092813_w_24 112809_w_23 112909_w_20 071313_m_41 101309_m_48 101609_m_36 091809_w_43 "
        "102214_w_36 102316_w_50 112009_w_43 101814_m_58 101908_m_61 102309_m_61 112209_m_51 112610_w_60 "
        "112914_w_51 120514_w_56"
    ).split()
)
"""Subjects that the dataset's owners propose to hold out for tests (26)."""

Split = Literal["all", "development", "holdout"]

_SUFFIXES = (".mp4", ".avi", ".mkv")
_NAME = re.compile(r"(?P<subject>\d{6}_[mw]_\d+)-(?P<level>[A-Z]+\d)-(?P<number>\d{3})")
_COLUMNS = ("subject_name", "class_id", "class_name", "sample_name")
_EXPECTED = "BioVid Heat Pain, Part A, with PartA/video/<subject>/<subject>-BL1-081.mp4 and so on"
_OBTAIN = (
    "The dataset is given to researchers who sign its agreement (Walter et al., CYBCONF 2013; "
    "https://www.nit.ovgu.de/BioVid.html). Without it, leave the option out and use simulated data."
)


def open_biovid(
    root: str | os.PathLike[str],
    strict: bool = True,
    *,
    exclude_nonreactive: bool = False,
    split: Split = "all",
    openface: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Open Part A.

    Parameters
    ----------
    root : path
        The folder above ``PartA``, or ``PartA`` itself.
    strict : bool
        See `Dataset`.
    exclude_nonreactive : bool
        Whether to leave out the subjects in `NONREACTIVE`; the ledger then names them.
    split : {"all", "development", "holdout"}
        All subjects, those that the owners propose for training, or the others, in `HOLDOUT`; the ledger names those
        left out.
    openface : path, optional
        Folder of OpenFace's CSV files, named as the videos, at any depth. A folder ``OpenFace`` beside or in
        ``PartA`` is found without it.

    Returns
    -------
    Dataset
        A record for each video, with 5 levels. `notes` tells videos that samples.csv lists and that are not
        there, and those without landmarks where others have them.

    Raises
    ------
    DatasetUnavailable
        If `root` is not Part A, or `openface` is no folder with CSV files.
    DataError
        If `strict` and a file is damaged or contradicts another.
    ValueError
        If there is no such split.
    """
    if split not in get_args(Split):
        raise ValueError(f"split {split!r} is none of {', '.join(map(repr, get_args(Split)))}")
    base = Path(root)
    part = base / "PartA" if (base / "PartA").is_dir() else base
    folder = part / "video"
    if not folder.is_dir():
        raise unavailable("biovid", base, _EXPECTED, _OBTAIN)
    reader = _Reader(part, strict, _landmark_files(part, openface))
    records = list(reader.read(exclude_nonreactive, split))
    if not records and not reader.excluded:
        raise unavailable("biovid", base, _EXPECTED, _OBTAIN)
    return Dataset(
        "biovid",
        base,
        records,
        content=reader.digest.hexdigest(),
        n_levels=len(CLASSES),
        excluded=reader.excluded,
        notes=reader.notes(),
        strict=strict,
    )


def _left_out(subject: str, exclude_nonreactive: bool, split: Split) -> str | None:
    """Return why a subject is left out by the options, or None."""
    if exclude_nonreactive and subject in NONREACTIVE:
        return "shows no reaction to the heat: left out by exclude_nonreactive"
    if split != "all" and (subject in HOLDOUT) != (split == "holdout"):
        return f"is {'held out' if subject in HOLDOUT else 'not held out'}: left out by split={split!r}"
    return None


def _landmark_files(part: Path, given: str | os.PathLike[str] | None) -> dict[str, list[str]] | None:
    """Map the videos' names to OpenFace's files; None if there is no folder of these."""
    if given is not None:
        candidates = [Path(given)]
    else:
        candidates = [folder / "OpenFace" for folder in (part, part.parent) if (folder / "OpenFace").is_dir()]
    if not candidates:
        return None
    files: dict[str, list[str]] = {}
    for path in walk_files(candidates[0], ".csv") if candidates[0].is_dir() else ():
        files.setdefault(Path(path).stem, []).append(path)
    if not files:
        raise DatasetUnavailable(
            f"{candidates[0]}: no CSV files of OpenFace in this folder; run FeatureExtraction -f VIDEO "
            "-out_dir FOLDER for each video and give FOLDER"
        )
    return files


class _Reader:
    """Reads the videos one after another and keeps the ledger, the notes and the digest."""

    def __init__(self, part: Path, strict: bool, landmark_files: dict[str, list[str]] | None) -> None:
        self.part = part
        self.strict = strict
        self.landmark_files = landmark_files
        self.excluded: list[Exclusion] = []
        self.digest = Digest()
        self.samples = self._read_samples()
        self.skipped: set[str] = set()
        self._seen: set[str] = set()
        self._unmarked: list[str] = []

    def read(self, exclude_nonreactive: bool, split: Split) -> Iterator[VideoRecord]:
        """Yield the records of all subjects in the order of their names."""
        folders, files = self._list("video", self.part / "video")
        for error in broken_links(files):
            self._leave_out("subject", "video", error)
        for subject in folders:
            reason = _left_out(subject.name, exclude_nonreactive, split)
            if reason is not None:
                self.skipped.add(subject.name)
                self.excluded.append(Exclusion("subject", subject.name, reason))
                continue
            entries = self._list(subject.name, subject)[1]
            videos = [entry for entry in entries if Path(entry.name).suffix.lower() in _SUFFIXES]
            if not videos:
                error = DataError(f"{subject.path}: no videos; copy the folder again, or remove it")
                self._leave_out("subject", subject.name, error)
            for entry in videos:
                try:
                    yield self._video(subject.name, entry)
                except DataError as error:
                    self._leave_out("video", f"{subject.name}/{entry.name}", error)

    def _list(self, name: str, path: str | os.PathLike[str]) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
        """Return folders and files in a folder."""
        try:
            return list_linked(path)
        except DataError as error:
            self._leave_out("folder", name, error)
            return [], []

    def _leave_out(self, what: str, file: str, error: DataError) -> None:
        if self.strict:
            raise error
        self.excluded.append(Exclusion(what, file, str(error)))

    def notes(self) -> list[Exclusion]:
        """Return what is remarkable after all videos were read."""
        rows = []
        if self._unmarked:
            reason = f"{len(self._unmarked)} videos have no file of landmarks, kept: {few(self._unmarked)}"
            rows.append(Exclusion("video", "OpenFace", reason))
        listed = self.samples or {}
        absent = sorted(name for name in listed if name not in self._seen and listed[name][0] not in self.skipped)
        if absent:
            reason = f"{len(absent)} of the videos that it lists are not there: {few(absent)}"
            rows.append(Exclusion("video", "starting_point/samples.csv", reason))
        return rows

    def _video(self, subject: str, entry: os.DirEntry[str]) -> VideoRecord:
        name = Path(entry.name).stem
        match = _NAME.fullmatch(name)
        if match is None or match["level"] not in CLASSES or match["subject"] != subject:
            raise DataError(
                f"{entry.path}: expected a name such as {subject}-BL1-081.mp4 with one of "
                f"{', '.join(CLASSES)}; rename the file or move it away"
            )
        if name in self._seen:
            raise DataError(f"{entry.path}: there is another file of this name; keep one of them")
        self._seen.add(name)
        level = CLASSES.index(match["level"])
        self._compare(entry.path, name, subject, level)
        info = probe(entry.path)
        if info.n_frames == 0:
            raise DataError(f"{entry.path}: declares no number of frames; copy it again from its source")
        self.digest.size(f"video/{subject}/{entry.name}", file_size(entry))
        return VideoFileRecord(
            subject=subject,
            video=f"{subject}/{name}",
            n_frames=info.n_frames,
            levels=np.full(info.n_frames, level, np.int64),
            fps=info.fps,
            strict=self.strict,
            path=entry.path,
            landmark_file=self._landmarks(name),
        )

    def _landmarks(self, name: str) -> str | None:
        """Return the file with a video's landmarks, "" if it has none, None if the dataset has none."""
        if self.landmark_files is None:
            return None
        paths = self.landmark_files.get(name, [])
        if len(paths) > 1:
            raise DataError(f"{paths[0]}: {paths[1]} has landmarks of the same video; keep one of them")
        if not paths:
            self._unmarked.append(name)
            return ""
        self.digest.file(f"OpenFace/{name}.csv", paths[0])
        return paths[0]

    def _compare(self, path: str, name: str, subject: str, level: int) -> None:
        """Compare what a video's name says with samples.csv, if there is one."""
        if self.samples is None:
            return
        table = self.part / "starting_point" / "samples.csv"
        if name not in self.samples:
            raise DataError(f"{path}: is not listed in {table}; complete that file or remove it")
        listed = self.samples[name]
        if listed != (subject, level):
            raise DataError(
                f"{path}: is of subject {subject}, class {level} by its name, but {table} says subject "
                f"{listed[0]}, class {listed[1]}; copy both again, or remove samples.csv"
            )

    def _read_samples(self) -> dict[str, tuple[str, int]] | None:
        """Return subject and class of each sample that samples.csv lists, or None without a (sound) one."""
        path = self.part / "starting_point" / "samples.csv"
        if not path.is_file():
            return None
        try:
            samples = _parse_samples(path)
        except DataError as error:
            if self.strict:
                raise
            self.excluded.append(Exclusion("file", "starting_point/samples.csv", str(error)))
            return None
        self.digest.text("starting_point/samples.csv", read_bytes(str(path)))
        return samples


def _parse_samples(path: Path) -> dict[str, tuple[str, int]]:
    try:
        return _parse_rows(path)
    except (OSError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error}); copy it again, or remove it") from error


def _parse_rows(path: Path) -> dict[str, tuple[str, int]]:
    samples: dict[str, tuple[str, int]] = {}
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
        rows = csv.DictReader(stream, delimiter="\t")
        missing = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise DataError(f"{path}: no column {', '.join(missing)} (tab-separated); copy it again, or remove it")
        for row in rows:
            name, level = row["sample_name"], row["class_name"]
            if level not in CLASSES or row["class_id"] != str(CLASSES.index(level)):
                raise DataError(
                    f"{path}: line {rows.line_num}: class_id {row['class_id']!r} with class_name {level!r}; "
                    "copy the file again, or remove it"
                )
            if not name or name in samples:
                found = f"{name} is listed before" if name else "no sample_name"
                raise DataError(f"{path}: line {rows.line_num}: {found}; copy the file again, or remove it")
            if _NAME.fullmatch(name) is None:
                raise DataError(
                    f"{path}: line {rows.line_num}: sample_name {name[:60]!r} is no name such as 071309_w_21-BL1-081; "
                    "copy the file again, or remove it"
                )
            samples[name] = row["subject_name"], CLASSES.index(level)
    return samples
