"""Order prediction: classes and tuples; shortcuts that are closed; that it is learned."""

import dataclasses
from itertools import permutations

import numpy as np
import pytest
import torch
from torch import nn

from baselines.selfsup.opn import OPN, ORDERS
from baselines.selfsup.sub_clips import SubClips
from repro.learning.augmentation import Augmentation
from repro.learning.pretext import BackboneSpec, PretextPool, train_pretext
from repro.learning.schedule import Schedule

SMALL = BackboneSpec("resnet18", width=0.125, stem="imagenet")
PLAIN = Augmentation(area=(1.0, 1.0), aspect=1.0, flip=False)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pool_of(images, length, n_subjects, motion=None):
    """Return a pool of videos of so many sub-clips each."""
    n = len(images)
    videos = np.array([f"v{i // length}" for i in range(n)])
    subjects = np.array([f"s{i // length * n_subjects // (n // length)}" for i in range(n)])
    motion = np.ones(n, np.float32) if motion is None else motion
    return PretextPool(images, videos, videos, subjects, numbers={"motion": motion})


def growing(n_videos=40, length=10, size=32, n_subjects=8):
    """A disc that grows or shrinks through each video, from one size to another, before a face of its own."""
    generator = seeded(1)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    images = []
    for video in range(n_videos):
        face = 100 + 25 * torch.randn(3, size // 8, size // 8, generator=seeded(video * n_subjects // n_videos))
        face = nn.functional.interpolate(face[None], size, mode="bilinear")[0]
        radii = (
            torch.linspace(2, 13, length)
            if torch.rand((), generator=generator) < 0.5
            else torch.linspace(13, 2, length)
        )
        centre = size / 2 + 4 * torch.rand(2, generator=generator) - 2
        for radius in radii:
            disc = (y - centre[0]).square() + (x - centre[1]).square() < radius**2
            image = torch.where(disc, 220.0, face) + 5 * torch.randn(3, size, size, generator=generator)
            images.append(image.clamp(0, 255).to(torch.uint8))
    return pool_of(torch.stack(images), length, n_subjects)


def test_its_material_measures_motion_as_it_is_told():
    assert OPN(flow="tvl1").material() == SubClips("tvl1")


def test_the_classes_are_all_orders_up_to_reversal():
    published = "1234 1324 1342 1243 1423 1432 2134 2143 2314 3124 3142 3214"
    assert [tuple(int(digit) - 1 for digit in order) for order in published.split()] == list(ORDERS)
    both = [*ORDERS, *(order[::-1] for order in ORDERS)]
    assert len(set(both)) == 24 and set(both) == set(permutations(range(4)))


@pytest.mark.parametrize("spacing", [2, 3])
def test_tuples_stay_in_one_video_in_the_order_of_time(spacing):
    given = pool_of(torch.zeros(36, 3, 32, 32, dtype=torch.uint8), 12, 3)
    tuples, weights = OPN(spacing=spacing).tuples(given)
    expected = [
        [12 * video + start + spacing * k for k in range(4)] for video in range(3) for start in range(12 - 3 * spacing)
    ]
    assert tuples.tolist() == expected
    assert weights.tolist() == pytest.approx([1 / len(expected)] * len(expected))


def test_a_tuple_is_drawn_by_its_motion_and_none_is_impossible():
    motion = np.array([0, 0, 0, 0, 0, 0, 0, 4, 2, 4], np.float32)
    given = pool_of(torch.zeros(10, 3, 32, 32, dtype=torch.uint8), 10, 1, motion)
    tuples, weights = OPN().tuples(given)
    assert tuples[:, 3].tolist() == [6, 7, 8, 9]
    raw = np.array([0.25, 4, 2, 8])  # the sums 0, 4, 2, 4 + 4, and a floor of a tenth of their mean, 3.5
    raw[0] = 0.35
    np.testing.assert_allclose(weights, raw / raw.sum())
    still = dataclasses.replace(given, numbers={"motion": np.zeros(10, np.float32)})
    np.testing.assert_allclose(OPN().tuples(still)[1], 0.25)


def test_pools_that_cannot_be_used_are_refused():
    given = growing(2, 7, n_subjects=2)
    for numbers in ({}, {"motion": np.full(14, np.nan, np.float32)}, {"motion": np.full(14, -1, np.float32)}):
        with pytest.raises(ValueError, match="motion"):
            OPN().tuples(dataclasses.replace(given, numbers=numbers))
    assert len(OPN().tuples(given)[0]) == 2
    with pytest.raises(ValueError, match="no source has the 10 images"):
        OPN(spacing=3).tuples(given)


def coordinates(count, size=64):
    """Images whose channels all hold x (first half of the tuples) or y, from -1 to 1 over the pixels' centres."""
    line = (torch.arange(size) + 0.5) * 2 / size - 1
    across = line.expand(size, size)
    half = torch.stack([across, across.T]).repeat_interleave(4 * count, 0)
    return half[:, None].expand(-1, 3, -1, -1)


def test_crops_of_a_tuple_are_shared_up_to_their_jitter_and_stay_in_the_image():
    size, count, jitter = 64, 200, 5 / 80
    for axis in (0, 1):
        task = OPN(jitter=jitter, augmentation=Augmentation(area=(0.7, 1.0)))
        images = coordinates(count, size)[4 * count * axis :][: 4 * count]
        shown = task.show(images, seeded(axis))[:, 0].view(count, 4, size, size)
        first, last = shown[:, :, 8, 8], shown[:, :, -9, -9]  # away from the edge, where pixels end
        side = (last - first).abs() * size / (size - 17)
        centre = (last + first) / 2
        torch.testing.assert_close(side, side[:, :1].expand(-1, 4), atol=1e-4, rtol=0)
        offset = (centre - centre.mean(1, keepdim=True)) / side  # as a share of the crop's side
        apart = centre.amax(1) - centre.amin(1)
        assert (apart / side[:, 0] <= 2 * jitter + 1e-4).all(), "5 of 80 pixels to either side"
        assert (apart / side[:, 0]).max() > 1.5 * jitter and offset.abs().mean() > 0.2 * jitter
        assert (centre.abs() + side / 2 <= 1 + 1e-4).all(), "nothing beyond the image is seen"
        if axis == 0:
            mirrored = last < first
            assert (mirrored == mirrored[:, :1]).all() and 60 < int(mirrored[:, 0].sum()) < 140


def test_one_channel_of_a_tuple_is_left():
    images = torch.tensor([-0.5, 0.0, 0.5]).view(1, 3, 1, 1).expand(400, 3, 32, 32)
    shown = OPN().show(images, seeded())
    assert shown.shape == images.shape
    assert (shown == shown[:, :1]).all()
    value = shown[:, 0, 0, 0].view(100, 4)
    assert (value - value[:, :1]).abs().max() < 1e-6, "it is the same of all four"
    counts = torch.bincount((2 * value[:, 0] + 1).round().long(), minlength=3)
    assert counts.min() > 15  # 33 expected of each, with a standard deviation of 4.7


class ByFeature(nn.Module):
    """Sorts the images of a tuple by one number that is read off each; knows the shortcut and nothing else."""

    def __init__(self, read):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.read = read

    def forward(self, images):
        return self.read(images).unflatten(0, (-1, 4))[..., None]

    def order(self, features):
        values = features[..., 0]
        classes = torch.tensor([*ORDERS, *(order[::-1] for order in ORDERS)])
        ranks = values.argsort(1).argsort(1)  # the place in time of each image that is shown, if values grow
        return -(ranks[:, None] - classes).abs().sum(-1).view(len(values), 2, 12).amin(1).float()


def centroid(images):
    weight = images[:, 0].clamp(min=-0.5) + 0.5
    return (weight.sum(1) * torch.arange(images.shape[-1])).sum(1) / weight.sum((1, 2))


def test_who_knows_the_time_knows_the_order_and_who_knows_nothing_scores_chance():
    images = torch.arange(20, 240, 20, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 32, 32).repeat(4, 1, 1, 1)
    given = pool_of(images, 11, 4)
    light = ByFeature(lambda shown: shown.mean((1, 2, 3)))
    measures = OPN().evaluate(light, given, seeded())
    assert measures == {"accuracy": 1.0, "chance": 1 / 12, "standard_error": 0.0}
    nothing = ByFeature(lambda shown: torch.zeros(len(shown)))
    measures = OPN().evaluate(nothing, given, seeded())
    assert measures["accuracy"] == pytest.approx(1 / 12, abs=1e-12), "every class is as frequent as any other"


def test_a_drift_of_position_cannot_be_followed():
    size, length, n_videos = 64, 10, 60
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    images = torch.stack(
        [
            255 * torch.exp(-((x - 30 - 0.3 * step).square() + (y - 32).square()) / 72)
            for _ in range(n_videos)
            for step in range(length)
        ]
    )
    given = pool_of(images[:, None].expand(-1, 3, -1, -1).to(torch.uint8), length, 6)
    accuracy = {
        jitter: OPN(jitter=jitter, augmentation=PLAIN).evaluate(ByFeature(centroid), given, seeded())["accuracy"]
        for jitter in (0.0, 5 / 80)
    }
    assert accuracy[0.0] > 0.95
    # 0.6 pixels from image to image against 4 to either side; 180 tuples: a standard error of .02
    assert accuracy[5 / 80] < 1 / 12 + 0.06


def test_a_drift_of_colour_cannot_be_followed():
    tint = torch.linspace(-60, 60, 10)
    images = torch.stack([128 + tint, 128 - tint, 128 + 0 * tint], dim=1)[:, :, None, None].expand(-1, -1, 32, 32)
    given = pool_of(images.repeat(30, 1, 1, 1).to(torch.uint8), 10, 6)
    hue = ByFeature(lambda shown: (shown[:, 0] - shown[:, 1]).mean((-2, -1)))
    assert OPN().evaluate(hue, given, seeded())["accuracy"] < 1 / 12 + 0.02


def test_centring_removes_who_is_shown():
    network = OPN(centred=True).network(SMALL.build(seeded()), seeded()).eval()
    network.backbone = nn.Flatten()
    network.head = nn.Linear(12, 1024)
    images = torch.rand(8, 3, 2, 2, generator=seeded())
    person = torch.rand(2, 1, 3, 2, 2, generator=seeded(1)).expand(-1, 4, -1, -1, -1).flatten(0, 1)
    torch.testing.assert_close(network(images + 5 * person), network(images), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["vgg16", "inception_v1", "resnet18", "resnet50"])
def test_every_backbone_takes_the_smallest_images(name):
    task = OPN(features=16, comparison=8, orders=3)
    network = task.network(BackboneSpec(name, width=0.125).build(seeded()), seeded())
    loss, log = task.loss(network, growing(4, 8, n_subjects=2), seeded(), 16)
    loss.backward()
    assert torch.isfinite(loss) and 0 <= log["accuracy"] <= 1
    assert all(p.grad is not None for p in network.parameters())


def test_an_untrained_network_is_near_chance():
    task = OPN(features=32, comparison=32)
    network = task.network(SMALL.build(seeded()), seeded()).eval()
    measures = task.evaluate(network, growing(), seeded())
    assert abs(measures["accuracy"] - 1 / 12) < 0.03


@pytest.mark.parametrize("centred", [True, False])
def test_it_is_learned_on_held_out_subjects(centred):
    task = OPN(features=64, comparison=64, dropout=0.1, orders=12, centred=centred)
    schedule = Schedule(1, 64, 0.1, "cosine", clip_norm=1.0)
    history = train_pretext(task, growing(), SMALL, schedule, steps_per_epoch=60, held_out_subjects=2, seed=0).history
    after = history[-1]
    assert history[0]["held_out_accuracy"] < 0.12
    assert after["held_out_accuracy"] > 1 / 12 + 4 * after["held_out_standard_error"]
    assert after["held_out_accuracy"] > 0.25  # .51 and .34 where this was written
    assert all(np.isfinite(list(row.values())).all() for row in history)


def test_same_seed_same_weights_and_the_pool_is_left_alone():
    task = OPN(features=16, comparison=16)
    given = growing(8, 8, n_subjects=4)
    kept = given.images.clone()
    schedule = Schedule(1, 16, 0.02, "cosine", clip_norm=1.0)
    first, second = (
        train_pretext(task, given, SMALL, schedule, steps_per_epoch=2, held_out_subjects=2, seed=3) for _ in range(2)
    )
    assert first.history == second.history
    assert all(torch.equal(first.state[key], second.state[key]) for key in first.state)
    assert torch.equal(given.images, kept)


def test_the_description_tells_hyper_parameters_apart():
    described = OPN(orders=3).description()
    assert described["task"] == "opn" and described["orders"] == 3
    assert {field.name for field in dataclasses.fields(OPN)} <= set(described)


@pytest.mark.parametrize(
    "bad",
    [
        {"features": 0},
        {"comparison": 0},
        {"dropout": 1.0},
        {"jitter": -0.1},
        {"spacing": 1},
        {"orders": 0},
        {"orders": 13},
    ],
)
def test_bad_settings_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        OPN(**bad)
