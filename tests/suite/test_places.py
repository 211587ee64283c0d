"""Places: what is told of tasks whose worker, scheduler or leader goes; with a cluster that is pretended."""

import time
from pathlib import Path

import pytest
from distributed.scheduler import KilledWorker

from repro.suite import places
from repro.suite.places import Beside, Cluster, Slot
from repro.suite.runner import TaskEnded, packed


class Future:
    def __init__(self):
        self.status, self.error, self.released, self.callback = "pending", None, False, None

    def add_done_callback(self, callback):
        self.callback = callback

    def end(self, status, error=None):
        self.status, self.error = status, error
        self.callback(self)

    def exception(self):
        return self.error

    def release(self):
        self.released = True


class Client:
    """As much of a Dask client as a cluster uses."""

    def __init__(self, **workers):
        self.status, self.scheduler = "running", self
        self.workers = {name: {"nthreads": 1, "status": "running", "resources": own} for name, own in workers.items()}
        self.submitted = []

    def identity(self):
        if self.workers is None:
            raise OSError("the network is down")
        return {"workers": self.workers}

    def sync(self, function):
        return function()

    def subscribe_topic(self, topic, handler):
        self.topic, self.hear = topic, handler

    def submit(self, *arguments, **options):
        self.submitted.append((Future(), options))
        return self.submitted[-1][0]


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(places.time, "monotonic", lambda: now[0])
    return now


def started(client, patience=60.0, gpu=False):
    """Return a cluster with a task under way on worker a, and its future."""
    cluster = Cluster(client, patience)
    slot = Slot("a", gpu)
    cluster.submit(7, "task", b"work", slot, on_gpu=gpu, timeout=None)
    return cluster, client.submitted[0][0]


@pytest.mark.parametrize(
    ("status", "error", "how"),
    [
        ("finished", None, None),
        ("error", TaskEnded("late", "took longer"), "late"),
        ("error", KilledWorker("task", None, 0), "lost"),
        ("error", KeyError("x"), "failed"),
        ("cancelled", None, "lost"),
    ],
)
def test_a_future_tells_how_a_task_ended_and_is_released(status, error, how):
    cluster, future = started(Client(a={}))
    assert cluster.landed(0.01) is None
    future.end(status, error)
    landed = cluster.landed(1)
    assert landed.ticket == 7 and (landed.ending and landed.ending.how) == how
    assert future.released and cluster.landed(0.01) is None


def test_a_task_whose_worker_is_gone_is_lost_once(clock):
    client = Client(a={}, b={})
    cluster, future = started(client)
    del client.workers["a"]
    clock[0] = 2.0
    assert cluster.slots() == [Slot("b")]
    assert cluster.landed(1).ending.how == "lost"
    future.end("cancelled")
    assert cluster.landed(0.01) is None


def test_a_worker_that_takes_no_more_tasks_may_finish_its_own(clock):
    client = Client(a={}, b={})
    cluster, future = started(client)
    client.workers["a"]["status"] = "paused"
    clock[0] = 2.0
    assert cluster.slots() == [Slot("b")]
    assert cluster.landed(0.01) is None
    future.end("error", TaskEnded("stopped", "was asked to stop"))
    assert cluster.landed(1).ending.how == "stopped"


def test_a_scheduler_that_does_not_answer_is_waited_for(clock):
    client = Client(a={})
    workers = client.workers
    cluster, _ = started(client)
    client.workers = None
    clock[0] = 2.0
    assert cluster.slots() == [] and cluster.landed(0.01) is None
    client.workers = workers
    clock[0] = 4.0
    assert cluster.slots() == [Slot("a")]
    client.workers = {}
    clock[0] = 65.0
    with pytest.raises(ValueError, match="no worker has been there for 60 s"):
        cluster.slots()
    client.status = "closed"
    with pytest.raises(ValueError, match="scheduler is gone"):
        cluster.slots()


def test_workers_may_be_long_in_coming(clock):
    cluster = Cluster(client := Client(), patience=None)
    clock[0] = 1e6
    assert cluster.slots() == []
    client.workers = Client(a={"GPU": 1}).workers
    assert cluster.slots() == [Slot("a", gpu=True)]


def test_a_task_goes_to_its_worker_and_to_no_other():
    for gpu in (False, True):
        client = Client(a={"GPU": 1} if gpu else {})
        started(client, gpu=gpu)
        _, options = client.submitted[0]
        assert options["workers"] == ["a"] and not options["allow_other_workers"]
        assert options["resources"] == ({"GPU": 1} if gpu else None)


def test_keys_differ_between_submissions_and_leaders():
    keys = []
    for client in (Client(a={}), Client(a={})):
        cluster, _ = started(client)
        cluster.submit(8, "task", b"work", Slot("a"), on_gpu=False, timeout=None)
        keys += [options["key"] for _, options in client.submitted]
    assert len(set(keys)) == 4


def test_progress_reaches_who_listens():
    heard = []
    cluster, _ = started(client := Client(a={}))
    event = (0.0, {"task": "task", "fraction": 0.5, "message": "epoch 1/2"})
    client.hear(event)
    cluster.listen(lambda *what: heard.append(what))
    client.hear(event)
    assert heard == [("task", 0.5, "epoch 1/2")]


def test_what_is_forgotten_never_lands():
    cluster, future = started(Client(a={}))
    cluster.forget([7])
    assert future.released
    future.end("cancelled")
    assert cluster.landed(0.01) is None


def sleep(report, path):
    Path(path).touch()
    time.sleep(60)


def touch(report, path):
    Path(path).touch()


def test_a_process_whose_task_is_forgotten_is_ended_and_makes_room(tmp_path):
    with Beside(1) as place:
        (slot,) = place.slots()
        place.submit(1, "a", packed(sleep, {"path": str(tmp_path / "a")}), slot, on_gpu=False, timeout=None)
        deadline = time.monotonic() + 60
        while not (tmp_path / "a").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        place.forget([1])
        deadline = time.monotonic() + 60
        place.submit(2, "b", packed(touch, {"path": str(tmp_path / "b")}), slot, on_gpu=False, timeout=None)
        landed = []
        while 2 not in (ticket for ticket, _ in landed):
            assert time.monotonic() < deadline
            landed += [one] if (one := place.landed(1)) else []
        assert dict(landed)[2] is None and (tmp_path / "b").exists()
