"""The label files of the UNBC-McMaster archive, and the formula of the PSPI.

Each ``parse_`` function takes the path, for its message, and the content; it raises `DataError`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from repro.data.schema import DataError

MAX_PSPI = 16
"""Largest value of AU4 + max(AU6, AU7) + max(AU9, AU10) + AU43: three intensities of 0..5 and one of 0..1."""

MAX_INTENSITY = 5
"""Largest intensity of an action unit (FACS, A..E as 1..5)."""

MAX_COORDINATE = 1e6
"""Largest coordinate of a landmark that is believed, in pixels; a model that lost the face may leave the image."""

N_LANDMARKS = 66
"""Points of the archive's active appearance model."""


def pspi(action_units: dict[int, float]) -> float:
    """Return the Prkachin and Solomon pain intensity, AU4 + max(AU6, AU7) + max(AU9, AU10) + AU43.

    Parameters
    ----------
    action_units : dict of int to float
        Intensity of each action unit that is coded, 0..5 (AU43: 0 or 1); the others count as 0.

    Returns
    -------
    float
        0..16.
    """
    au = action_units.get
    return au(4, 0.0) + max(au(6, 0.0), au(7, 0.0)) + max(au(9, 0.0), au(10, 0.0)) + au(43, 0.0)


def _number(text: bytes) -> float:
    """Read a number as labels are written; NaN for anything else, ``1_0`` too, which Python takes for 10."""
    try:
        return float("nan") if b"_" in text else float(text)
    except ValueError:
        return float("nan")


def is_blank(content: bytes) -> bool:
    """Whether a file is empty, which is how the archive writes that nothing was coded or tracked."""
    return not content or content.isspace()


def parse_number(path: str, content: bytes) -> float:
    """Read a file that holds one number."""
    value = _number(content)
    if not np.isfinite(value):
        raise DataError(f"{path}: expected one number, found {content[:40]!r}; copy the labels again")
    return value


def parse_pspi(path: str, content: bytes) -> int:
    """Read a file that holds the PSPI of a frame, such as ``   0.0000000e+00``."""
    value = parse_number(path, content)
    if not 0 <= value <= MAX_PSPI or value != int(value):
        raise DataError(f"{path}: PSPI {value:g} is not a whole number in 0..{MAX_PSPI}; copy the labels again")
    return int(value)


def parse_rating(path: str, content: bytes, largest: float) -> float:
    """Read a file that holds a rating of a whole sequence, 0..`largest`."""
    value = parse_number(path, content)
    if not 0 <= value <= largest:
        raise DataError(f"{path}: {value:g} is not in 0..{largest:g}; copy the labels again")
    return value


def parse_facs(path: str, content: bytes) -> dict[int, float]:
    """Read rows of action unit, intensity and two columns that are not used, and that a row may lack.

    The largest intensity of a unit counts; units up to 0 are passed over.
    """
    coded: dict[int, float] = {}
    for row in content.splitlines():
        columns = row.split()
        if not columns:
            continue
        unit, intensity = (_number(column) for column in columns[:2]) if len(columns) > 1 else (np.nan, np.nan)
        if not (unit.is_integer() and 0 <= intensity <= (1 if unit == 43 else MAX_INTENSITY)):
            raise DataError(
                f"{path}: expected rows of action unit and intensity, found {row[:60]!r}; copy the labels "
                f"again (an intensity is 0..{MAX_INTENSITY}, of AU43 0 or 1)"
            )
        if unit > 0:
            coded[int(unit)] = max(coded.get(int(unit), 0.0), intensity)
    return coded


def parse_points(path: str, content: bytes) -> NDArray[np.float32]:
    """Read rows of x and y, (66, 2)."""
    rows = [columns for row in content.splitlines() if (columns := row.split())]
    try:
        points = np.array(rows, dtype=np.float64)
    except ValueError:
        points = np.empty(0)
    if points.shape != (N_LANDMARKS, 2) or not (np.abs(points) <= MAX_COORDINATE).all():
        raise DataError(
            f"{path}: expected {N_LANDMARKS} rows of x and y, found {sum(map(len, rows))} values in {len(rows)} "
            "rows, or something else than coordinates; copy the landmarks again, or empty the file to do without "
            "this frame's"
        )
    return points.astype(np.float32)
