"""A cluster of several hosts, made with the suite's own commands: members that are killed, cut off, sent away."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
from distributed import Client

from repro.suite.engine import Engine, Task
from repro.suite.progress import Progress
from repro.suite.tls import make_certificates
from repro.suite.where import Where

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing")
    return make_certificates(tmp_path_factory.mktemp("tls") / "certificates")


@contextmanager
def member(*arguments, prefix=(), **environment):
    """Start a command of a cluster; yield the process and what it says first."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", "repro.suite.hosts", *map(str, arguments)],
        cwd=ROOT, env={**os.environ, **environment}, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process, lambda: process.stdout.readline()
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
        process.stdout.close()


def kill(host):
    os.killpg(host.pid, signal.SIGKILL)


def address_in(line):
    found = re.search(r"t(?:cp|ls)://\S+", line)
    assert found, line
    return found[0]


def work(path, log, seconds, report):
    """Leave a file that says where it was made, and a line for each time that this was done."""
    path = Path(path)
    with Path(log).open("a") as file:
        file.write(f"{path.name} {os.getsid(0)}\n")
    time.sleep(seconds)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(f"{path.name} {os.getsid(0)}")
    draft.replace(path)


def tasks_in(folder, count, seconds):
    common = {"log": str(folder / "log"), "seconds": seconds}
    return [Task(str(i), "test", str(i), 1.0, work, {"path": str(folder / str(i)), **common}) for i in range(count)]


class Events(Progress):
    """Does something when so many tasks have finished, and counts how often each one has."""

    def __init__(self, after=None, event=None):
        super().__init__("test", visible=False)
        self.finished, self.after, self.event = [], after, event

    def finish(self, name):
        super().finish(name)
        self.finished.append(name)
        if len(self.finished) == self.after:
            self.event()


def run(tasks, where, **event):
    progress = Events(**event)
    progress.add(tasks)
    try:
        with Engine(where) as engine:
            failures = engine.run(tasks, progress)
    finally:
        progress.close()
    assert failures == []
    assert sorted(progress.finished) == sorted(task.id for task in tasks)


def results(folder, tasks):
    """Return the sessions of the hosts that left the results, after a look that each is there once and whole."""
    found = sorted(path.name for path in folder.iterdir() if path.name != "log")
    assert found == sorted(task.id for task in tasks)
    texts = {name: (folder / name).read_text().split() for name in found}
    assert all(text[0] == name for name, text in texts.items())
    return [int(text[1]) for text in texts.values()]


def at_work(host, folder, act):
    """Do something to a host as soon as it is in the middle of a task; return what to call to have it done."""

    def watch():
        while True:
            begun = [line.split() for line in (folder / "log").read_text().splitlines()]
            if any(int(session) == host.pid and not (folder / name).exists() for name, session in begun):
                return act()
            time.sleep(0.01)

    return threading.Thread(target=watch, daemon=True).start


def listening(process):
    everyone = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    return {
        connection.laddr.ip
        for one in everyone
        for connection in one.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def test_a_host_that_is_killed_costs_no_result(tmp_path, tls):
    trust = ("--tls", tls.folder)
    with member("scheduler", "--port", "0", *trust) as (leader, says):
        address = address_in(says())
        assert address.startswith("tls://127.0.0.1:")
        with (
            member("worker", address, "--host", "127.0.0.2", "--jobs", "1", *trust) as (second, second_says),
            member("worker", address, "--host", "127.0.0.3", "--jobs", "1", *trust) as (third, third_says),
        ):
            assert address in second_says() and address in third_says()
            assert listening(leader) == {"127.0.0.1"}
            assert listening(second) <= {"127.0.0.1", "127.0.0.2"}
            store = tmp_path / "store"
            tasks = tasks_in(tmp_path, 12, 0.25)
            where = Where(jobs=1, scheduler=address, tls=tls, store=store)
            run(tasks, where, after=4, event=at_work(third, tmp_path, lambda: kill(third)))
            assert list(store.iterdir()) == []  # what proved that it is shared is gone
            shutil.rmtree(store)
            makers = results(tmp_path, tasks)
    assert set(makers) == {second.pid, third.pid}
    begun = (tmp_path / "log").read_text().splitlines()
    assert len(tasks) < len(begun) <= len(tasks) + 2  # what the killed host ran was begun once more


def two_hosts(stack, address, *trust, prefixes=((), ()), hosts=("127.0.0.2", "127.0.0.3"), **environment):
    """Start two hosts with one worker each, and wait until they have joined."""
    made = [
        stack.enter_context(
            member(
                "worker", address, "--host", host, "--jobs", "1", "--gpus", "0", *trust, prefix=prefix, **environment
            )
        )
        for host, prefix in zip(hosts, prefixes, strict=True)
    ]
    for _, says in made:
        assert address in says()
    return [process for process, _ in made]


@pytest.mark.faults
def test_a_host_that_is_told_to_leave_ends_what_it_runs(tmp_path):
    with ExitStack() as stack:
        _, says = stack.enter_context(member("scheduler", "--port", "0"))
        address = address_in(says())
        second, third = two_hosts(stack, address)
        tasks = tasks_in(tmp_path, 20, 0.3)
        run(tasks, Where(jobs=1, scheduler=address), after=4, event=at_work(third, tmp_path, third.terminate))
        assert third.wait(30) == 0
        assert set(results(tmp_path, tasks)) == {second.pid, third.pid}
        assert len((tmp_path / "log").read_text().splitlines()) == len(tasks)  # nothing was begun twice


@pytest.mark.faults
def test_hosts_that_are_killed_one_after_the_other_cost_no_result(tmp_path):
    n_kills, rng = 10, random.Random(0)
    with ExitStack() as stack:
        _, says = stack.enter_context(member("scheduler", "--port", "0"))
        address = address_in(says())
        hosts = two_hosts(stack, address)
        everyone, killed = [host.pid for host in hosts], []

        def kill_and_replace():
            while len(killed) < n_kills:
                time.sleep(rng.uniform(0.0, 1.0))
                victim = hosts.pop(rng.randrange(2))
                kill(victim)
                killed.append(victim.pid)
                process, says = stack.enter_context(member("worker", address, "--jobs", "1", "--gpus", "0"))
                assert address in says()
                hosts.append(process)
                everyone.append(process.pid)

        killing = threading.Thread(target=kill_and_replace, daemon=True)
        tasks = tasks_in(tmp_path, 150, 0.4)
        run(tasks, Where(jobs=1, scheduler=address), after=1, event=killing.start)
        killing.join(60)
        assert len(killed) == n_kills
        assert set(results(tmp_path, tasks)) <= set(everyone)


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def networks():
    """Make two network namespaces, each with a cable to this one; return names, addresses of both ends, and cables."""
    made, own = [], os.getpid() % 10000
    try:
        for number in (1, 2):
            name, here, there = f"repro{own}-{number}", f"rp{own}h{number}", f"rp{own}t{number}"
            try:
                ip("netns", "add", name)
                made.append((name, here, f"10.211.{number}.1", f"10.211.{number}.2"))
                ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
                ip("address", "add", f"10.211.{number}.1/30", "dev", here)
                ip("link", "set", here, "up")
                ip("-n", name, "link", "set", "lo", "up")
                ip("-n", name, "address", "add", f"10.211.{number}.2/30", "dev", there)
                ip("-n", name, "link", "set", there, "up")
                ip("-n", name, "route", "add", "default", "via", f"10.211.{number}.1")
            except (OSError, subprocess.CalledProcessError) as error:
                pytest.skip(f"network namespaces cannot be made here ({error})")
        yield made
    finally:
        for name, *_ in made:
            ip("netns", "del", name)


@pytest.mark.faults
def test_a_host_that_is_cut_off_costs_no_result_and_comes_back(tmp_path, tls, networks):
    (first, _, leader, near), (second, cable, _, far) = networks
    patience = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s"}
    with ExitStack() as stack:
        trust = ("--tls", tls.folder)
        _, says = stack.enter_context(member("scheduler", "--host", leader, "--port", "0", *trust, **patience))
        address = address_in(says())
        assert address.startswith(f"tls://{leader}:")
        inside = [("ip", "netns", "exec", name) for name in (first, second)]
        near, far = two_hosts(stack, address, *trust, prefixes=inside, hosts=(near, far), **patience)
        where = Where(jobs=1, scheduler=address, tls=tls, store=tmp_path / "store")
        for name in ("cut", "healed"):
            (tmp_path / name).mkdir()
        tasks = tasks_in(tmp_path / "cut", 30, 0.4)
        cut = at_work(far, tmp_path / "cut", lambda: ip("link", "set", cable, "down"))
        run(tasks, where, after=4, event=cut)
        assert set(results(tmp_path / "cut", tasks)) == {near.pid, far.pid}
        ip("link", "set", cable, "up")
        security = tls.security()
        with Client(address, security=security) as client:
            until = time.monotonic() + 240
            while len(client.nthreads()) < 2:
                assert time.monotonic() < until
                time.sleep(0.2)
        tasks = tasks_in(tmp_path / "healed", 12, 0.4)
        run(tasks, where)
        assert set(results(tmp_path / "healed", tasks)) == {near.pid, far.pid}
