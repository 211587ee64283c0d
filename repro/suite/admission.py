"""Whether a cluster that was started elsewhere may compute: its settings, its code, its view of the store."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
import platform
import secrets
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from distributed import Client, Scheduler, Worker
from distributed.diagnostics.plugin import WorkerPlugin

from repro.suite.cluster import THREADS

__all__ = ["Terms", "admit", "shortcomings"]

_PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "torch",
    "torchvision",
    "opencv-contrib-python-headless",
    "numba",
    "cvxpy",
)
"""Whose versions change numbers."""

_REMEDY = "start it with `python -m repro worker ADDRESS`, from the same installation and with the same folders"


@dataclass(frozen=True)
class Terms:
    """What every worker of a run has to share with the process that leads it.

    Parameters
    ----------
    python : str
    packages : mapping
        Versions, without what says for which device a package was built.
    source : str
        A digest of the suite's code.
    token : str, optional
        A file in the store; only who sees the same store sees it.
    """

    python: str
    packages: Mapping[str, str]
    source: str
    token: str | None = None

    @classmethod
    def of_this_process(cls, token: Path | None = None) -> Terms:
        """Return what holds here."""
        return cls(platform.python_version(), _versions(), _source(), None if token is None else str(token))


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name).partition("+")[0]
    return found


@cache
def _source() -> str:
    """Return a digest of all modules of the suite."""
    digest = hashlib.sha256()
    for package in ("baselines", "repro"):
        folder = Path(import_module(package).__file__ or "").parent
        for file in sorted(folder.rglob("*.py")):
            digest.update(f"{package}/{file.relative_to(folder).as_posix()}\0".encode())
            digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()


def shortcomings(worker: Worker, terms: Terms) -> list[str]:
    """Return why a worker may not compute; nothing if it may. To be called in the worker's process."""
    found = []
    if worker.state.nthreads != 1:
        found.append(f"it runs {worker.state.nthreads} tasks at a time in one process")
    if multiprocessing.current_process().daemon:
        found.append("its tasks may start no processes (distributed.worker.daemon is not False)")
    if worker.memory_manager.memory_limit:
        found.append("it has a memory limit, at which tasks are paused or killed")
    if wrong := [name for name in THREADS if os.environ.get(name) != "1"]:
        found.append(f"{', '.join(wrong)} is not 1")
    own = Terms.of_this_process()
    if own.python != terms.python:
        found.append(f"it runs Python {own.python} in place of {terms.python}")
    names = sorted({*own.packages, *terms.packages})
    found += [
        f"it has {name} {own.packages.get(name, 'missing')} in place of {terms.packages.get(name, 'none')}"
        for name in names
        if own.packages.get(name) != terms.packages.get(name)
    ]
    if own.source != terms.source:
        found.append("its suite has other code")
    if terms.token is not None and not Path(terms.token).exists():
        found.append(f"it does not see the store {Path(terms.token).parent}")
    return found


def _inspect(terms: Terms, dask_worker: Worker) -> list[str]:
    return shortcomings(dask_worker, terms)


def _patience(dask_scheduler: Scheduler) -> float | None:
    return dask_scheduler.worker_ttl


class _Admission(WorkerPlugin):
    """Sends workers away that join later and may not compute, before they get a task."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.name = f"repro-admission-{secrets.token_hex(4)}"

    def setup(self, worker: Worker) -> None:
        """Look at a worker when it joins."""
        if found := shortcomings(worker, self.terms):
            logging.getLogger("distributed.worker").error("not admitted: %s; %s", "; ".join(found), _REMEDY)
            worker.loop.add_callback(worker.close, nanny=True, reason="repro-not-admitted")


def admit(resources: ExitStack, client: Client, store: Path | None = None) -> None:
    """Check the members of a cluster, now and whenever a worker joins.

    Parameters
    ----------
    resources : ExitStack
        Ends the checks when it is closed.
    client : distributed.Client
    store : Path, optional
        Which all workers must see under the same path.

    Raises
    ------
    ValueError
        If the scheduler, or a worker that is there, cannot be used. It names the worker, the reasons, and the remedy.
    """
    try:
        patience = client.run_on_scheduler(_patience)
    except ImportError as error:
        raise ValueError(
            f"the scheduler cannot import the suite ({error}); start it with `python -m repro scheduler`"
        ) from error
    if patience is not None:
        raise ValueError(
            f"the scheduler drops workers that are silent for {patience:g} s, as in a long computation; start it with "
            "`python -m repro scheduler`, or set its distributed.scheduler.worker-ttl to null"
        )
    terms = Terms.of_this_process(None if store is None else _token(resources, store))
    for address, found in client.run(_inspect, terms, on_error="return").items():
        if isinstance(found, BaseException):
            found = [f"it cannot run the suite ({type(found).__name__}: {found})"]
        if found:
            raise ValueError(f"worker {address} cannot be used: {'; '.join(found)}; {_REMEDY}")
    plugin = _Admission(terms)
    client.register_plugin(plugin)
    resources.callback(_dismiss, client, plugin.name)


def _dismiss(client: Client, name: str) -> None:
    if client.status == "running":
        with suppress(OSError, ValueError):  # the scheduler may just have gone
            client.unregister_worker_plugin(name)


def _token(resources: ExitStack, store: Path) -> Path:
    """Leave a file in the store for the time of the run, whose name nobody can know otherwise."""
    store = store.absolute()
    store.mkdir(parents=True, exist_ok=True)
    token = store / f".cluster-{secrets.token_hex(8)}"
    token.touch()
    resources.callback(token.unlink, missing_ok=True)
    return token
