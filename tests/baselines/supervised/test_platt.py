"""Platt's curve: the likelihood's maximum, and the order of margins, which it must not turn round."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from baselines.supervised.ordinal import OrdinalSVM
from baselines.supervised.platt import FLATTEST, fit_platt


def sample(n=300, slope=1.5, seed=0):
    random = np.random.default_rng(seed)
    margins = random.normal(0.3, 2.0, n)
    return margins, random.random(n) < expit(slope * margins - 0.5)


@pytest.mark.parametrize("unit", [1.0, 1e-3, 1e4])
def test_the_likelihood_of_platts_targets_is_largest(unit):
    margins, above = sample()
    curve = fit_platt(margins * unit, above)
    targets = np.where(above, (above.sum() + 1) / (above.sum() + 2), 1 / ((~above).sum() + 2))

    def loss(p):
        return -np.sum(
            targets * np.log(expit(p[0] * margins + p[1])) + (1 - targets) * np.log(expit(-p[0] * margins - p[1]))
        )

    best = minimize(loss, (1.0, 0.0), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}).x
    # the optimiser stops at a gradient of 1e-9; the simplex is exact to about 1e-6
    np.testing.assert_allclose((curve.slope * unit, curve.offset), best, rtol=1e-4, atol=1e-4)


def test_margins_that_part_the_classes_leave_a_finite_curve():
    margins = np.r_[np.linspace(-2, -1, 20), np.linspace(1, 2, 10)]
    curve = fit_platt(margins, margins > 0)
    assert 1 < curve.slope < 100
    # the offset is free, so that probabilities are on average what their targets are
    assert curve(margins).mean() == pytest.approx((20 * 1 / 22 + 10 * 11 / 12) / 30, abs=1e-6)


def test_margins_that_fall_keep_their_order_and_say_little():
    margins, above = sample(slope=-1.5)
    curve = fit_platt(margins, above)
    assert curve.slope == pytest.approx(FLATTEST / margins.std())
    found = curve(np.sort(margins))
    assert (np.diff(found) > 0).all() and np.ptp(found) < 0.01
    assert found.mean() == pytest.approx(above.mean(), abs=0.01)


def test_equal_margins_give_the_base_rate():
    curve = fit_platt(np.zeros(40), np.arange(40) < 10)
    assert curve(np.zeros(1))[0] == pytest.approx(0.25, abs=0.02)


def test_probabilities_of_two_levels_rank_clips_as_the_margins_do():
    """A signal so weak that margins of unseen people often fall: in 24 draws some do."""
    fell = 0
    for seed in range(24):
        random = np.random.default_rng(seed)
        groups, levels = np.repeat(np.arange(9), 16), np.tile([0, 1], 72)
        x = random.normal(size=(144, 12))
        x[:, 0] += 0.6 * levels
        model = OrdinalSVM(C=(1.0,), gamma=(1.0,)).fit(x, levels, groups)
        fell += (
            model.curves_[0].slope * model.machines_[0].decision_function(model.preparation_.transform(x)).std() < 0.01
        )
        fresh = random.normal(size=(50, 12))
        margins = model.machines_[0].decision_function(model.preparation_.transform(fresh))
        order = np.argsort(margins)
        assert (np.diff(model.predict_proba(fresh)[order, 1]) >= 0).all()
    assert fell >= 3, "else nothing was shown"
