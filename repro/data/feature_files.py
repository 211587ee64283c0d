"""Features on disk: one file for each subject, kind of picture and extractor, shared by methods and folds."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from repro.data.clips import Clip
from repro.data.encoding import InputSpec
from repro.data.face_sequence import FaceSequence, face_sequences
from repro.data.features import Extractor, Moments
from repro.data.schema import Exclusion, VideoRecord
from repro.files import write_atomically

__all__ = ["FeatureFile", "FeatureNotes", "read_feature_notes", "read_features", "write_features"]

_NOTES = "notes"


class FeatureNotes(NamedTuple):
    """What stands beside the features of one subject.

    Attributes
    ----------
    ids : list of str
        Clips, in the order of their features.
    excluded : list of Exclusion
        Videos and clips that have none.
    faces : dict
        Video -> how its face was found.
    seconds : float
        What the extractor took, without decoding and alignment.
    """

    ids: list[str]
    excluded: list[Exclusion]
    faces: dict[str, str]
    seconds: float


class FeatureFile(NamedTuple):
    """Features of one subject's clips, and what stands beside them."""

    moments: Moments
    notes: FeatureNotes


def write_features(
    work: Sequence[tuple[VideoRecord, Sequence[Clip]]],
    spec: InputSpec,
    wanted: Mapping[Extractor, Path],
    report: Callable[[float, str], None],
) -> None:
    """Compute the features of one subject's clips that are missing, decoding each video once.

    An extractor that fails leaves its error beside the file that it should have made, and does not keep others from
    theirs; `read_features` tells it.

    Parameters
    ----------
    work : sequence of (record, clips)
    spec : InputSpec
    wanted : mapping of Extractor to path
        Files that are there are not made again.
    report : callable
        Receives progress.
    """
    missing = [extractor for extractor, path in wanted.items() if not path.is_file()]
    collectors = [_Collector(extractor) for extractor in missing]
    notes = FeatureNotes([], [], {}, 0.0)
    for number, (record, clips) in enumerate(work):
        if not any(collector.error is None for collector in collectors):
            break
        found = face_sequences(record, clips, spec)
        notes.ids.extend(sequence.clip.id for sequence in found.sequences)
        notes.excluded.extend(found.excluded)
        if found.face is not None:
            notes.faces[record.video] = found.face
        for collector in collectors:
            collector.add(found.sequences)
        report((number + 1) / len(work), record.video)
    for collector in collectors:
        path = wanted[collector.extractor]
        failed = _error_of(path)
        if collector.error is not None:
            write_atomically(failed, collector.error.encode())
        else:
            write_atomically(path, collector.to_bytes(notes))
            failed.unlink(missing_ok=True)


class _Collector:
    """Gathers what one extractor computes of a subject's videos."""

    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor
        self.error: str | None = None
        self._parts: list[Moments] = []
        self._seconds = 0.0

    def add(self, sequences: Sequence[FaceSequence]) -> None:
        if self.error is not None or not sequences:
            return
        begin = time.monotonic()
        try:
            self._parts.append(self.extractor.of(sequences))
        except MemoryError:
            raise
        except Exception as error:  # a method's own fault, told in its place
            told = str(error) if isinstance(error, ValueError) else traceback.format_exc()
            self.error = f"{self.extractor.name}, video {sequences[0].clip.video}: {told}"
        self._seconds += time.monotonic() - begin

    def to_bytes(self, notes: FeatureNotes) -> bytes:
        from safetensors.numpy import save

        arrays: dict[str, NDArray[Any]] = {}
        if self._parts:
            moments = Moments.concatenate(self._parts)
            arrays = {name: np.ascontiguousarray(getattr(moments, name)) for name in ("values", "counts", "spans")}
        content = {
            **notes._asdict(),
            "excluded": [asdict(row) for row in notes.excluded],
            "seconds": round(self._seconds, 3),
            "extractor": self.extractor.describe(),
        }
        return save(arrays, metadata={_NOTES: json.dumps(content)})


def _error_of(path: Path) -> Path:
    return path.with_suffix(".error")


def read_feature_notes(path: Path) -> FeatureNotes:
    """Read what stands beside features.

    Raises
    ------
    ValueError
        If the file cannot be read; the message names it and the remedy.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, "np") as file:
            content = json.loads((file.metadata() or {})[_NOTES])
        excluded = [Exclusion(**row) for row in content["excluded"]]
        return FeatureNotes(list(content["ids"]), excluded, dict(content["faces"]), float(content["seconds"]))
    except Exception as error:  # whatever the format's reader raises on a damaged file
        raise _unreadable(path, error) from error


def read_features(paths: Sequence[Path]) -> FeatureFile:
    """Read and join the features that one extractor computed of several subjects; subjects without a clip are passed.

    Raises
    ------
    ValueError
        If a file cannot be read, or its extractor failed; the message names the file and the remedy. If no subject has
        a clip.
    """
    from safetensors.numpy import load_file

    parts: list[Moments] = []
    joined = FeatureNotes([], [], {}, 0.0)
    for path in paths:
        notes = read_feature_notes(path)
        joined.ids.extend(notes.ids)
        joined.excluded.extend(notes.excluded)
        joined.faces.update(notes.faces)
        joined = joined._replace(seconds=joined.seconds + notes.seconds)
        if notes.ids:
            try:
                part = Moments(**load_file(path))
                if len(part) != len(notes.ids):
                    raise ValueError(f"it has {len(part)} clips, not {len(notes.ids)}")
            except Exception as error:  # as above
                raise _unreadable(path, error) from error
            parts.append(part)
    if not parts:
        raise ValueError(f"no clip has features in {', '.join(str(path) for path in paths[:3])}")
    return FeatureFile(Moments.concatenate(parts), joined)


def _unreadable(path: Path, error: Exception) -> ValueError:
    failed = _error_of(path)
    if not path.exists():
        told = f"could not be computed: {failed.read_text()}" if failed.is_file() else f"are not in {path}: run again"
        return ValueError(f"features {told}")
    return ValueError(f"{path} is not a readable file of features ({error}); remove it and run again")
