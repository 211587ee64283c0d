"""The label files of the UNBC-McMaster archive, and the formula of the PSPI.

Each ``parse_`` function takes the path, for its message, and the content; it raises `DataError`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from repro.data.schema import DataError

MAX_PSPI = 16
"""Largest value of AU4 + max(AU6, AU7) + max(AU9, AU10) + AU43: three intensities of 0..5 and one of 0..1."""

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


def is_blank(content: bytes) -> bool:
    """Whether a file is empty, which is how the archive writes that nothing was coded or tracked."""
    return not content or content.isspace()


def parse_number(path: str, content: bytes) -> float:
    """Read a file that holds one number."""
    try:
        value = float(content)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise DataError(f"{path}: expected one number, found {content[:40]!r}; copy the labels again")
    return value


def parse_pspi(path: str, content: bytes) -> int:
    """Read a file that holds the PSPI of a frame, such as ``   0.0000000e+00``."""
    value = parse_number(path, content)
    if not 0 <= value <= MAX_PSPI or value != int(value):
        raise DataError(f"{path}: PSPI {value:g} is not a whole number in 0..{MAX_PSPI}; copy the labels again")
    return int(value)


def parse_facs(path: str, content: bytes) -> dict[int, float]:
    """Read rows of action unit, intensity and two columns that are not used; the largest intensity counts."""
    coded: dict[int, float] = {}
    for row in content.splitlines():
        columns = row.split()
        if not columns:
            continue
        try:
            unit, intensity = float(columns[0]), float(columns[1])
        except (ValueError, IndexError):
            unit = intensity = np.nan
        if not (np.isfinite(unit) and intensity >= 0):
            raise DataError(
                f"{path}: expected rows of action unit and intensity, found {row[:60]!r}; copy the labels again"
            )
        if unit > 0:
            coded[int(unit)] = max(coded.get(int(unit), 0.0), intensity)
    return coded


def parse_points(path: str, content: bytes) -> NDArray[np.float32]:
    """Read rows of x and y, (66, 2)."""
    values = content.split()
    try:
        points = np.array(values, dtype=np.float64)
    except ValueError:
        points = np.empty(0)
    if points.size != 2 * N_LANDMARKS or not np.isfinite(points).all():
        raise DataError(
            f"{path}: expected {N_LANDMARKS} rows of x and y, found {len(values)} values or something else "
            "than numbers; copy the landmarks again, or empty the file to do without this frame's"
        )
    return points.reshape(N_LANDMARKS, 2).astype(np.float32)
