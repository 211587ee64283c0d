"""A cluster that was started elsewhere is looked at before it computes, and so is who joins it later."""

import time
from contextlib import ExitStack

import dask
import pytest
from distributed import LocalCluster, Worker
from distributed.core import Status

from repro.suite.admission import Terms, shortcomings
from repro.suite.cluster import THREADS, connect
from repro.suite.where import Where


@pytest.fixture
def cluster(monkeypatch):
    """Return what starts a stock cluster in this process, with one worker."""
    for name in THREADS:
        monkeypatch.setenv(name, "1")
    with ExitStack() as stack:

        def start(ttl=None, **options):
            stack.enter_context(dask.config.set({"distributed.scheduler.worker-ttl": ttl}))
            common = {"threads_per_worker": 1, "memory_limit": 0, "dashboard_address": None}
            scheduler = {"dashboard_address": "127.0.0.1:0"}
            made = LocalCluster(
                n_workers=1, processes=False, protocol="tcp://", host="127.0.0.1", scheduler_kwargs=scheduler,
                **{**common, **options},
            )  # fmt: skip
            return stack.enter_context(made)

        yield start


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ttl": "5 minutes"}, "silent for 300 s.*`python -m repro scheduler`"),
        ({"threads_per_worker": 4}, "4 tasks at a time.*`python -m repro worker ADDRESS`"),
        ({"memory_limit": "8GB"}, "has a memory limit"),
    ],
)
def test_a_cluster_with_other_settings_is_refused_with_a_remedy(cluster, tmp_path, options, message):
    address = cluster(**options).scheduler_address
    with pytest.raises(ValueError, match=message), ExitStack() as resources:
        connect(resources, Where(jobs=1, scheduler=address, store=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_worker_whose_threads_are_not_limited_is_refused(cluster, monkeypatch):
    address = cluster().scheduler_address
    monkeypatch.setenv("MKL_NUM_THREADS", "2")
    monkeypatch.setattr("repro.suite.cluster.one_thread", ExitStack)  # here, the worker is in the same process
    with pytest.raises(ValueError, match="MKL_NUM_THREADS is not 1"), ExitStack() as resources:
        connect(resources, Where(jobs=1, scheduler=address))


def test_who_joins_later_and_may_not_compute_is_sent_away(cluster, tmp_path):
    made = cluster()

    async def join(threads):
        return await Worker(made.scheduler_address, nthreads=threads, memory_limit=0, dashboard_address="127.0.0.1:0")

    with ExitStack() as resources:
        client = connect(resources, Where(jobs=1, scheduler=made.scheduler_address, store=tmp_path))
        (token,) = tmp_path.iterdir()
        assert list(client.nthreads().values()) == [1]
        misfit, good = made.sync(join, 2), made.sync(join, 1)
        until = time.monotonic() + 20
        while misfit.status != Status.closed:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert sorted(client.nthreads().values()) == [1, 1] and good.address in client.nthreads()
        token.unlink()  # as if the store were another one
        assert client.run(look, Terms.of_this_process(token))[good.address] == [f"it does not see the store {tmp_path}"]
        made.sync(good.close)
    assert made.scheduler.worker_plugins.keys() <= {"shuffle"}  # nothing stays behind


def look(terms, dask_worker):
    return shortcomings(dask_worker, terms)


def test_the_device_a_package_was_built_for_does_not_matter(monkeypatch):
    monkeypatch.setattr("repro.suite.admission.version", lambda name: "2.9.1+cpu")
    here = Terms.of_this_process()
    monkeypatch.setattr("repro.suite.admission.version", lambda name: "2.9.1+cu130")
    assert Terms.of_this_process() == here
    assert set(here.packages.values()) == {"2.9.1"}
