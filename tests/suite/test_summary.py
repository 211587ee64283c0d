"""The summary of a run: each reason once, everything counted, and how to go on."""

from repro.suite.engine import Failure, Task
from repro.suite.summary import summarise


def task(name):
    return Task(name, "cell", f"cell {name}", 1.0, print)


def test_a_run_without_failures_needs_no_words():
    assert summarise("table9", 10, []) == []


def test_reasons_that_differ_in_numbers_are_told_once_and_what_follows_is_counted():
    diverged = [
        Failure(task(str(i)), f"FloatingPointError: the loss became nan at update {i}; lower learning_rate (9.5e-1)")
        for i in range(50)
    ]
    hung = Failure(task("slow"), "took longer than 30 s; raise --timeout")
    after = [Failure(task(f"child {i}"), "needs cell slow, which failed", hung.task) for i in range(3)]
    lines = summarise("table9", 100, [hung, *diverged, *after], "python -m repro.table9 --mode always --seeds 2")
    assert lines == [
        "failed: cell 0; cell 1; cell 2; and 47 more for the same reason",
        "  FloatingPointError: the loss became nan at update 0; lower learning_rate (9.5e-1)",
        "failed: cell slow",
        "  took longer than 30 s; raise --timeout",
        "table9: 46 of 100 steps done, 51 failed, 3 not run, as they need one that failed; mend the cause and run "
        "again: python -m repro.table9 --seeds 2",
    ]


def test_other_words_are_another_reason():
    failures = [Failure(task("a"), "ValueError: file x is bad"), Failure(task("b"), "ValueError: file y is bad")]
    lines = summarise("table9", None, failures)
    assert [line for line in lines if line.startswith("failed")] == ["failed: cell a", "failed: cell b"]
    assert lines[-1] == "table9: 2 failed; mend the cause and run the same command again"


def test_a_traceback_is_indented_whole():
    lines = summarise("table9", 1, [Failure(task("a"), "Traceback:\n  File x\nKeyError: 1")])
    assert lines[1:4] == ["  Traceback:", "    File x", "  KeyError: 1"]
