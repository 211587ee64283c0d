"""Messages between Dask's processes that do not wait for the clock on the wall, which may be set back.

Dask gathers the messages of two thousandths of a second and sends them together, at a time by that clock. One that
waits while the clock is set back by a day is sent a day later, and with it the run stands still. A scheduler, a client
and a worker for which `send_at_once` was called do not wait at all; a worker calls it as it starts, as a module that is
named in ``distributed.worker.preload``.
"""

from __future__ import annotations

from typing import Any

__all__ = ["dask_setup", "send_at_once"]


def send_at_once() -> None:
    """Send messages of this process as soon as those before them are sent."""
    from distributed.batched import BatchedSend

    # with no time to wait for, a message wakes the sender, which takes all that there are
    BatchedSend.next_deadline = property(lambda self: None, lambda self, time: None)


def dask_setup(worker: Any) -> None:
    """Prepare a worker; called by Dask."""
    send_at_once()
