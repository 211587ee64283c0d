"""From intensities to distributions, against hand-made counts and a general optimiser."""

import numpy as np
import pytest
from scipy.optimize import minimize

from baselines.supervised.levels import EDGE, bounded, check_training, level_frequencies, tilted

FREQUENCIES = np.array([0.6, 0.05, 0.25, 0.1])


def rare_levels():
    """Sixteen levels that are as unequal as those of the UNBC-McMaster archive."""
    counts = [40029, 2909, 2351, 1412, 802, 242, 270, 53, 79, 32, 67, 76, 48, 22, 1, 5]
    return level_frequencies(np.repeat(np.arange(16), counts))


def test_every_level_up_to_the_highest_is_possible():
    np.testing.assert_allclose(level_frequencies(np.array([0, 2, 0])), np.array([2.5, 0.5, 1.5]) / 4.5)


@pytest.mark.parametrize("frequencies", [FREQUENCIES, np.array([0.9, 0.1]), rare_levels()])
def test_the_mean_is_the_intensity(frequencies):
    highest = len(frequencies) - 1
    intensities = np.concatenate([[1e-30, 1e-9], np.linspace(0.001, highest - 0.001, 200), [highest - 1e-9]])
    found = tilted(frequencies, intensities)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
    assert (found >= 0).all()
    np.testing.assert_allclose(found @ np.arange(highest + 1), intensities, atol=1e-9)
    np.testing.assert_allclose(found[0] @ np.arange(highest + 1), 1e-30, rtol=1e-6)


def test_the_training_mean_gives_the_training_frequencies():
    found = tilted(FREQUENCIES, np.array([FREQUENCIES @ np.arange(4)]))
    np.testing.assert_allclose(found[0], FREQUENCIES, atol=1e-12)


def test_two_levels_leave_no_choice():
    np.testing.assert_allclose(tilted(np.array([0.9, 0.1]), np.array([0.3])), [[0.7, 0.3]], atol=1e-12)


@pytest.mark.parametrize("intensity", [0.05, 0.4, 1.5, 2.9])
def test_no_distribution_of_that_mean_is_nearer_to_the_frequencies(intensity):
    levels = np.arange(4)

    def entropy(p):
        return float(np.sum(p * np.log(np.maximum(p, 1e-300) / FREQUENCIES)))

    constraints = [
        {"type": "eq", "fun": lambda p: p.sum() - 1},
        {"type": "eq", "fun": lambda p: p @ levels - intensity},
    ]
    start = np.interp(levels, [0, 3], [1 - intensity / 3, intensity / 3]) / 2  # of that mean, nearly
    best = minimize(
        entropy, start, bounds=[(1e-12, 1)] * 4, constraints=constraints, method="SLSQP", options={"ftol": 1e-14}
    )
    assert best.success
    found = tilted(FREQUENCIES, np.array([intensity]))[0]
    np.testing.assert_allclose(found, best.x, atol=1e-5)  # as near as the optimiser comes
    assert entropy(found) <= best.fun + 1e-9


@pytest.mark.parametrize("frequencies", [FREQUENCIES, rare_levels()])
def test_any_threshold_is_passed_more_probably_with_intensity(frequencies):
    highest = len(frequencies) - 1
    intensities = bounded(np.linspace(-3, highest + 3, 400), highest)
    above = np.cumsum(tilted(frequencies, intensities)[:, ::-1], axis=1)[:, ::-1][:, 1:]
    # Sums of probabilities near 1 are rounded; those that are small tell the order.
    assert (np.diff(above, axis=0) >= -1e-15).all()
    assert (np.diff(above[:, 0])[above[:-1, 0] < 0.999] > 0).all()
    assert (np.diff(above[:, -1])[above[1:, -1] > 1e-300] > 0).all()


@pytest.mark.parametrize("highest", [1, 4, 15])
def test_what_lies_within_the_scale_is_not_changed(highest):
    inside = np.linspace(EDGE, highest - EDGE, 101)
    np.testing.assert_array_equal(bounded(inside, highest), inside)


@pytest.mark.parametrize("highest", [1, 4, 15])
def test_what_lies_beyond_the_scale_keeps_its_order(highest):
    values = np.linspace(-100, highest + 100, 5001)
    found = bounded(values, highest)
    assert (np.diff(found) > 0).all()
    assert found.min() > 0 and found.max() < highest
    np.testing.assert_allclose(bounded(highest - values, highest), highest - found, atol=1e-12)


def test_the_bend_by_hand():
    # (x at 0) 0.1 / (1 + 1), (at -0.9) 0.1 / (1 + 10), and the same from the other end.
    np.testing.assert_allclose(bounded(np.array([0, -0.9, 4, 4.9]), 4), [0.05, 0.1 / 11, 3.95, 4 - 0.1 / 11])


@pytest.mark.parametrize("joint", [EDGE, 4 - EDGE])
def test_the_bend_begins_with_the_same_value_and_slope(joint):
    step = 1e-6
    below, at, above = bounded(joint + np.array([-step, 0, step]), 4)
    # The hyperbola's second derivative is 2 / EDGE there: one step changes the slope by 2e-5.
    np.testing.assert_allclose([(at - below) / step, (above - at) / step], 1, atol=2e-5)


def test_what_can_be_learned_from_is_returned_as_arrays():
    levels, groups = check_training(3, np.array([0, 1, 0], dtype=np.uint8), ["a", "a", "b"])
    assert levels.dtype == np.int64 and levels.tolist() == [0, 1, 0]
    assert groups.tolist() == ["a", "a", "b"]


@pytest.mark.parametrize(
    ("n", "levels", "groups", "message"),
    [
        (3, [0, 1], ["a", "b", "c"], r"3 clips, but levels of shape \(2,\)"),
        (2, [0, 1], ["a"], r"2 clips, but levels of shape \(2,\) and groups of shape \(1,\)"),
        (2, [[0], [1]], ["a", "b"], r"levels of shape \(2, 1\)"),
        (2, [0.0, 1.0], ["a", "b"], "whole numbers from 0"),
        (2, [-1, 1], ["a", "b"], "whole numbers from 0"),
        (0, np.empty(0, int), [], "at least one"),
        (2, [3, 3], ["a", "b"], "all 2 training clips have level 3.*train on subjects with and without pain"),
    ],
)
def test_what_cannot_be_learned_from_is_named(n, levels, groups, message):
    with pytest.raises(ValueError, match=message):
        check_training(n, levels, groups)
