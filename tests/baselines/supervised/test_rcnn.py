"""RCNN: the image that it makes of a clip, clips of other lengths, and that it learns what moves."""

import json
import pickle

import numpy as np
import pytest
import torch

from baselines.features.frames import Pictures
from baselines.supervised.rcnn import RCNN
from repro.data.features import ClipSet, Moments
from repro.learning.augmentation import Augmentation

TINY = {"frames": 8, "size": 16, "channels": (4, 8), "epochs": 3, "batch_size": 8}


def of_pictures(values, counts):
    """Return clips that have these pictures."""
    spans = np.concatenate([np.stack([np.arange(n), np.arange(n) + 1], 1) for n in counts])
    made = Moments(values, np.asarray(counts), spans)
    return ClipSet([f"v{i}:0-{n}" for i, n in enumerate(counts)], ["s0"] * len(counts), lambda extractor: made)


def some_pictures(count, size=16):
    return np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8)


def image(system, values, rows, *, length=1, **options):
    """Return what the system sees of pictures that show so many frames each."""
    spans = np.arange(len(values))[:, None] + (0, length)
    return system._images(Moments(values, np.array([len(values)]), spans), np.asarray(rows), None, **options)


def test_what_it_asks_for_and_how_it_is_described():
    assert RCNN(frames=9, size=40).extractors() == (Pictures(frames=9, size=40),)
    assert RCNN().describe()["steps"] == 3 and RCNN().contrast is False
    json.dumps(RCNN().describe())


def test_rows_of_the_image_are_pictures_row_by_row():
    values = some_pictures(5)
    made = image(RCNN(frames=3, size=16), values, [[4, 0, 0]])
    assert made.shape == (1, 3, 3, 256)
    expected = values[[4, 0, 0]].astype(np.float64) / 127.5 - 1
    np.testing.assert_allclose(made[0].reshape(3, 3, 16, 16).transpose(0, 1), expected, atol=1e-6)
    mirrored = image(RCNN(frames=3, size=16), values, [[4, 0, 0]], mirrored=True)
    np.testing.assert_allclose(mirrored[0].reshape(3, 3, 16, 16).transpose(0, 1), expected[..., ::-1], atol=1e-6)


def test_contrast_is_what_differs_from_the_mean_of_a_clip():
    values = some_pictures(4)
    plain, contrast = (image(RCNN(frames=4, contrast=c), values, [[0, 1, 2, 3]]) for c in (False, True))
    torch.testing.assert_close(contrast, plain - plain.mean(2, keepdim=True))
    still = image(RCNN(frames=4, contrast=True), values, [[1, 1, 1, 1]])
    assert still.abs().max() < 1e-6, "nothing is left of a face that does not move"
    maps = image(RCNN(frames=4, contrast=True), values, [[0, 1, 2, 3]], length=20)
    torch.testing.assert_close(maps, plain, msg="maps are left as they are")


def test_the_pictures_of_a_clip_are_augmented_alike():
    values = some_pictures(1)
    moments = Moments(values, np.array([1]), np.array([[0, 1]]))
    system = RCNN(frames=4, augmentation=Augmentation(area=(0.5, 0.6)))
    made = system._images(moments, np.zeros((3, 4), np.int64), torch.Generator().manual_seed(0))
    torch.testing.assert_close(made, made[:, :, :1].expand_as(made))
    assert (made[0] - made[1]).abs().max() > 0.1


@pytest.mark.parametrize("kind", ["RGB", "SSD(RGB)"])
def test_the_level_of_an_unseen_person_is_learned_from_what_moves(drawn, kind):
    clips, levels, groups = drawn(kind, subjects=6)
    train, test = (np.flatnonzero(np.isin(groups, ["s4", "s5"]) == held_out) for held_out in (False, True))
    system = RCNN(**{**TINY, "contrast": kind == "RGB", "epochs": 30, "learning_rate": 3e-3})
    predicted = system.fit(clips.select(train), levels[train], groups[train]).predict(clips.select(test))
    assert np.corrcoef(predicted, levels[test])[0, 1] > 0.6
    assert np.mean((predicted - levels[test]) ** 2) < np.var(levels[test])


@pytest.mark.parametrize("kind", ["RGB", "SSD(RGB)"])
def test_it_is_deterministic_and_picklable_and_tells_of_progress(drawn, kind):
    clips, levels, groups = drawn(kind)
    told = []
    torch.manual_seed(11)
    state = torch.random.get_rng_state()
    first, second = (
        RCNN(**TINY).run_with(seed=4, report=lambda share, message: told.append(share)).fit(clips, levels, groups)
        for _ in range(2)
    )
    assert torch.equal(torch.random.get_rng_state(), state), "the global generator is left alone"
    scores = first.predict_proba(clips)
    assert scores.shape == (24, 4) and np.isfinite(scores).all()
    np.testing.assert_array_equal(second.predict_proba(clips), scores)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(first)).predict_proba(clips), scores)
    half = told[: len(told) // 2]
    assert half == sorted(half) and half[-1] == 1
    other = RCNN(**TINY).run_with(seed=5).fit(clips, levels, groups)
    assert not np.array_equal(other.predict_proba(clips), scores)


def test_clips_of_other_lengths_are_predicted(drawn):
    clips, levels, groups = drawn()
    system = RCNN(**TINY).fit(clips, levels, groups)
    values = clips.features(system.extractors()[0]).values
    several = system.predict(of_pictures(values[:17], [1, 3, 13]))
    assert np.isfinite(several).all()
    repeated = system.predict(of_pictures(np.repeat(values[1:4], [3, 2, 3], axis=0), [8]))
    np.testing.assert_allclose(repeated, several[1], atol=1e-5)  # each of three fills its share of eight rows
    alone = [system.predict(of_pictures(values[a:b], [b - a]))[0] for a, b in ((0, 1), (1, 4), (4, 17))]
    np.testing.assert_allclose(alone, several, atol=1e-5)  # float32


def test_time_counts_and_left_and_right_do_not(drawn):
    clips, levels, groups = drawn()
    system = RCNN(**TINY).fit(clips, levels, groups)
    values = clips.select(np.array([3])).features(system.extractors()[0]).values  # the first with the highest level
    plain, mirrored, moved = (
        system.predict(of_pictures(v, [8])) for v in (values, values[..., ::-1].copy(), np.roll(values, 3, axis=0))
    )
    np.testing.assert_allclose(plain, mirrored, atol=1e-5)
    assert abs(plain - moved) > 1e-3
