"""What the networks share: targets, answers and progress, pictures that are shown, and that they learn what moves."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from baselines.features.frames import Pictures
from baselines.supervised.lstm import LSTM
from baselines.supervised.moments import learnable_levels
from baselines.supervised.network import IntensityNetwork
from baselines.supervised.rcnn import RCNN
from baselines.supervised.scn import SCN
from repro.data.features import ClipSet, Moments
from repro.learning.augmentation import Augmentation
from repro.learning.finetune import FineTuning
from repro.learning.pretext import BackboneSpec
from repro.learning.schedule import Schedule
from repro.stopping import Stopped


def cnn(epochs=1):
    schedule = Schedule(epochs, 16, 0.02, "cosine", clip_norm=1.0)
    return FineTuning(BackboneSpec("resnet18", 0.125), schedule, Augmentation((0.8, 1.0), 1.1))


TINY = {
    RCNN: {"frames": 8, "size": 16, "channels": (4, 8), "epochs": 3, "batch_size": 8},
    LSTM: {"frames": 8, "size": 32, "cnn": cnn(), "units": 8, "epochs": 3, "batch_size": 8},
    SCN: {
        **{"frames": 8, "size": 32, "width": 1 / 16, "epochs": 3, "batch_size": 8},
        **{"teacher": "random", "teacher_width": 0.125, "transfer_epochs": 1},
    },
}

every = pytest.mark.parametrize("system", TINY, ids=lambda system: system.name)


def of_pictures(values, counts):
    """Return clips that have these pictures."""
    spans = np.concatenate([np.stack([np.arange(n), np.arange(n) + 1], 1) for n in counts])
    made = Moments(values, np.asarray(counts), spans)
    return ClipSet([f"v{i}:0-{n}" for i, n in enumerate(counts)], ["s0"] * len(counts), lambda extractor: made)


@pytest.fixture(scope="module")
def fitted(drawn):
    """Return a system that was fitted to four subjects, once, and the pictures of their clips, eight each."""
    made = {}

    def make(system):
        if system not in made:
            clips, levels, groups = drawn()
            model = system(**TINY[system]).fit(clips, levels, groups)
            made[system] = model, clips.features(model.extractors()[0]).values
        return made[system]

    return make


@every
def test_what_it_asks_for_and_how_it_is_described(system):
    assert system(frames=9, size=40).extractors() == (Pictures(frames=9, size=40),)
    described = system().describe()
    assert described["frames"] == 16 and described["contrast"] is False and described["epochs"] == 30
    json.dumps(described)


@pytest.mark.parametrize(
    ("system", "kind", "options"),
    [
        (RCNN, "RGB", {"contrast": True, "epochs": 30, "learning_rate": 3e-3}),
        (RCNN, "SSD(RGB)", {"epochs": 30, "learning_rate": 3e-3}),
        (LSTM, "RGB", {"contrast": True, "frames": 6, "cnn": cnn(4), "epochs": 25, "learning_rate": 3e-3}),
        (LSTM, "SSD(RGB)", {"frames": 6, "cnn": cnn(12), "epochs": 25, "learning_rate": 3e-3}),
        (SCN, "RGB", {"contrast": True, "teacher": "none", "epochs": 25, "learning_rate": 0.1}),
    ],
    ids=["rcnn-RGB", "rcnn-SSD(RGB)", "lstm-RGB", "lstm-SSD(RGB)", "scn-RGB"],
)
def test_the_level_of_an_unseen_person_is_learned_from_what_moves(drawn, system, kind, options):
    clips, levels, groups = drawn(kind, subjects=6)
    train, test = (np.flatnonzero(np.isin(groups, ["s4", "s5"]) == held_out) for held_out in (False, True))
    model = system(**{**TINY[system], **options})
    predicted = model.fit(clips.select(train), levels[train], groups[train]).predict(clips.select(test))
    assert np.corrcoef(predicted, levels[test])[0, 1] > 0.6
    assert np.mean((predicted - levels[test]) ** 2) < np.var(levels[test])


@pytest.mark.parametrize(
    ("system", "kind"),
    [(system, kind) for system in TINY for kind in ("RGB", "SSD(RGB)") if kind in system.inputs],
    ids=lambda value: getattr(value, "name", value),
)
def test_it_is_deterministic_and_picklable_and_tells_of_progress(drawn, system, kind):
    clips, levels, groups = drawn(kind)
    told = []
    torch.manual_seed(11)
    state = torch.random.get_rng_state()
    first, second = (
        system(**TINY[system])
        .run_with(seed=4, report=lambda share, message: told.append(share))
        .fit(clips, levels, groups)
        for _ in range(2)
    )
    assert torch.equal(torch.random.get_rng_state(), state), "the global generator is left alone"
    scores = first.predict_proba(clips)
    assert scores.shape == (24, 4) and np.isfinite(scores).all()
    np.testing.assert_array_equal(second.predict_proba(clips), scores)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(first)).predict_proba(clips), scores)
    half = told[: len(told) // 2]
    assert half == sorted(half) and half[0] > 0 and half[-1] == pytest.approx(1)
    other = system(**TINY[system]).run_with(seed=5).fit(clips, levels, groups)
    assert not np.array_equal(other.predict_proba(clips), scores)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 1.0])
@every
def test_a_training_that_is_stopped_goes_on_to_the_same_answers(drawn, tmp_path, system, share):
    """Stops in the first stage, later ones, and at the very end; what a stage has learned is not learned again."""
    clips, levels, groups = drawn("RGB")
    options = {**TINY[system], **({"teacher": "labels", "teacher_epochs": 1} if system is SCN else {})}

    def fit(report, **more):
        return system(**options).run_with(seed=4, report=report, **more).fit(clips, levels, groups)

    def stop(done, message):
        if done >= share - 1e-9:
            raise Stopped

    whole, again = [], []
    expected = fit(lambda *told: whole.append(told)).predict_proba(clips)
    with pytest.raises(Stopped):
        fit(stop, checkpoint=tmp_path)
    resumed = fit(lambda *told: again.append(told), checkpoint=tmp_path)
    np.testing.assert_array_equal(resumed.predict_proba(clips), expected)
    stopped_at = next(number for number, (done, _) in enumerate(whole) if done >= share - 1e-9)
    assert again == whole[stopped_at + 1 :]
    assert "checkpoint" not in pickle.loads(pickle.dumps(resumed)).__dict__


@every
def test_clips_of_other_lengths_do_not_disturb_each_other(fitted, system):
    model, values = fitted(system)
    several = model.predict(of_pictures(values[:12], [1, 3, 8]))
    alone = [model.predict(of_pictures(values[a:b], [b - a]))[0] for a, b in ((0, 1), (1, 4), (4, 12))]
    np.testing.assert_allclose(alone, several, atol=1e-5)  # float32


@pytest.mark.parametrize("system", [RCNN, SCN], ids=lambda system: system.name)
def test_a_clip_of_fewer_pictures_repeats_them(fitted, system):
    model, values = fitted(system)
    repeated = np.repeat(values[1:4], [3, 2, 3], axis=0)  # each of three fills its share of eight
    few, many = model.predict(of_pictures(values[1:4], [3])), model.predict(of_pictures(repeated, [8]))
    np.testing.assert_allclose(few, many, atol=1e-5)


@every
def test_left_and_right_do_not_count(fitted, system):
    model, values = fitted(system)
    plain, mirrored = (model.predict(of_pictures(v, [8, 8])) for v in (values[:16], values[:16, ..., ::-1].copy()))
    np.testing.assert_allclose(plain, mirrored, atol=1e-5)


@pytest.mark.parametrize("system", [RCNN, LSTM], ids=lambda system: system.name)
def test_time_counts(fitted, system):
    model, values = fitted(system)
    own = values[3 * 8 : 4 * 8]  # the first clip with the highest level
    plain, moved = (model.predict(of_pictures(v, [8])) for v in (own, np.roll(own, 3, axis=0)))
    assert abs(plain - moved) > 1e-3


class Mean(nn.Module):
    """Answers the mean of what it is shown, times a weight, and remembers the sizes of batches."""

    def __init__(self, weight=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.sizes = []

    def forward(self, shown):
        self.sizes.append(len(shown))
        return self.weight * shown


class Numbered(IntensityNetwork):
    """Clip i is shown by i, its mirror image by 3 i; what is drawn is its level, standardised."""

    name = "numbered"

    def _inputs(self, moments):
        return lambda rows, generator, mirrored: rows * (3.0 if mirrored else 1.0)

    def _fit(self, clips, levels, groups):
        standard = torch.from_numpy((levels - levels.mean()) / levels.std()).float()
        self._regress(Mean(0.0), lambda rows, generator, mirrored: standard[rows], levels, torch.Generator())


def test_levels_are_standardised_and_the_schedule_is_kept():
    clips = of_pictures(np.zeros((40, 1), np.uint8), [1] * 40)
    levels = np.arange(40) % 5
    model = Numbered(epochs=40, batch_size=40, learning_rate=0.05).fit(clips, levels, np.arange(40))
    assert (model.mean_, model.scale_) == (2.0, pytest.approx(np.sqrt(2)))
    assert not model.network_.training and model.network_.sizes == [40] * 40
    assert float(model.network_.weight.detach()) == pytest.approx(1, abs=0.05), "the target has deviation 1"


def test_answers_are_the_mean_of_both_sides_in_levels_whatever_the_chunk():
    model = Numbered()
    model.network_, model.mean_, model.scale_ = Mean(), 1.5, 0.25
    clips = of_pictures(np.zeros((70, 1), np.uint8), [1] * 70)
    np.testing.assert_allclose(model._intensity(clips), 1.5 + 0.25 * 2 * np.arange(70))
    assert sum(model.network_.sizes) == 2 * 70 and max(model.network_.sizes) < 70


def test_stages_share_the_progress():
    told = []
    model = Numbered().run_with(report=lambda share, message: told.append((share, message)))
    model._part(0.2, 0.6)(0.5, "half of the second")
    assert told == [(pytest.approx(0.4), "half of the second")]


def shown(values, rows, *, generator=None, mirrored=False, augmentation=None, length=1, **options):
    """Return what a network is shown of clips of four pictures, each of which stands for so many frames."""
    spans = np.arange(len(values))[:, None] + (0, length)
    moments = Moments(values, np.full(len(values) // 4, 4), spans)
    show = Numbered(frames=4, **options)._even_pictures(moments, augmentation)
    return show(torch.as_tensor(rows), generator, mirrored)


@pytest.fixture(scope="module")
def values():
    return np.random.default_rng(0).integers(0, 256, (8, 3, 16, 16), dtype=np.uint8)


def test_pictures_are_shown_in_the_order_of_time(values):
    expected = (values.reshape(2, 4, 3, 16, 16)[[1, 0, 1]].astype(np.float64) / 127.5 - 1).swapaxes(1, 2)
    np.testing.assert_allclose(shown(values, [1, 0, 1]), expected, atol=1e-6)
    np.testing.assert_allclose(shown(values, [1, 0, 1], mirrored=True), expected[..., ::-1], atol=1e-6)


def test_contrast_is_shown_of_frames_but_not_of_maps(values):
    plain = shown(values, [0, 1])
    torch.testing.assert_close(shown(values, [0, 1], contrast=True), plain - plain.mean(2, keepdim=True))
    assert torch.equal(shown(values, [0, 1], contrast=True, length=20), plain), "maps are left as they are"


def test_the_pictures_of_a_clip_are_augmented_alike_and_clips_are_not(values):
    still = np.repeat(values[:1], 8, axis=0)
    options = {"augmentation": Augmentation(area=(0.5, 0.6)), "generator": torch.Generator().manual_seed(0)}
    made = shown(still, [0, 1, 1], **options)
    assert torch.equal(made, made[:, :, :1].expand_as(made))
    assert (made[0] - made[1]).abs().max() > 0.1 and (made[1] - made[2]).abs().max() > 0.1
    assert shown(still, [0], contrast=True, **options).abs().max() < 1e-5, "nothing is left of a face that is still"


def test_pictures_have_their_own_levels_or_their_clip_s(drawn):
    clips, levels, _ = drawn()
    moments = clips.features(Pictures(frames=6, size=16))
    middles = 2 + 4 * np.arange(6)  # 24 frames, parts of 4
    own = np.array([of_clip[middles] for of_clip in clips.frame_levels]).ravel()
    np.testing.assert_array_equal(learnable_levels(clips, moments, levels)[0], own)
    unmoved = ClipSet(clips.ids, clips.subjects, clips.features, [np.zeros(24, np.int64)] * len(clips))
    unknown = clips.without_levels()
    for others in (unmoved, unknown):
        np.testing.assert_array_equal(learnable_levels(others, moments, levels)[0], np.repeat(levels, 6))
    maps = replace(moments, spans=np.tile([0, 24], (len(moments.spans), 1)))
    np.testing.assert_array_equal(
        learnable_levels(clips, maps, levels)[0], np.repeat([of_clip.max() for of_clip in clips.frame_levels], 6)
    )
