"""On request only: benchmarks (``--benchmark-only``), the run of everything (``-m golden``), faults (``-m faults``)."""

import importlib.util
import os
import signal
import sys
from pathlib import Path

import pytest

# before torch, OpenCV and BLAS are imported: tests run one after another, and worker processes bring their own limits
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    if not config.getoption("benchmark_only"):
        config.option.benchmark_skip = True
    if not config.option.markexpr:
        config.option.markexpr = "not golden and not faults"
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _module(path):
    """Load a module that tests share; at the first need, as it may import torch."""
    name = f"shared_{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def _drawn_faces():
    return _module(Path(__file__).with_name("drawn_faces.py"))


@pytest.fixture(scope="session")
def shared_module():
    """A function that loads a module by its path, once."""
    return _module


@pytest.fixture(scope="session")
def drawn():
    """Clips of drawn faces, levels and groups, see `drawn_clips`; each set is made once and keeps its features."""
    made = {}

    def make(kind="RGB", **options):
        key = (kind, *sorted(options.items()))
        if key not in made:
            made[key] = _drawn_faces().drawn_clips(kind, **options)
        return made[key]

    return make


@pytest.fixture(scope="session")
def smoke_store(tmp_path_factory):
    """A function that makes a store whose datasets are simulated once for all tests, and read by all processes."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "data of smoke scale"

    def make(root):
        shared.mkdir(exist_ok=True)
        root.mkdir(parents=True)
        (root / "data").symlink_to(shared)
        return root

    return make


@pytest.fixture(scope="session")
def drawn_sequences():
    """Return one clip of each level 0..3 of one drawn face."""
    return _drawn_faces().drawn_sequences
