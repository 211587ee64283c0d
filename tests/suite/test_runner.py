"""A runner: what is told of a task that ends in any way, and that nothing outlives its leader."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from repro.stopping import Stopped
from repro.suite.runner import Runner, TaskEnded, packed


@pytest.fixture(scope="module")
def runner():
    runner = Runner()
    yield runner
    runner.close()


def note(report, path):
    Path(path).write_text(f"{os.getpid()} {os.environ['OMP_NUM_THREADS']}")
    sys.stdout.write("to standard error, not into the answers\n")
    sys.stdout.flush()
    for share in (0.1, 0.2):
        report(share, "some")


def raise_expected(report):
    raise ValueError("levels [7] are not in 0..4; check the labels' scale")


def raise_unexpected(report):
    raise KeyError("x")


def leave_python(report):
    sys.exit(4)


def end(report, number=None, code=None):
    os.kill(os.getpid(), number) if number else os._exit(code)


def fork_and_end(report, path):
    """Leave a forked process behind that holds all pipes open for a while."""
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(20,))
    child.start()
    Path(path).write_text(str(child.pid))
    os._exit(5)


def count(report, path):
    try:
        for step in range(1000):
            report(step / 1000, f"step {step}")
            Path(path).touch()
            time.sleep(0.02)
    except Stopped:
        Path(path).write_text("stopped")
        raise


def sleep(report, path):
    Path(path).touch()
    time.sleep(60)


def appear(path):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ending(runner, function, timeout=None, **arguments):
    with pytest.raises(TaskEnded) as raised:
        runner.run(packed(function, arguments), timeout=timeout)
    return raised.value.how, raised.value.reason


def test_tasks_share_a_process_on_one_thread_until_one_ends_it(runner, tmp_path, capfd):
    told = []
    for name in "ab":
        runner.run(packed(note, {"path": str(tmp_path / name)}), lambda *what: told.append(what))
    first, second = ((tmp_path / name).read_text() for name in "ab")
    assert first == second and first.endswith(" 1") and not first.startswith(f"{os.getpid()} ")
    assert (0.1, "some") in told
    assert "to standard error" in capfd.readouterr().err
    assert ending(runner, end, code=0) == ("died", "its process ended with exit code 0")
    runner.run(packed(note, {"path": str(tmp_path / "c")}))
    assert (tmp_path / "c").read_text() != first


def test_every_ending_has_its_reason(runner):
    assert ending(runner, raise_expected) == (
        "failed",
        "ValueError: levels [7] are not in 0..4; check the labels' scale",
    )
    how, reason = ending(runner, raise_unexpected)
    assert how == "failed" and reason.startswith("Traceback") and "KeyError: 'x'" in reason
    assert ending(runner, leave_python)[1].endswith("SystemExit: 4")
    assert ending(runner, end, number=signal.SIGKILL)[1] == "its process was killed by SIGKILL (out of memory?)"
    assert ending(runner, end, number=signal.SIGSEGV)[1].endswith("SIGSEGV (a fault in compiled code)")
    assert ending(runner, end, code=3) == ("died", "its process ended with exit code 3")


def test_a_forked_process_that_stays_does_not_hide_the_end(runner, tmp_path):
    begin = time.monotonic()
    try:
        assert ending(runner, fork_and_end, path=str(tmp_path / "pid")) == (
            "died",
            "its process ended with exit code 5",
        )
        assert time.monotonic() - begin < 15
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_time_limit_counts_from_the_tasks_own_begin_and_is_forgotten_at_its_end(runner, tmp_path, monkeypatch):
    assert ending(runner, sleep, timeout=0.3, path=str(tmp_path / "a")) == (
        "late",
        "took longer than 0.3 s; raise --timeout",
    )
    # a process that has yet to start has more time than its task
    runner.run(packed(note, {"path": str(tmp_path / "b")}), timeout=0.05)
    time.sleep(0.2)
    runner.run(packed(note, {"path": str(tmp_path / "b")}), timeout=5)


def test_a_task_that_is_asked_to_stop_writes_where_it_stands(runner, tmp_path):
    asked = threading.Thread(target=lambda: (appear(tmp_path / "a"), runner.stop(30)))
    asked.start()
    assert ending(runner, count, path=str(tmp_path / "a"))[0] == "stopped"
    asked.join()
    assert (tmp_path / "a").read_text() == "stopped"
    runner.run(packed(note, {"path": str(tmp_path / "b")}))  # goes on with the next


def test_a_task_that_does_not_stop_is_ended(runner, tmp_path):
    asked = threading.Thread(target=lambda: (appear(tmp_path / "a"), runner.stop(0.2)))
    asked.start()
    assert ending(runner, sleep, path=str(tmp_path / "a"))[0] == "stopped"
    asked.join()


def test_a_runner_that_is_idle_or_was_never_used_can_be_stopped_and_closed(tmp_path):
    runner = Runner()
    runner.stop(1)
    runner.close()
    runner.run(packed(note, {"path": str(tmp_path / "a")}))
    runner.stop(1)
    runner.run(packed(note, {"path": str(tmp_path / "b")}))
    runner.close()
    runner.close()
