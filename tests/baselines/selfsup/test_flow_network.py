"""The decoder of flow: shapes and gradients on every backbone, and what the comparison of maps means."""

import pytest
import torch

from baselines.selfsup.flow_network import FlowNetwork, antisymmetric_correlation
from repro.learning.backbones import NAMES, build


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def network(name="resnet18", stem="imagenet", **more):
    settings = {"width": 8, "reach": 1} | more
    return FlowNetwork(build(name, width=0.125, stem=stem, generator=seeded()), seeded(1), **settings)


@pytest.mark.parametrize("size", [32, 33, 64])
@pytest.mark.parametrize("stem", ["imagenet", "small"])
@pytest.mark.parametrize("name", NAMES)
def test_levels_lead_to_stride_four_and_untrained_nothing_moves(name, stem, size):
    model = network(name, stem).eval()
    images = torch.randn(2, 2, 3, size, size, generator=seeded(2))
    with torch.no_grad():
        predictions = model(images[0], images[1], torch.tensor([False, True]))
    sides = [prediction.shape[-1] for prediction in predictions]
    assert size // 4 <= sides[-1] <= -(-size // 4) and sides == sorted(sides)
    assert len(sides) == sum(level.stride >= 4 for level in model.backbone.levels)
    for prediction, side in zip(predictions, sides, strict=True):
        assert prediction.shape == (2, 2, side, side) and not prediction.any()


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_layer(name):
    model = network(name).train()
    with torch.no_grad():
        for level in model.levels:
            level.flow.weight.normal_(generator=seeded(3))
            level.horizontal.weight.normal_(generator=seeded(4))
    images = torch.randn(2, 4, 3, 64, 64, generator=seeded(2))
    predictions = model(images[0], images[1], torch.tensor([False, True, False, True]))
    sum(prediction.square().sum() for prediction in predictions).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), key
    reached = [bool(parameter.grad.any()) for parameter in model.backbone.parameters()]
    # a ReLU may be closed for all of a small batch, but every layer of the trunk is on the way
    assert all(reached[:2]) and sum(reached) > 0.9 * len(reached)


def test_only_the_horizontal_component_is_predicted_where_asked_and_in_its_own_unit():
    model = network().eval()
    with torch.no_grad():
        for level in model.levels:
            level.flow.bias.fill_(1.0)
            level.horizontal.bias.fill_(1.0)
        model.scale.copy_(torch.tensor([6.0, 0.2]))
        images = torch.randn(2, 3, 64, 64, generator=seeded(2))
        both = model(images, images, torch.tensor([False, True]))
    for number, prediction in enumerate(both, start=1):  # every level adds half of the unit
        torch.testing.assert_close(prediction[0], torch.full_like(prediction[0], 3.0 * number))
        torch.testing.assert_close(prediction[1, 0], torch.full_like(prediction[1, 0], 0.1 * number))
        assert not prediction[1, 1].any()


def test_the_comparison_is_that_of_its_definition():
    first, second = torch.randn(2, 1, 3, 5, 6, generator=seeded(), dtype=torch.float64)
    compared = antisymmetric_correlation(first, second, 2)
    assert compared.shape == (1, 24, 5, 6)

    def at(features, y, x):
        inside = 0 <= y < 5 and 0 <= x < 6
        return features[0, :, y, x] if inside else torch.zeros(3, dtype=torch.float64)

    offsets = [(y, x) for y in range(-2, 3) for x in range(-2, 3) if (y, x) != (0, 0)]
    for channel, (dy, dx) in enumerate(offsets):
        for y, x in ((0, 0), (2, 3), (4, 5), (1, 5)):
            expected = at(first, y, x) @ at(second, y + dy, x + dx) - at(second, y, x) @ at(first, y + dy, x + dx)
            assert float(compared[0, channel, y, x]) == pytest.approx(float(expected), abs=1e-12)


def test_the_comparison_is_zero_without_motion_and_proportional_to_small_motion():
    def waves(shift):
        """A map of smooth features, moved to the right by so many points."""
        y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
        phases = [torch.sin(0.5 * k * (x - shift) + 0.3 * y + k) for k in range(1, 5)]
        return torch.stack(phases)[None].double()

    still = antisymmetric_correlation(waves(0.0), waves(0.0), 1)
    assert not still.any()
    centre = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    small, double = (antisymmetric_correlation(waves(0.0), waves(u), 1)[centre] for u in (0.01, 0.02))
    back = antisymmetric_correlation(waves(0.0), waves(-0.01), 1)[centre]
    # mean over the map, as single points also see the second order
    means = [values.mean((0, 2, 3)) for values in (small, double, back)]
    right, left = 4, 3  # offsets (1, 0) and (-1, 0) among the eight around a point
    assert float(means[0][right]) > 0 > float(means[0][left]), "it is the right-hand neighbour that looks alike"
    torch.testing.assert_close(means[1], 2 * means[0], rtol=0.02, atol=1e-4)
    torch.testing.assert_close(means[2], -means[0], rtol=0.02, atol=1e-4)
