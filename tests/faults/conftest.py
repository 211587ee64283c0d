"""What the tests of faults share: the harness, a server that starts runs, an undisturbed run; the count at the end."""

from pathlib import Path

import pytest

FAULTS = "faults"


@pytest.fixture(scope="session")
def harness(shared_module):
    return shared_module(Path(__file__).with_name("harness.py"))


@pytest.fixture(scope="session")
def server(harness):
    started = harness.Server()
    yield started
    started.close()


class Undisturbed:
    """An undisturbed run: its place, files and table; its options but for the number of workers; and how long it takes.

    Attributes
    ----------
    options : tuple of str
        Those that name the data.
    """

    def __init__(self, harness, server, folder):
        self._harness, self._server, self._folder = harness, server, folder
        self.place = folder / "jobs1"
        self.options = ("--unbc", str(server.write_data(folder)))
        self._seconds = {1: self._run(self.place, 1)}
        self.files, self.table = harness.visible(self.place), harness.csv(self.place)

    def _run(self, place, jobs):
        place.mkdir()
        run = self._server.start(place, *self.options, "--jobs", str(jobs))
        assert run.wait() == 0, run.told()
        return run.seconds

    def seconds(self, jobs):
        """Seconds that it takes with so many workers."""
        if jobs not in self._seconds:
            self._seconds[jobs] = self._run(self._folder / f"jobs{jobs}", jobs)
        return self._seconds[jobs]


@pytest.fixture(scope="session")
def undisturbed(harness, server, tmp_path_factory):
    return Undisturbed(harness, server, tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture
def count(record_property):
    """Count the faults of a test; what is survived and tried is told at the end of all tests."""

    def record(kind, survived, tried):
        record_property(FAULTS, [kind, survived, tried])

    return record


def pytest_terminal_summary(terminalreporter):
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    told = [value for report in reports for name, value in getattr(report, "user_properties", []) if name == FAULTS]
    if told:
        terminalreporter.section("faults survived")
        for kind, survived, tried in told:
            terminalreporter.write_line(f"{survived:3d}/{tried} {kind}")
