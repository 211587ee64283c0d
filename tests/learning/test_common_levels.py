"""Levels of two datasets on one scale: against the table of the docstring, and back without loss of mass."""

import numpy as np
import pytest

from repro.learning.common_levels import LEVELS, N_COMMON, from_common, to_common


def test_pspi_is_grouped_as_documented():
    common = to_common("unbc", np.arange(17))
    assert common.tolist() == [0, 1, 2, 2, 3, 3, *[4] * 11]
    assert to_common("biovid", np.arange(5)).tolist() == list(range(5))


@pytest.mark.parametrize("dataset", LEVELS)
def test_order_is_kept_and_every_common_level_is_met(dataset):
    known = np.array(LEVELS[dataset])
    assert (np.diff(known) >= 0).all() and set(known) == set(range(N_COMMON))


@pytest.mark.parametrize("dataset", LEVELS)
def test_mass_and_ranks_survive(dataset):
    probabilities = np.random.default_rng(0).dirichlet(np.ones(N_COMMON), 50)
    spread = from_common(dataset, probabilities, len(LEVELS[dataset]))
    assert np.allclose(spread.sum(1), 1, rtol=0, atol=1e-12)  # float64 sums of 17 numbers
    back = np.stack([spread[:, np.array(LEVELS[dataset]) == k].sum(1) for k in range(N_COMMON)], 1)
    assert np.allclose(back, probabilities, rtol=0, atol=1e-12)
    for level, common in enumerate(LEVELS[dataset]):
        assert (np.argsort(spread[:, level]) == np.argsort(probabilities[:, common])).all()


@pytest.mark.parametrize("levels", [[17], [-1, 3]])
def test_levels_beyond_the_scale_are_refused(levels):
    with pytest.raises(ValueError, match=r"not all in 0\.\.16"):
        to_common("unbc", np.array(levels))


def test_what_has_no_correspondence_is_refused():
    with pytest.raises(ValueError, match="no common scale for the levels of 'manifest'"):
        to_common("manifest", np.array([0]))
    with pytest.raises(ValueError, match="one column for each of 5"):
        from_common("unbc", np.ones((2, 4)) / 4, 17)
    with pytest.raises(ValueError, match="has 18 levels here"):
        from_common("unbc", np.ones((2, 5)) / 5, 18)
