"""Time courses, and the stage on which a sequence is played."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Draw = Callable[..., np.random.Generator]
"""From names to a random stream of one sequence."""


def envelope(time: np.ndarray, start: float, onset: float, apex: float, offset: float) -> np.ndarray:
    """Return a smooth rise, hold and fall in 0..1; all arguments in seconds."""
    return _ramp((time - start) / onset) * (1 - _ramp((time - start - onset - apex) / offset))


def _ramp(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 0, 1)
    return t * t * t * (t * (6 * t - 15) + 10)


def wander(rng: np.random.Generator, n: int, fps: float, seconds: float, columns: int) -> np.ndarray:
    """Return smooth noise (n, columns) of about unit variance that changes over `seconds`."""
    knots = max(4, int(np.ceil(n / fps / seconds)) + 4)
    value = rng.standard_normal((knots, columns))
    at = np.arange(n) / fps / seconds + rng.random()
    i = at.astype(int)
    t = (at - i)[:, None]
    # Cubic B-spline: twice differentiable, so nothing jerks; the gain restores unit variance on average.
    w = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    return 1.44 * sum(w[k] * value[i + k] for k in range(4)) / 6


class Stage:
    """Collects intensities (0..5) of actions while a sequence is written.

    Parameters
    ----------
    n : int
        Frames.
    fps : float
    draw : callable
        Gives the sequence's random streams by name. Pain, habits, lids, gaze and head each draw from their own, so
        that a parameter of one of them leaves the others as they are.

    Attributes
    ----------
    time : ndarray, shape (n,)
        Seconds.
    levels : dict of str to ndarray, shape (n,)
        Intensity of each action that was played.
    speech : ndarray, shape (n,)
        How far the jaw drops in speech, 0..5.
    guard : ndarray, shape (n,)
        How far the head withdraws, about 0..1.
    """

    def __init__(self, n: int, fps: float, draw: Draw) -> None:
        self.n, self.fps, self.draw = n, fps, draw
        self.time = np.arange(n) / fps
        self.levels: dict[str, np.ndarray] = {}
        self.speech, self.guard = np.zeros(n), np.zeros(n)

    @property
    def seconds(self) -> float:
        """Length of the sequence."""
        return self.n / self.fps

    def add(self, name: str, course: np.ndarray) -> None:
        """Let an action follow `course` where that is stronger than what it does already."""
        self.levels[name] = np.maximum(self.get(name), course)

    def get(self, name: str) -> np.ndarray:
        """Return the course of an action."""
        return self.levels.get(name, np.zeros(self.n))
