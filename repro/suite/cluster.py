"""Where tasks run: local worker processes, or a Dask cluster that is already there."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

__all__ = ["WORKER_CONFIG", "connect", "interrupts_postponed"]

WORKER_CONFIG: Mapping[str, Any] = {
    "distributed.worker.daemon": False,  # a task may start processes of its own
    "distributed.scheduler.worker-ttl": None,  # a long kernel that holds the interpreter is not a dead worker
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.admin.tick.limit": "1h",
    "distributed.nanny.pre-spawn-environ": {
        name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    },
    "logging": {"distributed": "error"},
}


def connect(resources: ExitStack, jobs: int, scheduler: str | None = None) -> Any:
    """Start local workers, or reach a scheduler that is running.

    Parameters
    ----------
    resources : ExitStack
        Stops what was started when it is closed.
    jobs : int
        Local worker processes.
    scheduler : str, optional
        Address of a running Dask scheduler, whose workers are used instead.

    Returns
    -------
    distributed.Client

    Raises
    ------
    ValueError
        If the package is missing, or no scheduler answers.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ValueError("several processes need the package 'distributed'; install it or pass --jobs 1") from error
    resources.enter_context(dask.config.set(WORKER_CONFIG))
    if scheduler is None:
        with interrupts_postponed():
            cluster = resources.enter_context(
                LocalCluster(
                    n_workers=jobs, threads_per_worker=1, processes=True, host="127.0.0.1",
                    dashboard_address=None, memory_limit=0, silence_logs="CRITICAL",
                    # without a dashboard the scheduler still serves its health page: on any free port
                    scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                )
            )  # fmt: skip
        return resources.enter_context(Client(cluster))
    try:
        return resources.enter_context(Client(scheduler, timeout="20s"))
    except OSError as error:
        raise ValueError(f"no Dask scheduler answers at {scheduler} ({error}); check the address") from error


@contextmanager
def interrupts_postponed() -> Iterator[None]:
    """Start processes that leave Ctrl-C to this one, which stops them in order; one that comes meanwhile waits.

    A process that is started while a signal is blocked goes on blocking it. Where signals cannot be blocked, they are
    ignored, which is inherited, too, but loses one that comes meanwhile.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = threading.Event()
    blockable = hasattr(signal, "pthread_sigmask")
    before = signal.signal(signal.SIGINT, (lambda *_: came.set()) if blockable else signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if blockable else set()
    try:
        yield
    finally:
        if blockable:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)
    if came.is_set():
        signal.raise_signal(signal.SIGINT)
