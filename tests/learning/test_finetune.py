"""Fine-tuning: learns what can be learned, nothing from shuffled labels, and is reproducible."""

import numpy as np
import pytest
import torch

from repro.learning.augmentation import Augmentation
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
