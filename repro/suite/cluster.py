"""Where tasks run: in this process, in local worker processes, on a Dask cluster that is there, or in Slurm jobs."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from repro.suite.tls import LOOPBACK, Tls, check_listening

__all__ = [
    "THREADS",
    "WORKER_CONFIG",
    "SlurmOptions",
    "Where",
    "add_where",
    "connect",
    "interrupts_postponed",
    "signals_kept",
    "jobs_within_cores",
    "local_gpus",
    "scheduler_options",
    "one_thread",
    "scheduler_address",
    "visible_gpus",
    "whole_number",
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
    "distributed.worker.profile.enabled": False,  # it looks at threads that only wait, a hundred times a second
    "distributed.admin.tick.limit": "1h",
    "distributed.deploy.lost-worker-timeout": "1h",  # a worker that takes long to start again is not given up
    "distributed.nanny.pre-spawn-environ": dict.fromkeys(THREADS, "1"),
    "logging": {"distributed": "error"},
}

CONNECT_TIMEOUT = "20s"
"""Until a scheduler must have answered."""

_DEVICES = "CUDA_VISIBLE_DEVICES"

_STARTS = 3
"""Times that local processes are started, where one of them is killed before it is up."""


@dataclass(frozen=True)
class SlurmOptions:
    """Jobs whose workers compute.

    Parameters
    ----------
    jobs : int
        How many. One that ends, as at its time limit, is submitted again while the run lasts.
    host : str
        Address of this machine that the jobs' machines reach.
    cores : int
        Of each job; one worker process each.
    gpus : int
        Of each job; so many of its workers have one each.
    time : str
        Limit of each job, as ``sbatch --time`` takes it.
    memory : str, optional
        Of each job, such as "16GB"; 4 GB for each core unless given.
    partition, account : str, optional
    directives : tuple of str
        Further options of ``sbatch``.
    prologue : tuple of str
        Lines of shell that a job runs before its workers start, such as ``module load cuda``.
    logs : Path, optional
        Folder of the jobs' output; without it Slurm's default.
    insecure : bool
        Listen at `host` without certificates.
    """

    jobs: int
    host: str
    cores: int = 1
    gpus: int = 0
    time: str = "12:00:00"
    memory: str | None = None
    partition: str | None = None
    account: str | None = None
    directives: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    logs: Path | None = None
    insecure: bool = False

    def __post_init__(self) -> None:
        """Refuse a job that has more GPUs than workers."""
        if self.gpus > self.cores:
            raise ValueError(
                f"a job with {self.gpus} GPUs needs a worker for each: give --slurm-cores {self.gpus} or more"
            )


@dataclass(frozen=True)
class Where:
    """Where tasks run.

    Parameters
    ----------
    jobs : int
        Local worker processes.
    scheduler : str, optional
        Address of a running Dask scheduler, whose workers are used instead.
    slurm : SlurmOptions, optional
        Jobs that are submitted, whose workers are used instead.
    tls : Tls, optional
        Certificates; without them connections are not encrypted.
    gpus : int
        Local GPUs. So many of the local workers, at most all of them, have one GPU each and the others see none. With
        0 nothing is placed: every worker sees what this process sees.
    store : Path, optional
        Folder that the workers of other machines must see under the same path.
    """

    jobs: int
    scheduler: str | None = None
    slurm: SlurmOptions | None = None
    tls: Tls | None = None
    gpus: int = 0
    store: Path | None = None

    @classmethod
    def from_options(cls, options: argparse.Namespace) -> Where:
        """Return what the options of :func:`add_where` say.

        Raises
        ------
        ValueError
            If options contradict each other, or files or devices are missing.
        """
        slurm = _slurm_of(options)
        if options.scheduler is not None and slurm is not None:
            raise ValueError("--scheduler and --slurm-jobs each name other workers; give one of them")
        tls = None if options.tls is None else Tls(options.tls).check()
        scheduler = None if options.scheduler is None else scheduler_address(options.scheduler, tls)
        local = scheduler is None and slurm is None
        gpus = local_gpus(options.gpus) if local and options.device != "cpu" else 0
        return cls(options.jobs, scheduler, slurm, tls, gpus, Path(options.store))

    @property
    def in_process(self) -> bool:
        """Whether no other process is needed."""
        return self.jobs == 1 and self.scheduler is None and self.slurm is None


def add_where(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where tasks run; :meth:`Where.from_options` reads them."""
    from repro.suite.engine import available_cores

    group = parser.add_argument_group("where tasks run", "by default: in processes of this machine, one for each core")
    add = group.add_argument
    add(
        "--jobs", type=jobs_within_cores, default=available_cores(), metavar="N",
        help="processes side by side, one thread each",
    )  # fmt: skip
    add("--gpus", type=whole_number, metavar="N", help="GPUs, one process for each (default: all that are visible)")
    add("--scheduler", metavar="ADDRESS", help="a running `repro scheduler`, whose workers compute instead")
    add("--tls", type=Path, metavar="DIR", help="certificates of `repro certificates DIR`, shared by all of a cluster")
    add("--insecure", action="store_true", help="listen without certificates, where nobody else can reach this machine")
    add("--slurm-jobs", type=_positive, metavar="N", help="submit N Slurm jobs whose workers compute instead")
    add("--slurm-host", metavar="ADDRESS", help="address of this machine that the jobs' machines reach")
    add("--slurm-cores", type=_positive, metavar="N", help="cores of a job, one process each (default: 1)")
    add("--slurm-gpus", type=whole_number, metavar="N", help="GPUs of a job, one process for each (default: 0)")
    add("--slurm-time", metavar="TIME", help="limit of a job; one that ends is replaced (default: 12:00:00)")
    add("--slurm-memory", metavar="SIZE", help="of a job (default: 4GB for each core)")
    add("--slurm-partition", metavar="NAME")
    add("--slurm-account", metavar="NAME")
    add("--slurm-logs", type=Path, metavar="DIR", help="output of the jobs")
    add("--slurm-directive", action="append", metavar="OPTION", help="of sbatch, as --slurm-directive=--qos=long")
    add("--slurm-prologue", action="append", metavar="LINE", help="of shell, run before a job's workers start")


def _slurm_of(options: argparse.Namespace) -> SlurmOptions | None:
    given = {
        name.removeprefix("slurm_"): value
        for name, value in vars(options).items()
        if name.startswith("slurm_") and value is not None
    }
    if not given:
        return None
    for name, meaning in (("jobs", "how many jobs"), ("host", "the address of this machine that they reach")):
        if name not in given:
            raise ValueError(f"--slurm-{next(iter(given))} needs --slurm-{name}, too: {meaning}")
    for name in ("directive", "prologue"):
        if name in given:
            given["directives" if name == "directive" else name] = tuple(given.pop(name))
    return SlurmOptions(**given, insecure=options.insecure)


def scheduler_address(text: str, tls: Tls | None) -> str:
    """Return a scheduler's address with the protocol that certificates demand.

    Raises
    ------
    ValueError
        If the address and the certificates contradict each other.
    """
    protocol, separator, place = text.rpartition("://")
    wanted = "tcp" if tls is None else "tls"
    if separator and protocol != wanted:
        remedy = "give --tls DIR, too" if tls is None else "leave --tls out, or start the scheduler with it"
        raise ValueError(f"{text} is not an address for connections {'without' if tls is None else 'with'} "
                         f"certificates ({wanted}://); {remedy}")  # fmt: skip
    return f"{wanted}://{place}"


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


def whole_number(text: str) -> int:
    """Parse a whole number of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def jobs_within_cores(text: str) -> int:
    """Parse a number of processes; more than there are cores only slow one another down, and are refused."""
    from repro.suite.engine import available_cores

    value, cores = _positive(text), available_cores()
    if value > cores:
        raise argparse.ArgumentTypeError(f"{text} is more than the {cores} cores that this process may use")
    return value


def visible_gpus() -> tuple[str, ...]:
    """Return the GPUs that this process may use, by the names that ``CUDA_VISIBLE_DEVICES`` takes."""
    named = os.environ.get(_DEVICES)
    if named is not None:
        return tuple(name for part in named.split(",") if (name := part.strip()) and name != "-1")
    import torch

    return tuple(map(str, range(torch.cuda.device_count())))


def local_gpus(wanted: int | None) -> int:
    """Return how many GPUs to use; all unless told otherwise.

    Raises
    ------
    ValueError
        If there are fewer.
    """
    if wanted == 0:
        return 0
    there = len(visible_gpus())
    if wanted is not None and wanted > there:
        raise ValueError(f"--gpus {wanted}, but {there} are visible; give fewer, or look at {_DEVICES}")
    return there if wanted is None else wanted


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
    having = [{**common, "env": {_DEVICES: device}, "resources": {"GPU": 1}} for device in devices]
    return [*having, *({**common, "env": {_DEVICES: ""}} for _ in range(jobs - len(having)))]


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
                    f"worker processes ended {_STARTS} times before they were up ({error}); look whether memory "
                    "is short, and in a script of your own call the suite below if __name__ == '__main__', as they "
                    "import it; or pass --jobs 1"
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
