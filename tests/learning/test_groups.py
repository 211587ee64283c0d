"""Groups of equal size together: every sample once, in its own group, and means as of each row alone."""

import numpy as np
import pytest

from repro.learning.groups import alike, mean_over_defined, small


def test_every_sample_is_in_its_group_once():
    sizes = np.array([3, 1, 0, 3, 2])
    owner = np.repeat(np.arange(5), sizes)
    seen = {}
    for groups, samples in alike(sizes):
        assert samples.shape == (len(groups), sizes[groups[0]])
        seen |= {group: row.tolist() for group, row in zip(groups.tolist(), samples, strict=True)}
    assert seen == {group: np.flatnonzero(owner == group).tolist() for group in range(5)}


@pytest.mark.parametrize("n_columns", [1, 5, 17, 40])
def test_means_are_to_the_last_bit_those_of_each_row(n_columns):
    rng = np.random.default_rng(n_columns)
    values = np.where(rng.random((60, n_columns)) < 0.3, np.nan, rng.random((60, n_columns)))
    values[7] = np.nan
    alone = [row[~np.isnan(row)].mean() if not np.isnan(row).all() else np.nan for row in values]
    np.testing.assert_array_equal(mean_over_defined(values), alone)


def test_numbers_are_made_small_where_they_fit():
    numbers = np.array([0, 65535, 7])
    assert small(numbers, 1 << 16).dtype == np.uint16 and (small(numbers, 1 << 16) == numbers).all()
    assert small(numbers, (1 << 16) + 1) is numbers
