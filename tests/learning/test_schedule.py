"""Learning-rate schedules against their definitions."""

import pytest
import torch

from repro.learning.schedule import Schedule


def test_the_papers_schedule_multiplies_by_a_fifth_each_epoch():
    schedule = Schedule(3, 8, 1e-3, "paper")
    assert [schedule.factor(step, 2) for step in range(6)] == pytest.approx([1, 1, 0.2, 0.2, 0.04, 0.04])


def test_cosine_warms_up_and_ends_near_zero():
    schedule = Schedule(10, 8, 0.1, "cosine")
    factors = [schedule.factor(step, 10) for step in range(100)]
    assert factors[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert factors[10] == pytest.approx(1.0)
    assert all(a >= b for a, b in zip(factors[10:], factors[11:], strict=False))
    assert factors[55] == pytest.approx(0.5)
    assert 0 < factors[-1] < 0.001


def test_a_constant_rate_stays():
    assert {Schedule(3, 8, 0.1, "constant").factor(step, 2) for step in range(6)} == {1.0}


def test_an_update_is_gradient_descent_with_momentum_and_clipping():
    weight = torch.nn.Parameter(torch.tensor([3.0]))
    schedule = Schedule(1, 1, 0.5, "paper", momentum=0.9, clip_norm=1.0)
    optimiser = schedule.optimiser([weight])
    for step, expected in enumerate([2.5, 2.5 - 0.5 * 1.9]):  # gradient 2w is clipped to 1; momentum 1, then 1.9
        schedule.update(optimiser, (weight**2).sum(), step, 10)
        assert weight.item() == pytest.approx(expected, rel=1e-6)


def test_a_diverged_loss_is_an_error():
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    schedule = Schedule(1, 1, 0.5)
    with pytest.raises(FloatingPointError, match="update 7"):
        schedule.update(schedule.optimiser([weight]), weight.sum() * float("nan"), 7, 10)


@pytest.mark.parametrize("bad", [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"decay": "step"}])
def test_bad_settings_are_refused(bad):
    with pytest.raises(ValueError):
        Schedule(**{"epochs": 1, "batch_size": 1, **bad})
