"""SCN's network: shapes, the parallel depths against convolutions one by one, how far it looks, its size."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from baselines.supervised.scn_network import WIDTHS, ParallelDepths, SCNNetwork

DEPTHS = (1, 3, 5, 7)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("outputs", [8, 64])  # branches of 2 channels are computed together, of 16 one by one
def test_parallel_depths_are_separate_convolutions_side_by_side(outputs):
    layer = ParallelDepths(5, outputs, DEPTHS)
    features = torch.randn(2, 5, 6, 9, 8, generator=seeded())
    expected = torch.cat(
        [
            functional.conv3d(features, branch.weight, padding=(depth // 2, 1, 1))
            for branch, depth in zip(layer.branches, DEPTHS, strict=True)
        ],
        dim=1,
    )
    assert [tuple(branch.weight.shape[2:]) for branch in layer.branches] == [(depth, 3, 3) for depth in DEPTHS]
    torch.testing.assert_close(layer(features), expected, atol=1e-5, rtol=1e-5)  # float32 sums in another order
    layer(features).square().sum().backward()
    gradients = [branch.weight.grad.clone() for branch in layer.branches]
    layer.zero_grad()
    expected.square().sum().backward()
    for branch, gradient in zip(layer.branches, gradients, strict=True):
        torch.testing.assert_close(gradient, branch.weight.grad, atol=1e-2, rtol=1e-4)  # of about 1e2


@pytest.mark.parametrize("depths", [(1,), (3,), (5,), (7,), (1, 3), DEPTHS])
@pytest.mark.parametrize(("frames", "size"), [(1, 32), (2, 32), (7, 40), (16, 48)])
def test_clips_of_any_length_and_size(depths, frames, size):
    network = SCNNetwork(1 / 16, depths, 3, seeded())
    clips = torch.randn(2, 3, frames, size, size, generator=seeded())
    maps = network.maps(clips)
    assert maps.shape == (2, 32, -(-frames // 16), -(-size // 16), -(-size // 16))
    assert network.features(clips).shape == (2, network.n_features) and network(clips).shape == (2,)
    assert torch.isfinite(network(clips)).all()


def test_pooling_is_the_mean_of_what_there_is():
    pooling = SCNNetwork(1 / 16, (1,), 1, seeded()).stages[0][-1]
    pooled = pooling(torch.arange(1.0, 10).view(1, 1, 1, 3, 3))[0, 0, 0]
    torch.testing.assert_close(pooled, torch.tensor([[3.0, 4.5], [7.5, 9.0]]))


@pytest.mark.parametrize(("depths", "fixed_depth", "frames"), [((1,), 1, 16), ((1, 3), 1, 46), ((1, 3), 3, 76)])
def test_how_many_frames_a_point_depends_on(depths, fixed_depth, frames):
    network = SCNNetwork(1 / 32, depths, fixed_depth, seeded()).eval()
    for layer in network.modules():  # positive weights: no rectifier hides a path
        if isinstance(layer, nn.Conv3d):
            layer.weight.data.fill_(0.1)
    clips = torch.ones(1, 3, 160, 16, 16, requires_grad=True)
    maps = network.maps(clips)
    maps[0, :, maps.shape[2] // 2].sum().backward()
    seen = clips.grad.abs().sum((0, 1, 3, 4)) > 0
    assert int(seen.sum()) == frames == network.receptive_depth


def test_the_papers_depths_look_further_than_a_clip_of_sixteen_frames():
    assert SCNNetwork(1 / 16, DEPTHS, 3, seeded()).receptive_depth == 136  # 1 + (2 + 6 + 1) (1 + 2 + 4 + 8)


@pytest.mark.parametrize("width", [1 / 8, 1.0])
def test_number_of_parameters(width):
    network = SCNNetwork(width, DEPTHS, 3, seeded())
    expected, before = 0, 3
    for channels in (int(width * channels) for channels in WIDTHS):
        fixed = 27 * before * channels
        parallel = 9 * sum(DEPTHS) * channels * channels // len(DEPTHS)
        expected += fixed + parallel + 4 * channels  # two normalisations, a scale and a shift each
        before = channels
    assert sum(p.numel() for p in network.parameters()) == expected + before + 1
    assert width < 1 or expected + before + 1 == 17_188_161  # 4,650,048 + 12,533,760 + 3,840 + 513


def test_weights_come_from_the_generator_alone():
    torch.manual_seed(1)
    first = SCNNetwork(1 / 16, DEPTHS, 3, seeded(5)).state_dict()
    torch.manual_seed(2)
    second = SCNNetwork(1 / 16, DEPTHS, 3, seeded(5)).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_order_in_time_matters_to_depths_above_one_only():
    clips = torch.randn(1, 3, 16, 32, 32, generator=seeded())
    shuffled = clips[:, :, torch.randperm(16, generator=seeded(1))]
    for depths, fixed_depth, same in (((1,), 1, True), (DEPTHS, 3, False)):
        stage = SCNNetwork(1 / 16, depths, fixed_depth, seeded()).eval().stages[0][:-1]  # pooling joins neighbours
        assert torch.allclose(stage(clips).mean(2), stage(shuffled).mean(2), atol=1e-5) == same


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depths": (1, 2)}, "odd"),
        ({"depths": ()}, "odd"),
        ({"depths": (3, 3)}, "different"),
        ({"fixed_depth": 4}, "fixed_depth 4"),
        ({"width": 0.01}, "width 0.01"),
        ({"width": 1 / 32}, "2 channels cannot be divided among 4"),
    ],
)
def test_bad_sizes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SCNNetwork(**{"width": 1 / 8, "depths": DEPTHS, "fixed_depth": 3, "generator": seeded(), **options})
