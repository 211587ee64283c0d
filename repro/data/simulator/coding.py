"""How an expression would be coded: FACS intensities of each frame, and the PSPI that follows from them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

CODED = (4, 6, 7, 9, 10, 12, 15, 20, 25, 26, 43)
"""Action units that are written to FACS files."""
BLINK_LIMIT = 0.5
"""Seconds beyond which closed eyes count as AU43 rather than as a blink (AU45)."""
_SHUT = 0.75
"""Closure of the lids from which on eyes count as closed."""


def pspi(codes: np.ndarray) -> np.ndarray:
    """Return AU4 + max(AU6, AU7) + max(AU9, AU10) + AU43 of codes (F, len(CODED)) (Prkachin & Solomon 2008)."""
    au = {number: codes[:, i] for i, number in enumerate(CODED)}
    return au[4] + np.maximum(au[6], au[7]) + np.maximum(au[9], au[10]) + au[43]


def codes(levels: Mapping[str, np.ndarray], closure: np.ndarray, fps: float) -> np.ndarray:
    """Return FACS codes of continuous intensities.

    Parameters
    ----------
    levels : mapping of str to ndarray, shape (F,)
        Intensity of each action that occurs, 0..5.
    closure : ndarray, shape (F,)
        Closure of the lids, 0..1, whatever its cause; it alone decides AU43.
    fps : float

    Returns
    -------
    ndarray, shape (F, len(CODED))
        Integers 0..5 (AU43: 0 or 1).

    Raises
    ------
    ValueError
        If `fps` is not positive.
    """
    if fps <= 0:
        raise ValueError(f"fps must be positive, got {fps}")
    out = np.zeros((len(closure), len(CODED)), int)
    for i, number in enumerate(CODED):
        if number == 43:
            out[:, i] = long_runs(closure > _SHUT, int(np.ceil(BLINK_LIMIT * fps)))
        elif f"AU{number}" in levels:
            out[:, i] = np.clip(np.rint(levels[f"AU{number}"]), 0, 5).astype(int)
    return out


def long_runs(flags: np.ndarray, shortest: int) -> np.ndarray:
    """Keep the runs of true values that last at least `shortest` frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    out = np.zeros(len(flags), int)
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        if last - first >= shortest:
            out[first:last] = 1
    return out
