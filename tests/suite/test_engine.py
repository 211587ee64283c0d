"""The engine: order, failures, resumption, worker death."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from repro.suite.cluster import interrupts_postponed
from repro.suite.engine import Engine, Task
from repro.suite.progress import Progress


def leave(path, report, needs=()):
    for other in needs:
        if not Path(other).exists():
            raise ValueError(f"{other} is missing")
    report(0.5, "half")
    Path(path).write_text(str(os.getpid()))


def refuse(path, report):
    raise ValueError(f"{path} is bad; choose another")


def die_once(path, report):
    marker = Path(f"{path}.tried")
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    Path(path).write_text("survived")


def die(path, report):
    os.kill(os.getpid(), signal.SIGKILL)


def task(tmp_path, name, function=leave, requires=(), **more):
    arguments = {"path": str(tmp_path / name), **more}
    return Task(name, "test", name, 1.0, function, arguments, tuple(requires))


def run(tasks, jobs):
    progress = Progress("test", visible=False)
    progress.add(tasks)
    try:
        with Engine(jobs) as engine:
            return engine.run(tasks, progress)
    finally:
        progress.close()


@pytest.mark.parametrize("jobs", [1, 2])
def test_requirements_come_first_whatever_the_order(tmp_path, jobs):
    tasks = [
        task(tmp_path, "c", requires=("a", "b"), needs=(str(tmp_path / "a"), str(tmp_path / "b"))),
        task(tmp_path, "a"),
        task(tmp_path, "b", requires=("a",), needs=(str(tmp_path / "a"),)),
    ]
    assert run(tasks, jobs) == []
    assert all((tmp_path / name).exists() for name in "abc")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failure_stops_only_what_needs_it(tmp_path, jobs):
    tasks = [
        task(tmp_path, "bad", refuse),
        task(tmp_path, "child", requires=("bad",)),
        task(tmp_path, "grandchild", requires=("child",)),
        task(tmp_path, "good"),
    ]
    failures = {failure.task.id: failure.reason for failure in run(tasks, jobs)}
    assert set(failures) == {"bad", "child", "grandchild"}
    assert "choose another" in failures["bad"]
    assert "needs bad" in failures["child"]
    assert (tmp_path / "good").exists() and not (tmp_path / "child").exists()


def test_a_killed_worker_costs_one_attempt_and_not_the_run(tmp_path):
    tasks = [task(tmp_path, "twice", die_once), task(tmp_path, "never", die), task(tmp_path, "good")]
    failures = run(tasks, 2)
    assert [failure.task.id for failure in failures] == ["never"]
    assert "died" in failures[0].reason
    assert (tmp_path / "twice").read_text() == "survived"
    assert (tmp_path / "good").exists()


def test_workers_are_other_processes_and_leave_this_environment_alone(tmp_path):
    before = dict(os.environ)
    tasks = [task(tmp_path, "a"), task(tmp_path, "b")]
    assert run(tasks, 2) == []
    assert (tmp_path / "a").read_text() != str(os.getpid())
    assert dict(os.environ) == before


def occupy(path, report, seconds=0.3):
    """Fail if another task of this kind is running."""
    marker = Path(path).parent / "occupied"
    with marker.open("x"):
        time.sleep(seconds)
    marker.unlink()
    Path(path).touch()


def test_tasks_for_the_gpu_run_one_at_a_time_beside_others(tmp_path):
    crowd = [replace(task(tmp_path, f"g{i}", occupy), on_gpu=True) for i in range(3)]
    assert run([*crowd, task(tmp_path, "a"), task(tmp_path, "b")], 2) == []
    assert all((tmp_path / name).exists() for name in ("g0", "g1", "g2", "a", "b"))


def note_interval(path, report, seconds=0.15):
    begin = time.monotonic()
    time.sleep(seconds)
    Path(path).write_text(f"{begin} {time.monotonic()}")


def intervals(tmp_path, names):
    """Return when each task began and ended, by a clock that is one for all processes of a machine."""
    return {name: tuple(map(float, (tmp_path / name).read_text().split())) for name in names}


@pytest.mark.parametrize("on_gpu", [False, True])
def test_a_task_that_runs_alone_waits_for_the_others_and_keeps_them_waiting(tmp_path, on_gpu):
    alone = [replace(task(tmp_path, f"alone{i}", note_interval), alone=True, on_gpu=on_gpu) for i in range(2)]
    others = [task(tmp_path, f"other{i}", note_interval) for i in range(4)]
    after = [task(tmp_path, f"after{i}", note_interval, requires=("alone0",)) for i in range(3)]
    tasks = [*alone, *others, *after]
    assert run(tasks, 2) == []
    when = intervals(tmp_path, [t.id for t in tasks])
    for name in ("alone0", "alone1"):
        begin, end = when.pop(name)
        assert all(stop <= begin or start >= end for start, stop in when.values()), name


def test_a_task_that_runs_alone_comes_when_nothing_else_can_start(tmp_path):
    tasks = [
        replace(task(tmp_path, "alone", note_interval), alone=True),
        task(tmp_path, "slow", note_interval, seconds=0.3),
        task(tmp_path, "quick", note_interval, seconds=0.01),
        task(tmp_path, "next", note_interval, requires=("quick",)),
        replace(task(tmp_path, "second", note_interval, requires=("alone",)), alone=True),
    ]
    assert run(tasks, 2) == []
    when = intervals(tmp_path, [t.id for t in tasks])
    assert max(when[name][1] for name in ("slow", "quick", "next")) <= when["alone"][0]
    assert when["alone"][1] <= when["second"][0]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_task_that_runs_alone_and_fails_or_dies_does_not_stop_the_run(tmp_path, jobs):
    tasks = [
        replace(task(tmp_path, "bad", refuse), alone=True),
        task(tmp_path, "child", requires=("bad",)),
        replace(task(tmp_path, "good"), alone=True),
        task(tmp_path, "other", requires=("good",)),
    ]
    if jobs > 1:
        tasks.append(replace(task(tmp_path, "twice", die_once), alone=True))
    assert {failure.task.id for failure in run(tasks, jobs)} == {"bad", "child"}
    assert all((tmp_path / t.id).exists() for t in tasks if t.id not in ("bad", "child"))


def test_a_circle_is_refused(tmp_path):
    with pytest.raises(ValueError, match="circle"):
        run([task(tmp_path, "a", requires=("b",)), task(tmp_path, "b", requires=("a",))], 1)
    with pytest.raises(ValueError, match="circle"):
        run([task(tmp_path, "a", requires=("b",)), replace(task(tmp_path, "b", requires=("a",)), alone=True)], 1)


def test_the_time_left_follows_what_was_done(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("repro.suite.progress.time.monotonic", lambda: clock[0])
    progress = Progress("test", visible=False)
    progress.add([Task(str(i), "test", str(i), 2.0, leave) for i in range(4)])
    assert progress.seconds_left() is None
    progress.start("0")
    clock[0] = 10.0
    progress.finish("0")
    # one of four equal tasks took 10 s, so three more take 30 s
    assert progress.seconds_left() == pytest.approx(30.0)
    progress.start("1")
    clock[0] = 15.0
    progress.report("1", 0.5, "half")
    assert progress.seconds_left() == pytest.approx(15.0 / 1.5 * 2.5)


def test_the_time_left_knows_that_a_task_which_runs_alone_keeps_every_slot(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("repro.suite.progress.time.monotonic", lambda: clock[0])
    progress = Progress("test", visible=False)
    measures = [Task(f"m{i}", "measure", f"m{i}", 6.0, leave, alone=True) for i in range(2)]
    progress.add([*(Task(str(i), "test", str(i), 4.0, leave) for i in range(4)), *measures])
    progress.side_by_side(2)
    for pair in ("01", "23"):
        for name in pair:
            progress.start(name)
        clock[0] += 4.0
        for name in pair:
            progress.finish(name)
    # four tasks of 4 s took 8 s on two slots; two of 6 s, one after the other, take 12 s
    assert progress.seconds_left() == pytest.approx(12.0)
    progress.start("m0")
    clock[0] += 6.0
    progress.finish("m0")
    assert progress.seconds_left() == pytest.approx(6.0)


SCRIPT = """
import sys, time
from pathlib import Path
from repro.suite.engine import Engine, Task
from repro.suite.progress import Progress


def sleep(path, report):
    Path(path).touch()
    time.sleep(60)


if __name__ == "__main__":
    tasks = [Task(str(i), "test", str(i), 1.0, sleep, {"path": f"{sys.argv[1]}/{i}"}) for i in range(2)]
    progress = Progress("test", visible=False)
    progress.add(tasks)
    try:
        with Engine(2) as engine:
            engine.run(tasks, progress)
    except KeyboardInterrupt:
        raise SystemExit(130)
"""


def group_exists(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_ctrl_c_stops_everything_without_a_word_from_the_workers(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "script.py", tmp_path],
        start_new_session=True,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while not all((tmp_path / str(i)).exists() for i in range(2)):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in errors
    while group_exists(process.pid):  # the interpreter's own helper processes take a moment
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_an_interrupt_that_was_swallowed_still_stops_the_run(tmp_path):
    tasks = [task(tmp_path, "a"), task(tmp_path, "b")]
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
