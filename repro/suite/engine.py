"""Runs tasks: here in this process, in local worker processes, or on a Dask cluster that is already there.

A task is finished when its file is on disk, whatever a future says; an engine only decides where and when to run what
is not. No more tasks are in flight than there are slots, so that a worker's death is blamed on the task that it ran.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from repro.suite.cluster import connect
from repro.suite.progress import Progress

__all__ = ["Engine", "Failure", "Task", "available_cores"]

_TOPIC = "repro-progress"
_ATTEMPTS_AFTER_DEATH = 2
"""A task whose worker died is tried on another worker this many times in all."""

_PATIENCE = 60
"""Seconds without any worker after which a run gives up; a worker that died is replaced within a few."""


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
        One such task runs at a time, whatever the number of processes, so that they do not crowd one GPU.
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
    """A task that did not finish, and why."""

    task: Task
    reason: str


def available_cores() -> int:
    """Cores that this process may use, a container's or a job's limit included."""
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit_threads() -> None:
    """Keep this process to one thread: cells run side by side, and one thread gives the same bytes everywhere.

    Only packages that the task imported are told, as importing them takes seconds.
    """
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
    if cv2 := sys.modules.get("cv2"):
        cv2.setNumThreads(0)


class Engine:
    """Runs tasks; a context manager, as worker processes are started at the first need and kept until the end.

    Parameters
    ----------
    jobs : int
        Local worker processes; 1 runs everything in this process.
    scheduler : str, optional
        Address of a running Dask scheduler, whose workers are used instead.
    """

    def __init__(self, jobs: int, scheduler: str | None = None) -> None:
        self.jobs, self.scheduler = jobs, scheduler
        self._resources = ExitStack()
        self._client: Any = None
        self._interrupted = threading.Event()

    def __enter__(self) -> Engine:
        """Listen to Ctrl-C; no process is started yet.

        An exception that a signal raises inside a callback of the garbage collector is discarded by the interpreter,
        so that the signal also leaves a mark, which the engine looks at.
        """
        if threading.current_thread() is threading.main_thread():
            before = signal.signal(signal.SIGINT, self._interrupt)
            self._resources.callback(signal.signal, signal.SIGINT, before)
        return self

    def _interrupt(self, number: int, frame: object) -> None:
        self._interrupted.set()
        raise KeyboardInterrupt

    def __exit__(self, *exception: object) -> None:
        """Stop what was started."""
        self._resources.close()

    def run(self, tasks: Sequence[Task], progress: Progress) -> list[Failure]:
        """Run tasks in an order that respects what they require.

        Parameters
        ----------
        tasks : sequence of Task
        progress : Progress
            Must have been told of the tasks.

        Returns
        -------
        list of Failure
            Tasks that raised, whose workers died, or that required one that did.

        Raises
        ------
        ValueError
            If a task requires itself, directly or through others.
        """
        queue = _Queue(tasks, self._interrupted)
        if not tasks:
            return []
        if self.scheduler is None and (self.jobs == 1 or len(tasks) == 1):
            _run_here(queue, progress)
        else:
            if self._client is None:
                self._client = connect(self._resources, self.jobs, self.scheduler)
            _run_on_workers(self._client, queue, progress)
        return queue.failures


class _Queue:
    """Which task may run next, and what follows from one that failed."""

    def __init__(self, tasks: Iterable[Task], interrupted: threading.Event) -> None:
        self._interrupted = interrupted
        self.waiting = {task.id: task for task in tasks}
        self.unfinished = set(self.waiting)
        self.failures: list[Failure] = []

    def take(self, flying: Collection[Task] = ()) -> Task | None:
        """Return a task that may start beside those in flight: one that runs alone only if there is no other."""
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        if any(other.alone for other in flying):
            return None
        gpu_is_free = not any(other.on_gpu for other in flying)
        alone: str | None = None
        for name, task in self.waiting.items():
            if self.unfinished.intersection(task.requires) or (task.on_gpu and not gpu_is_free):
                continue
            if not task.alone:
                return self.waiting.pop(name)
            alone = alone or name
        if alone is not None:
            return None if flying else self.waiting.pop(alone)
        if self.waiting and self.unfinished == set(self.waiting):
            raise ValueError(f"tasks require one another in a circle: {sorted(self.waiting)[:5]}")
        return None

    def finish(self, task: Task) -> None:
        self.unfinished.discard(task.id)

    def fail(self, task: Task, reason: str) -> None:
        self.failures.append(Failure(task, reason))
        self.unfinished.discard(task.id)
        for name in [n for n, t in self.waiting.items() if task.id in t.requires]:
            self.fail(self.waiting.pop(name), f"needs {task.label}, which failed")


def _run_here(queue: _Queue, progress: Progress) -> None:
    limit_threads()
    while (task := queue.take()) is not None:
        progress.start(task.id)
        try:
            task.function(**task.arguments, report=lambda f, m, name=task.id: progress.report(name, f, m))
        except Exception as error:
            progress.drop(task.id)
            queue.fail(task, _reason(error))
        else:
            progress.finish(task.id)
            queue.finish(task)


def _reason(error: BaseException) -> str:
    """Return the message of an expected error, and the traceback of any other."""
    if isinstance(error, (ValueError, FloatingPointError)):
        return f"{type(error).__name__}: {error}"
    return "".join(traceback.format_exception(error)).strip()


def _on_worker(function: Callable[..., None], arguments: Mapping[str, Any], name: str) -> None:
    """Run a task on a worker and send its progress to the client."""
    from distributed import get_worker

    limit_threads()
    worker = get_worker()
    last = [0.0]

    def report(fraction: float, message: str) -> None:
        if time.monotonic() - last[0] > 0.5:
            last[0] = time.monotonic()
            worker.log_event(_TOPIC, {"task": name, "fraction": fraction, "message": message})

    function(**arguments, report=report)


def _run_on_workers(client: Any, queue: _Queue, progress: Progress) -> None:
    """Keep every slot busy until nothing is left to run."""
    from distributed import wait
    from distributed.scheduler import KilledWorker

    def listen(event: tuple[float, dict[str, Any]]) -> None:
        message = event[1]
        progress.report(message["task"], message["fraction"], message["message"])

    client.subscribe_topic(_TOPIC, listen)
    flying: dict[Any, Task] = {}
    deaths: dict[str, int] = {}
    deserted_since: float | None = None
    while True:
        slots = sum(client.nthreads().values())
        deserted_since = None if slots else deserted_since or time.monotonic()
        if deserted_since is not None and time.monotonic() - deserted_since > _PATIENCE:
            raise ValueError(f"no worker has been there for {_PATIENCE} s; look at the workers and run again")
        progress.side_by_side(max(1, slots))
        while len(flying) < max(1, slots):
            task = queue.take(flying.values())
            if task is None:
                break
            future = client.submit(
                _on_worker,
                task.function,
                task.arguments,
                task.id,
                key=f"{task.id}-{deaths.get(task.id, 0)}",
                pure=False,
            )
            flying[future] = task
            progress.start(task.id)
        if not flying:
            return
        try:
            done = wait(list(flying), timeout=1, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            progress.tick()
            continue
        for future in done:
            task = flying.pop(future)
            error = future.exception() if future.status != "finished" else None
            future.release()
            if error is None:
                progress.finish(task.id)
                queue.finish(task)
            elif isinstance(error, KilledWorker) and deaths.get(task.id, 0) + 1 < _ATTEMPTS_AFTER_DEATH:
                deaths[task.id] = deaths.get(task.id, 0) + 1
                queue.waiting[task.id] = task
            else:
                progress.drop(task.id)
                died = isinstance(error, KilledWorker)
                queue.fail(task, "its worker process died twice (out of memory?)" if died else _reason(error))
