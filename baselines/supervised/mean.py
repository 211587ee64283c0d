"""Predictors without a face: what a method must beat, and what simulated data allow at best."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["LevelGivenFeature", "MeanPredictor"]


class MeanPredictor:
    """Predicts the training clips' level frequencies, whatever the clip; its intensity is their mean level."""

    def fit(self, clips: Any, levels: np.ndarray, groups: Any) -> MeanPredictor:
        """Count the levels; `clips` and `groups` are not looked at."""
        counts = np.bincount(levels)
        self.frequencies_ = counts / counts.sum()
        return self

    def predict_proba(self, clips: Any) -> np.ndarray:
        """Return level probabilities, shape (n, highest training level + 1)."""
        return np.tile(self.frequencies_, (len(clips), 1))

    def predict(self, clips: Any) -> np.ndarray:
        """Return the mean training level for each clip, shape (n,)."""
        return self.predict_proba(clips) @ np.arange(len(self.frequencies_))


class LevelGivenFeature:
    """Predicts a level's frequency among the training clips that share one integer feature's value.

    With the true PSPI as the feature this is what a perfect observer of faces could say: the ceiling that stands beside
    simulated results, where people who do not react set it.

    Parameters
    ----------
    smoothing : float
        Pseudo-counts, spread as the level frequencies of all training clips, so that unseen values fall back on those.
    """

    def __init__(self, smoothing: float = 0.5) -> None:
        self.smoothing = smoothing

    def fit(self, clips: np.ndarray, levels: np.ndarray, groups: Any) -> LevelGivenFeature:
        """Count levels for each value of the feature `clips`, int of shape (n,)."""
        counts = np.bincount(levels)
        self.prior_ = counts / counts.sum()
        self.table_ = {
            int(value): np.bincount(levels[clips == value], minlength=len(counts)) for value in np.unique(clips)
        }
        return self

    def predict_proba(self, clips: np.ndarray) -> np.ndarray:
        """Return level probabilities, shape (n, highest training level + 1)."""
        rows = [
            self.table_.get(int(value), np.zeros_like(self.prior_)) + self.smoothing * self.prior_ for value in clips
        ]
        table = np.stack(rows)
        return table / table.sum(axis=1, keepdims=True)

    def predict(self, clips: np.ndarray) -> np.ndarray:
        """Return the expected level of each clip, shape (n,)."""
        return self.predict_proba(clips) @ np.arange(len(self.prior_))
