"""Where tasks run: options, those that contradict each other, what is there by default."""

import argparse
import shutil

import pytest

from repro.suite.tls import make_certificates
from repro.suite.where import Where, add_where


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing")
    return make_certificates(tmp_path_factory.mktemp("tls") / "certificates")


def parsed(*arguments, device="auto"):
    parser = argparse.ArgumentParser()
    add_where(parser)
    parser.set_defaults(device=device, store="store")
    return parser.parse_args(arguments)


def where(*arguments, device="auto"):
    return Where.from_options(parsed(*arguments, device=device))


def test_by_default_all_cores_and_all_gpus_of_this_machine(monkeypatch):
    monkeypatch.setattr("repro.suite.engine.available_cores", lambda: 6)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-7")
    found = where()
    assert (found.jobs, found.gpus, found.scheduler, found.slurm, found.tls) == (6, 2, None, None, None)
    assert not found.in_process
    assert where("--jobs", "1").in_process
    assert where("--gpus", "1").gpus == 1
    assert where(device="cpu").gpus == 0
    assert where("--scheduler", "host:8786").gpus == 0
    assert not where("--jobs", "1", "--scheduler", "host:8786").in_process


def test_processes_never_outnumber_the_cores(monkeypatch, capsys):
    monkeypatch.setattr("repro.suite.engine.available_cores", lambda: 3)
    assert where("--jobs", "3", device="cpu").jobs == 3
    with pytest.raises(SystemExit) as error:
        parsed("--jobs", "4")
    assert error.value.code == 2
    assert "4 is more than the 3 cores" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpus", "2"], "--gpus 2, but 1 are visible"),
        (["--scheduler", "a:1", "--slurm-jobs", "2", "--slurm-host", "b"], "give one of them"),
        (["--scheduler", "tls://a:1"], "give --tls DIR, too"),
        (["--slurm-time", "1:00:00"], "--slurm-time needs --slurm-jobs, too"),
        (["--slurm-jobs", "2"], "--slurm-jobs needs --slurm-host, too"),
        (["--slurm-jobs", "2", "--slurm-host", "a", "--slurm-gpus", "2"], "--slurm-cores 2 or more"),
        (["--tls", "nowhere"], "certificate.pem is missing"),
    ],
)
def test_options_that_contradict_each_other_are_refused_with_a_remedy(monkeypatch, arguments, message):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(ValueError, match=message):
        where(*arguments)


def test_certificates_decide_the_protocol(tls):
    assert where("--scheduler", "host:8786").scheduler == "tcp://host:8786"
    assert where("--scheduler", "host:8786", "--tls", str(tls.folder)).scheduler == "tls://host:8786"
    with pytest.raises(ValueError, match="leave --tls out, or start the scheduler with it"):
        where("--scheduler", "tcp://host:8786", "--tls", str(tls.folder))
