"""A whole table comes out the same, though processes are killed at random, two runs meet, or the clock is wrong.

After each fault every visible file of the store is one that an undisturbed run has, byte by byte, but for circumstances
such as seconds. The same command, run again, leaves these files alone and ends with the undisturbed run's table, byte
by byte. Two faults are injected by default; with ``-m faults`` fifty of each kind (or ``REPRO_FAULTS=N``), and those
that need worker processes, which take seconds to start; in about an hour on two cores.
"""

import os
import random

import pytest

MANY = int(os.environ.get("REPRO_FAULTS", "50"))
COUNTS = [2, pytest.param(MANY, marks=pytest.mark.faults)]
FEW = max(1, MANY // 10)


def survive(harness, tmp_path, count, kind, n, trial):
    """Call a trial with a folder and a random moment, n times; count, and tell of each that went wrong."""
    wrong = []
    for number, moment in enumerate(harness.moments(n, kind)):
        place = tmp_path / str(number)
        place.mkdir()
        try:
            trial(place, moment)
        except harness.Fault as fault:
            wrong.append(f"{kind}, seed {harness.SEED}, fault {number} at {moment:.3f} of the run: {fault}")
    count(kind, n - len(wrong), n)
    assert not wrong, "\n".join(wrong)


def disturb_and_repeat(harness, undisturbed, place, start, seconds, moment, kill):
    """Kill a run, look at what it left, run the same command again, and look at the end."""
    run = start()
    if harness.wait_until(run, moment * seconds):
        kill(run)
        run.wait_for_orphans()
    before = harness.check_visible(place, undisturbed.files)
    harness.check_finished(place, start(), undisturbed.files, undisturbed.table)
    harness.check_kept(place, before)


@pytest.mark.parametrize("n", COUNTS)
def test_a_killed_run_goes_on(harness, server, undisturbed, tmp_path, count, n):
    def trial(place, moment):
        def start():
            return server.start(place, *undisturbed.options, "--jobs", "1")

        disturb_and_repeat(harness, undisturbed, place, start, undisturbed.seconds(1), moment, harness.Run.kill)

    survive(harness, tmp_path, count, "a run in one process killed", n, trial)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("kill", "kind"),
    [("kill", "the driver killed, its workers left to themselves"), ("kill_all", "the driver and its workers killed")],
)
def test_a_killed_driver(harness, server, undisturbed, tmp_path, count, kill, kind):
    def trial(place, moment):
        def start():
            return server.start(place, *undisturbed.options, "--jobs", "2")

        killed = getattr(harness.Run, kill)
        disturb_and_repeat(harness, undisturbed, place, start, undisturbed.seconds(2), moment, killed)

    survive(harness, tmp_path, count, kind, (MANY + 1) // 2, trial)


def kill_a_worker(harness, start, seconds, moment):
    """Start runs until one has a process to kill at that moment, or later; a run may be over sooner than another."""
    for attempt in range(5):
        run = start(str(attempt))
        harness.wait_until(run, moment * seconds * 0.8**attempt)
        while run.running():
            if workers := run.workers():
                try:
                    os.kill(random.Random(moment).choice(workers), 9)
                except ProcessLookupError:
                    continue
                return run
    raise harness.Fault(f"no worker could be killed in 5 runs\n{run.told()}")


@pytest.mark.faults
def test_a_killed_worker_costs_nothing_but_time(harness, server, undisturbed, tmp_path, count):
    """A worker, or the process in which it runs tasks; the same run goes on and is complete."""

    def trial(place, moment):
        def start(attempt):
            (place / attempt).mkdir()
            return server.start(place / attempt, *undisturbed.options, "--jobs", "2")

        run = kill_a_worker(harness, start, undisturbed.seconds(2), moment)
        harness.check_finished(run.log.parent, run, undisturbed.files, undisturbed.table)

    survive(harness, tmp_path, count, "a worker killed", MANY, trial)


@pytest.mark.parametrize("n", [1, pytest.param(MANY, marks=pytest.mark.faults)])
def test_two_runs_at_once_on_one_store(harness, server, undisturbed, tmp_path, count, n):
    """The second takes the tasks in another order."""

    def trial(place, moment):
        first = server.start(place, *undisturbed.options, "--jobs", "1", log="first")
        harness.wait_until(first, moment * undisturbed.seconds(1) / 2)
        second = server.start(place, *undisturbed.options, "--jobs", "1", log="second", shuffled=5)
        for run in (first, second):
            harness.check_ended(run)
        harness.check_finished(place, first, undisturbed.files, undisturbed.table)

    survive(harness, tmp_path, count, "two runs at once", n, trial)


@pytest.mark.faults
def test_a_killed_simulation_goes_on(harness, server, tmp_path, count):
    whole = tmp_path / "whole"
    whole.mkdir()
    undisturbed = server.simulate(whole)
    harness.check_ended(undisturbed)
    files = harness.visible(whole)
    assert len(files) == 10  # four videos, what is true of each, the list of samples, the note

    def trial(place, moment):
        run = server.simulate(place)
        if harness.wait_until(run, moment * undisturbed.seconds):
            run.kill()
        before = harness.check_visible(place, files)
        harness.check_ended(server.simulate(place))
        harness.check_kept(place, before)
        if harness.visible(place) != files:
            raise harness.Fault("the data is not an undisturbed run's")

    survive(harness, tmp_path, count, "a simulation killed", MANY, trial)

    def meet(place, moment):
        first = server.simulate(place)
        harness.wait_until(first, moment * undisturbed.seconds)
        second = server.simulate(place)
        for run in (first, second):
            harness.check_ended(run)
        if harness.visible(place) != files:
            raise harness.Fault("the data is not an undisturbed run's")

    (tmp_path / "met").mkdir()
    survive(harness, tmp_path / "met", count, "two simulations at once", FEW, meet)


@pytest.mark.faults
def test_a_driver_in_a_new_interpreter(harness, undisturbed, tmp_path, count):
    """As above, with nothing forked from a process that has imported everything."""
    (tmp_path / "whole").mkdir()
    whole = harness.start_alone(tmp_path / "whole", *undisturbed.options, "--jobs", "2")
    harness.check_finished(tmp_path / "whole", whole, undisturbed.files, undisturbed.table)

    def trial(place, moment):
        def start():
            return harness.start_alone(place, *undisturbed.options, "--jobs", "2")

        disturb_and_repeat(harness, undisturbed, place, start, whole.seconds, moment, harness.Run.kill)

    survive(harness, tmp_path, count, "the driver killed, in a new interpreter", FEW, trial)


@pytest.mark.faults
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("seconds", [-5.0, -86400.0, 86400.0 * 3650])
def test_a_clock_that_jumps_does_not_matter(harness, undisturbed, tmp_path, count, seconds, jobs):
    """It jumps for all processes in mid-run; the next run finds files of another time, and its clock jumps back."""

    def trial(place, moment):
        (place / "sitecustomize.py").write_text(harness.CLOCK)
        clock = {"PYTHONPATH": str(place), "CLOCK_SHIFT": str(seconds), "CLOCK_JUMPS": str(place / "now")}
        options = (*undisturbed.options, "--jobs", str(jobs))
        run = harness.start_alone(place, *options, env=clock)
        harness.wait_for_files(run, place, moment * len(undisturbed.files))
        (place / "now").touch()
        harness.check_finished(place, run, undisturbed.files, undisturbed.table)
        before = harness.visible(place)
        harness.age(place, seconds)
        again = harness.start_alone(place, *options, env={**clock, "CLOCK_SHIFT": str(-seconds)})
        harness.check_finished(place, again, undisturbed.files, undisturbed.table)
        harness.check_kept(place, before)

    survive(harness, tmp_path, count, f"a clock that jumps by {seconds:g} s, {jobs} workers", 1, trial)
