"""Compiled loops: what the compiler may change, and what happens where nothing can be cached."""

import numpy as np
import pytest

from repro.compiling import compiled

SOURCE = "def total(values):\n    sum = 0.0\n    for value in values:\n        sum += value\n    return sum\n"


def from_nowhere():
    """Return a function that lies in no file, so that there is no place for its cache."""
    names = {}
    exec(SOURCE, names)
    return names["total"]


@pytest.mark.parametrize("freedoms", [(), ("contract", "reassoc", "nsz")])
def test_without_a_cache_a_loop_is_compiled_all_the_same(freedoms):
    function = compiled(*freedoms)(from_nowhere())
    values = np.random.default_rng(0).normal(size=1000)
    # Any order of 1,000 sums is right to 1,000 roundings of the largest partial sum.
    assert function(values) == pytest.approx(values.sum(), abs=1000 * np.finfo(float).eps * np.abs(values).sum())
    assert function.signatures, "it was not compiled"


@pytest.mark.parametrize("freedoms", [(), ("contract", "reassoc", "nsz")])
def test_what_is_not_finite_keeps_its_meaning(freedoms):
    function = compiled(*freedoms)(from_nowhere())
    assert np.isnan(function(np.array([1.0, np.nan]))) and function(np.array([1.0, np.inf])) == np.inf


def test_without_freedoms_sums_keep_their_order():
    values = np.array([1.0, 1e16, -1e16, 1.0])
    assert compiled()(from_nowhere())(values) == ((1.0 + 1e16) - 1e16) + 1.0
