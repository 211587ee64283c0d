"""Stored predictions: what every number of the suite is computed from."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("subject", "fold", "seed", "level", "scores")


@dataclass(frozen=True)
class Predictions:
    """Stored predictions of one method on test samples; all arrays have one entry for each sample.

    A sample predicted with several seeds occurs once for each.

    Attributes
    ----------
    subject : ndarray of str, shape (n,)
    fold, seed : ndarray of int, shape (n,)
    level : ndarray of int, shape (n,)
        In 0..L - 1.
    scores : ndarray, shape (n, L)
        Probabilities.

    Raises
    ------
    ValueError
        When the arrays are empty or differ in length.
    """

    subject: NDArray[Any]
    fold: NDArray[Any]
    seed: NDArray[Any]
    level: NDArray[Any]
    scores: NDArray[Any]

    def __post_init__(self) -> None:
        """Make arrays of all fields and check that they fit together."""
        for name in _COLUMNS:
            object.__setattr__(self, name, np.asarray(getattr(self, name)))
        object.__setattr__(self, "subject", self.subject.astype(np.str_))
        n = len(self.level)
        for name, ndim in (("subject", 1), ("fold", 1), ("seed", 1), ("level", 1), ("scores", 2)):
            array = getattr(self, name)
            if array.ndim != ndim or len(array) != n or n == 0:
                raise ValueError(f"{name} of shape {array.shape} does not fit {n} predictions (at least 1)")

    @cached_property
    def by_subject(self) -> tuple[NDArray[np.str_], NDArray[np.intp]]:
        """Names of the subjects, sorted, and the number of each prediction's among them, (n,)."""
        return _numbered(self.subject)

    @cached_property
    def by_fold(self) -> tuple[NDArray[Any], NDArray[np.intp]]:
        """The folds, sorted, and the number of each prediction's among them, (n,)."""
        return _numbered(self.fold)

    @cached_property
    def by_seed(self) -> tuple[NDArray[Any], NDArray[np.intp]]:
        """The seeds, sorted, and the number of each prediction's among them, (n,)."""
        return _numbered(self.seed)

    @cached_property
    def by_run(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Number of the subject of each run (its fold and seed), ascending, and of each prediction's run, (n,)."""
        _, subject = self.by_subject
        (folds, fold), (seeds, seed) = self.by_fold, self.by_seed
        runs, run = _numbered((subject * len(folds) + fold) * len(seeds) + seed)
        return runs // (len(folds) * len(seeds)), run

    @classmethod
    def from_frame(cls, frame: "pd.DataFrame") -> "Predictions":
        """Read columns ``subject, fold, seed, level, score_0, score_1, ...``, one row for each prediction."""
        levels = sum(str(column).startswith("score_") for column in frame.columns)
        scores = [f"score_{level}" for level in range(levels)]
        missing = [c for c in ("subject", "fold", "seed", "level", *scores) if c not in frame.columns]
        if missing or not scores:
            raise ValueError(f"the frame needs columns {missing or ['score_0, score_1, ...']}")
        return cls(
            subject=frame["subject"].to_numpy(),
            fold=frame["fold"].to_numpy(),
            seed=frame["seed"].to_numpy(),
            level=frame["level"].to_numpy(),
            scores=frame[scores].to_numpy(dtype=np.float64),
        )

    def select(self, chosen: NDArray[Any]) -> "Predictions":
        """Return the predictions at indices or a mask (n,)."""
        return Predictions(*(getattr(self, name)[chosen] for name in _COLUMNS))


def _numbered(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the different values (n,), sorted, and the number of each among them: predictions come in long runs."""
    begins = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    found, number = np.unique(values[begins], return_inverse=True)
    return found, np.repeat(number, np.diff(np.append(begins, len(values))))
