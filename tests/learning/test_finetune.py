"""Fine-tuning: learns what can be learned, nothing from shuffled labels, and is reproducible."""

import dataclasses

import numpy as np
import pytest
import torch

from repro.learning.augmentation import Augmentation, to_network
from repro.learning.finetune import FineTuning, fine_tune, predict
from repro.learning.metrics import auc
from repro.learning.pretext import BackboneSpec
from repro.learning.schedule import Schedule

SETTINGS = FineTuning(BackboneSpec("resnet18", width=0.125), Schedule(6, 16, 0.02, "cosine"))


def bars(n, seed):
    """Noise images; those of level 2 have a bright bar somewhere in the middle."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(60, 140, (n, 3, 32, 32), generator=generator, dtype=torch.uint8)
    levels = np.arange(n) % 2 * 2
    for i in np.flatnonzero(levels):
        row = int(torch.randint(10, 20, (), generator=generator))
        images[i, :, row : row + 4] = 230
    return images, levels


@pytest.fixture(scope="module")
def learned():
    images, levels = bars(96, 0)
    return fine_tune(images, levels, 3, SETTINGS, seed=1)


def test_a_visible_difference_is_learned(learned):
    images, levels = bars(60, 1)
    scores = predict(learned, images)
    assert scores.shape == (60, 3) and scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)  # float32 softmax
    assert auc(levels == 2, scores[:, 2]) > 0.95


def test_same_seed_same_predictions(learned):
    images, levels = bars(96, 0)
    again = fine_tune(images, levels, 3, SETTINGS, seed=1)
    test = bars(20, 2)[0]
    np.testing.assert_array_equal(predict(learned, test), predict(again, test))
    other = fine_tune(images, levels, 3, SETTINGS, seed=2)
    assert not np.array_equal(predict(learned, test), predict(other, test))


def test_predictions_do_not_depend_on_the_batch(learned):
    test = bars(20, 2)[0]
    np.testing.assert_allclose(predict(learned, test), predict(learned, test, batch_size=3), atol=1e-5)


def test_a_clip_of_several_images_is_learned_and_predicted_by_their_mean(learned):
    images, levels = bars(96, 0)
    views = torch.stack([images, images.flip(-1), images], dim=1)
    scores = predict(fine_tune(views, levels, 3, SETTINGS, seed=1), bars(60, 1)[0])
    assert auc(bars(60, 1)[1] == 2, scores[:, 2]) > 0.95
    test = bars(12, 2)[0].unflatten(0, (6, 2))
    expected = predict(learned, test.flatten(0, 1)).reshape(6, 2, 3).mean(1)
    np.testing.assert_allclose(predict(learned, test), expected, atol=1e-6)  # float32 means


def test_an_update_sees_one_image_of_each_clip_and_all_in_turn(learned):
    images, levels = bars(96, 0)
    blank = torch.full_like(images, 100)
    # the image that tells is one of two: half of the updates see it, so the network still learns it
    scores = predict(fine_tune(torch.stack([blank, images], 1), levels, 3, SETTINGS, seed=1), bars(60, 1)[0])
    assert auc(bars(60, 1)[1] == 2, scores[:, 2]) > 0.8


def test_few_clips_are_seen_in_as_many_updates():
    images, levels = bars(24, 0)
    steps = []
    settings = FineTuning(SETTINGS.backbone, Schedule(3, 16, 0.02, "cosine"), min_updates=10)
    fine_tune(images, levels, 3, settings, seed=0, report=lambda done, message: steps.append(message.split()[1]))
    assert steps == [f"{i}/12" for i in range(1, 13)], "3 epochs of 4 passes of 1 update are the first to reach 10"


def test_pretext_weights_are_loaded():
    images, levels = bars(32, 0)
    one_step = FineTuning(SETTINGS.backbone, Schedule(1, 32, 1e-12, "paper"), Augmentation())
    state = SETTINGS.backbone.build(torch.Generator().manual_seed(77)).state_dict()
    network = fine_tune(images, levels, 3, one_step, seed=1, state=state)
    for name, value in network.backbone.named_parameters():
        torch.testing.assert_close(value, state[name], atol=1e-9, rtol=0)


def test_balancing_draws_rare_levels_as_often():
    images, levels = bars(200, 0)
    rare = np.where(np.arange(200) % 10 == 0, 1, 0)  # one in ten, whatever the image shows

    def mean_probability(balance):
        settings = FineTuning(SETTINGS.backbone, Schedule(2, 20, 0.005, "cosine"), balance=balance)
        return predict(fine_tune(images, rare, 2, settings, seed=0), bars(50, 1)[0])[:, 1].mean()

    # labels that the image does not tell are answered with the frequency that was drawn: about 1/10 and 1/2
    assert mean_probability(0.0) < 0.25
    assert mean_probability(1.0) > 0.35


@pytest.mark.parametrize(
    ("levels", "message"),
    [(np.zeros(8, int), "two levels"), (np.arange(8), "0..2"), (np.arange(7) % 2, "one level for each")],
)
def test_unusable_labels_are_refused(levels, message):
    with pytest.raises(ValueError, match=message):
        fine_tune(torch.zeros(8, 3, 32, 32, dtype=torch.uint8), levels, 3, SETTINGS, seed=0)


DEEP = FineTuning(BackboneSpec("resnet18", width=0.125, dims=3), Schedule(6, 16, 0.02, "cosine"))


def directions(n, seed):
    """Clips of four frames of a bar that moves up (level 0) or down (level 1): no frame by itself tells which."""
    generator = torch.Generator().manual_seed(seed)
    clips = torch.randint(60, 140, (n, 4, 3, 32, 32), generator=generator, dtype=torch.uint8)
    levels = np.arange(n) % 2
    for i, level in enumerate(levels):
        first = int(torch.randint(12, 17, (), generator=generator))
        for t in range(4):
            row = first + 4 * (t if level else 3 - t) - 6
            clips[i, t, :, row : row + 4] = 230
    return clips, levels


def test_a_3d_network_learns_the_order_of_frames():
    clips, levels = directions(96, 0)
    network = fine_tune(clips, levels, 2, DEEP, seed=1)
    test, truth = directions(40, 1)
    scores = predict(network, test)
    assert scores.shape == (40, 2) and scores.dtype == np.float32
    assert auc(truth, scores[:, 1]) > 0.9
    assert auc(truth, predict(network, test.flip(1))[:, 1]) < 0.1
    np.testing.assert_array_equal(scores, predict(fine_tune(clips, levels, 2, DEEP, seed=1), test))
    np.testing.assert_allclose(scores, predict(network, test, batch_size=9), atol=1e-5)  # two clips at a time


def test_a_3d_network_is_given_every_frame_cropped_and_mirrored_alike(monkeypatch):
    ramp = torch.linspace(20, 220, 32).to(torch.uint8).expand(8, 3, 3, 32, 32).clone()
    ramp[:, 1] += 10
    ramp[:, 2] += 20
    given = []

    def network(self, images):
        given.append(images)
        return self.head(images.mean((2, 3, 4)) @ torch.zeros(3, self.head.in_features))

    monkeypatch.setattr("repro.learning.finetune._Classifier.forward", network)
    once = FineTuning(DEEP.backbone, Schedule(1, 8, 1e-9, "paper"), Augmentation((0.3, 0.9), 1.3))
    trained = fine_tune(ramp, np.arange(8) % 2, 2, once, seed=0)
    (volumes,) = given
    assert volumes.shape == (8, 3, 3, 32, 32)
    for step in (1, 2):  # frames differ by so many grey levels everywhere, whatever the crop of the clip
        expected = torch.full_like(volumes[:, :, 0], 10 * step / 127.5)
        torch.testing.assert_close(volumes[:, :, step] - volumes[:, :, 0], expected, atol=1e-5, rtol=0)
    rising = (volumes[:, 0, 0, 16, -1] > volumes[:, 0, 0, 16, 0]).tolist()
    assert len({float(v[0, 0, 16, 0]) for v in volumes}) == 8 and set(rising) == {True, False}, "clips differ"
    given.clear()
    predict(trained, ramp, batch_size=7)
    assert [v.shape[0] for v in given] == [2] * 8, "two clips of three frames, and their mirror images"
    whole = to_network(ramp).transpose(1, 2)
    assert torch.equal(torch.cat(given[::2]), whole) and torch.equal(torch.cat(given[1::2]), whole.flip(-1))


def test_a_3d_network_takes_no_single_images_and_no_2d_weights(learned):
    images, levels = bars(16, 0)
    with pytest.raises(ValueError, match=r"\(N, V, 3, H, W\), got shape \(16, 3, 32, 32\)"):
        fine_tune(images, levels, 3, DEEP, seed=0)
    clips = images.unflatten(0, (4, 4))
    state = learned.backbone.state_dict()
    with pytest.raises(ValueError, match="no 3D resnet18"):
        fine_tune(clips, levels[:4], 3, DEEP, seed=0, state=state)
    short = FineTuning(DEEP.backbone, Schedule(1, 4, 0.01))
    with pytest.raises(ValueError, match="3D network takes the frames"):
        predict(fine_tune(clips, levels[:4], 3, short, seed=0), images)


def test_updates_are_counted_as_they_are_made():
    images, levels = bars(40, 0)
    for schedule, least in ((Schedule(2, 16, 1e-3), 0), (Schedule(3, 8, 1e-3), 20), (Schedule(1, 64, 1e-3), 3)):
        settings, steps = FineTuning(SETTINGS.backbone, schedule, min_updates=least), []
        fine_tune(images, levels, 3, settings, seed=0, report=lambda *told, steps=steps: steps.append(told))
        assert settings.updates(40) == len(steps)


def test_a_2d_network_is_described_as_before_there_were_3d_ones():
    told = SETTINGS.describe()
    assert told["backbone"] == {"name": "resnet18", "width": 0.125, "stem": "imagenet"}
    assert {**told, "backbone": {**told["backbone"], "dims": 2}} == dataclasses.asdict(SETTINGS)
    assert DEEP.describe()["backbone"]["dims"] == 3


@pytest.mark.parametrize(("dims", "layout"), [(2, torch.channels_last), (3, torch.channels_last_3d)])
def test_a_backbone_lies_in_memory_as_its_convolutions_like(dims, layout):
    spec = BackboneSpec("resnet18", width=0.125, dims=dims)
    network = spec.build(torch.Generator().manual_seed(0))
    first = next(network.parameters())
    assert first.ndim == dims + 2 and first.is_contiguous(memory_format=layout)
    assert network.dims == dims
