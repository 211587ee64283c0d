"""Worker processes: placement on GPUs, settings of local ones, certificates, those that are killed, interrupts."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from contextlib import ExitStack

import psutil
import pytest

from repro.suite.admission import Terms, shortcomings
from repro.suite.cluster import THREADS, connect, interrupts_postponed, worker_options
from repro.suite.places import Cluster
from repro.suite.tls import Tls, check_listening, is_loopback, make_certificates
from repro.suite.where import SlurmOptions, Where


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing")
    return make_certificates(tmp_path_factory.mktemp("tls") / "certificates")


def test_the_first_workers_have_a_gpu_each_and_the_others_see_none(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, GPU-a,6")
    given = [(o["env"]["CUDA_VISIBLE_DEVICES"], o.get("resources")) for o in worker_options(4, 2)]
    assert given == [("5", {"GPU": 1}), ("GPU-a", {"GPU": 1}), ("", None), ("", None)]
    assert [o["env"]["CUDA_VISIBLE_DEVICES"] for o in worker_options(1, 3)] == ["5"]
    assert all("env" not in o and "resources" not in o for o in worker_options(2, 0))


@pytest.fixture(scope="module")
def client(tls):
    """A cluster of this machine with pretended GPUs, certificates, and an environment that asks for many threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-a")
        patch.setenv("OMP_NUM_THREADS", "8")
        limits = (*THREADS, "PYTHONHASHSEED")
        before = [os.environ.get(name) for name in limits]
        with ExitStack() as resources:
            yield connect(resources, Where(jobs=3, gpus=2, tls=tls))
        assert [os.environ.get(name) for name in limits] == before


def report_place(number):
    return os.getpid(), os.environ["CUDA_VISIBLE_DEVICES"]


def test_tasks_for_a_gpu_go_to_the_workers_that_have_one(client):
    assert [slot.gpu for slot in Cluster(client, None).slots()].count(True) == 2
    placed = set(client.gather(client.map(report_place, range(24), resources={"GPU": 1}, pure=False)))
    assert {device for _, device in placed} == {"5", "GPU-a"} and len(placed) == 2
    everyone = set(client.run(report_place, 0).values())
    assert {device for _, device in everyone - placed} == {""} and len(everyone) == 3


def sends_at_once():
    from distributed.batched import BatchedSend

    return isinstance(vars(BatchedSend).get("next_deadline"), property)


def test_no_message_waits_for_a_clock(client):
    assert sends_at_once() and list(client.run(sends_at_once).values()) == [True] * 3


def look(terms, dask_worker):
    return shortcomings(dask_worker, terms)


def listening(pids):
    return {
        connection.laddr.ip
        for pid in pids
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def test_local_workers_keep_the_settings_and_nobody_else_reaches_them(client):
    assert list(client.run(look, Terms.of_this_process()).values()) == [[], [], []]
    pids = list(client.run(os.getpid).values())
    assert listening([os.getpid(), *pids]) == {"127.0.0.1"}


def test_what_a_worker_lacks_is_named(client):
    other = Terms("2.7", {**Terms.of_this_process().packages, "numpy": "1.0"}, "other", "/nowhere/token")
    found = next(iter(client.run(look, other).values()))
    assert [any(word in reason for reason in found) for word in ("Python", "numpy", "code", "/nowhere")] == [True] * 4
    assert len(found) == 4


def test_nobody_joins_a_cluster_without_its_certificate(client, tmp_path):
    address, stranger = client.scheduler.address, make_certificates(tmp_path / "stranger")
    assert address.startswith("tls://")
    with pytest.raises(ValueError, match="check address and certificates"), ExitStack() as other:
        connect(other, Where(jobs=1, scheduler=address, tls=stranger))


def test_certificates_are_for_their_owner_alone(tls):
    assert stat.S_IMODE(tls.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(tls.key.stat().st_mode) == 0o600
    assert tls.check() is tls
    with pytest.raises(ValueError, match="is there already"):
        make_certificates(tls.folder)
    assert sorted(path.name for path in tls.folder.parent.iterdir()) == ["certificates"]


def test_a_key_that_others_may_read_is_refused(tls, tmp_path):
    copy = Tls(tmp_path / "copy")
    shutil.copytree(tls.folder, copy.folder)
    copy.key.chmod(0o640)
    with pytest.raises(ValueError, match="chmod 600"):
        copy.check()
    copy.key.chmod(0o600)
    copy.key.write_text("no key")
    with pytest.raises(ValueError, match="cannot be used"):
        copy.check().security()


def test_other_machines_reach_nothing_without_certificates(tls):
    assert is_loopback("127.0.0.3") and is_loopback("::1") and is_loopback("localhost")
    assert not is_loopback("0.0.0.0") and not is_loopback("192.0.2.1") and not is_loopback("no-such-host.invalid")
    check_listening("127.0.0.2", None, insecure=False)
    check_listening("192.0.2.1", tls, insecure=False)
    check_listening("192.0.2.1", None, insecure=True)
    with pytest.raises(ValueError, match="repro certificates DIR.*--insecure"):
        check_listening("192.0.2.1", None, insecure=False)
    slurm = SlurmOptions(jobs=1, host="192.0.2.1")
    with pytest.raises(ValueError, match="repro certificates DIR"), ExitStack() as resources:
        connect(resources, Where(jobs=1, slurm=slurm))


def test_an_address_without_a_scheduler_is_named(monkeypatch):
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setattr("repro.suite.cluster.CONNECT_TIMEOUT", "1s")
        with pytest.raises(ValueError, match=address), ExitStack() as resources:
            connect(resources, Where(jobs=1, scheduler=address))


@pytest.mark.parametrize("failures", [1, 3])
def test_processes_that_are_killed_before_they_are_up_are_started_again(monkeypatch, failures):
    import distributed

    whole, begun = distributed.SpecCluster, []

    def killed_at_first(**options):
        begun.append(options)
        if len(begun) <= failures:
            raise RuntimeError("Nanny failed to start.")
        return whole(**options)

    monkeypatch.setattr(distributed, "SpecCluster", killed_at_first)
    with ExitStack() as resources:
        if failures == 3:
            with pytest.raises(ValueError, match="3 times before they were up .Nanny failed to start.*--jobs 1"):
                connect(resources, Where(jobs=1, gpus=0))
        else:
            client = connect(resources, Where(jobs=1, gpus=0))
            assert client.submit(abs, -3).result(timeout=60) == 3
    assert len(begun) == min(failures + 1, 3)


def test_slurm_without_its_commands_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="sbatch"), ExitStack() as resources:
        connect(resources, Where(jobs=1, slurm=SlurmOptions(jobs=1, host="127.0.0.1")))


def test_an_interrupt_while_workers_start_waits_and_is_not_lost():
    reached = False
    with pytest.raises(KeyboardInterrupt):
        with interrupts_postponed():
            os.kill(os.getpid(), signal.SIGINT)
            child = subprocess.run(
                [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('deaf')"],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            reached = True
    assert reached and child.stdout == "deaf\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())


def test_a_script_without_a_guard_is_told_once_by_each_worker(tmp_path):
    """Workers import the script, and so run it again; its own run is not disturbed."""
    script = tmp_path / "script.py"
    script.write_text(
        "from contextlib import ExitStack\n"
        "from repro.suite.cluster import connect\n"
        "from repro.suite.where import Where\n"
        "with ExitStack() as resources:\n"
        "    try:\n"
        "        print(connect(resources, Where(jobs=1)).submit(abs, -3).result(timeout=60))\n"
        "    except ValueError as error:\n"
        "        print(error)\n"
    )
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=True)
    told = ended.stdout.splitlines()
    assert sorted(told)[0] == "3" and len(told) == 2
    assert "below if __name__ == '__main__'" in "".join(told)
