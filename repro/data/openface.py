"""Reader of what OpenFace's ``FeatureExtraction`` writes for a video: one CSV file with a row a frame.

Columns are looked up by name, with blanks around names ignored, since versions differ in both blanks and
columns: ``frame``, ``confidence``, ``success``, ``pose_Tx`` .. ``pose_Rz``, ``x_0`` .. ``x_67``, ``y_0`` ..
``y_67``, and ``AU01_r`` .. (intensity 0..5) and ``AU01_c`` .. (presence 0 or 1). OpenFace has AU45, blinking,
but no AU43.
"""

from __future__ import annotations

import csv
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repro.data.schema import DataError
from repro.data.video import MAX_BYTES

N_LANDMARKS = 68
"""Points of OpenFace's landmark model, in the order of the 68-point scheme."""

POSE = ("pose_Tx", "pose_Ty", "pose_Tz", "pose_Rx", "pose_Ry", "pose_Rz")
"""Position of the head in millimetres and its rotation in radians, in the camera's coordinates."""

MAX_INTENSITY = 5.0
"""Largest intensity of an action unit."""

_MAX_VALUE = 1e9
_ACTION_UNIT = re.compile(r"AU(\d+)_([rc])")


@dataclass(frozen=True, eq=False)
class OpenFace:
    """What OpenFace found in a video of T frames; NaN in frames without a face.

    Attributes
    ----------
    landmarks : ndarray, (T, 68, 2) float32
        x and y in pixels.
    pose : ndarray or None, (T, 6) float32
        In the order of `POSE`; None if the file has no such columns.
    intensities : dict of int to ndarray, (T,) float32
        Intensity, 0..5, of each action unit that the file has.
    presences : dict of int to ndarray, (T,) float32
        Presence, 0 or 1, of each action unit that the file has.
    success : ndarray, (T,) bool
        Whether a face was found.
    confidence : ndarray, (T,) float32
        0..1; 0 in frames without a row.
    """

    landmarks: NDArray[np.float32]
    pose: NDArray[np.float32] | None
    intensities: dict[int, NDArray[np.float32]]
    presences: dict[int, NDArray[np.float32]]
    success: NDArray[np.bool_]
    confidence: NDArray[np.float32]


def read_openface(path: str | os.PathLike[str], *, n_frames: int | None = None) -> OpenFace:
    """Read one CSV file of OpenFace.

    Parameters
    ----------
    path : path
        CSV file.
    n_frames : int, optional
        Number of frames of the video; the largest frame number in the file if not given. Frames without a row
        count as frames without a face.

    Returns
    -------
    OpenFace
        Of several faces in a frame, the one with the highest confidence.

    Raises
    ------
    DataError
        If the file is missing, has no rows, lacks a column, holds something else than numbers, numbers a frame that
        the video does not have, goes back in time, has a face twice in a frame, or says that a face was found
        where values are missing or out of range.
    """
    names, table = _read_table(path)
    column = {name: index for index, name in enumerate(names)}
    points = [f"{axis}_{point}" for point in range(N_LANDMARKS) for axis in "xy"]
    missing = [name for name in ("frame", "confidence", "success", *points) if name not in column]
    if missing:
        raise DataError(
            f"{path}: no column {', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}; run "
            "OpenFace's FeatureExtraction with -2Dfp (and -pose -aus)"
        )
    units = {match.groups(): name for name in names if (match := _ACTION_UNIT.fullmatch(name))}
    _check_values(path, table, column, points, units)
    table = _by_frame(path, table, column, n_frames)
    success = table[:, column["success"]] == 1
    table[~success, :] = np.nan

    def take(*wanted: str) -> NDArray[np.float32]:
        return table[:, [column[name] for name in wanted]].astype(np.float32)

    return OpenFace(
        landmarks=take(*points).reshape(-1, N_LANDMARKS, 2),
        pose=take(*POSE) if all(name in column for name in POSE) else None,
        intensities={int(unit): take(name)[:, 0] for (unit, kind), name in units.items() if kind == "r"},
        presences={int(unit): take(name)[:, 0] for (unit, kind), name in units.items() if kind == "c"},
        success=success,
        confidence=np.nan_to_num(take("confidence")[:, 0]),
    )


def _read_table(path: str | os.PathLike[str]) -> tuple[list[str], NDArray[np.float64]]:
    """Read names of columns, without blanks, and rows of numbers."""
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as stream:
            rows = [row for row in csv.reader(stream) if "".join(row).strip() or len(row) > 1]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error}); run OpenFace on the video again") from error
    if len(rows) < 2:
        raise DataError(f"{path}: no rows; run OpenFace on the video again")
    names = [name.strip() for name in rows[0]]
    repeated = [name for name in dict.fromkeys(names) if name and names.count(name) > 1]
    if repeated:
        raise DataError(f"{path}: several columns {', '.join(repeated[:3])}; run OpenFace on the video again")
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(names):
            raise DataError(
                f"{path}: {len(row)} values in row {number}, {len(names)} columns; the file is truncated, "
                "run OpenFace on the video again"
            )
    try:
        table = np.array(rows[1:], dtype=np.float64)
    except ValueError as error:
        raise DataError(f"{path}: {error}; run OpenFace on the video again") from error
    if (np.abs(table) > _MAX_VALUE).any():
        raise DataError(
            f"{path}: a value of {np.nanmax(np.abs(table)):g}, which is no frame, pixel or unit; "
            "run OpenFace on the video again"
        )
    return names, table


def _check_values(
    path: str | os.PathLike[str],
    table: NDArray[np.float64],
    column: dict[str, int],
    points: list[str],
    units: dict[tuple[str | Any, ...], str],
) -> None:
    """Check that rows with a face have all landmarks, and values in their range."""
    success = table[:, column["success"]]
    if not np.isin(success, (0, 1)).all():
        raise DataError(f"{path}: success is neither 0 nor 1 in a row; run OpenFace on the video again")
    found = table[success == 1]
    largest = {"confidence": 1.0} | {name: 1.0 if kind == "c" else MAX_INTENSITY for (_, kind), name in units.items()}
    for name in (*largest, *points):
        values = found[:, column[name]]
        low, high = (0.0, largest[name]) if name in largest else (-_MAX_VALUE, _MAX_VALUE)
        wrong = np.flatnonzero(~((values >= low) & (values <= high)))
        if len(wrong):
            frame = found[wrong[0], column["frame"]]
            raise DataError(
                f"{path}: {name} is {values[wrong[0]]:g} in frame {frame:g}, where a face was found; run OpenFace on "
                "the video again"
            )


def _by_frame(
    path: str | os.PathLike[str], table: NDArray[np.float64], column: dict[str, int], n_frames: int | None
) -> NDArray[np.float64]:
    """Return a row for each frame, that of the most confident face; NaN in frames without one."""
    numbers = table[:, column["frame"]]
    count = int(numbers.max()) if n_frames is None and np.isfinite(numbers).all() else n_frames
    if (
        count is None
        or count * table.shape[1] * table.itemsize > MAX_BYTES
        or not ((numbers >= 1) & (numbers <= count) & (numbers % 1 == 0)).all()
    ):
        raise DataError(
            f"{path}: frame numbers {numbers.min():g}..{numbers.max():g} are not in 1..{count or 'the length'}, or "
            "too many; run OpenFace on this very video again"
        )
    _check_order(path, numbers, table[:, column["face_id"]] if "face_id" in column else np.zeros(len(numbers)))
    result = np.full((count, table.shape[1]), np.nan)
    # In the order of confidence, so that the most confident row of a frame is written last.
    order = np.lexsort((table[:, column["confidence"]], table[:, column["success"]]))
    result[numbers[order].astype(int) - 1] = table[order]
    return result


def _check_order(path: str | os.PathLike[str], numbers: NDArray[np.float64], faces: NDArray[np.float64]) -> None:
    """Check that frames do not go back in time and that no face is in a frame twice."""
    back = np.flatnonzero(np.diff(numbers) < 0)
    if len(back):
        raise DataError(
            f"{path}: frame {numbers[back[0] + 1]:g} comes after frame {numbers[back[0]]:g}; the file was put together "
            "or damaged, run OpenFace on the video again"
        )
    rows, counts = np.unique(np.stack([numbers, faces], axis=1), axis=0, return_counts=True)
    if (counts > 1).any():
        frame, face = rows[counts > 1][0]
        raise DataError(
            f"{path}: face {face:g} is in frame {frame:g} more than once; the file was put together or damaged, run "
            "OpenFace on the video again"
        )
