"""The jigsaw task: tiles against a literal cut, shortcuts that are closed, and that it is learned."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from baselines.selfsup.jigsaw import Jigsaw, _normalised, _offsets, _tiles, tile_sizes
from baselines.selfsup.permutations import permutation_set
from repro.learning.augmentation import Augmentation, to_network
from repro.learning.pretext import BackboneSpec, PretextPool, train_pretext
from repro.learning.schedule import Schedule

PLAIN = Augmentation(area=(1.0, 1.0), aspect=1.0, flip=False)
SMALL = BackboneSpec("resnet18", width=0.125, stem="imagenet")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pool_of(images, n_subjects):
    names = np.array([f"s{i * n_subjects // len(images)}" for i in range(len(images))])
    return PretextPool(images, names, names, names)


def noise(n=48, size=32, n_subjects=6, seed=0):
    return pool_of(torch.randint(0, 256, (n, 3, size, size), generator=seeded(seed), dtype=torch.uint8), n_subjects)


def figures(n=240, size=32, n_subjects=8):
    """Stripes whose direction and width tell the place in the image, in light, contrast and colour that vary."""
    generator = seeded(1)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    row, column = y * 3 // size, x * 3 // size
    angle = (3 * row + column) * np.pi / 9
    images = []
    for _ in range(n):
        phase, gain, light = torch.rand(3, generator=generator)
        wave = torch.sin((x * torch.cos(angle) + y * torch.sin(angle)) * 1.2 + 6.3 * phase)
        noisy = 90 + 70 * light + (30 + 30 * gain) * wave + 8 * torch.randn(3, size, size, generator=generator)
        images.append(noisy.clamp(0, 255).to(torch.uint8))
    return pool_of(torch.stack(images), n_subjects)


def test_sizes_are_the_papers_at_its_size_and_never_too_small_for_a_network():
    assert tile_sizes(224) == (64, 85)
    assert tile_sizes(160) == (46, 61)
    for size in (32, 48, 64, 112):
        assert tile_sizes(size) == (32, 42)
    for size in range(32, 513):
        tile, cell = tile_sizes(size)
        assert cell - tile >= 2 * round(10 * cell / 85), "the largest channel_shift fits into a cell"


def test_tiles_are_cut_as_by_a_literal_loop():
    generator = seeded()
    images = torch.rand(2, 3, 3 * 17, 3 * 17, generator=generator)
    rows, columns = (torch.randint(0, 6, (18, 3), generator=generator) for _ in range(2))
    tiles = _tiles(images, rows, columns, 12)
    for image in range(2):
        for k in range(9):
            for channel in range(3):
                top = k // 3 * 17 + int(rows[9 * image + k, channel])
                left = k % 3 * 17 + int(columns[9 * image + k, channel])
                expected = images[image, channel, top : top + 12, left : left + 12]
                assert torch.equal(tiles[9 * image + k, channel], expected)


def test_gaps_between_tiles_are_random_and_tiles_favour_no_border():
    room = 21
    offsets = _offsets(torch.ones(2000, dtype=torch.bool), room, 2, seeded()).view(2000, 9, 3)
    assert (offsets == offsets[..., :1]).all(), "the channels of a grey image stay together"
    base = offsets[..., 0]
    counts = torch.bincount(base.flatten(), minlength=room + 1)
    assert counts[:2].sum() == 0 and counts[-2:].sum() == 0, "the shift of the channels keeps its distance"
    # 18,000 draws of 18 values: each is expected 1000 times, with a standard deviation of 31
    assert (counts[2:-2] - 1000).abs().max() < 150
    gap = room - base[:, 0] + base[:, 1]  # between the first two tiles of a row
    assert gap.min() <= 6 and gap.max() >= 36
    correlation = np.corrcoef(base.double().numpy().T) - np.eye(9)
    assert np.abs(correlation).max() < 0.1, "tiles lie independently of each other"


def test_channels_of_coloured_tiles_are_shifted_by_chance_and_stay_in_the_cell():
    offsets = _offsets(torch.zeros(2000, dtype=torch.bool), 21, 2, seeded()).view(2000, 9, 3)
    assert offsets.min() == 0 and offsets.max() == 21
    between = offsets[..., 0] - offsets[..., 1]
    assert between.min() == -4 and between.max() == 4
    # an aberration moves channels apart by the place in the image; here the mean is 0 in every place: sd 2/sqrt(2000)
    assert between.double().mean(0).abs().max() < 5 * 2 / 2000**0.5


def test_light_and_contrast_do_not_reach_the_trunk():
    tiles = torch.rand(9, 3, 32, 32, generator=seeded())
    gain = torch.linspace(0.2, 3, 9).view(9, 1, 1, 1) * torch.tensor([0.5, 1.0, 2.0]).view(1, 3, 1, 1)
    other = gain * tiles + torch.linspace(-2, 2, 9).view(9, 1, 1, 1)
    # float32 keeps about 7 digits of values up to 6
    torch.testing.assert_close(_normalised(other), _normalised(tiles), atol=1e-4, rtol=0)
    flat = torch.full((1, 3, 32, 32), 0.3)
    assert _normalised(flat).abs().max() < 1e-3, "a tile without structure stays so"


@pytest.mark.parametrize("size", [32, 64])
def test_means_and_deviations_of_tiles_tell_nothing(size):
    ramp = torch.linspace(20, 200, size)
    images = (ramp[:, None] + 0.2 * ramp[None]).expand(6, 3, -1, -1) + 10 * torch.randn(
        6, 3, size, size, generator=seeded(2)
    )
    tiles = Jigsaw(classes=10).cut(to_network(images.clamp(0, 255).to(torch.uint8)), seeded())
    assert tiles.shape == (54, 3, 32, 32)
    assert tiles.mean((-2, -1)).abs().max() < 1e-4
    assert (tiles.std((-2, -1), correction=0) - 1).abs().max() < 1e-4


def test_an_image_is_mirrored_as_a_whole():
    size = 64
    across = torch.linspace(0, 255, size).expand(32, 3, size, size)
    tiles = Jigsaw(classes=10).cut(to_network(across.to(torch.uint8)), seeded()).view(32, 9, 3, 32, 32)
    rising = (tiles[..., -1].mean((-2, -1)) - tiles[..., 0].mean((-2, -1))) > 0
    assert (rising == rising[:, :1]).all(), "the tiles of an image are mirrored together"
    assert 4 < int(rising[:, 0].sum()) < 28, "about half of the images are mirrored"


def test_grey_images_have_equal_channels():
    images = to_network(noise(200, size=32).images)
    for grey, low, high in ((1.0, 200, 200), (0.66, 105, 159), (0.0, 0, 0)):
        tiles = Jigsaw(classes=10, grey=grey).cut(images, seeded()).view(200, 9, 3, 32, 32)
        same = (tiles - tiles[:, :, :1]).abs().amax((1, 2, 3, 4)) < 1e-4
        assert low <= int(same.sum()) <= high  # 132 expected of 200, with a standard deviation of 6.7


class Knows(nn.Module):
    """Reads off each tile its place, which the width of its stripes tells, and looks the permutation up."""

    def __init__(self, classes):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.table = torch.tensor(permutation_set(classes).astype(np.int64))

    def forward(self, tiles):
        period = torch.fft.rfft(tiles[:, 0].mean(1) * torch.hann_window(tiles.shape[-1])).abs()[:, 1:].argmax(1)
        return period.float()[:, None]

    def solve(self, features):
        ranks = features[..., 0].argsort(1).argsort(1)
        return -(ranks[:, None] != self.table).sum(-1).float()


def test_what_is_shown_is_the_permutation_that_is_asked_for():
    size = 126
    x = torch.arange(size) % 42
    rows = []
    for row in range(3):
        waves = [torch.sin(2 * np.pi * x[:42] * (1 + 3 * row + column) / 32) for column in range(3)]
        rows.append(torch.cat(waves).expand(42, -1))
    images = (127 + 100 * torch.cat(rows)).expand(4, 3, -1, -1).to(torch.uint8)
    task = Jigsaw(classes=50, grey=0.0, channel_shift=0, augmentation=PLAIN)
    measures = task.evaluate(Knows(50), pool_of(images, 2), seeded())
    assert measures == {"accuracy": 1.0, "chance": 1 / 50}


def network_of(task, spec=SMALL):
    return task.network(spec.build(seeded()), seeded())


@pytest.mark.parametrize("name", ["vgg16", "inception_v1", "resnet18", "resnet50"])
def test_every_backbone_takes_the_smallest_images(name):
    task = Jigsaw(classes=12, tile_features=8)
    network = network_of(task, BackboneSpec(name, width=0.125))
    loss, log = task.loss(network, noise(), seeded(), 4)
    loss.backward()
    assert torch.isfinite(loss) and 0 <= log["accuracy"] <= 1
    assert all(p.grad is not None for p in network.parameters())


def test_an_untrained_network_is_near_chance():
    task = Jigsaw(classes=10, tile_features=16)
    network = network_of(task).eval()
    given = figures(320)
    accuracy = np.mean([task.evaluate(network, given, seeded(seed))["accuracy"] for seed in range(4)])
    assert accuracy == pytest.approx(0.1, abs=0.05)  # 1280 answers: a standard deviation of .008


@pytest.mark.parametrize("arrangements", [1, 4])
def test_it_is_learned_on_held_out_subjects(arrangements):
    task = Jigsaw(classes=8, tile_features=32, arrangements=arrangements, augmentation=Augmentation(area=(0.9, 1.0)))
    schedule = Schedule(2, 24, 0.05, "cosine", clip_norm=1.0)
    history = train_pretext(task, figures(), SMALL, schedule, steps_per_epoch=25, held_out_subjects=2, seed=0).history
    assert history[0]["held_out_accuracy"] < 0.35
    assert history[-1]["held_out_accuracy"] > 0.5  # chance is 1/8
    assert all(np.isfinite(list(row.values())).all() for row in history)


def test_nothing_is_learned_from_images_without_structure():
    task = Jigsaw(classes=8, tile_features=32)
    schedule = Schedule(1, 24, 0.05, "cosine", clip_norm=1.0)
    given = noise(360, n_subjects=6)
    result = train_pretext(task, given, SMALL, schedule, steps_per_epoch=25, held_out_subjects=3, seed=0)
    assert result.history[-1]["held_out_accuracy"] < 0.25  # 180 answers at 1/8: a standard deviation of .025


def test_same_seed_same_weights_and_the_pool_is_left_alone():
    task = Jigsaw(classes=12, tile_features=8)
    given = noise()
    kept = given.images.clone()
    schedule = Schedule(1, 8, 0.02, "cosine", clip_norm=1.0)
    first, second = (
        train_pretext(task, given, SMALL, schedule, steps_per_epoch=2, held_out_subjects=2, seed=3) for _ in range(2)
    )
    assert first.history == second.history
    assert all(torch.equal(first.state[key], second.state[key]) for key in first.state)
    assert torch.equal(given.images, kept)


def test_the_description_tells_hyper_parameters_apart():
    described = Jigsaw(classes=30).description()
    assert described["task"] == "jigsaw" and described["classes"] == 30
    assert {field.name for field in dataclasses.fields(Jigsaw)} <= set(described)


@pytest.mark.parametrize(
    "bad",
    [
        {"classes": 1},
        {"tile_features": 0},
        {"grey": 1.5},
        {"channel_shift": 11},
        {"arrangements": 0},
        {"classes": 10, "arrangements": 11},
    ],
)
def test_bad_settings_are_refused(bad):
    with pytest.raises(ValueError, match=next(reversed(bad))):
        Jigsaw(**bad)
