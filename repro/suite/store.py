"""Results on disk: one immutable folder for each cell, committed by its ``result.json``.

Layout under the store's root::

    <kk>/<key>/result.json + predictions.npz          one cell (kk: the key's first two characters)
    artifacts/<kk>/<key>/network.safetensors + history.json    one pretext network
    inputs/<kk>/<key>/                                 one subject's encoded clips
    features/<kk>/<key>.safetensors                    what one extractor computed of one subject's clips
    measurements/<kk>/<key>/measurement.json + series.json     what is measured and no prediction
    checkpoints/<key>/                                 pretext networks in training
    data/                                              simulated datasets
    damaged/                                           what did not pass its checks, set aside
    set_aside/                                         what is stale or left over, set aside by hand

Every file is written under a temporary name in its own folder, flushed to the disk and renamed; ``result.json``
(``history.json`` for an artifact) comes last and holds the other file's SHA-256, so that a folder without it is
unfinished and one whose hash disagrees is damaged. No locks are taken: two writers of one key write the same bytes.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from repro.files import CannotWrite, cannot_write, write_atomically
from repro.learning.predictions import Predictions
from repro.suite.npz import read_npz

__all__ = ["CellPredictions", "DamagedEntry", "Store", "hash_of", "hash_with_names", "hashes_of", "joined"]

_MOST_COPIES = 10_000
_CHUNK = 1 << 16
_HEXADECIMAL = frozenset("0123456789abcdef")
_ABSENT = (FileNotFoundError, NotADirectoryError)


class DamagedEntry(ValueError):
    """A stored entry that does not parse or whose contents do not match their hash."""


def hash_of(description: Mapping[str, Any]) -> str:
    """Key of a description: the SHA-256 of its canonical JSON, 40 hexadecimal digits."""
    return hashlib.sha256(_text(description).encode()).hexdigest()[:40]


def hash_with_names(description: Mapping[str, Any], name: str, lists: Mapping[str, Sequence[str] | None]) -> str:
    """Return `hash_of` of a description with a mapping of lists under a name; of a list only the first hash is slow.

    The networks of a table see thousands of videos each, and many of them the same.
    """
    marks = {key: None if names is None else f"\0{name} {key}\0" for key, names in lists.items()}
    rest = _text({**description, name: marks})
    digest = hashlib.sha256()
    for key, names in sorted(lists.items()):  # in the order in which JSON has them
        if names is not None:
            before, rest = rest.split(_text(marks[key]))
            digest.update(before.encode())
            digest.update(_text_of_names(tuple(names)))
    digest.update(rest.encode())
    return digest.hexdigest()[:40]


@lru_cache(maxsize=512)
def _text_of_names(names: tuple[str, ...]) -> bytes:
    return _text(names).encode()


_text = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
"""Returns canonical JSON."""


def hashes_of(description: Mapping[str, Any], name: str, values: Sequence[Any]) -> list[str]:
    """Return `hash_of` of a description with each of several values under a name, hashing what they share once."""
    mark = "\0here\0"
    before, after = _text({**description, name: mark}).split(json.dumps(mark))
    shared = hashlib.sha256(before.encode())
    found = []
    for value in values:
        own = shared.copy()
        own.update(_text(value).encode())
        own.update(after.encode())
        found.append(own.hexdigest()[:40])
    return found


@dataclass(frozen=True, eq=False)
class CellPredictions:
    """What a cell predicted for its test clips.

    Parameters
    ----------
    samples, subjects : ndarray of str, shape (n,)
        Clip identifiers and the subjects they show.
    levels : ndarray of int64, shape (n,)
        True pain levels.
    scores : ndarray of float32, shape (n, n_levels)
        Predicted probability of each level; rows sum to one.
    fold, seed : int
        The protocol's fold and the repetition.
    """

    samples: np.ndarray
    subjects: np.ndarray
    levels: np.ndarray
    scores: np.ndarray
    fold: int
    seed: int

    def __post_init__(self) -> None:
        """Check that shapes agree and scores are probabilities."""
        n = len(self.samples)
        if len(self.subjects) != n or len(self.levels) != n or self.scores.ndim != 2 or len(self.scores) != n:
            shapes = {f.name: np.shape(getattr(self, f.name)) for f in fields(self)}
            raise ValueError(f"predictions disagree in length: {shapes}; pass one row for each sample")
        if n == 0:
            raise ValueError("predictions are empty; a fold without test clips must not become a cell")
        if not np.isfinite(self.scores).all():
            raise ValueError("scores hold NaN or infinity; a diverged model must fail its cell, not be stored")

    def to_bytes(self) -> bytes:
        """Serialise as ``.npz``; equal predictions give equal bytes."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            samples=np.asarray(self.samples, dtype=np.str_),
            subjects=np.asarray(self.subjects, dtype=np.str_),
            levels=np.asarray(self.levels, dtype=np.int64),
            scores=np.asarray(self.scores, dtype=np.float32),
            fold=np.int64(self.fold),
            seed=np.int64(self.seed),
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> CellPredictions:
        """Read what :meth:`to_bytes` wrote; the arrays cannot be written to."""
        found = read_npz(data)
        arrays = {name: found[name] for name in ("samples", "subjects", "levels", "scores")}
        return cls(**arrays, fold=int(found["fold"]), seed=int(found["seed"]))


def joined(cells: Sequence[CellPredictions]) -> Predictions:
    """Join cells to the form that statistics take: fold and seed beside each sample.

    Raises
    ------
    ValueError
        If there is none, or they have different numbers of levels.
    """
    widths = sorted({cell.scores.shape[1] for cell in cells})
    if len(widths) != 1:
        raise ValueError(f"cells to join must have one number of levels, got {widths}")
    lengths = [len(cell.levels) for cell in cells]
    return Predictions(
        np.concatenate([cell.subjects for cell in cells]),
        np.repeat([cell.fold for cell in cells], lengths),
        np.repeat([cell.seed for cell in cells], lengths),
        np.concatenate([cell.levels for cell in cells]),
        np.concatenate([cell.scores for cell in cells]).astype(np.float64),
    )


class Recalled(NamedTuple):
    """What is kept in memory of a cell that was read and is sound.

    Attributes
    ----------
    marks : tuple of int
        By which it is known that its files were not changed.
    run : mapping
        What it ran on, as its record tells.
    predictions : CellPredictions
    """

    marks: tuple[int, ...]
    run: Mapping[str, Any]
    predictions: CellPredictions


class Store:
    """A folder of results, pretext networks, encoded inputs and simulated data.

    Parameters
    ----------
    root : path
        Created on first write. May be moved or copied: no path is stored inside.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._root = str(self.root)
        self._recalled: dict[str, Recalled] = {}

    def result_folder(self, key: str) -> Path:
        """Folder of a cell's result."""
        return self.root / key[:2] / key

    def artifact_folder(self, key: str) -> Path:
        """Folder of a pretext network."""
        return self.root / "artifacts" / key[:2] / key

    def input_folder(self, key: str) -> Path:
        """Folder of one subject's encoded clips."""
        return self.root / "inputs" / key[:2] / key

    def feature_file(self, key: str) -> Path:
        """File of what one extractor computed of one subject's clips."""
        return self.root / "features" / key[:2] / f"{key}.safetensors"

    @property
    def data_folder(self) -> Path:
        """Folder that simulated datasets are written to."""
        return self.root / "data"

    def has(self, key: str) -> bool:
        """Whether a cell's result was committed (its contents are checked when read)."""
        return os.path.isfile(f"{self._root}/{key[:2]}/{key}/result.json")  # noqa: PTH113 - asked 10^5 times

    def has_artifact(self, key: str) -> bool:
        """Whether a pretext network was committed."""
        return (self.artifact_folder(key) / "history.json").is_file()

    def has_input(self, key: str) -> bool:
        """Whether a subject's clips were encoded (the images are checked when read)."""
        return os.path.isdir(f"{self._root}/inputs/{key[:2]}/{key}")  # noqa: PTH112 - as above

    def has_features(self, key: str) -> bool:
        """Whether an extractor's features of a subject were computed (they are checked when read)."""
        return os.path.isfile(f"{self._root}/features/{key[:2]}/{key}.safetensors")  # noqa: PTH113 - as above

    def write(self, key: str, predictions: CellPredictions, description: Mapping[str, Any]) -> None:
        """Commit a cell: predictions first, then the ``result.json`` that makes them count."""
        folder = self.result_folder(key)
        self._commit(folder, "predictions.npz", predictions.to_bytes(), "result.json", {"key": key, **description})

    def read(self, key: str) -> tuple[dict[str, Any], CellPredictions]:
        """Read a cell's description and predictions.

        Raises
        ------
        DamagedEntry
            If either file is missing, does not parse, or does not match the recorded hash.
        """
        folder = f"{self._root}/{key[:2]}/{key}"
        description, data = _load_committed(folder, "predictions.npz", "result.json")
        return description, _predictions(folder, data)

    def recall(self, key: str) -> Recalled | None:
        """Read a cell, unless that was done before and its files are the same: by their numbers, sizes and times.

        Returns
        -------
        Recalled or None
            None if it was not committed.

        Raises
        ------
        DamagedEntry
            As `read` does.
        """
        folder = f"{self._root}/{key[:2]}/{key}"
        known = self._recalled.get(key)
        if known is not None and known.marks == _marks_of(folder):
            return known
        self._recalled.pop(key, None)
        try:
            described, data, marks = _load(folder, "predictions.npz", "result.json")
        except _ABSENT:
            return None
        run = described.get("run")
        recalled = Recalled(marks, run if isinstance(run, dict) else {}, _predictions(folder, data))
        self._recalled[key] = recalled
        return recalled

    def runs(self, keys: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Return what the cells that are there and sound ran on, by their keys."""
        found = {}
        for key in keys:
            with suppress(DamagedEntry):  # told where predictions are read
                if (recalled := self.recall(key)) is not None:
                    found[key] = recalled.run
        return found

    def write_artifact(self, key: str, network: bytes, description: Mapping[str, Any]) -> None:
        """Commit a pretext network (safetensors bytes) with its history."""
        folder = self.artifact_folder(key)
        self._commit(folder, "network.safetensors", network, "history.json", {"key": key, **description})

    def read_artifact(self, key: str) -> tuple[dict[str, Any], bytes]:
        """Read a pretext network's description (with its history) and its safetensors bytes."""
        return _load_committed(str(self.artifact_folder(key)), "network.safetensors", "history.json")

    def measurement_folder(self, key: str) -> Path:
        """Folder of something measured that is no prediction."""
        return self.root / "measurements" / key[:2] / key

    def has_measurement(self, key: str) -> bool:
        """Whether a measurement was committed."""
        return (self.measurement_folder(key) / "measurement.json").is_file()

    def write_measurement(
        self, key: str, series: Mapping[str, Mapping[str, Any]], description: Mapping[str, Any]
    ) -> None:
        """Commit a measurement.

        Parameters
        ----------
        key : str
        series : mapping
            Name -> ``values`` (list of float) and ``units`` (list of str): what each value is of, a subject or a video.
        description : mapping
            ``description``, what was hashed to the key, and ``run``, what it ran on.

        Raises
        ------
        ValueError
            If values and units differ in number, there are none, or a value is not finite.
        """
        for name, one in series.items():
            values = np.asarray(one["values"], dtype=np.float64)
            if values.ndim != 1 or len(values) == 0 or len(values) != len(one["units"]):
                raise ValueError(f"measured {name}: {values.shape} values of {len(one['units'])} units; give one each")
            if not np.isfinite(values).all():
                raise ValueError(f"measured {name} holds NaN or infinity; what failed must not be stored")
        data = json.dumps(series, sort_keys=True).encode()
        self._commit(self.measurement_folder(key), "series.json", data, "measurement.json", {"key": key, **description})

    def read_measurement(self, key: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Read a measurement's description and its series.

        Raises
        ------
        DamagedEntry
            If a file is missing, does not parse, or does not match the recorded hash.
        """
        description, data = _load_committed(str(self.measurement_folder(key)), "series.json", "measurement.json")
        return description, json.loads(data)

    def set_aside(self, path: Path, place: Literal["damaged", "set_aside"] = "damaged") -> Path:
        """Move an entry away, so that it is computed again and can be examined.

        Parameters
        ----------
        path : path
            A file or folder of the store.
        place : {"damaged", "set_aside"}
            Folder of the store. ``damaged/`` holds entries by their own names, ``set_aside/`` by their paths.

        Returns
        -------
        path
            Where it is now.

        Raises
        ------
        FileNotFoundError
            If there is no such entry, as when another process has just set it aside.
        CannotWrite
            If the store cannot be written to.
        ValueError
            If too many of its name were set aside.
        """
        above = Path() if place == "damaged" else path.relative_to(self.root).parent
        target = self.root / place / above
        for number in range(_MOST_COPIES):
            destination = target / f"{path.name}-{number}"
            if os.path.lexists(destination):
                continue
            try:
                target.mkdir(parents=True, exist_ok=True)
                return _move(path, destination)
            except OSError as error:
                if not os.path.lexists(path):
                    raise FileNotFoundError(f"{path} is not there: another process has set it aside") from error
                raise cannot_write(destination, error) from error
        raise ValueError(f"{target} holds {_MOST_COPIES:,} copies of {path.name}; look at them and remove them")

    def reject(self, error: DamagedEntry, folder: Path) -> str:
        """Set a damaged entry aside if the store can be written to; either way it counts as missing.

        Returns
        -------
        str
            What is wrong with it, and where it is now.
        """
        try:
            return f"{error}; set aside as {self.set_aside(folder)}"
        except FileNotFoundError as gone:
            return f"{error}; {gone}"
        except CannotWrite as refusal:
            return f"{error}; it counts as missing, and stays where it is, as {refusal}"

    def discard_damaged(self, key: str, kind: Literal["cell", "artifact", "measurement"] = "cell") -> str | None:
        """Set an entry aside if it is committed but damaged; the reason, or None if it is sound or absent."""
        folder, has, read = {
            "cell": (self.result_folder, self.has, self.recall),
            "artifact": (self.artifact_folder, self.has_artifact, self.read_artifact),
            "measurement": (self.measurement_folder, self.has_measurement, self.read_measurement),
        }[kind]
        try:
            read(key)
        except DamagedEntry as error:
            return self.reject(error, folder(key)) if has(key) else None
        return None

    def keys(self) -> Iterator[str]:
        """Keys of all committed cells, sorted."""
        yield from _committed(self._root, "result.json")

    def measurement_keys(self) -> Iterator[str]:
        """Keys of all committed measurements, sorted."""
        yield from _committed(f"{self._root}/measurements", "measurement.json")

    def artifact_keys(self) -> Iterator[str]:
        """Keys of all committed pretext networks, sorted."""
        yield from _committed(f"{self._root}/artifacts", "history.json")

    @staticmethod
    def _commit(folder: Path, payload: str, data: bytes, record: str, description: Mapping[str, Any]) -> None:
        write_atomically(folder / payload, data)
        full = {**description, "sha256": hashlib.sha256(data).hexdigest()}
        write_atomically(folder / record, json.dumps(full, indent=1, sort_keys=True).encode())


def _load_committed(folder: str, payload: str, record: str) -> tuple[dict[str, Any], bytes]:
    """Read an entry's record and its other file, and check them."""
    try:
        description, data, _ = _load(folder, payload, record)
    except _ABSENT as error:
        raise DamagedEntry(f"{folder} cannot be read: {error}") from error
    return description, data


def _load(folder: str, payload: str, record: str) -> tuple[dict[str, Any], bytes, tuple[int, ...]]:
    """As above, with the marks of both files; raises one of `_ABSENT` if there is no record."""
    try:
        text, of_record = _read(f"{folder}/{record}")
    except _ABSENT:
        raise
    except OSError as error:
        raise DamagedEntry(f"{folder} cannot be read: {error}") from error
    try:
        description = _decoded(text)
        data, of_payload = _read(f"{folder}/{payload}")
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedEntry(f"{folder} cannot be read: {error}") from error
    if not isinstance(description, dict) or description.get("sha256") != hashlib.sha256(data).hexdigest():
        raise DamagedEntry(f"{folder}/{payload} does not match the hash in {record}")
    if description.get("key") != folder.rpartition("/")[2]:
        raise DamagedEntry(f"{folder}/{record} is that of {description.get('key')}, another entry")
    return description, data, of_record + of_payload


def _decoded(text: bytes) -> Any:
    """Return what `json.loads` does, faster for what `json.dumps` writes."""
    characters = text.decode()
    value, end = _DECODE(characters)
    return value if end == len(characters) else json.loads(characters)


_DECODE = json.JSONDecoder().raw_decode


def _predictions(folder: str, data: bytes) -> CellPredictions:
    try:
        return CellPredictions.from_bytes(data)
    except Exception as error:
        raise DamagedEntry(f"{folder}/predictions.npz does not parse: {error}") from error


def _read(path: str) -> tuple[bytes, tuple[int, ...]]:
    """Read a file, with the marks that it had before; in half the time of `open`, as it is done 10^5 times."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        marks = _marks(os.fstat(handle))
        parts = [os.read(handle, _CHUNK)]
        while len(parts[-1]) == _CHUNK:
            parts.append(os.read(handle, _CHUNK))
    finally:
        os.close(handle)
    return parts[0] if len(parts) == 1 else b"".join(parts), marks


def _marks(status: os.stat_result) -> tuple[int, ...]:
    """Return by what it is known that a file was not changed."""
    return status.st_ino, status.st_size, status.st_mtime_ns


def _marks_of(folder: str) -> tuple[int, ...] | None:
    """Return the marks of a cell's files, None if one is not there."""
    try:
        return _marks(os.stat(f"{folder}/result.json")) + _marks(os.stat(f"{folder}/predictions.npz"))  # noqa: PTH116 - as above
    except OSError:
        return None


def _committed(folder: str, record: str) -> Iterator[str]:
    """Yield the names of the entries below a folder that have a record, sorted."""
    for first in _names(folder):
        if len(first) == 2 and not set(first) - _HEXADECIMAL:
            for key in _names(f"{folder}/{first}"):
                if os.path.isfile(f"{folder}/{first}/{key}/{record}"):  # noqa: PTH113 - as above
                    yield key


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - as above
    except (FileNotFoundError, NotADirectoryError):
        return []


def _move(path: Path, destination: Path) -> Path:
    try:
        return path.rename(destination)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    return Path(shutil.move(path, destination))  # part of the store is a link to another disk
