"""Messages between processes when the clock is set back: sent at once, in order, and by every worker."""

import asyncio
import time

import pytest
from distributed import batched

from repro.suite import steady


class Line:
    """What a sender writes to."""

    def __init__(self):
        self.sent = []

    def closed(self):
        return False

    async def write(self, payload, **options):
        self.sent.append(list(payload))
        return 1

    def abort(self):
        pass


async def sent_around_a_jump(monkeypatch, seconds):
    """Send a message, set the clock, send more, and return what has arrived soon after."""
    line, sender = Line(), batched.BatchedSend(interval="2ms")
    sender.start(line)
    sender.send("before")
    while not line.sent:
        await asyncio.sleep(0)
    wall = time.time
    for place in (time, batched):  # tornado asks the first, Dask the second
        monkeypatch.setattr(place, "time", lambda: wall() + seconds)
    sender.send("after", "it")
    await asyncio.sleep(0.05)
    sender.send("later")
    await asyncio.sleep(0.05)
    arrived = [message for payload in line.sent for message in payload]
    sender.please_stop = True
    sender.waker.set()
    return arrived


@pytest.fixture
def as_dask_has_it(monkeypatch):
    monkeypatch.delattr(batched.BatchedSend, "next_deadline", raising=False)
    yield
    monkeypatch.undo()


@pytest.mark.parametrize("seconds", [-86400.0, -0.5, 0.0, 86400.0])
def test_messages_do_not_wait_for_a_clock_that_is_set(monkeypatch, as_dask_has_it, seconds):
    steady.send_at_once()
    assert asyncio.run(sent_around_a_jump(monkeypatch, seconds)) == ["before", "after", "it", "later"]


def test_without_it_they_do(monkeypatch, as_dask_has_it):
    """If this fails, Dask has changed, and `repro.suite.steady` can go."""
    assert asyncio.run(sent_around_a_jump(monkeypatch, -86400.0)) == ["before"]
