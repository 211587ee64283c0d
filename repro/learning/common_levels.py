"""One scale of pain for datasets whose levels differ, so that a network trained on one can be tested on another.

UNBC-McMaster has PSPI 0 to 16, of which high levels are rare; BioVid has five levels of stimulation. The paper trains
on one and tests on the other (Table 5) and does not say how levels correspond. Here both are brought to five: BioVid's
as they are, PSPI 0, 1, 2 to 3, 4 to 5, and 6 or more, which are the six classes that are usual for UNBC-McMaster with 2
and 3 joined. Nothing says that PSPI 4 hurts as much as BioVid's PA3; what is shared is the order.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

__all__ = ["COMMON_LEVELS_VERSION", "LEVELS", "N_COMMON", "from_common", "to_common"]

COMMON_LEVELS_VERSION = 1
"""Raised when the correspondence changes."""

N_COMMON = 5

LEVELS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"unbc": (0, 1, 2, 2, 3, 3, *[4] * 11), "biovid": (0, 1, 2, 3, 4)}
)
"""Common level of each level of a dataset."""


def to_common(dataset: str, levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bring levels of a dataset to the common scale.

    Parameters
    ----------
    dataset : {"unbc", "biovid"}
    levels : ndarray of int, (n,)

    Returns
    -------
    ndarray of int, (n,)
        In 0..4.

    Raises
    ------
    ValueError
        If the dataset has no correspondence, or a level lies outside it.
    """
    known = _known(dataset)
    levels = np.asarray(levels)
    if levels.size and not (0 <= levels.min() and levels.max() < len(known)):
        raise ValueError(f"levels {levels.min()} to {levels.max()} of {dataset} are not all in 0..{len(known) - 1}")
    common: NDArray[np.int64] = known[levels]
    return common


def from_common(dataset: str, probabilities: NDArray[np.floating], n_levels: int) -> NDArray[np.float64]:
    """Spread probabilities of common levels over those of a dataset, alike over levels that are one common level.

    Parameters
    ----------
    dataset : {"unbc", "biovid"}
    probabilities : ndarray, (n, 5)
    n_levels : int
        Of the dataset.

    Returns
    -------
    ndarray, (n, n_levels)
        Rows sum to those of `probabilities`.

    Raises
    ------
    ValueError
        If shapes or the number of levels do not fit.
    """
    known = _known(dataset)[:n_levels]
    if probabilities.ndim != 2 or probabilities.shape[1] != N_COMMON:
        raise ValueError(
            f"probabilities have shape {probabilities.shape}; give one column for each of {N_COMMON} levels"
        )
    counts = np.bincount(known, minlength=N_COMMON)
    if len(known) != n_levels or not counts.all():
        raise ValueError(f"{dataset} has {n_levels} levels here; the common scale knows {len(_known(dataset))}")
    return np.asarray(probabilities, dtype=np.float64)[:, known] / counts[known]


def _known(dataset: str) -> NDArray[np.int64]:
    if dataset not in LEVELS:
        raise ValueError(f"there is no common scale for the levels of {dataset!r}; known are {', '.join(LEVELS)}")
    return np.array(LEVELS[dataset], dtype=np.int64)
