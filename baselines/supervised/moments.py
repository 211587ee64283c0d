"""Systems that look at single moments, frames or maps, and what of their answers is a clip's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.supervised.estimator import IntensityRegressor
from repro.data.features import ClipSet, Moments

__all__ = ["MomentRegressor", "learnable_levels"]


def learnable_levels(clips: ClipSet, moments: Moments, levels: NDArray[np.int64]) -> tuple[NDArray[np.int64], bool]:
    """Return the level of each moment, and whether these are levels of its frames.

    Where frames have no levels, or those that are looked at are all of one level though clips are not, moments have
    their clip's.

    Parameters
    ----------
    clips : ClipSet of n training clips
    moments : Moments
        Of these clips.
    levels : ndarray, (n,) int64
        Level of each clip.

    Returns
    -------
    levels : ndarray, (M,) int64
        At least two different ones, as the clips have.
    of_frames : bool
    """
    found = clips.moment_levels(moments, levels)
    if clips.frame_levels is None or len(np.unique(found)) < 2:
        return levels[moments.clip], False
    return found, True


@dataclass
class MomentRegressor(IntensityRegressor):
    """A regression of single moments.

    A clip's answer is the highest of its moments', as its level is the highest of its frames' (decision D17), if
    moments were learned with levels of their own; else, as all were learned with their clip's, it is their mean.

    Attributes
    ----------
    takes_highest_ : bool
        Which of both; set by `_moment_levels`.
    """

    def _moment_levels(self, clips: ClipSet, moments: Moments, levels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return what is learned of each moment (M,), see `learnable_levels`."""
        found, self.takes_highest_ = learnable_levels(clips, moments, levels)
        return found

    def _of_clips(self, moments: Moments, answers: NDArray[Any]) -> NDArray[np.float64]:
        """Reduce answers (M,) for moments to one for each clip, (n,)."""
        return moments.reduce(np.max if self.takes_highest_ else np.mean, answers)
