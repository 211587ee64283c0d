"""Benchmarks run on request only: ``python -m pytest --benchmark-only``."""

import os

import pytest

# before torch, OpenCV and BLAS are imported: tests run one after another, and worker processes bring their own limits
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    if not config.getoption("benchmark_only"):
        config.option.benchmark_skip = True
