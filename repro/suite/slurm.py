"""Slurm jobs as workers, through dask-jobqueue (extra ``slurm``)."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import dask
from distributed.core import Status
from tornado.ioloop import PeriodicCallback

from repro.suite.cluster import interrupts_postponed, scheduler_options, signals_kept
from repro.suite.tls import Tls
from repro.suite.where import SlurmOptions

with signals_kept():  # which its import replaces
    from dask_jobqueue.slurm import SLURMCluster, SLURMJob

__all__ = ["SlurmCluster", "cluster_of", "submit"]

_ABSENCE = 60.0
"""Seconds without any of its workers after which a job that once had some is replaced."""

_LOOKS = 5.0
"""Seconds between two looks at the jobs."""

_SHORT, _SHORT_LIVES = 60.0, 3
"""Seconds; after so many jobs in a row, for each that was asked for, that lived no longer, none is submitted."""


class _Job(SLURMJob):
    """A job that runs ``repro worker``, so that its workers have the same settings as all others."""

    def __init__(self, scheduler: str, name: str, *, command: Sequence[str], **options: Any) -> None:
        super().__init__(scheduler, name, **options)
        # the shell gives way to the worker, so that a signal of Slurm reaches it
        self._command_template = "exec " + shlex.join([*command, scheduler, "--name", name])

    async def start(self) -> None:
        """Submit the job; one that is refused is left in a state in which the cluster can be closed."""
        try:
            await super().start()
        except BaseException:
            self.status = Status.failed
            raise


class SlurmCluster(SLURMCluster):
    """A scheduler in this process and jobs that are replaced when they end."""

    job_cls: type[SLURMJob] = _Job

    def keep(self, jobs: int) -> None:
        """Submit so many jobs, and a new one for each that ends, until the cluster is closed.

        Raises
        ------
        RuntimeError
            If ``sbatch`` refuses, with its words.
        """
        self._lives: dict[str, tuple[float, float]] = {}
        self._short = 0
        while len(self.worker_spec) < jobs:
            self.worker_spec.update(self.new_worker_spec())
        self.sync(self._correct_state)
        self.sync(self._watch)

    async def _watch(self) -> None:
        looks = PeriodicCallback(self._replace_ended, _LOOKS * 1000)
        self.periodic_callbacks["repro-jobs"] = looks
        looks.start()

    async def _replace_ended(self) -> None:
        assert self.scheduler is not None
        names, now = [str(worker.name) for worker in self.scheduler.workers.values()], time.monotonic()
        for name in list(self.workers):
            begin, last = self._lives.get(name, (now, now))
            if any(other == name or other.startswith(f"{name}-") for other in names):
                self._lives[name] = (begin, now)
            elif now - last > _ABSENCE:
                del self._lives[name]
                job = self.workers.pop(name)
                self._short = self._short + 1 if last - begin < _SHORT else 0
                sys.stderr.write(f"Slurm job {job.job_id} has ended and is replaced\n")
                await job.close()
        if self._short > _SHORT_LIVES * len(self.worker_spec):
            sys.stderr.write("Slurm jobs end soon after their start; look at their output\n")
            await self.scheduler.close()
        else:
            await self._correct_state()


def cluster_of(options: SlurmOptions, tls: Tls | None) -> SlurmCluster:
    """Return the cluster without any job yet; its ``job_script()`` is what is submitted.

    Parameters
    ----------
    options : SlurmOptions
    tls : Tls, optional
        The jobs' machines must see its folder, too.
    """
    command = [
        sys.executable,
        "-m",
        "repro.suite.hosts",
        "worker",
        "--jobs",
        str(options.cores),
        "--gpus",
        str(options.gpus),
    ]
    command += ["--insecure"] * options.insecure
    command += ["--tls", str(tls.folder.absolute())] if tls is not None else []
    # a job that reaches its limit is told a minute before, and leaves its tasks to others
    configured = dask.config.get("jobqueue.slurm.job-extra-directives", None) or []
    directives = ["--signal=B:TERM@60", *configured, *options.directives]
    if options.gpus:
        directives.insert(0, f"--gres=gpu:{options.gpus}")
    security = {} if tls is None else {"security": tls.security()}
    return SlurmCluster(
        command=command,
        cores=options.cores,
        processes=options.cores,
        memory=options.memory or f"{4 * options.cores}GiB",
        walltime=options.time,
        queue=options.partition,
        account=options.account,
        job_name="repro",
        log_directory=None if options.logs is None else str(options.logs.absolute()),
        job_extra_directives=directives,
        job_script_prologue=list(options.prologue) or None,
        scheduler_options=scheduler_options(options.host, tls),
        protocol="tcp://" if tls is None else "tls://",
        **security,
    )


def submit(resources: ExitStack, options: SlurmOptions, tls: Tls | None) -> SlurmCluster:
    """Start a scheduler here and submit jobs, which are cancelled when `resources` is closed.

    Raises
    ------
    ValueError
        If Slurm refuses a job.
    """
    with interrupts_postponed():
        cluster = resources.enter_context(cluster_of(options, tls))
        try:
            cluster.keep(options.jobs)
        except RuntimeError as error:
            raise ValueError(f"Slurm took no job; look at the --slurm options:\n{error}") from error
    return cluster
