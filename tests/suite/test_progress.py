"""Progress: the time left, the bar, and the lines where nobody watches."""

import io
import re

import pytest

from repro.suite.engine import Engine, Task
from repro.suite.progress import Progress


def leave(report):
    report(0.5, "half")


def tasks_of(n, cost=2.0):
    return [Task(str(i), "test", f"task {i}", cost, leave) for i in range(n)]


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("repro.suite.progress.time.monotonic", lambda: now[0])
    return now


def test_the_time_left_follows_what_was_done(clock):
    progress = Progress("test", visible=False)
    progress.add(tasks_of(4))
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


def test_a_little_of_the_work_tells_nothing_yet(clock):
    progress = Progress("test", visible=False)
    progress.add([Task("small", "prepare", "small", 0.1, leave), Task("large", "test", "large", 999.9, leave)])
    progress.start("small")
    clock[0] = 6.0
    progress.finish("small")
    assert progress.seconds_left() is None, "not a quarter of an hour"
    clock[0] = 16.0
    assert progress.seconds_left() is not None


def test_the_time_left_knows_that_a_task_which_runs_alone_keeps_every_slot(clock):
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


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_without_a_terminal_each_task_that_ends_is_a_line(monkeypatch, capsys, clock):
    progress = Progress("table9")
    tasks = tasks_of(4)
    progress.add(tasks)
    for name in "012":
        progress.start(name)
    clock[0] = 10.0
    progress.report("0", 0.5, "epoch 1/2 loss 0.693")
    progress.finish("0")
    progress.drop("1")
    progress.drop("3")
    progress.skip("2")
    progress.close()
    lines = capsys.readouterr().err.splitlines()
    assert [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in lines] == [
        "table9  1/4  test  task 0  10.0 s  about 00:30 left",
        "table9  2/4  test  task 1 FAILED  10.0 s  about 00:10 left",
        "table9  3/4  test  task 3  not run  about 00:03 left",
        "table9  4/4  test  task 2  is there  about 00:00 left",
    ]


def test_a_terminal_shows_a_bar_with_what_a_task_reports(monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    progress = Progress("table9")
    (task,) = tasks_of(1)
    progress.add([task])
    progress.start("0")
    progress.report("0", 0.5, "epoch 1/2 loss 0.693")
    progress.finish("0")
    progress.close()
    assert "task 0: epoch 1/2 loss 0.693" in terminal.getvalue() and "1/1 steps" in terminal.getvalue()
    assert "\n" not in terminal.getvalue().strip("\n\r")


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_is_silent(monkeypatch, terminal):
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    progress = Progress("table9", visible=False)
    tasks = tasks_of(2)
    progress.add(tasks)
    with Engine(1) as engine:
        assert engine.run(tasks, progress) == []
    progress.close()
    assert stream.getvalue() == ""


def test_a_task_that_is_started_again_begins_at_nothing(clock):
    progress = Progress("table9", visible=False)
    progress.add(tasks_of(2))
    progress.start("0")
    clock[0] = 10.0
    progress.report("0", 0.5, "half")
    assert progress.seconds_left() == pytest.approx(30.0)
    progress.start("0")
    assert progress.seconds_left() is None
