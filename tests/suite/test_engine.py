"""The engine: order, failures, time limits, deaths, what the file decides."""

import ctypes
import os
import random
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from repro.suite.engine import Engine, Task, _free
from repro.suite.places import Slot
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


@pytest.fixture(scope="module")
def engines():
    """Engines by their number of processes, as workers take seconds to start."""
    with Engine(1) as one, Engine(2) as two:
        yield {1: one, 2: two}


@pytest.fixture
def run(engines):
    """Return a function that runs tasks and returns the failures."""

    def run(tasks, jobs, timeout=None, is_done=None):
        progress = Progress("test", visible=False)
        progress.add(tasks)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engines[jobs], "timeout", timeout)
            return engines[jobs].run(tasks, progress, is_done)

    return run


@pytest.mark.parametrize("jobs", [1, 2])
def test_requirements_come_first_whatever_the_order(run, tmp_path, jobs):
    tasks = [
        task(tmp_path, "c", requires=("a", "b"), needs=(str(tmp_path / "a"), str(tmp_path / "b"))),
        task(tmp_path, "a"),
        task(tmp_path, "b", requires=("a",), needs=(str(tmp_path / "a"),)),
    ]
    assert run(tasks, jobs) == []
    assert all((tmp_path / name).exists() for name in "abc")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failure_stops_only_what_needs_it(run, tmp_path, jobs):
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


def exit_with_3(path, report):
    os._exit(3)


def write_and_die(path, report):
    """Leave the file, and take the worker along that waits for the end, once."""
    Path(path).touch()
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


def hang(path, report):
    """Sleep in compiled code with all signals blocked that can be, once the process has said so."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    Path(path).touch()
    ctypes.PyDLL(None).sleep(1000)  # without releasing the interpreter's lock


def test_a_task_whose_process_ends_is_tried_twice_and_named_and_nothing_else_is_blamed(run, tmp_path):
    tasks = [
        task(tmp_path, "twice", die_once),
        task(tmp_path, "never", die),
        task(tmp_path, "exit", exit_with_3),
        *(task(tmp_path, f"good{i}") for i in range(4)),
    ]
    reasons = {failure.task.id: failure.reason for failure in run(tasks, 2)}
    assert reasons == {
        "never": "its process was killed by SIGKILL (out of memory?), 2 times",
        "exit": "its process ended with exit code 3, 2 times",
    }
    assert (tmp_path / "twice").read_text() == "survived"
    assert all((tmp_path / f"good{i}").exists() for i in range(4))


def test_the_only_task_that_is_left_cannot_take_the_run_along(run, tmp_path):
    (failure,) = run([task(tmp_path, "never", die)], 2)
    assert "SIGKILL" in failure.reason


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_task_that_hangs_is_ended_and_the_others_go_on(run, tmp_path, jobs):
    tasks = [task(tmp_path, "stuck", hang), task(tmp_path, "child", requires=("stuck",)), task(tmp_path, "good")]
    begin = time.monotonic()
    failures = run(tasks, jobs, timeout=0.5)
    assert [(failure.task.id, failure.reason) for failure in failures] == [
        ("stuck", "took longer than 0.5 s; raise --timeout"),
        ("child", "needs stuck, which failed"),
    ]
    assert [failure.cause and failure.cause.id for failure in failures] == [None, "stuck"]
    assert (tmp_path / "stuck").exists() and (tmp_path / "good").exists()
    assert time.monotonic() - begin < 500, "nobody waited for the task's own end"


WAYS = ("fine", "once killed", "always killed", "exit", "hangs", "raises", "worker killed once", "worker killed after")


def misbehave(path, report, way):
    """End in one of many ways; what happens once leaves a marker."""
    marker = Path(f"{path}.tried")
    first = not marker.exists()
    marker.touch()
    report(0.5, way)
    if way == "always killed" or (way == "once killed" and first):
        os.kill(os.getpid(), signal.SIGKILL)
    if way == "exit":
        os._exit(3)
    if way == "hangs":
        hang(path, report)
    if way == "raises":
        raise ValueError("no")
    if way == "worker killed once" and first:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    Path(path).touch()
    if way == "worker killed after" and first:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)


@pytest.mark.faults
def test_each_of_many_faults_costs_its_own_task_and_no_other(run, tmp_path):
    order = random.Random(5).sample([way for way in WAYS for _ in range(12)], 12 * len(WAYS))
    tasks = [task(tmp_path, str(number), misbehave, way=way) for number, way in enumerate(order)]
    failures = run(tasks, 2, 2.0, exists)
    reasons = {failure.task.arguments["way"]: failure.reason for failure in failures}
    assert reasons == {
        "always killed": "its process was killed by SIGKILL (out of memory?), 2 times",
        "exit": "its process ended with exit code 3, 2 times",
        "hangs": "took longer than 2 s; raise --timeout",
        "raises": "ValueError: no",
    }
    assert len(failures) == 12 * len(reasons)
    assert all(exists(one) for one in tasks if one.arguments["way"] not in reasons)


def test_time_limits_are_positive():
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="positive"):
            Engine(1, timeout=bad)


def exists(task):
    return Path(task.arguments["path"]).exists()


def test_the_file_decides_when_the_worker_is_lost(run, tmp_path):
    tasks = [task(tmp_path, "lost", write_and_die), task(tmp_path, "child", requires=("lost",)), task(tmp_path, "a")]
    assert run(tasks, 2, is_done=exists) == []
    assert (tmp_path / "child").exists()


def test_a_worker_that_dies_while_idle_is_replaced(run, tmp_path):
    pids = tmp_path / "pids"
    tasks = [task(tmp_path, "p0", note_worker, pids=str(pids)), task(tmp_path, "p1", note_worker, pids=str(pids))]
    more = [task(tmp_path, "a"), task(tmp_path, "b"), task(tmp_path, "c")]
    assert run(tasks, 2) == []
    for pid in map(int, pids.read_text().split()):
        os.kill(pid, signal.SIGKILL)
    assert run(more, 2) == []


def note_worker(path, report, pids):
    with Path(pids).open("a") as file:
        file.write(f"{os.getppid()}\n")
    time.sleep(0.3)
    Path(path).touch()


def do_nothing(path, report):
    pass


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_task_that_leaves_no_file_has_failed(run, tmp_path, jobs, monkeypatch):
    monkeypatch.setattr("repro.suite.engine._VISIBLE", 0.5)
    tasks = [task(tmp_path, "empty", do_nothing), task(tmp_path, "child", requires=("empty",)), task(tmp_path, "good")]
    failures = run(tasks, jobs, is_done=exists)
    assert [failure.task.id for failure in failures] == ["empty", "child"]
    assert "the same folder as --store" in failures[0].reason


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_another_run_has_finished_meanwhile_is_not_run(run, tmp_path, jobs):
    tasks = [task(tmp_path, "a"), task(tmp_path, "b", requires=("a",)), task(tmp_path, "c")]
    (tmp_path / "b").write_text("of another run")
    assert run(tasks, jobs, is_done=exists) == []
    assert (tmp_path / "b").read_text() == "of another run"


def test_what_cannot_be_sent_to_a_worker_is_told(run, tmp_path):
    tasks = [task(tmp_path, "lock", leave, lock=threading.Lock()), task(tmp_path, "good")]
    (failure,) = run(tasks, 2)
    assert failure.task.id == "lock" and "pickle" in failure.reason
    assert (tmp_path / "good").exists()


def test_workers_are_other_processes_and_leave_this_environment_alone(run, tmp_path):
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


def test_tasks_for_the_gpu_run_one_at_a_time_beside_others(run, tmp_path):
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
def test_a_task_that_runs_alone_waits_for_the_others_and_keeps_them_waiting(run, tmp_path, on_gpu):
    alone = [replace(task(tmp_path, f"alone{i}", note_interval), alone=True, on_gpu=on_gpu) for i in range(2)]
    others = [task(tmp_path, f"other{i}", note_interval) for i in range(4)]
    after = [task(tmp_path, f"after{i}", note_interval, requires=("alone0",)) for i in range(3)]
    tasks = [*alone, *others, *after]
    assert run(tasks, 2) == []
    when = intervals(tmp_path, [t.id for t in tasks])
    for name in ("alone0", "alone1"):
        begin, end = when.pop(name)
        assert all(stop <= begin or start >= end for start, stop in when.values()), name


def test_a_task_that_runs_alone_comes_when_nothing_else_can_start(run, tmp_path):
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
def test_a_task_that_runs_alone_and_fails_or_dies_does_not_stop_the_run(run, tmp_path, jobs):
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


def test_a_circle_is_refused(run, tmp_path):
    with pytest.raises(ValueError, match="circle"):
        run([task(tmp_path, "a", requires=("b",)), task(tmp_path, "b", requires=("a",))], 1)
    with pytest.raises(ValueError, match="circle"):
        run([task(tmp_path, "a", requires=("b",)), replace(task(tmp_path, "b", requires=("a",)), alone=True)], 1)


CPU_TASK, GPU_TASK = (Task(name, "test", name, 1.0, leave, on_gpu=name == "gpu") for name in ("cpu", "gpu"))
A, B, C = Slot("a"), Slot("b", gpu=True), Slot("c", gpu=True)


@pytest.mark.parametrize(
    ("slots", "taken", "for_cpu", "for_gpu"),
    [
        ([A, B, C], [], A, B),
        ([A, B, C], [(GPU_TASK, B)], A, C),
        ([A, B, C], [(CPU_TASK, A)], None, B),  # what needs no GPU leaves those who have one alone
        ([B, C], [], B, B),  # unless all have one
        ([B, C], [(CPU_TASK, B)], C, C),
        ([A, A], [], A, A),
        ([A, A], [(GPU_TASK, A)], A, None),  # one GPU that all see is used by one task
        ([A, A], [(GPU_TASK, A), (CPU_TASK, A)], None, None),
        ([A], [(CPU_TASK, Slot("gone"))], A, A),
    ],
)
def test_a_gpu_of_its_own_is_left_to_who_needs_one(slots, taken, for_cpu, for_gpu):
    assert _free(slots, taken) == (for_cpu, for_gpu)
