"""How far a run is, on standard error, with the time left: one bar, or, where nobody watches, a line for each task."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from repro.suite.engine import Task

__all__ = ["Progress"]

_EARLY, _LITTLE = 15.0, 0.02
"""For so many seconds, a share of the work below this tells nothing of the rest."""


class Progress:
    """Tracks tasks by their estimated cost.

    Parameters
    ----------
    title : str
    visible : bool
        Draw the bar, or write lines; off in tests and with ``--quiet``.

    Notes
    -----
    The time left is the cost still to come over the rate so far, with each kind of task's cost corrected by what tasks
    of that kind have taken in this run. A task that runs alone keeps all the slots from others, and counts so often.
    Times are differences of a clock that nobody sets; the time of day is only shown.
    """

    def __init__(self, title: str, *, visible: bool = True) -> None:
        self._lock = threading.Lock()
        self._title = title
        self._tasks: dict[str, Task] = {}
        self._fraction: dict[str, float] = {}
        self._started: dict[str, float] = {}
        self._spent: dict[str, list[float]] = {}
        self._ended = 0
        self._expected = 0.0
        self._slots = 1
        self._begin = time.monotonic()
        drawn = visible and sys.stderr.isatty()
        self._in_lines = visible and not drawn
        layout = "{desc} {percentage:3.0f}%|{bar:24}| {n_fmt}/{total_fmt} steps, {elapsed} passed{postfix}"
        self._bar = tqdm(total=0, desc=title, bar_format=layout, disable=not drawn, mininterval=0.5)

    def expect(self, cost: float) -> None:
        """Announce work that is not planned yet; the next `add` replaces it."""
        self._expected = cost

    def add(self, tasks: Iterable[Task]) -> None:
        """Add tasks that will be run."""
        with self._lock:
            self._expected = 0.0
            self._tasks.update({task.id: task for task in tasks})
            self._bar.total = len(self._tasks)
            self._bar.refresh()

    def side_by_side(self, slots: int) -> None:
        """Note how many tasks can run at a time."""
        with self._lock:
            self._slots = slots

    def start(self, name: str) -> None:
        """Note that a task was started, perhaps once more."""
        with self._lock:
            self._started[name] = time.monotonic()
            self._fraction[name] = 0.0
            self._draw(self._tasks[name].label)

    def report(self, name: str, fraction: float, message: str) -> None:
        """Note how much of a task is done."""
        with self._lock:
            if name in self._started and self._fraction.get(name, 0.0) < 1:
                self._fraction[name] = min(fraction, 0.999)
                self._draw(f"{self._tasks[name].label}: {message}")

    def finish(self, name: str) -> None:
        """Note that a task is finished."""
        with self._lock:
            task = self._tasks[name]
            seconds = time.monotonic() - self._started[name]
            self._spent.setdefault(task.kind, []).append(seconds / max(task.cost, 1e-6))
            self._end(name, task.label, f"{seconds:.1f} s")

    def skip(self, name: str) -> None:
        """Note that a task need not be run, as its result has come to be there."""
        with self._lock:
            self._end(name, self._tasks[name].label, "is there")

    def drop(self, name: str) -> None:
        """Note that a task failed, or cannot be run as it needs one that failed."""
        with self._lock:
            label, begun = self._tasks[name].label, self._started.get(name)
            if begun is None:
                self._end(name, label, "not run")
            else:
                self._end(name, f"{label} FAILED", f"{time.monotonic() - begun:.1f} s")

    def tick(self) -> None:
        """Redraw, so that the clock moves."""
        with self._lock:
            self._bar.refresh()

    def close(self) -> None:
        """Finish the bar."""
        self._bar.close()

    def seconds_left(self) -> float | None:
        """Estimate the time left in seconds; None before enough is known."""
        done = left = 0.0
        for name, task in self._tasks.items():
            ratios = self._spent.get(task.kind)
            cost = task.cost * (sum(ratios) / len(ratios) if ratios else 1.0) * (self._slots if task.alone else 1)
            fraction = self._fraction.get(name, 0.0)
            done += cost * fraction
            left += cost * (1 - fraction)
        passed = time.monotonic() - self._begin
        coming = left + self._expected
        if done <= 0 or passed < 1 or (passed < _EARLY and done < _LITTLE * (done + coming)):
            return None
        return passed / done * coming

    def _end(self, name: str, label: str, outcome: str) -> None:
        self._fraction[name] = 1.0
        self._ended += 1
        self._bar.n += 1
        self._draw(label)
        if self._in_lines:
            kind = self._tasks[name].kind
            line = f"{time.strftime('%H:%M:%S')}  {self._title}  {self._ended}/{len(self._tasks)}  {kind}  {label}"
            sys.stderr.write(f"{line}  {outcome}  {self._left()}\n")
            sys.stderr.flush()

    def _draw(self, message: str) -> None:
        if not self._bar.disable:
            self._bar.set_postfix_str(f"{self._left()} · {message[:60]}", refresh=True)

    def _left(self) -> str:
        left = self.seconds_left()
        return "estimating" if left is None else f"about {tqdm.format_interval(left)} left"
