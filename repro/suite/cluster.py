"""Worker processes: started on this machine, those of a Dask cluster that is there, or of Slurm jobs."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from multiprocessing import current_process, resource_tracker
from typing import Any

from repro.suite.steady import send_at_once
from repro.suite.tls import LOOPBACK, Tls, check_listening
from repro.suite.where import DEVICES, SlurmOptions, Where, visible_gpus

__all__ = [
    "THREADS",
    "WORKER_CONFIG",
    "connect",
    "interrupts_postponed",
    "signals_kept",
    "scheduler_options",
    "one_thread",
    "worker_options",
]

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Variables that limit threads; they are 1 in every worker, whatever they are elsewhere."""

WORKER_CONFIG: Mapping[str, Any] = {
    "distributed.worker.daemon": False,  # a task may start processes of its own
    "distributed.scheduler.worker-ttl": None,  # a long kernel that holds the interpreter is not a dead worker
    "distributed.scheduler.allowed-failures": 0,  # the engine tries again, elsewhere, and counts
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.worker.preload": ["repro.suite.steady"],  # a clock that is set back must not hold messages
    "distributed.worker.profile.enabled": False,  # it looks at threads that only wait, a hundred times a second
    "distributed.admin.tick.limit": "1h",
    "distributed.deploy.lost-worker-timeout": "1h",  # a worker that takes long to start again is not given up
    "distributed.nanny.pre-spawn-environ": dict.fromkeys(THREADS, "1"),
    "logging": {"distributed": "error"},
}

CONNECT_TIMEOUT = "20s"
"""Until a scheduler must have answered."""

_STARTS = 3
"""Times that local processes are started, where one of them is killed before it is up."""


def worker_options(jobs: int, gpus: int) -> list[dict[str, Any]]:
    """Return what the worker processes of one machine are started with.

    Parameters
    ----------
    jobs : int
        Processes.
    gpus : int
        The first so many of them have a GPU each and the others see none; with 0 all see what this process sees.

    Returns
    -------
    list of dict
        Arguments of ``distributed.Nanny``, for each process.
    """
    common = {"nthreads": 1, "memory_limit": 0, "dashboard": False, "dashboard_address": f"{LOOPBACK}:0"}
    if not gpus:
        return [dict(common) for _ in range(jobs)]
    devices = visible_gpus()[: min(gpus, jobs)]
    having = [{**common, "env": {DEVICES: device}, "resources": {"GPU": 1}} for device in devices]
    return [*having, *({**common, "env": {DEVICES: ""}} for _ in range(jobs - len(having)))]


def scheduler_options(host: str, tls: Tls | None) -> dict[str, Any]:
    """Return what a scheduler that listens at `host` is started with."""
    # without a dashboard the scheduler still serves its health page: on any free port
    options = {"host": host, "dashboard": False, "dashboard_address": f"{LOOPBACK}:0"}
    protected = {} if tls is None else {"security": tls.security()}
    return {**options, **protected, "protocol": "tcp://" if tls is None else "tls://"}


def connect(resources: ExitStack, where: Where) -> Any:
    """Start workers, or reach those that are there.

    Parameters
    ----------
    resources : ExitStack
        Stops what was started when it is closed.
    where : Where

    Returns
    -------
    distributed.Client

    Raises
    ------
    ValueError
        If a package or a command is missing, no scheduler answers, or a worker cannot be used.
    """
    try:
        import dask
        import distributed  # noqa: F401
    except ImportError as error:
        raise ValueError("several processes need the package 'distributed'; install it or pass --jobs 1") from error
    send_at_once()
    resources.enter_context(dask.config.set(WORKER_CONFIG))
    resources.enter_context(one_thread())
    if where.scheduler is not None:
        return _join(resources, where.scheduler, where)
    if where.slurm is not None:
        return _submit(resources, where.slurm, where)
    return _start(resources, where)


def _start(resources: ExitStack, where: Where) -> Any:
    """Start worker processes on this machine."""
    from distributed import Client, Nanny, Scheduler, SpecCluster

    if getattr(current_process(), "_inheriting", False):  # as the standard library tells
        raise ValueError(
            "worker processes import the script that starts them: in it, call the suite below "
            "if __name__ == '__main__', or pass --jobs 1"
        )
    security = {} if where.tls is None else {"security": where.tls.security()}
    shared = {"host": LOOPBACK, "silence_logs": "CRITICAL", **security}

    def started() -> Any:
        workers = {
            number: {"cls": Nanny, "options": {**shared, **options}}
            for number, options in enumerate(worker_options(where.jobs, where.gpus))
        }
        scheduler = {"cls": Scheduler, "options": scheduler_options(LOOPBACK, where.tls)}
        return SpecCluster(workers=workers, scheduler=scheduler, silence_logs="CRITICAL", **security)

    for left in reversed(range(_STARTS)):
        try:
            with interrupts_postponed():
                cluster = resources.enter_context(started())
            break
        except RuntimeError as error:  # a process was killed before it was up; the cluster has closed itself
            if not left:
                raise ValueError(
                    f"worker processes ended {_STARTS} times before they were up ({error}): in a script of your own "
                    "call the suite below if __name__ == '__main__', as they import it, and look whether memory is "
                    "short; or pass --jobs 1"
                ) from error
    return resources.enter_context(Client(cluster))


def _join(resources: ExitStack, address: str, where: Where) -> Any:
    """Reach a cluster that is there, and look whether it can be used."""
    from distributed import Client

    from repro.suite.admission import admit

    security = {} if where.tls is None else {"security": where.tls.security()}
    try:
        client = resources.enter_context(Client(address, timeout=CONNECT_TIMEOUT, **security))
    except OSError as error:
        raise ValueError(f"no Dask scheduler answers at {address} ({error}); check address and certificates") from error
    admit(resources, client, where.store)
    return client


def _submit(resources: ExitStack, slurm: SlurmOptions, where: Where) -> Any:
    """Submit jobs, whose workers join a scheduler in this process."""
    from distributed import Client

    check_listening(slurm.host, where.tls, insecure=slurm.insecure)
    if shutil.which("sbatch") is None:
        raise ValueError("--slurm-jobs needs the command sbatch, which is missing here; run this on a login node")
    try:
        from repro.suite.slurm import submit
    except ImportError as error:
        raise ValueError("--slurm-jobs needs dask-jobqueue: pip install 'repro-ssd[slurm]'") from error
    from repro.suite.admission import admit

    cluster = submit(resources, slurm, where.tls)
    client = resources.enter_context(Client(cluster))
    admit(resources, client, where.store)
    return client


@contextmanager
def one_thread() -> Iterator[None]:
    """Give processes that are started one thread each, also where the environment says otherwise.

    Dask takes limits from the environment rather than from its settings, and changes the environment of the process
    that starts workers.
    """
    names = (*THREADS, "PYTHONHASHSEED")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def signals_kept() -> Iterator[None]:
    """Put back afterwards what Ctrl-C and SIGTERM do; within the main thread, as others cannot change it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


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
    if blockable:
        resource_tracker.ensure_running()  # at the first process, it would unblock the signals
    before = signal.signal(signal.SIGINT, (lambda *_: came.set()) if blockable else signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM}) if blockable else set()
    try:
        yield
    finally:
        if blockable:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)
    if came.is_set():
        signal.raise_signal(signal.SIGINT)
