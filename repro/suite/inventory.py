"""What a store holds, and what of it is damaged, stale, or left over from writers that were killed.

Damaged is what does not parse, or does not match the hash or the key that it was stored under. Stale is what was made
by an earlier version of a method or of the code, or from data of an earlier version of the simulator; no table asks for
it any more. Left over are temporary files, entries that were never finished, checkpoints of finished trainings, and
encoded images that nothing in the store was computed from and no table asks for.

Another process may be writing. What is younger than an hour is never called left over, by the clock of the disk that
the store is on: its age is counted from the time stamp of a file that is written there for the purpose. Where that
cannot be written, nothing is called left over.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from repro.data.feature_files import read_feature_notes, read_features
from repro.data.inputs import open_inputs, read_inputs, read_notes
from repro.learning.checkpoints import FILE, check_state
from repro.suite.requests import Requests
from repro.suite.staleness import Present
from repro.suite.store import DamagedEntry, Store, hash_of

__all__ = ["Finding", "Inventory", "State", "take_inventory"]

State = Literal["damaged", "stale", "left over"]

YOUNG = 3600.0
"""Seconds in which an unfinished file may still be being written."""

_IGNORED = re.compile(r"\.(DS_Store|nfs.*|_.*|cluster-.*)")
"""Names with a leading dot that are no temporary files: those of systems, and the mark of a running cluster."""

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with one entry of the store.

    Parameters
    ----------
    state : {"damaged", "stale", "left over"}
    kind : str
        In the plural, such as "cells".
    path : path
    reason : str
    n_bytes : int
    """

    state: State
    kind: str
    path: Path
    reason: str
    n_bytes: int


@dataclass
class Inventory:
    """Counts, sizes and findings.

    Parameters
    ----------
    counts, sizes : mapping of str to int
        Kind -> entries, and their bytes, those with findings included.
    findings : list of Finding
        In the order of states, kinds and paths.
    remarks : list of str
        What could not be told.
    """

    counts: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def of(self, state: State) -> list[Finding]:
        """Return the findings of a state."""
        return [found for found in self.findings if found.state == state]


def take_inventory(store: Store, requests: Requests) -> Inventory:
    """Look at everything in a store; nothing is changed.

    Parameters
    ----------
    store : Store
        Its folder must be there.
    requests : Requests
        What today's tables ask for.

    Returns
    -------
    Inventory
    """
    return _Inspection(store, requests).run()


class _Inspection:
    """One pass over a store."""

    def __init__(self, store: Store, requests: Requests) -> None:
        self.store, self.requests = store, requests
        self.present = Present(store)
        self.found = Inventory()
        self.foreign: Counter[str] = Counter()
        self.unasked: list[tuple[str, Path]] = []
        self.now = _clock(store.root)
        self.young = 0

    def run(self) -> Inventory:
        self._networks()  # first, as cells that rest on a stale one are stale
        self._cells()
        self._measurements()
        self._inputs()
        self._features()
        self._checkpoints()
        self._temporary()
        order = {state: place for place, state in enumerate(("damaged", "stale", "left over"))}
        self.found.findings.sort(key=lambda one: (order[one.state], one.kind, str(one.path)))
        self._remark()
        return self.found

    def _remark(self) -> None:
        remarks = self.found.remarks
        if self.foreign:
            told = ", ".join(f"{count} {kind}" for kind, count in self.foreign.items())
            remarks.append(f"{told} are of data that is not in this store; their data may be stale, which is not told")
        if self.now is None:
            remarks.append("the store cannot be written to, so that nothing in it is called left over")
        elif self.young:
            remarks.append(f"{self.young} unfinished entries are younger than an hour and may still be being written")

    def _count(self, kind: str, path: Path) -> int:
        size = _size(path)
        self.found.counts[kind] += 1
        self.found.sizes[kind] += size
        return size

    def _add(self, state: State, kind: str, path: Path, reason: object, size: int) -> None:
        self.found.findings.append(Finding(state, kind, path, str(reason), size))

    def _left_over(self, kind: str, path: Path, reason: str) -> None:
        """Add a left-over, unless it may still be being written."""
        if self.now is None:
            return
        changed = _changed(path)
        if changed is not None and self.now - changed >= YOUNG:
            self._add("left over", kind, path, reason, _size(path))
        else:
            self.young += changed is not None

    def _entries(self, folder: Path, record: str, kind: str) -> Iterator[tuple[str, Path, int]]:
        """Yield key, folder and size of each committed entry; those without a record are left over."""
        for path in _keyed(folder):
            if not path.is_dir():
                continue
            if (path / record).is_file():
                yield path.name, path, self._count(kind, path)
            else:
                self._left_over(f"unfinished {kind}", path, f"it has no {record}: its writer did not finish")

    def _networks(self) -> None:
        kind = "networks"
        for key, path, size in self._entries(self.store.root / "artifacts", "history.json", kind):
            try:
                entry, _ = self.store.read_artifact(key)
                _check_key(key, entry, path)
                _check_safetensors(path / "network.safetensors")
            except ValueError as error:
                self._add("damaged", kind, path, error, size)
                continue
            described = _mapping(entry.get("description"))
            self.requests.add_network(described)
            if reason := self.present.network(key, described):
                self._add("stale", kind, path, reason, size)
            elif self.present.is_foreign(described):
                self.foreign[kind] += 1

    def _cells(self) -> None:
        kind = "cells"
        for key, path, size in self._entries(self.store.root, "result.json", kind):
            try:
                entry, _ = self.store.read(key)
                _check_key(key, entry, path)
            except ValueError as error:
                self._add("damaged", kind, path, error, size)
                continue
            described = _mapping(entry.get("description"))
            self.requests.add_cell(described)
            if reason := self.present.cell(described):
                self._add("stale", kind, path, reason, size)
            elif self.present.is_foreign(described):
                self.foreign[kind] += 1

    def _measurements(self) -> None:
        kind = "measurements"
        for key, path, size in self._entries(self.store.root / "measurements", "measurement.json", kind):
            try:
                entry, _ = self.store.read_measurement(key)
                _check_key(key, entry, path)
            except ValueError as error:
                self._add("damaged", kind, path, error, size)
                continue
            described = _mapping(entry.get("description"))
            self.requests.add_measurement(described)
            if reason := self.present.measurement(described):
                self._add("stale", kind, path, reason, size)

    def _inputs(self) -> None:
        kind = "inputs"
        for path in _keyed(self.store.root / "inputs"):
            size = self._count(kind, path)
            try:
                subject, described = _read_shard(path)
            except ValueError as error:
                self._add("damaged", kind, path, error, size)
                continue
            if reason := self.present.input(described):
                self._add("stale", kind, path, reason, size)
            elif subject is not None and not self.requests.ask_for(path.name, subject, described):
                self.unasked.append((subject, path))
        for subject, path in self.unasked:
            if subject in self.requests.subjects:
                told = "nothing in the store was computed from it, and no table asks for it"
                self._left_over(kind, path, told)
            else:  # perhaps of a dataset that was given, of which nothing is computed yet
                self.foreign[kind] += 1

    def _features(self) -> None:
        kind = "features"
        for path in _keyed(self.store.root / "features"):
            if path.suffix != ".safetensors":
                continue
            size = self._count(kind, path)
            try:
                read_feature_notes(path)
                _check_features(path)
            except ValueError as error:
                self._add("damaged", kind, path, error, size)
                continue
            if reason := self.present.features(path):
                self._add("stale", kind, path, reason, size)

    def _checkpoints(self) -> None:
        kind = "checkpoints"
        for path in _listed(self.store.root / "checkpoints"):
            size = self._count(kind, path)
            if self.store.has_artifact(path.name) or self.store.has(path.name):
                self._left_over(kind, path, "its training is finished")
                continue
            for file in sorted(path.rglob(FILE)):  # a training of several stages has a folder for each
                try:
                    check_state(file)
                except ValueError as error:
                    self._add("damaged", kind, path, error, size)
                    break

    def _temporary(self) -> None:
        root = str(self.store.root)
        for here, folders, files in os.walk(root):
            if here == root:
                folders[:] = [name for name in folders if name not in ("damaged", "set_aside")]
            for name in sorted([*folders, *files]):
                if name.startswith(".") and not _IGNORED.fullmatch(name):
                    told = "a temporary file of a writer that did not finish"
                    self._left_over("temporary files", Path(here, name), told)
            folders[:] = [name for name in folders if not name.startswith(".")]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _check_key(key: str, entry: Mapping[str, Any], folder: Path) -> None:
    """Check that what an entry says of itself is what its key is the hash of.

    Raises
    ------
    DamagedEntry
        If it is not.
    """
    described = entry.get("description")
    if isinstance(described, dict) and hash_of(described) != key:
        raise DamagedEntry(f"{folder}: its description is not the one that its key is the hash of")


def _read_shard(folder: Path) -> tuple[str | None, dict[str, Any]]:
    """Read a subject's encoded clips; return the subject, which one without clips does not tell, and the input.

    Images are not decoded; their own checksums are compared.

    Raises
    ------
    ValueError
        If anything does not parse, or a checksum differs.
    """
    notes = read_notes(folder)
    inputs = read_inputs([folder])
    table = open_inputs([folder])
    for name in (column for column in table.column_names if column == "image" or column.startswith("view ")):
        for row, picture in enumerate(table.data.column(name)):
            if not _is_whole(picture["bytes"].as_py()):
                raise ValueError(f"{folder}: {name} {row} is damaged; set the folder aside and run again")
    return (inputs.clips[0].subject if inputs.clips else None), notes.input


def _is_whole(data: bytes | None) -> bool:
    """Whether a PNG file has all its chunks, and their checksums are right."""
    if data is None or not data.startswith(_PNG):
        return False
    place = len(_PNG)
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        end = place + 8 + length
        if data[end : end + 4] != zlib.crc32(data[place + 4 : end]).to_bytes(4, "big"):
            return False
        if data[place + 4 : place + 8] == b"IEND":
            return end + 4 == len(data)
        place = end + 4
    return False


def _check_safetensors(file: Path) -> None:
    """Check that a file of tensors has a header that fits its length.

    Raises
    ------
    DamagedEntry
        If it has not.
    """
    from safetensors import safe_open

    try:
        with safe_open(file, "np"):
            pass
    except Exception as error:  # whatever the format's reader raises
        raise DamagedEntry(f"{file} does not parse: {error}") from error


def _check_features(file: Path) -> None:
    if read_feature_notes(file).ids:
        read_features([file])


def _clock(root: Path) -> float | None:
    """Return the present time by the clock of the store's disk; None where nothing can be written."""
    try:
        with tempfile.NamedTemporaryFile(dir=root, prefix=".clock.") as probe:
            probe.write(b"\0")
            probe.flush()
            return os.fstat(probe.fileno()).st_mtime
    except OSError:
        return None


def _changed(path: Path) -> float | None:
    """Return when a file, or the newest in a folder, was changed; None if it is gone."""
    newest: float | None = None
    for status in _statuses(path):
        newest = max(newest or 0.0, status.st_mtime)
    return newest


def _size(path: Path) -> int:
    return sum(status.st_size for status in _statuses(path) if stat.S_ISREG(status.st_mode))


def _statuses(path: Path) -> Iterator[os.stat_result]:
    with suppress(OSError):
        yield path.lstat()
        if path.is_dir() and not path.is_symlink():
            for here, folders, files in os.walk(path):
                for name in (*folders, *files):
                    with suppress(OSError):
                        yield os.lstat(Path(here, name))


def _listed(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted, without temporary files; nothing if it is not there."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _keyed(folder: Path) -> Iterable[Path]:
    """Yield what lies in the folders of two hexadecimal digits."""
    for first in _listed(folder):
        if re.fullmatch("[0-9a-f]{2}", first.name):
            yield from _listed(first)
