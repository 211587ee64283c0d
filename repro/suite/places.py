"""Places where tasks run apart from the process that leads them: processes beside it, or the workers of a cluster."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Protocol

from repro.suite.runner import Runner, TaskEnded, reason_of, run_on_worker, stop_runners

__all__ = ["Beside", "Cluster", "Landed", "Place", "Slot"]

Listener = Callable[[str, float, str], None]
"""Called with a task's name, the share that is done, and a message."""


class Slot(NamedTuple):
    """Room for one task: the address of a worker, and whether it has a GPU of its own."""

    address: str
    gpu: bool = False


class Landed(NamedTuple):
    """A task that is no longer under way, by its ticket, and how it ended; None: well."""

    ticket: int
    ending: TaskEnded | None


class Place(Protocol):
    """Takes tasks, each with a ticket of the one who submits it."""

    def slots(self) -> list[Slot]:
        """Return the room that there is, taken or not."""

    def listen(self, listener: Listener) -> None:
        """Send progress to `listener` from now on."""

    def submit(self, ticket: int, name: str, work: bytes, slot: Slot, *, on_gpu: bool, timeout: float | None) -> None:
        """Start a task."""

    def landed(self, patience: float) -> Landed | None:
        """Return a task that has ended; None if none does within `patience` seconds."""

    def stop(self, grace: float) -> None:
        """Ask all tasks to stop, and end those that have not within `grace` seconds. Does not wait."""

    def forget(self, tickets: Iterable[int]) -> None:
        """Drop tasks whose end is of no interest any more."""


class Beside:
    """Processes that this one starts and watches itself; a context manager, which ends them.

    Parameters
    ----------
    n : int
    """

    def __init__(self, n: int) -> None:
        self._runners = {str(i): Runner() for i in range(n)}
        self._under_way: dict[int, str] = {}
        self._landed: SimpleQueue[Landed] = SimpleQueue()
        self._listener: Listener | None = None

    def __enter__(self) -> Beside:
        """No process is started yet."""
        return self

    def __exit__(self, *exception: object) -> None:
        """End the processes."""
        for runner in self._runners.values():
            runner.close()

    def slots(self) -> list[Slot]:
        """Return one for each process."""
        return [Slot(name) for name in self._runners]

    def listen(self, listener: Listener) -> None:
        """Send progress to `listener` from now on."""
        self._listener = listener

    def submit(self, ticket: int, name: str, work: bytes, slot: Slot, *, on_gpu: bool, timeout: float | None) -> None:
        """Start a task; a thread waits for its end."""
        self._under_way[ticket] = slot.address
        arguments = (ticket, name, work, self._runners[slot.address], timeout)
        threading.Thread(target=self._wait, args=arguments, daemon=True).start()

    def _wait(self, ticket: int, name: str, work: bytes, runner: Runner, timeout: float | None) -> None:
        ending: TaskEnded | None = None
        try:
            runner.run(work, None if self._listener is None else partial(self._listener, name), timeout)
        except TaskEnded as error:
            ending = error
        except Exception as error:
            ending = TaskEnded("failed", reason_of(error))
        self._landed.put(Landed(ticket, ending))

    def landed(self, patience: float) -> Landed | None:
        """Return a task that has ended; None if none does within `patience` seconds."""
        with suppress(Empty):
            landed = self._landed.get(timeout=patience)
            self._under_way.pop(landed.ticket, None)
            return landed
        return None

    def stop(self, grace: float) -> None:
        """Ask all tasks to stop, and end those that have not within `grace` seconds. Does not wait."""
        for runner in self._runners.values():
            runner.stop(grace)

    def forget(self, tickets: Iterable[int]) -> None:
        """End the processes of tasks whose end is of no interest any more."""
        for ticket in list(tickets):
            if (address := self._under_way.pop(ticket, None)) is not None:
                self._runners[address].close()
                self._runners[address] = Runner()


class Cluster:
    """The workers of a Dask cluster, each with a process beside it that runs the tasks.

    A task is sent to a worker that is free, so that the death of a worker concerns the task that it ran and no other.

    Parameters
    ----------
    client : distributed.Client
    patience : float, optional
        Seconds without any worker after which there is no hope; None: workers may be a long time coming.
    """

    def __init__(self, client: Any, patience: float | None) -> None:
        self._client, self._patience = client, patience
        self._own = uuid.uuid4().hex
        self._topic = f"repro-progress-{self._own}"
        self._numbers = itertools.count()
        self._futures: dict[int, tuple[Any, str]] = {}
        self._done: SimpleQueue[int] = SimpleQueue()
        self._slots: list[Slot] = []
        self._looked = self._seen = time.monotonic()
        self._listener: Listener | None = None
        self._look()
        client.subscribe_topic(self._topic, self._hear)

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        if self._listener is not None:
            self._listener(event[1]["task"], event[1]["fraction"], event[1]["message"])

    def slots(self) -> list[Slot]:
        """Return one for each thread of each worker; asked of the scheduler once a second.

        Raises
        ------
        ValueError
            If the scheduler is gone, or there has been no worker for too long.
        """
        if self._client.status in ("closing", "closed"):
            raise ValueError("the cluster's scheduler is gone; what is finished is kept: look at it and run again")
        if not self._slots or time.monotonic() - self._looked > 1:
            self._look()
        if not self._slots and self._patience is not None and time.monotonic() - self._seen > self._patience:
            raise ValueError(f"no worker has been there for {self._patience:g} s; look at the workers and run again")
        return self._slots

    def _look(self) -> None:
        self._looked = time.monotonic()
        try:
            workers = self._client.sync(self._client.scheduler.identity)["workers"]
        except (OSError, TimeoutError):  # the client tries to reach the scheduler again, for a while
            self._slots = []
            return
        self._slots = [
            Slot(address, bool(worker.get("resources", {}).get("GPU")))
            for address, worker in workers.items()
            for _ in range(worker["nthreads"])
            if worker.get("status", "running") == "running"
        ]
        if self._slots:
            self._seen = time.monotonic()
        for ticket, (_, address) in self._futures.items():
            if address not in workers:  # the scheduler may wait for it to come back
                self._done.put(ticket)

    def listen(self, listener: Listener) -> None:
        """Send progress to `listener` from now on."""
        self._listener = listener

    def submit(self, ticket: int, name: str, work: bytes, slot: Slot, *, on_gpu: bool, timeout: float | None) -> None:
        """Start a task on a worker, and on no other."""
        future = self._client.submit(
            run_on_worker,
            work,
            name,
            self._topic,
            timeout,
            key=f"{name}-{self._own}-{next(self._numbers)}",
            pure=False,
            workers=[slot.address],
            allow_other_workers=False,
            resources={"GPU": 1} if on_gpu and slot.gpu else None,
        )
        self._futures[ticket] = (future, slot.address)
        future.add_done_callback(lambda _: self._done.put(ticket))

    def landed(self, patience: float) -> Landed | None:
        """Return a task that has ended; None if none does within `patience` seconds."""
        with suppress(Empty):
            ticket = self._done.get(timeout=patience)
            if (found := self._futures.pop(ticket, None)) is not None:
                ending = _ending(found[0])
                found[0].release()
                return Landed(ticket, ending)
        return None

    def stop(self, grace: float) -> None:
        """Ask all tasks to stop, and end those that have not within `grace` seconds. Does not wait."""

        def ask() -> None:
            with suppress(Exception):  # a worker that cannot be reached cannot be asked
                self._client.run(stop_runners, grace, on_error="ignore")

        threading.Thread(target=ask, daemon=True).start()

    def forget(self, tickets: Iterable[int]) -> None:
        """Release the futures of tasks, so that none of them is started any more."""
        for ticket in list(tickets):
            if (found := self._futures.pop(ticket, None)) is not None:
                with suppress(Exception):
                    found[0].release()


def _ending(future: Any) -> TaskEnded | None:
    """Tell how a future ended; None: well."""
    from distributed.scheduler import KilledWorker

    if future.status == "finished":
        return None
    error = future.exception() if future.status == "error" else None
    if isinstance(error, TaskEnded):
        return error
    if error is None or isinstance(error, KilledWorker):
        return TaskEnded("lost", "its worker was lost (out of memory, or its machine is gone?)")
    return TaskEnded("failed", reason_of(error))
