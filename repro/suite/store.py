"""Results on disk: one immutable folder for each cell, committed by its ``result.json``.

Layout under the store's root::

    <kk>/<key>/result.json + predictions.npz          one cell (kk: the key's first two characters)
    artifacts/<kk>/<key>/network.safetensors + history.json    one pretext network
    inputs/<kk>/<key>/                                 one subject's encoded clips
    features/<kk>/<key>.safetensors                    what one extractor computed of one subject's clips
    data/                                              simulated datasets
    damaged/                                           what did not pass its checks, set aside

Every file is written under a temporary name in its own folder, flushed to the disk and renamed; ``result.json``
(``history.json`` for an artifact) comes last and holds the other file's SHA-256, so that a folder without it is
unfinished and one whose hash disagrees is damaged. No locks are taken: two writers of one key write the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from repro.files import write_atomically
from repro.learning.predictions import Predictions

__all__ = ["DamagedEntry", "CellPredictions", "Store", "hash_of"]


class DamagedEntry(ValueError):
    """A stored entry that does not parse or whose contents do not match their hash."""


def hash_of(description: Mapping[str, Any]) -> str:
    """Key of a description: the SHA-256 of its canonical JSON, 40 hexadecimal digits."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


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

    def for_statistics(self) -> Predictions:
        """Return the form that statistics take: fold and seed beside each sample."""
        n = len(self.samples)
        return Predictions(
            self.subjects, np.full(n, self.fold), np.full(n, self.seed), self.levels, self.scores.astype(np.float64)
        )

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
        """Read what :meth:`to_bytes` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("samples", "subjects", "levels", "scores")}
            return cls(**arrays, fold=int(archive["fold"]), seed=int(archive["seed"]))


class Store:
    """A folder of results, pretext networks, encoded inputs and simulated data.

    Parameters
    ----------
    root : path
        Created on first write. May be moved or copied: no path is stored inside.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

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
        return (self.result_folder(key) / "result.json").is_file()

    def has_artifact(self, key: str) -> bool:
        """Whether a pretext network was committed."""
        return (self.artifact_folder(key) / "history.json").is_file()

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
        folder = self.result_folder(key)
        description, data = self._load(folder, "predictions.npz", "result.json")
        try:
            return description, CellPredictions.from_bytes(data)
        except Exception as error:
            raise DamagedEntry(f"{folder / 'predictions.npz'} does not parse: {error}") from error

    def write_artifact(self, key: str, network: bytes, description: Mapping[str, Any]) -> None:
        """Commit a pretext network (safetensors bytes) with its history."""
        folder = self.artifact_folder(key)
        self._commit(folder, "network.safetensors", network, "history.json", {"key": key, **description})

    def read_artifact(self, key: str) -> tuple[dict[str, Any], bytes]:
        """Read a pretext network's description (with its history) and its safetensors bytes."""
        return self._load(self.artifact_folder(key), "network.safetensors", "history.json")

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
        description, data = self._load(self.measurement_folder(key), "series.json", "measurement.json")
        return description, json.loads(data)

    def set_aside(self, folder: Path) -> Path:
        """Move a damaged entry to ``damaged/``, so that it is recomputed and can be examined."""
        target = self.root / "damaged"
        target.mkdir(parents=True, exist_ok=True)
        for number in range(10_000):
            destination = target / f"{folder.name}-{number}"
            if not destination.exists():
                folder.rename(destination)
                return destination
        raise ValueError(f"{target} holds 10,000 damaged copies of {folder.name}; look at them and remove them")

    def discard_damaged(self, key: str, kind: Literal["cell", "artifact", "measurement"] = "cell") -> str | None:
        """Set an entry aside if it is committed but damaged; the reason, or None if it is sound or absent."""
        folder, has, read = {
            "cell": (self.result_folder, self.has, self.read),
            "artifact": (self.artifact_folder, self.has_artifact, self.read_artifact),
            "measurement": (self.measurement_folder, self.has_measurement, self.read_measurement),
        }[kind]
        if not has(key):
            return None
        try:
            read(key)
        except DamagedEntry as error:
            return f"{error}; set aside as {self.set_aside(folder(key))}"
        return None

    def keys(self) -> Iterator[str]:
        """Keys of all committed cells, sorted."""
        if self.root.is_dir():
            for file in sorted(self.root.glob("[0-9a-f][0-9a-f]/*/result.json")):
                yield file.parent.name

    def measurement_keys(self) -> Iterator[str]:
        """Keys of all committed measurements, sorted."""
        for file in sorted((self.root / "measurements").glob("*/*/measurement.json")):
            yield file.parent.name

    def artifact_keys(self) -> Iterator[str]:
        """Keys of all committed pretext networks, sorted."""
        for file in sorted((self.root / "artifacts").glob("*/*/history.json")):
            yield file.parent.name

    @staticmethod
    def _commit(folder: Path, payload: str, data: bytes, record: str, description: Mapping[str, Any]) -> None:
        write_atomically(folder / payload, data)
        full = {**description, "sha256": hashlib.sha256(data).hexdigest()}
        write_atomically(folder / record, json.dumps(full, indent=1, sort_keys=True).encode())

    @staticmethod
    def _load(folder: Path, payload: str, record: str) -> tuple[dict[str, Any], bytes]:
        try:
            description = json.loads((folder / record).read_bytes())
            data = (folder / payload).read_bytes()
        except (OSError, ValueError) as error:
            raise DamagedEntry(f"{folder} cannot be read: {error}") from error
        if not isinstance(description, dict) or description.get("sha256") != hashlib.sha256(data).hexdigest():
            raise DamagedEntry(f"{folder / payload} does not match the hash in {record}")
        return description, data
