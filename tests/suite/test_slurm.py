"""Slurm jobs as workers, with commands in Slurm's place that run jobs on this machine."""

import csv
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from repro.suite.cluster import connect
from repro.suite.engine import Engine, Task
from repro.suite.progress import Progress
from repro.suite.tls import Tls
from repro.suite.where import SlurmOptions, Where

slurm = pytest.importorskip("repro.suite.slurm", reason="needs dask-jobqueue")

ROOT = Path(__file__).parents[2]

SBATCH = """#!/usr/bin/env bash
# runs the job beside this command, in a session of its own, with its output in a file
job=$(mktemp "$FAKE_SLURM/job.XXXXXX")
cp "${@: -1}" "$job"
SLURM_JOB_ID=1 setsid bash "$job" > "$job.out" 2>&1 < /dev/null &
echo $! > "$job.pid"
echo "Submitted batch job $!"
"""

SCANCEL = """#!/usr/bin/env bash
kill -TERM -- "-$1" 2> /dev/null || true
"""


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Put the commands on the path; return the folder of the jobs."""
    folder = tmp_path / "slurm"
    (folder / "bin").mkdir(parents=True)
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(folder))
    yield folder
    wait_for(lambda: not any(map(alive, jobs_in(folder))))


def jobs_in(folder):
    return [int(file.read_text()) for file in sorted(folder.glob("*.pid"), key=lambda file: file.stat().st_mtime_ns)]


def alive(session):
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(holds, seconds=120):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_the_job_script_asks_for_what_was_said_and_starts_our_own_worker(tmp_path):
    options = SlurmOptions(
        jobs=3, host="127.0.0.1", cores=4, gpus=2, time="1-00:00:00", memory="32GiB", partition="gpu", account="lab",
        directives=("--qos=long",), prologue=("module load cuda",), logs=tmp_path / "logs",
    )  # fmt: skip
    with slurm.cluster_of(options, None) as cluster:
        script = cluster.job_script().splitlines()
        address = cluster.scheduler_address
    assert script[0] == "#!/usr/bin/env bash"
    wanted = [
        "-p gpu", "-A lab", "-n 1", "--cpus-per-task=4", "--mem=32G", "-t 1-00:00:00", "--gres=gpu:2",
        "--signal=B:TERM@60", "--qos=long", f"-o {tmp_path}/logs/repro-%J.out",
    ]  # fmt: skip
    assert [line for line in wanted if f"#SBATCH {line}" not in script] == []
    worker = f"exec {sys.executable} -m repro.suite.hosts worker --jobs 4 --gpus 2 {address} --name dummy-name"
    assert script[-2:] == ["module load cuda", worker]
    assert address.startswith("tcp://127.0.0.1:")


def test_certificates_are_handed_to_the_jobs(tmp_path):
    from repro.suite.tls import make_certificates

    tls = make_certificates(tmp_path / "certificates")
    with slurm.cluster_of(SlurmOptions(jobs=1, host="127.0.0.1"), tls) as cluster:
        last = cluster.job_script().splitlines()[-1]
        assert cluster.scheduler_address.startswith("tls://")
    assert f"--tls {tls.folder}" in last and isinstance(tls, Tls)
    assert "--insecure" not in last


def test_what_slurm_refuses_is_told_in_its_words(commands):
    (commands / "bin" / "sbatch").write_text("#!/bin/sh\necho 'invalid partition' >&2\nexit 1\n")
    with pytest.raises(ValueError, match="invalid partition"), ExitStack() as resources:
        connect(resources, Where(jobs=1, slurm=SlurmOptions(jobs=2, host="127.0.0.1", partition="none")))


def leave(path, seconds, report):
    time.sleep(seconds)
    Path(path).write_text(str(os.getsid(0)))


def run(tasks, where):
    progress = Progress("test", visible=False)
    progress.add(tasks)
    try:
        with Engine(where) as engine:
            return engine.run(tasks, progress)
    finally:
        progress.close()


@pytest.mark.faults
def test_a_job_that_ends_is_replaced_and_costs_no_result(commands, tmp_path, monkeypatch):
    monkeypatch.setattr(slurm, "_ABSENCE", 2.0)
    monkeypatch.setattr(slurm, "_LOOKS", 0.5)
    monkeypatch.chdir(ROOT)
    results = tmp_path / "results"
    results.mkdir()
    tasks = [
        Task(str(i), "test", str(i), 1.0, leave, {"path": str(results / str(i)), "seconds": 1.5}) for i in range(40)
    ]  # fmt: skip
    store = tmp_path / "store"
    where = Where(jobs=1, slurm=SlurmOptions(jobs=2, host="127.0.0.1"), store=store)

    def end_the_first():
        wait_for(lambda: len(list(results.iterdir())) > 3)
        subprocess.run(["scancel", str(jobs_in(commands)[0])], check=True)

    with ExitStack() as stack:
        from concurrent.futures import ThreadPoolExecutor

        ending = stack.enter_context(ThreadPoolExecutor(1)).submit(end_the_first)
        assert run(tasks, where) == []
        ending.result()
    assert sorted(path.name for path in results.iterdir()) == sorted(task.id for task in tasks)
    submitted = jobs_in(commands)
    assert len(submitted) == 3
    assert {int(path.read_text()) for path in results.iterdir()} == set(submitted)
    assert list(store.iterdir()) == []


@pytest.mark.faults
def test_a_table_computed_in_jobs_is_that_computed_here(commands, tmp_path):
    def table(name, *options):
        command = [sys.executable, "-m", "repro.table4", "--scale", "smoke", "--quiet", "--device", "cpu"]
        places = ["--store", str(tmp_path / name / "store"), "--out", str(tmp_path / name)]
        subprocess.run([*command, *places, *options], cwd=ROOT, check=True, capture_output=True, timeout=900)
        with (tmp_path / name / "tables" / "simulated" / "table4.csv").open() as file:
            return list(csv.reader(file))

    there = table("there", "--slurm-jobs", "2", "--slurm-host", "127.0.0.1")
    assert len(jobs_in(commands)) == 2
    assert there == table("here", "--jobs", "1")


def test_its_import_leaves_ctrl_c_as_it_is():
    code = "import signal; before = signal.getsignal(signal.SIGINT); import repro.suite.slurm; "
    code += "raise SystemExit(signal.getsignal(signal.SIGINT) is not before)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
