"""Ctrl-C and SIGTERM: a run stops in order, within its grace, and leaves no process behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from repro.suite import interrupts
from repro.suite.engine import Engine, Task
from repro.suite.interrupts import Interrupts, Terminated
from repro.suite.progress import Progress

SCRIPT = """
import sys, time
from pathlib import Path
from repro.stopping import Stopped
from repro.suite import interrupts
from repro.suite.engine import Engine, Task, Terminated
from repro.suite.progress import Progress


def sleep(path, report):
    Path(path).touch()
    time.sleep(120)


def count(path, report):
    try:
        for step in range(2400):
            report(step / 2400, f"step {step}")
            Path(path).touch()
            time.sleep(0.05)
    except Stopped:
        Path(path).with_suffix(".state").write_text(str(step))
        raise


if __name__ == "__main__":
    folder, function, jobs, timeout, grace = sys.argv[1:]
    interrupts.GRACE = dict.fromkeys(interrupts.GRACE, float(grace))
    tasks = [Task(str(i), "test", str(i), 1.0, globals()[function], {"path": f"{folder}/{i}"}) for i in range(3)]
    progress = Progress("test", visible=False)
    progress.add(tasks)
    try:
        with Engine(int(jobs), timeout=float(timeout) or None) as engine:
            Path(folder, "ready").touch()
            engine.run(tasks, progress)
    except Terminated:
        raise SystemExit(143)
    except KeyboardInterrupt:
        raise SystemExit(130)
"""


class Run:
    """A run of three long tasks as a process group of its own."""

    def __init__(self, folder, function, jobs, timeout=0, *, grace):
        script = folder / "script.py"
        script.write_text(SCRIPT)
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, script, folder, function, str(jobs), str(timeout), str(grace)],
            start_new_session=True,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def wait_for(self, *names):
        deadline = time.monotonic() + 120
        while not all((self.folder / name).exists() for name in names):
            assert time.monotonic() < deadline and self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.02)

    def signal(self, number):
        os.killpg(self.process.pid, number)  # as a terminal and Slurm do: to every process of the group

    def end(self, within):
        """Return status and standard error; no process is left."""
        begin = time.monotonic()
        try:
            _, errors = self.process.communicate(timeout=within)
        finally:
            self.process.kill()
        while self.group_exists():  # the interpreter's own helper processes take a moment
            assert time.monotonic() < begin + within, "processes are left"
            time.sleep(0.05)
        return self.process.returncode, errors.decode()

    def group_exists(self, number=0):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return False
        return True


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a run; whatever becomes of the test, no process stays."""
    runs = []

    def start(*arguments, grace):
        runs.append(Run(tmp_path, *arguments, grace=grace))
        return runs[-1]

    yield start
    for run in runs:
        run.group_exists(signal.SIGKILL)


WHERE = [
    pytest.param(1, 1000, id="process"),
    pytest.param(2, 0, id="cluster", marks=pytest.mark.faults),
]
"""Processes, and a time limit that takes a single one out of the leader."""


@pytest.mark.parametrize(("jobs", "timeout"), WHERE)
def test_ctrl_c_ends_what_does_not_stop_without_a_word_from_the_workers(start, tmp_path, jobs, timeout):
    run = start("sleep", jobs, timeout, grace=0.5)
    run.wait_for(*map(str, range(jobs)))
    run.signal(signal.SIGINT)
    status, errors = run.end(within=20)
    assert status == 130 and "Traceback" not in errors
    assert not (tmp_path / "2").exists(), "a task was started after the signal"


@pytest.mark.parametrize(("jobs", "timeout"), [(1, 0), (1, 1000), (2, 0)])
def test_sigterm_lets_tasks_write_where_they_stand(start, tmp_path, jobs, timeout):
    run = start("count", jobs, timeout, grace=10)
    started = [str(i) for i in range(jobs)]
    run.wait_for(*started)
    run.signal(signal.SIGTERM)
    status, errors = run.end(within=20)  # between this signal and the next one, Slurm waits 30 s unless told otherwise
    assert status == 143 and "Traceback" not in errors
    assert sorted(path.stem for path in tmp_path.glob("*.state")) == started
    assert not (tmp_path / "2").exists(), "a task was started after the signal"


@pytest.mark.parametrize(("jobs", "timeout"), WHERE)
def test_a_second_signal_ends_at_once(start, tmp_path, jobs, timeout):
    run = start("sleep", jobs, timeout, grace=100)
    run.wait_for(*map(str, range(jobs)))
    run.signal(signal.SIGTERM)
    time.sleep(0.2)
    run.signal(signal.SIGTERM)  # so soon it is the same request, passed on by a launcher
    time.sleep(0.5)
    assert run.process.poll() is None
    run.signal(signal.SIGTERM)
    status, errors = run.end(within=15)
    assert status == 143 and "Traceback" not in errors


@pytest.mark.parametrize(("jobs", "timeout"), WHERE)
def test_a_task_whose_leader_is_killed_writes_where_it_stands(start, tmp_path, jobs, timeout):
    run = start("count", jobs, timeout, grace=10)
    started = [str(i) for i in range(jobs)]
    run.wait_for(*started)
    run.process.kill()
    run.end(within=20)
    assert sorted(path.stem for path in tmp_path.glob("*.state")) == started


def test_ctrl_c_while_workers_start_is_no_error(start, tmp_path):
    run = start("sleep", 2, grace=0.5)
    run.wait_for("ready")
    time.sleep(0.3)
    run.signal(signal.SIGINT)
    status, errors = run.end(within=30)
    assert status == 130 and "Traceback" not in errors
    assert not (tmp_path / "0").exists()


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("delay", [0.05 * i for i in range(25)])
def test_a_signal_at_any_time_while_workers_start_is_no_error(start, tmp_path, number, delay):
    run = start("count", 2, grace=5)
    run.wait_for("ready")
    time.sleep(delay)
    run.signal(number)
    status, errors = run.end(within=30)
    assert status == 128 + number and "Traceback" not in errors
    assert len(list(tmp_path.glob("?.state"))) == len([path for path in tmp_path.glob("?") if path.stem in "012"])


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_a_task_in_this_process_that_never_reports_is_left_when_its_grace_is_over(monkeypatch, number, error):
    monkeypatch.setattr(interrupts, "GRACE", {number: 0.3, signal.SIGINT: 0.3, signal.SIGTERM: 0.3})

    def wait(report):
        os.kill(os.getpid(), number)
        time.sleep(30)

    tasks = [Task("a", "test", "a", 1.0, wait)]
    progress = Progress("test", visible=False)
    progress.add(tasks)
    begin = time.monotonic()
    with Engine(1) as engine, pytest.raises(KeyboardInterrupt) as raised:
        engine.run(tasks, progress)
    assert type(raised.value) is error
    assert 0.25 < time.monotonic() - begin < 10
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL and signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_signal_that_was_swallowed_still_stops_the_run(tmp_path):
    tasks = [Task("a", "test", "a", 1.0, lambda report: (tmp_path / "a").touch())]
    progress = Progress("test", visible=False)
    progress.add(tasks)
    with Engine(1) as engine:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        with pytest.raises(KeyboardInterrupt):  # as if nobody had seen the first one
            engine.run(tasks, progress)
    assert not (tmp_path / "a").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_outside_of_a_run_a_signal_is_raised_where_it_comes():
    with Interrupts() as taken, pytest.raises(Terminated):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert taken.asked == signal.SIGTERM
    with pytest.raises(Terminated):
        taken.check()


def test_a_signal_that_comes_when_everything_is_done_is_raised_at_the_end():
    done = []
    with Interrupts() as taken, pytest.raises(KeyboardInterrupt), taken.noted():
        os.kill(os.getpid(), signal.SIGINT)
        done.append(1)
    assert done == [1]


def test_the_clock_of_the_day_does_not_matter(tmp_path, monkeypatch):
    """A clock that goes back by hours at every look, and files from the future, change nothing."""
    times = iter(range(10**9, 0, -4000))
    monkeypatch.setattr(time, "time", lambda: float(next(times)))

    def leave(path, report):
        report(0.5, "half")
        Path(path).touch()
        os.utime(path, (2**33, 2**33))

    tasks = [Task(name, "test", name, 1.0, leave, {"path": str(tmp_path / name)}) for name in "ab"]
    progress = Progress("test", visible=False)
    progress.add(tasks)
    with Engine(1) as engine:
        assert engine.run(tasks, progress, lambda task: Path(task.arguments["path"]).exists()) == []
    assert progress.seconds_left() is None or progress.seconds_left() >= 0
    with Engine(2, timeout=60) as engine:
        assert engine.run([tasks[0]], progress) == []
