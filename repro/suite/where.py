"""Where tasks run, as the command line says it: processes of this machine, a cluster that is there, or Slurm jobs."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from repro.suite.tls import Tls

__all__ = [
    "DEVICES",
    "SlurmOptions",
    "Where",
    "add_where",
    "jobs_within_cores",
    "local_gpus",
    "scheduler_address",
    "visible_gpus",
    "whole_number",
]

DEVICES = "CUDA_VISIBLE_DEVICES"


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
    """Return the GPUs that this process may use, by the names that ``CUDA_VISIBLEDEVICES`` takes."""
    named = os.environ.get(DEVICES)
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
        raise ValueError(f"--gpus {wanted}, but {there} are visible; give fewer, or look at {DEVICES}")
    return there if wanted is None else wanted
