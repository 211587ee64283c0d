"""What every supervised system promises: one contract for eleven methods and for yours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from baselines.supervised.levels import bounded, check_training, level_frequencies, tilted
from repro.data.features import ClipSet, Extractor

__all__ = ["IntensityRegressor", "SupervisedEstimator"]


def _nothing(fraction: float, message: str) -> None:
    """Ignore progress."""


@dataclass
class SupervisedEstimator(ABC):
    """A system that learns levels of pain from labelled clips.

    A subclass is a dataclass whose fields are its hyper-parameters. `fit` of the base checks its arguments and calls
    `_fit`, which leaves what was learned in attributes with a trailing underscore: arrays and objects that can be
    pickled, never the clips.

    Attributes
    ----------
    seed : int
        Of all randomness. This and the next three are set by `run_with`; they are no part of the description.
    device : str
        Where networks are trained and run.
    report : callable
        Receives progress, a fraction of 1 and a message; may raise `repro.stopping.Stopped`.
    checkpoint : path or None
        A folder for where a long training stands. One that finds its state there goes on from it and ends as if it had
        not been disturbed. None: nothing is kept.
    n_levels_ : int
        Highest training level + 1; set by `fit`.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    inputs: ClassVar[Sequence[str]] = ("RGB", "OF", "SSD(RGB)", "SSD(OF)")
    """Inputs on which the system is defined; see `repro.data.encoding`."""
    uses_device: ClassVar[bool] = False
    """Whether it trains networks, which a GPU makes faster; others run on the CPU."""

    seed = 0
    device = "cpu"
    report = staticmethod(_nothing)
    checkpoint = None

    def run_with(
        self,
        *,
        seed: int = 0,
        device: str = "cpu",
        report: Callable[[float, str], None] = _nothing,
        checkpoint: Path | None = None,
    ) -> SupervisedEstimator:
        """Set how to learn, and what is told and kept of it; returns the system itself."""
        self.seed, self.device = seed, device
        self.report, self.checkpoint = report, checkpoint  # type: ignore[assignment]
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Leave out whoever listens to progress, who need not be picklable, and the folder of this machine."""
        return {name: value for name, value in self.__dict__.items() if name not in ("report", "checkpoint")}

    def describe(self) -> dict[str, Any]:
        """Return the hyper-parameters and the version: with data, fold and seed they decide the predictions."""
        return {"version": self.version, **asdict(self)}

    @abstractmethod
    def extractors(self) -> tuple[Extractor, ...]:
        """Return the extractors of all features that `fit` and `predict_proba` ask for."""

    def fit(self, clips: ClipSet, levels: NDArray[np.int64], groups: NDArray[Any]) -> SupervisedEstimator:
        """Learn from labelled clips.

        Parameters
        ----------
        clips : ClipSet of n clips
        levels : ndarray, (n,) int64
            Level of each clip, from 0.
        groups : ndarray, (n,)
            Subject of each clip. Hyper-parameters are chosen by folds of whole subjects among these.

        Raises
        ------
        ValueError
            If lengths differ, or only one level occurs.
        """
        values, people = check_training(len(clips), levels, groups)
        self.n_levels_ = int(values.max()) + 1
        self._fit(clips, values, people)
        return self

    @abstractmethod
    def _fit(self, clips: ClipSet, levels: NDArray[np.int64], groups: NDArray[Any]) -> None:
        """Learn; arguments were checked."""

    @abstractmethod
    def _probabilities(self, clips: ClipSet) -> NDArray[np.float64]:
        """Return level probabilities, shape (n, highest training level + 1); the clips have no levels."""

    def predict_proba(self, clips: ClipSet) -> NDArray[np.float64]:
        """Return level probabilities, shape (n, highest training level + 1).

        Raises
        ------
        ValueError
            If a prediction is not finite; the message names the clip.
        """
        return self._finite(self._probabilities(clips.without_levels()), clips)

    def _finite(self, values: NDArray[np.float64], clips: ClipSet) -> NDArray[np.float64]:
        """Return predictions (n, ...), if all are finite."""
        lost = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if lost.any():
            raise ValueError(
                f"{self.name}: the prediction for clip {clips.ids[lost][0]} is not finite; look at its features, or, "
                "where a network diverged, lower the learning rate"
            )
        return values

    def predict(self, clips: ClipSet) -> NDArray[np.float64]:
        """Return the intensity of each clip, shape (n,): the expected level (decision D15)."""
        expected: NDArray[np.float64] = self.predict_proba(clips) @ np.arange(self.n_levels_)
        return expected


@dataclass
class IntensityRegressor(SupervisedEstimator):
    """A system whose answer is a number for each clip.

    It is kept within the scale by `bounded` and becomes a distribution of that mean by `tilted`; both are this suite's,
    so that regressions and classifiers are judged by the same metrics. AUC depends on the order of the numbers only.
    """

    def fit(self, clips: ClipSet, levels: NDArray[np.int64], groups: NDArray[Any]) -> IntensityRegressor:
        """Learn from labelled clips; see `SupervisedEstimator.fit`."""
        super().fit(clips, levels, groups)
        self.frequencies_ = level_frequencies(np.asarray(levels, dtype=np.int64))
        return self

    @abstractmethod
    def _intensity(self, clips: ClipSet) -> NDArray[np.float64]:
        """Return the predicted level of each clip, shape (n,), not bounded; the clips have no levels."""

    def predict(self, clips: ClipSet) -> NDArray[np.float64]:
        """Return the intensity of each clip, shape (n,), between 0 and the highest training level.

        Raises
        ------
        ValueError
            If an intensity is not finite; the message names the clip.
        """
        return bounded(self._finite(self._intensity(clips.without_levels()), clips), self.n_levels_ - 1)

    def _probabilities(self, clips: ClipSet) -> NDArray[np.float64]:
        """Return level probabilities, shape (n, highest training level + 1), whose mean is the intensity."""
        return tilted(self.frequencies_, self.predict(clips))
