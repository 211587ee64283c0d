"""What all benchmarks share: threads, peak memory, the machine's features, and a table of ratios at the end.

Each benchmark records in ``extra_info`` the ratios that it knows (``times_as_fast_as_NAME``) and whatever else it
measures; `repro.benchmarks` turns the JSON file of a run into a report. Without an option nothing here runs.
"""

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from repro.benchmarks import MACHINE, PEAK, case_of, machine, summary
from repro.memory import PeakMemory
from repro.suite.engine import available_cores

CASES = pytest.StashKey[list]()
FEATURES = pytest.StashKey[dict]()


class Weighed(BenchmarkFixture):
    """The plugin's fixture, which also notes the peak memory of what it runs, calibration and warm-up included."""

    def __call__(self, function, *args, **kwargs):
        with PeakMemory() as peak:
            result = super().__call__(function, *args, **kwargs)
        self.note(peak)
        return result

    def pedantic(self, target, *args, **kwargs):
        with PeakMemory() as peak:
            result = super().pedantic(target, *args, **kwargs)
        self.note(peak)
        return result

    def note(self, peak):
        if peak.bytes is not None:
            self.extra_info[PEAK] = round(peak.bytes / 2**20, 1)


@pytest.fixture(autouse=True)
def weighed(request):
    """Measure the memory of every benchmark, and keep its numbers for the table at the end."""
    benchmark = request.getfixturevalue("benchmark")
    benchmark.__class__ = Weighed
    yield
    if benchmark.stats is not None and not benchmark.has_error:
        record = benchmark.stats.as_dict(include_data=False)
        request.config.stash.setdefault(CASES, []).append(case_of(record))


@pytest.fixture(scope="session", autouse=True)
def all_cores(pytestconfig):
    """Let PyTorch use every core, which the tests do not."""
    before = torch.get_num_threads()
    torch.set_num_threads(available_cores())
    pytestconfig.stash[FEATURES] = machine()
    yield
    torch.set_num_threads(before)


def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info[MACHINE] = config.stash[FEATURES]


def pytest_terminal_summary(terminalreporter, config):
    cases = config.stash.get(CASES, [])
    if cases:
        terminalreporter.section("times, peak memory and ratios")
        terminalreporter.write_line(summary(cases))
