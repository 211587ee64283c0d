"""Landmarks of a video as a CSV file in OpenFace's layout, which `repro.data.openface` reads.

The columns are frame, face_id, timestamp, confidence, success, x_0 .. x_67, y_0 .. y_67; those of pose and action units
are absent. As in OpenFace's files, a frame without a face has a row of zeros.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from repro.data import landmark_detection
from repro.data.landmark_detection import Detected, detect_landmarks, require_detector
from repro.data.openface import N_LANDMARKS
from repro.data.schema import DataError
from repro.data.video import iter_frames, probe
from repro.files import write_atomically

RECORD = "landmarks.json"
"""File in the folder of CSV files that says what found them."""

_NAMES = ["frame", "face_id", "timestamp", "confidence", "success"]


def openface_csv(detected: Detected, fps: float | None) -> bytes:
    """Return the content of the CSV file of a video.

    Parameters
    ----------
    detected : Detected
        Of T frames.
    fps : float or None
        Frames per second; without them every timestamp is 0.

    Returns
    -------
    bytes
        A header and T rows; pixels with two decimals.
    """
    names = [*_NAMES, *(f"{axis}_{point}" for axis in "xy" for point in range(N_LANDMARKS))]
    success = detected.success
    points = np.where(success[:, None, None], detected.landmarks, 0.0)
    rows = [
        f"{frame + 1},0,{frame / fps if fps else 0:.3f},{detected.confidence[frame]:.3f},{int(success[frame])},"
        + ",".join(f"{value:.2f}" for value in points[frame].T.ravel().tolist())
        for frame in range(len(points))
    ]
    return ("\n".join([",".join(names), *rows]) + "\n").encode()


def write_landmarks(video: str, output: str, strict: bool, report: Callable[[float, str], None]) -> None:
    """Find the landmarks of a video, decoded block by block, and write its CSV file whole or not at all.

    Parameters
    ----------
    video, output : str
        Video file and CSV file.
    strict : bool
        See `repro.data.video.iter_frames`.
    report : callable
        Told the share that is done.

    Raises
    ------
    VideoError
        If the video cannot be decoded.
    DetectorUnavailable
        If the optional library is not installed.
    """
    info = probe(video)

    def blocks() -> Iterator[Tensor]:
        done = 0
        for block in iter_frames(video, chunk=8, strict=strict):
            yield block
            done += len(block)
            report(done / max(info.n_frames, done), f"{done} frames")

    write_atomically(Path(output), openface_csv(detect_landmarks(blocks()), info.fps))


def count_faces(path: Path) -> tuple[int, int]:
    """Return in how many rows of a file that `openface_csv` made a face was found, and the number of rows.

    Raises
    ------
    DataError
        If the file cannot be read or is no such file.
    """
    try:
        lines = path.read_text().splitlines()
        found = [line.split(",", len(_NAMES))[len(_NAMES) - 1] for line in lines[1:]]
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove it and run the same command again") from error
    return found.count("1"), len(found)


def start_record(folder: Path) -> None:
    """Note in a folder what finds its landmarks, or see that it is what the folder was begun with.

    Raises
    ------
    DetectorUnavailable
        If the optional library is not installed.
    ValueError
        If the folder's files were found by something else: kept beside new ones they would not compare.
    """
    program, model = require_detector()
    record = _record(program, model)
    file = folder / RECORD
    if file.is_file():
        if file.read_text() != record:
            raise ValueError(f"{file}: was begun with another detector or other settings; give another folder with -o")
        return
    other = next(folder.glob("*.csv"), None) if folder.is_dir() else None
    if other is not None:
        raise ValueError(f"{other}: was not written by this command; give another folder with -o")
    write_atomically(file, record.encode())


def _record(program: str, model: Path) -> str:
    settings = (
        "DETECTION_SIDE",
        "LONGEST_SIDE",
        "LEAST_SCORE",
        "MODEL_SIDE",
        "MODEL_CENTRE",
        "MODEL_PIXELS",
        "SQUARES",
    )
    with model.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    record: dict[str, Any] = {
        "program": program,
        "model": model.name,
        "sha256": digest,
        "licence": "trained on iBUG 300-W, which excludes commercial use",
        "settings": {name: getattr(landmark_detection, name) for name in settings},
    }
    return json.dumps(record, indent=1) + "\n"
