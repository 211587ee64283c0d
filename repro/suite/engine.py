"""Runs tasks: here in this process, in local worker processes, or on a Dask cluster that is already there.

A task is finished when its file is on disk, whatever a future says; an engine only decides where and when to run what
is not. No more tasks are in flight than there are slots, so that a worker's death is blamed on the task that it ran.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from repro.stopping import Stopped
from repro.suite.cluster import connect
from repro.suite.interrupts import Interrupts, Terminated
from repro.suite.places import Beside, Cluster, Place, Slot
from repro.suite.progress import Progress
from repro.suite.runner import TaskEnded, limit_threads, packed, reason_of
from repro.suite.where import Where

__all__ = ["Engine", "Failure", "Task", "Terminated", "available_cores", "limit_threads"]

_ATTEMPTS: Mapping[str, int] = {"died": 2, "lost": 3}
"""Times that a task is tried whose process ended, or whose worker was lost, for which it is rarely to blame."""

_PATIENCE = 60.0
"""Seconds without any worker after which a run gives up; a worker that died is replaced within a few."""

_VISIBLE = 90.0
"""Seconds after which a file must be seen that a task on another machine wrote; NFS remembers for a minute that there
was none."""

_MARGIN = 3.0
"""Seconds beyond their grace in which the leader hears from tasks that were asked to stop."""

_TICKETS = itertools.count()
"""Of all runs of this process, so that what is left over from one is not taken for another's."""

_NO_FILE = (
    "it ended well, but its file is not in the store that is seen here; give every machine the same folder as --store"
)


@dataclass(frozen=True)
class Task:
    """One step of the work, idempotent: run twice, it leaves the same file.

    Parameters
    ----------
    id : str
        Unique; other tasks require it by this name.
    kind : str
        "simulate", "input", "features", "pretext", "cell" or "measure"; groups tasks in the estimate of the time left.
    label : str
        What the progress bar shows.
    cost : float
        Rough seconds on one core.
    function : callable
        Importable by workers; called as ``function(**arguments, report=report)``.
    arguments : mapping
    requires : tuple of str
        Tasks that must be finished before. Names that are not in the same run count as finished.
    on_gpu : bool
        Where workers have GPUs of their own, it runs on one of these. Elsewhere one such task runs at a time, whatever
        the number of processes, so that they do not crowd one GPU.
    alone : bool
        Nothing else of the run is in flight while it runs, as with one that measures time. It waits until nothing else
        can be started. Other runs on the same machine, such as another shard, are not known.
    """

    id: str
    kind: str
    label: str
    cost: float
    function: Callable[..., None]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    on_gpu: bool = False
    alone: bool = False


@dataclass(frozen=True)
class Failure:
    """A task that did not finish, and why; ``cause`` is the task that failed where it only required that one."""

    task: Task
    reason: str
    cause: Task | None = None


def available_cores() -> int:
    """Cores that this process may use, a container's or a job's limit included."""
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Engine:
    """Runs tasks; a context manager, as worker processes are started at the first need and kept until the end.

    Parameters
    ----------
    where : Where or int
        A number of local processes; with 1, and without `timeout`, everything runs in this process.
    timeout : float, optional
        Seconds that a task may take; one that takes longer is ended and counts as failed.

    Raises
    ------
    ValueError
        If `timeout` is not positive.
    """

    def __init__(self, where: Where | int, *, timeout: float | None = None) -> None:
        if timeout is not None and not timeout > 0:
            raise ValueError(f"a time limit of {timeout} s; give a positive number of seconds, or none")
        self.where = Where(jobs=where) if isinstance(where, int) else where
        self.timeout = timeout
        self._resources = ExitStack()
        self._interrupts = Interrupts()
        self._beside: Beside | None = None
        self._cluster: Cluster | None = None

    def __enter__(self) -> Engine:
        """Listen to Ctrl-C and SIGTERM; no process is started yet."""
        self._resources.enter_context(self._interrupts)
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop what was started."""
        self._resources.close()

    def run(
        self, tasks: Sequence[Task], progress: Progress, is_done: Callable[[Task], bool] | None = None
    ) -> list[Failure]:
        """Run tasks in an order that respects what they require.

        Parameters
        ----------
        tasks : sequence of Task
        progress : Progress
            Must have been told of the tasks.
        is_done : callable, optional
            Whether a task's file is there, which then decides: a task whose worker was lost counts as finished, one
            that another run has finished meanwhile is not run, and one that ended without its file has failed.

        Returns
        -------
        list of Failure
            Tasks that raised, took too long, whose processes died twice, or that required one that failed.

        Raises
        ------
        ValueError
            If a task requires itself, directly or through others, or no worker is there.
        KeyboardInterrupt
            After Ctrl-C, or `Terminated` after SIGTERM. Running tasks were asked to write where they stand.
        """
        queue = _Queue(tasks)
        if not tasks:
            return []
        with self._interrupts.noted():
            if self.where.in_process and self.timeout is None:
                _Here(queue, progress, is_done, self._interrupts).run()
            else:
                place = self._place(len(tasks))
                _Apart(queue, progress, is_done, self._interrupts, place, self.timeout).run()
        return queue.failures

    def _place(self, n_tasks: int) -> Place:
        """Return where tasks run; a cluster is not started for a single one, which runs in a process of its own."""
        where = self.where
        local = where.scheduler is None and where.slurm is None and not where.gpus
        alone = self._cluster is None and n_tasks == 1 and local
        if where.in_process or alone:
            if self._beside is None:
                self._beside = self._resources.enter_context(Beside(1))
            return self._beside
        if self._cluster is None:
            patience = None if where.slurm is not None else _PATIENCE
            self._cluster = Cluster(connect(self._resources, where), patience)
        return self._cluster


class _Queue:
    """Which task may run next, and what follows from one that failed."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self.waiting = {task.id: task for task in tasks}
        self.unfinished = set(self.waiting)
        self.failures: list[Failure] = []

    def take(self, flying: Collection[Task] = (), *, cpu: bool = True, gpu: bool = True) -> Task | None:
        """Return a task that may start beside those in flight: one that runs alone only if there is no other.

        `cpu` and `gpu` tell whether there is room for one of either sort.
        """
        if any(other.alone for other in flying):
            return None
        alone: str | None = None
        for name, task in self.waiting.items():
            if not (gpu if task.on_gpu else cpu) or self.unfinished.intersection(task.requires):
                continue
            if not task.alone:
                return self.waiting.pop(name)
            alone = alone or name
        if alone is not None:
            return None if flying else self.waiting.pop(alone)
        if self.waiting and self.unfinished == set(self.waiting):
            raise ValueError(f"tasks require one another in a circle: {sorted(self.waiting)[:5]}")
        return None

    def put_back(self, task: Task) -> None:
        self.waiting[task.id] = task

    def finish(self, task: Task) -> None:
        self.unfinished.discard(task.id)

    def fail(self, task: Task, reason: str, cause: Task | None = None) -> None:
        self.failures.append(Failure(task, reason, cause))
        self.unfinished.discard(task.id)
        for name in [n for n, t in self.waiting.items() if task.id in t.requires]:
            self.fail(self.waiting.pop(name), f"needs {task.label}, which failed", cause or task)


class _Run:
    """What a run does with tasks that end, wherever they run."""

    def __init__(
        self, queue: _Queue, progress: Progress, is_done: Callable[[Task], bool] | None, interrupts: Interrupts
    ) -> None:
        self.queue, self.progress, self.interrupts = queue, progress, interrupts
        self._is_done = is_done

    def is_there(self, task: Task) -> bool:
        """Whether a task's file is known to be there."""
        return self._is_done is not None and self._is_done(task)

    def is_lacking(self, task: Task) -> bool:
        """Whether a task's file is known not to be there."""
        return self._is_done is not None and not self._is_done(task)

    def take(self, flying: Collection[Task] = (), *, cpu: bool = True, gpu: bool = True) -> Task | None:
        """Return a task to start, past those that another run has finished meanwhile."""
        while (task := self.queue.take(flying, cpu=cpu, gpu=gpu)) is not None and self.is_there(task):
            self.progress.skip(task.id)
            self.queue.finish(task)
        return task

    def finish(self, task: Task) -> None:
        self.progress.finish(task.id)
        self.queue.finish(task)

    def fail(self, task: Task, reason: str) -> None:
        before = len(self.queue.failures)
        self.queue.fail(task, reason)
        for failure in self.queue.failures[before:]:
            self.progress.drop(failure.task.id)


class _Here(_Run):
    """Runs tasks in this process, one after the other."""

    def run(self) -> None:
        limit_threads()
        with self.interrupts.raised_late():
            while self.interrupts.asked is None and (task := self.take()) is not None:
                self.progress.start(task.id)
                try:
                    task.function(**task.arguments, report=partial(self._report, task.id))
                except Stopped:
                    self.interrupts.check()
                    raise
                except Exception as error:
                    if self.is_there(task):
                        self.finish(task)
                    else:
                        self.fail(task, reason_of(error))
                else:
                    if self.is_lacking(task):
                        self.fail(task, _NO_FILE)
                    else:
                        self.finish(task)

    def _report(self, name: str, fraction: float, message: str) -> None:
        if self.interrupts.asked is not None:
            raise Stopped
        self.progress.report(name, fraction, message)


class _Apart(_Run):
    """Keeps every slot of a place busy until nothing is left to run."""

    def __init__(
        self,
        queue: _Queue,
        progress: Progress,
        is_done: Callable[[Task], bool] | None,
        interrupts: Interrupts,
        place: Place,
        timeout: float | None,
    ) -> None:
        super().__init__(queue, progress, is_done, interrupts)
        self.place, self.timeout = place, timeout
        self._flying: dict[int, tuple[Task, Slot]] = {}
        self._tried: Counter[tuple[str, str]] = Counter()
        self._unseen: dict[str, tuple[Task, float]] = {}

    def run(self) -> None:
        self.place.listen(self.progress.report)
        try:
            while self.interrupts.asked is None:
                self._fill()
                if not (self._flying or self._unseen or self.queue.waiting):  # workers may be yet to come
                    return
                self._land()
            self._stop()
        finally:
            self.place.forget(self._flying)

    def _fill(self) -> None:
        slots = self.place.slots()
        self.progress.side_by_side(max(1, len(slots)))
        while len(self._flying) < len(slots):
            flying = [task for task, _ in self._flying.values()]
            for_cpu, for_gpu = _free(slots, list(self._flying.values()))
            task = self.take(flying, cpu=for_cpu is not None, gpu=for_gpu is not None)
            if task is None:
                return
            slot = for_gpu if task.on_gpu else for_cpu
            assert slot is not None
            self._start(task, slot)

    def _start(self, task: Task, slot: Slot) -> None:
        ticket = next(_TICKETS)
        self.progress.start(task.id)
        try:
            work = packed(task.function, task.arguments)
        except Exception as error:
            self.fail(task, reason_of(error))
            return
        self._flying[ticket] = (task, slot)
        self.place.submit(ticket, task.id, work, slot, on_gpu=task.on_gpu, timeout=self.timeout)

    def _land(self) -> None:
        """Wait a moment for a task to end, and look again for files that were not seen when theirs ended."""
        landed = self.place.landed(1.0)
        if landed is None:
            self.progress.tick()
        elif landed.ticket in self._flying:
            task, _ = self._flying.pop(landed.ticket)
            self._judge(task, landed.ending)
        for task, until in list(self._unseen.values()):
            lacking = self.is_lacking(task)
            if not lacking or time.monotonic() > until:
                del self._unseen[task.id]
                self.fail(task, _NO_FILE) if lacking else self.finish(task)

    def _judge(self, task: Task, ending: TaskEnded | None) -> None:
        if ending is None and self.is_lacking(task):
            self._unseen[task.id] = (task, time.monotonic() + _VISIBLE)
        elif ending is None or self.is_there(task):
            self.finish(task)
        elif ending.how == "stopped":
            self.queue.put_back(task)
        elif ending.how in _ATTEMPTS:
            tried = self._tried[task.id, ending.how] = self._tried[task.id, ending.how] + 1
            if tried < _ATTEMPTS[ending.how]:
                self.queue.put_back(task)
            else:
                self.fail(task, f"{ending.reason}, {tried} times")
        else:
            self.fail(task, ending.reason)

    def _stop(self) -> None:
        """Ask what runs to stop; what finishes instead counts."""
        self.place.stop(self.interrupts.grace)
        until = time.monotonic() + self.interrupts.grace + _MARGIN
        while self._flying and time.monotonic() < until:
            self._land()


def _free(slots: Sequence[Slot], taken: Sequence[tuple[Task, Slot]]) -> tuple[Slot | None, Slot | None]:
    """Return a free slot for a task that needs no GPU, and one for a task that does.

    Where workers have GPUs of their own, one task runs on each, and the others are left to the rest. Where none has,
    one task uses the GPU that all see.
    """
    used = Counter(slot.address for _, slot in taken)
    free = []
    for slot in slots:
        if used[slot.address]:
            used[slot.address] -= 1
        else:
            free.append(slot)
    own = any(slot.gpu for slot in slots)
    plain = any(not slot.gpu for slot in slots)
    for_cpu = next((slot for slot in free if not (slot.gpu and plain)), None)
    if own:
        return for_cpu, next((slot for slot in free if slot.gpu), None)
    return for_cpu, None if any(task.on_gpu for task, _ in taken) else for_cpu
