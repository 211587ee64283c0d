"""The loop: what a batch is, that it does what PyTorch's optimisers do, and what it tells."""

import pytest
import torch
from torch import nn

from baselines.supervised.training import train
from repro.learning.schedule import Schedule
from repro.stopping import Stopped


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def ignore(share, message):
    pass


class Linear:
    """Twelve rows whose targets are a linear function of their three features."""

    truth = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)

    def __init__(self):
        self.x = torch.randn(12, 3, generator=seeded(1), dtype=torch.float64)
        self.weight = nn.Parameter(torch.zeros(3, dtype=torch.float64))

    def loss(self, rows):
        return ((self.x[rows] @ (self.weight - self.truth)) ** 2).mean()

    def train(self, schedule, seed=0, report=ignore, **options):
        train(nn.ParameterList([self.weight]), self.loss, torch.arange(12), schedule, seeded(seed), report, **options)
        return self.weight.detach()


@pytest.mark.parametrize(("n", "size", "expected"), [(10, 4, [5, 5]), (12, 4, [4, 4, 4]), (3, 8, [3]), (9, 8, [9])])
def test_each_epoch_sees_all_rows_once_in_batches_of_like_size(n, size, expected):
    seen = []
    weight = nn.Parameter(torch.zeros(1))

    def loss(batch):
        seen.append(batch)
        return (weight * 0).sum()

    rows = torch.arange(n) * 3  # not all numbers are rows
    train(nn.ParameterList([weight]), loss, rows, Schedule(2, size), seeded(), ignore)
    assert [len(batch) for batch in seen] == 2 * expected
    epochs = [torch.cat(seen[: len(expected)]), torch.cat(seen[len(expected) :])]
    for epoch in epochs:
        assert torch.equal(epoch.sort().values, rows)
    assert not torch.equal(*epochs)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_updates_are_those_of_pytorch(name):
    schedule = Schedule(7, 12, 0.05, "constant", momentum=0.8, weight_decay=0.1)
    made = Linear().train(schedule, optimiser=name)
    other = Linear()
    if name == "sgd":
        reference = torch.optim.SGD([other.weight], lr=0.05, momentum=0.8, weight_decay=0.1)
    else:
        reference = torch.optim.Adam([other.weight], lr=0.05, betas=(0.8, 0.999), weight_decay=0.1)
    for _ in range(7):
        reference.zero_grad()
        other.loss(slice(None)).backward()
        reference.step()
    torch.testing.assert_close(made, other.weight.detach(), rtol=0, atol=1e-12)  # rows are summed in another order


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_a_linear_problem_is_solved(name):
    made = Linear().train(Schedule(150, 4, 0.05, "cosine", clip_norm=1.0), optimiser=name)
    torch.testing.assert_close(made, Linear.truth, rtol=0, atol=1e-2)


def test_the_generator_decides_the_order_and_progress_is_told():
    told = []
    made = [
        Linear().train(Schedule(2, 4, 0.05, "constant"), seed, lambda share, message: told.append((share, message)))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])
    assert [share for share, _ in told[:6]] == pytest.approx([i / 6 for i in range(1, 7)])
    assert told[5][1].startswith("epoch 2/2 loss ")


@pytest.mark.parametrize("update", [1, 4, 6])
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_a_training_that_is_stopped_ends_with_the_same_weights(tmp_path, name, update):
    schedule = Schedule(2, 4, 0.05, "cosine", momentum=0.8)  # six updates
    expected = Linear().train(schedule, optimiser=name)
    told = []

    def report(share, message):
        told.append(share)
        if len(told) == update:
            raise Stopped

    with pytest.raises(Stopped):
        Linear().train(schedule, report=report, optimiser=name, checkpoint=tmp_path)
    made = Linear().train(schedule, report=report, optimiser=name, checkpoint=tmp_path, keep=True)
    assert torch.equal(made, expected) and told == pytest.approx([i / 6 for i in range(1, 7)])
    again = Linear().train(schedule, report=report, optimiser=name, checkpoint=tmp_path)
    assert torch.equal(again, expected) and len(told) == 6, "what was kept at the end is the end"


def test_a_loss_that_is_not_finite_stops_training():
    weight = nn.Parameter(torch.ones(1))
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        train(nn.ParameterList([weight]), lambda b: weight.sum() / 0, torch.arange(4), Schedule(1, 4), seeded(), ignore)


def test_bad_arguments_are_refused():
    weight = nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match="no row"):
        train(nn.ParameterList([weight]), lambda b: weight.sum(), torch.arange(0), Schedule(1, 4), seeded(), ignore)
    with pytest.raises(ValueError, match="optimiser 'lamb'"):
        train(
            nn.ParameterList([weight]),
            lambda b: weight.sum(),
            torch.arange(4),
            Schedule(1, 4),
            seeded(),
            ignore,
            optimiser="lamb",
        )
