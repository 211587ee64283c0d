"""LSTM: what its CNN learns from, standardised features, sequences of many lengths, and that it learns what moves."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from baselines.features.frames import Pictures
from baselines.supervised import lstm as module
from baselines.supervised.lstm import LSTM, SequenceRegressor
from repro.data.features import ClipSet, Moments
from repro.learning.augmentation import Augmentation
from repro.learning.finetune import FineTuning
from repro.learning.pretext import BackboneSpec
from repro.learning.schedule import Schedule


def cnn(epochs=1, **options):
    schedule = Schedule(epochs, 16, 0.02, "cosine", clip_norm=1.0)
    return FineTuning(BackboneSpec("resnet18", 0.125), schedule, Augmentation((0.8, 1.0), 1.1), **options)


TINY = {"frames": 6, "size": 32, "cnn": cnn(), "units": 8, "epochs": 3, "batch_size": 8}


def of_pictures(values, counts):
    """Return clips that have these pictures."""
    spans = np.concatenate([np.stack([np.arange(n), np.arange(n) + 1], 1) for n in counts])
    made = Moments(values, np.asarray(counts), spans)
    return ClipSet([f"v{i}:0-{n}" for i, n in enumerate(counts)], ["s0"] * len(counts), lambda extractor: made)


def test_what_it_asks_for_and_how_it_is_described():
    assert LSTM(frames=9, size=40).extractors() == (Pictures(frames=9, size=40),)
    described = LSTM().describe()
    assert described["units"] == 256 and described["contrast"] is False
    assert described["cnn"]["backbone"]["name"] == "resnet50"
    json.dumps(described)


def test_pictures_too_small_for_the_cnn_are_refused():
    with pytest.raises(ValueError, match="size 16 is too small"):
        LSTM(size=16)


def test_the_regressor_reads_the_last_step_of_each_sequence():
    torch.manual_seed(0)
    made = SequenceRegressor(5, 4, dropout=0.0)
    sequences = torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([6, 1, 3])
    for sequence, length, answer in zip(sequences, lengths, made(sequences, lengths), strict=True):
        last = made.lstm(sequence[:length])[0][-1]
        torch.testing.assert_close(answer, made.output(last)[0])


@pytest.mark.parametrize("known", [True, False])
def test_the_cnn_learns_the_levels_of_frames_or_of_clips(drawn, known, monkeypatch):
    clips, levels, groups = drawn(known=known)
    seen = []
    train = module.fine_tune

    def spy(images, targets, *args, **kwargs):
        seen.append((images, targets))
        return train(images, targets, *args, **kwargs)

    monkeypatch.setattr(module, "fine_tune", spy)
    LSTM(**TINY).fit(clips, levels, groups)
    ((images, targets),) = seen
    assert images.shape == (24 * 6, 3, 32, 32) and images.dtype == torch.uint8
    if known:
        middles = 2 + 4 * np.arange(6)
        np.testing.assert_array_equal(targets.reshape(24, 6), [own[middles] for own in clips.frame_levels])
    else:
        np.testing.assert_array_equal(targets, np.repeat(levels, 6))


def test_the_cnn_learns_the_levels_of_clips_where_those_of_all_frames_are_alike(drawn):
    clips, levels, groups = drawn()
    unmoved = ClipSet(clips.ids, clips.subjects, clips.features, [np.zeros(24, np.int64)] * len(clips))
    assert np.isfinite(LSTM(**TINY).fit(unmoved, levels, groups).predict(clips)).all()


def test_features_are_standardised_by_those_of_training(drawn):
    clips, levels, groups = drawn()
    system = LSTM(**TINY).fit(clips, levels, groups)
    moments = clips.features(system.extractors()[0])
    scores = torch.cat(system._sequences(system._describe(system._pictures(moments)), moments), dim=1).flatten(0, 1)
    varying = system.spread_ > 1e-6
    assert varying.float().mean() > 0.5
    torch.testing.assert_close(scores[:, varying].mean(0), torch.zeros(int(varying.sum())), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        scores[:, varying].std(0, correction=0), torch.ones(int(varying.sum())), atol=1e-3, rtol=0
    )


def test_contrast_is_what_differs_from_the_mean_of_a_clip():
    values = np.random.default_rng(0).integers(60, 120, (5, 3, 32, 32), dtype=np.uint8)
    before = values.copy()
    moments = of_pictures(values, [2, 3]).features(Pictures())
    shown = LSTM(contrast=True)._pictures(moments).numpy().astype(np.float64)
    for clip in (slice(0, 2), slice(2, 5)):
        np.testing.assert_allclose(shown[clip] - 128, values[clip] - values[clip].mean(axis=0), atol=0.5001)  # rounded
    np.testing.assert_array_equal(values, before)
    np.testing.assert_array_equal(LSTM()._pictures(moments).numpy(), values)
    maps = replace(moments, spans=moments.spans + (0, 19))
    np.testing.assert_array_equal(LSTM(contrast=True)._pictures(maps).numpy(), values, "maps are left as they are")
    extreme = np.stack([np.zeros((3, 32, 32)), np.full((3, 32, 32), 255), np.full((3, 32, 32), 255)]).astype(np.uint8)
    shown = LSTM(contrast=True)._pictures(of_pictures(extreme, [3]).features(Pictures()))
    assert shown[0].unique().tolist() == [0] and shown[1].unique().tolist() == [213]  # 128 - 170 is cut off


@pytest.mark.parametrize("kind", ["RGB", "SSD(RGB)"])
def test_the_level_of_an_unseen_person_is_learned_from_what_moves(drawn, kind):
    clips, levels, groups = drawn(kind, subjects=6)
    train, test = (np.flatnonzero(np.isin(groups, ["s4", "s5"]) == held_out) for held_out in (False, True))
    options = {"contrast": kind == "RGB", "cnn": cnn(4 if kind == "RGB" else 12), "epochs": 25, "learning_rate": 3e-3}
    system = LSTM(**{**TINY, **options})
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
        LSTM(**TINY).run_with(seed=4, report=lambda share, message: told.append(share)).fit(clips, levels, groups)
        for _ in range(2)
    )
    assert torch.equal(torch.random.get_rng_state(), state), "the global generator is left alone"
    scores = first.predict_proba(clips)
    assert scores.shape == (24, 4) and np.isfinite(scores).all()
    np.testing.assert_array_equal(second.predict_proba(clips), scores)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(first)).predict_proba(clips), scores)
    half = told[: len(told) // 2]
    assert half == sorted(half) and half[-1] == pytest.approx(1)
    other = LSTM(**TINY).run_with(seed=5).fit(clips, levels, groups)
    assert not np.array_equal(other.predict_proba(clips), scores)


def test_clips_of_other_lengths_do_not_disturb_each_other(drawn):
    clips, levels, groups = drawn()
    system = LSTM(**TINY).fit(clips, levels, groups)
    values = clips.features(system.extractors()[0]).values
    several = system.predict(of_pictures(values[:12], [1, 3, 8]))
    alone = [system.predict(of_pictures(values[a:b], [b - a]))[0] for a, b in ((0, 1), (1, 4), (4, 12))]
    np.testing.assert_allclose(alone, several, atol=1e-5)  # float32


def test_time_counts_and_left_and_right_do_not(drawn):
    clips, levels, groups = drawn()
    system = LSTM(**TINY).fit(clips, levels, groups)
    values = clips.select(np.array([3])).features(system.extractors()[0]).values  # the first with the highest level
    plain, mirrored, moved = (
        system.predict(of_pictures(v, [6])) for v in (values, values[..., ::-1].copy(), np.roll(values, 2, axis=0))
    )
    np.testing.assert_allclose(plain, mirrored, atol=1e-5)
    assert abs(plain - moved) > 1e-3
