"""Commands that make a cluster of several machines: ``repro scheduler``, ``repro worker``, ``repro certificates``.

They are also those of ``python -m repro.suite.hosts``, which does not import the rest of the suite.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from repro.suite.cluster import WORKER_CONFIG, one_thread, scheduler_options, worker_options
from repro.suite.steady import send_at_once
from repro.suite.tls import LOOPBACK, Tls, check_listening, make_certificates
from repro.suite.where import jobs_within_cores, local_gpus, scheduler_address, whole_number

__all__ = ["add_commands", "main"]

_PATIENCE = 300
"""Seconds after which workers end that do not find the scheduler again."""

_WELCOME = 10
"""Seconds; who is sent away sooner does not come back."""

_GRACE = 20
"""Seconds that a running task has to end, after its worker was told to."""

_LOGS = "WARNING"
"""What the members of a cluster say about connections that are lost, and less."""

_Run = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands and return its exit status: 0, 1 if a cluster has gone, 2 if options cannot be used."""
    parser = argparse.ArgumentParser(prog="repro", description="Make a cluster of several machines.")
    add_commands(parser.add_subparsers(dest="command", required=True))
    options = parser.parse_args(arguments)
    status: int = options.action(options)
    return status


def add_commands(commands: Any) -> None:
    """Add the commands to those of a parser, as ``action``."""
    from repro.suite.engine import available_cores

    add = _command(commands, "scheduler", "lead a cluster: workers and runs join it at its address", _scheduler)
    add("--host", default=LOOPBACK, metavar="ADDRESS", help="listen here (default: %(default)s, this machine only)")
    add("--port", type=int, default=8786, metavar="N", help="default: %(default)s; 0: any that is free")
    _add_trust(add)
    add = _command(commands, "worker", "compute for the runs that use a scheduler", _worker)
    add("address", metavar="ADDRESS", help="of the scheduler")
    add("--host", metavar="ADDRESS", help="listen here (default: where this machine reaches the scheduler)")
    add("--jobs", type=jobs_within_cores, default=available_cores(), metavar="N", help="processes, one thread each")
    add("--gpus", type=whole_number, metavar="N", help="GPUs, one process for each (default: all that are visible)")
    add("--name", help="by which its processes are shown")
    _add_trust(add)
    add = _command(commands, "certificates", "make the folder for --tls, for all members of a cluster", _certificates)
    add("folder", type=Path, metavar="DIR", help="is made; copy it to every machine, readable by you alone")
    add("--days", type=int, default=365, metavar="N", help="how long they are valid (default: %(default)s)")


def _command(commands: Any, name: str, text: str, run: _Run) -> Callable[..., Any]:
    command = commands.add_parser(name, help=text, description=text)
    command.set_defaults(action=lambda options: _guarded(run, options))
    add: Callable[..., Any] = command.add_argument
    return add


def _add_trust(add: Callable[..., Any]) -> None:
    add("--tls", type=Path, metavar="DIR", help="certificates, made by `repro certificates DIR`")
    add("--insecure", action="store_true", help="listen without certificates, where nobody else can reach this machine")


def _guarded(run: _Run, options: argparse.Namespace) -> int:
    """Return the exit status: 2 with a message if the options cannot be used."""
    try:
        return run(options)
    except ValueError as error:
        sys.stderr.write(f"{options.command}: {error}\n")
        return 2


def _certificates(options: argparse.Namespace) -> int:
    made = make_certificates(options.folder, days=options.days)
    sys.stdout.write(f"{made.folder}: valid for {options.days} days; copy it to every machine of the cluster\n")
    return 0


def _tls(options: argparse.Namespace) -> Tls | None:
    return None if options.tls is None else Tls(options.tls).check()


def _scheduler(options: argparse.Namespace) -> int:
    tls = _tls(options)
    check_listening(options.host, tls, insecure=options.insecure)
    return _serve(_lead(options, tls))


async def _lead(options: argparse.Namespace, tls: Tls | None) -> int:
    from distributed import Scheduler

    stopped = _stop_signal()
    try:
        scheduler = await Scheduler(port=options.port, **scheduler_options(options.host, tls))
    except (OSError, RuntimeError) as error:
        cause = error.__cause__ or error
        raise ValueError(f"cannot listen at {options.host}, port {options.port} ({cause}); give another") from error
    _tell(f"scheduler at {scheduler.address}")
    await stopped.wait()
    await scheduler.close()
    return 0


def _worker(options: argparse.Namespace) -> int:
    tls = _tls(options)
    address = scheduler_address(options.address, tls)
    host = options.host or _own_address(address)
    check_listening(host, tls, insecure=options.insecure)
    gpus = local_gpus(options.gpus)
    return _serve(_work(options, address, host, gpus, tls))


def _own_address(scheduler: str) -> str:
    """Return the address by which this machine reaches a scheduler."""
    from distributed.comm import get_address_host
    from distributed.utils import get_ip

    try:
        return str(get_ip(get_address_host(scheduler)))
    except (OSError, ValueError) as error:
        raise ValueError(f"{scheduler} is not an address that can be reached ({error})") from error


async def _work(options: argparse.Namespace, address: str, host: str, gpus: int, tls: Tls | None) -> int:
    stop = asyncio.ensure_future(_stop_signal().wait())
    lost: float | None = None
    while True:
        nannies = _nannies(options, address, host, gpus, tls)
        try:
            await _unless(stop, _started(nannies, address))
        except ValueError:
            if lost is None or time.monotonic() - lost > _PATIENCE:
                raise
            await asyncio.sleep(1)
            continue
        joined = time.monotonic()
        if not stop.done():
            _tell(f"{len(nannies)} worker processes at {host} compute for {address}")
            await _unless(stop, asyncio.gather(*(nanny.finished() for nanny in nannies)))
        if stop.done():
            await _leave(nannies)
            return 0
        lost = time.monotonic()
        if lost - joined < _WELCOME:
            _tell("the workers were sent away, or lost the scheduler at once; ended")
            return 1
        _tell(f"the scheduler is gone; it is looked for during {_PATIENCE} s")


def _nannies(options: argparse.Namespace, address: str, host: str, gpus: int, tls: Tls | None) -> list[Any]:
    """Return what starts and watches the worker processes."""
    from distributed import Nanny

    common: dict[str, Any] = {"host": host, "death_timeout": _PATIENCE, "silence_logs": _LOGS}
    if tls is not None:
        common["security"] = tls.security()
    names = [options.name] if options.jobs == 1 else [f"{options.name}-{number}" for number in range(options.jobs)]
    return [
        Nanny(address, name=name if options.name else None, **common, **own)
        for name, own in zip(names, worker_options(options.jobs, gpus), strict=True)
    ]


async def _unless(stop: asyncio.Future[Any], coming: Awaitable[Any]) -> None:
    """Wait for something to come, unless it is to stop before."""
    waiting = asyncio.ensure_future(coming)
    await asyncio.wait([stop, waiting], return_when=asyncio.FIRST_COMPLETED)
    if waiting.done():
        waiting.result()
        return
    waiting.cancel()
    with suppress(asyncio.CancelledError, Exception):  # else it is told that nobody asked for it
        await waiting


async def _started(nannies: list[Any], address: str) -> None:
    try:
        await asyncio.gather(*nannies)
    except (OSError, RuntimeError, TimeoutError) as error:
        await asyncio.gather(*(nanny.close() for nanny in nannies), return_exceptions=True)
        cause = error.__cause__ or error
        raise ValueError(
            f"no scheduler takes workers at {address} ({cause}); check address and certificates"
        ) from error


async def _leave(nannies: list[Any]) -> None:
    """End workers: what they run is asked to write where it stands, and goes to others without a word of blame."""
    with suppress(OSError, TimeoutError):
        until = time.monotonic() + _GRACE
        busy = await _each(nannies, _wind_up)
        while any(busy) and time.monotonic() < until:
            await asyncio.sleep(0.2)
            busy = await _each(nannies, _is_busy)
        if addresses := [nanny.worker_address for nanny in nannies if nanny.worker_address]:
            await asyncio.wait_for(nannies[0].scheduler.retire_workers(workers=addresses, close_workers=False), 5)
    await asyncio.gather(*(nanny.close() for nanny in nannies), return_exceptions=True)


async def _each(nannies: list[Any], function: Callable[..., bool]) -> list[bool]:
    """Return what a function returns in each worker process that can be reached."""

    async def ask(nanny: Any) -> bool:
        async with nanny.rpc(nanny.worker_address) as worker:
            answer = await asyncio.wait_for(worker.run(function=pickle.dumps(function)), 5)
        return answer.get("status") == "OK" and bool(answer["result"])

    answers = await asyncio.gather(*(ask(one) for one in nannies if one.worker_address), return_exceptions=True)
    return [answer for answer in answers if isinstance(answer, bool)]


def _wind_up(dask_worker: Any) -> bool:
    """Take no task any more, and ask those that run to stop; return whether there are any."""
    from distributed.core import Status

    from repro.suite.runner import stop_runners

    dask_worker.status = Status.paused
    stop_runners(_GRACE)
    return _is_busy(dask_worker)


def _is_busy(dask_worker: Any) -> bool:
    return bool(dask_worker.state.executing)


def _stop_signal() -> asyncio.Event:
    """Return what is set when this process is told to end; told a second time, it ends at once.

    Ctrl-C in a terminal, and Slurm at the end of a job, tell every process. The workers leave it to this one: a process
    that is started while a signal is blocked goes on blocking it.
    """
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    if not hasattr(signal, "pthread_sigmask"):
        return stopped
    numbers = {signal.SIGINT, signal.SIGTERM}

    def tell(number: int) -> None:
        if stopped.is_set():
            os._exit(128 + number)
        stopped.set()

    def listen() -> None:
        while True:
            loop.call_soon_threadsafe(tell, signal.sigwait(numbers))

    resource_tracker.ensure_running()  # at the first process, it would unblock the signals
    for number in numbers:  # threads of packages that were imported before do not block them
        loop.add_signal_handler(number, tell, number)
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    threading.Thread(target=listen, daemon=True).start()
    return stopped


def _serve(members: Coroutine[Any, Any, int]) -> int:
    import dask
    import distributed  # noqa: F401  (reads the settings that are changed here)

    logging.getLogger("distributed").setLevel(_LOGS)
    send_at_once()
    with dask.config.set(WORKER_CONFIG), one_thread():
        return asyncio.run(members)


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
