"""SCN: what it shows its network, its teachers, clips of other lengths, and that it learns what moves."""

import dataclasses
import json
import pickle

import numpy as np
import pytest
import torch

from baselines.features.frames import Pictures
from baselines.supervised.scn import SCN, TEACHERS
from repro.data.features import ClipSet, Moments
from repro.learning.augmentation import Augmentation

TINY = {
    "frames": 8,
    "size": 32,
    "width": 1 / 16,
    "teacher_width": 0.125,
    "teacher_epochs": 1,
    "transfer_epochs": 1,
    "epochs": 2,
    "batch_size": 8,
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def of_pictures(values, counts, ids=None):
    """Return clips that have these pictures."""
    spans = np.concatenate([np.stack([np.arange(n), np.arange(n) + 1], 1) for n in counts])
    ids = [f"v{i}:0-{n}" for i, n in enumerate(counts)] if ids is None else ids
    return ClipSet(ids, ["s0"] * len(counts), lambda extractor: Moments(values, np.asarray(counts), spans))


def test_the_paper_s_network_is_the_default():
    system = SCN()
    assert (system.width, system.depths, system.teacher, system.contrast) == (1.0, (1, 3, 5, 7), "labels", False)
    assert system.inputs == ("RGB",)
    assert SCN(frames=9, size=40).extractors() == (Pictures(frames=9, size=40),)
    json.dumps(system.describe())


def test_contrast_is_what_differs_from_the_clips_mean():
    pictures = torch.randint(0, 256, (2, 8, 3, 32, 32), generator=seeded(), dtype=torch.uint8)
    raw = SCN(contrast=False)._show(pictures, None)
    assert raw.shape == (2, 3, 8, 32, 32)
    torch.testing.assert_close(raw, (pictures.double() / 127.5 - 1).transpose(1, 2).float(), atol=1e-5, rtol=0)
    shown = SCN(contrast=True)._show(pictures, None)
    torch.testing.assert_close(shown, raw - raw.mean(2, keepdim=True))
    still = torch.randint(0, 256, (1, 1, 3, 32, 32), generator=seeded(), dtype=torch.uint8).expand(-1, 8, -1, -1, -1)
    assert SCN(contrast=True)._show(still, seeded()).abs().max() < 1e-5, "nothing is left of a face that does not move"


def test_the_frames_of_a_clip_are_cropped_alike_and_clips_are_not():
    picture = torch.randint(0, 256, (1, 1, 3, 32, 32), generator=seeded(), dtype=torch.uint8)
    shown = SCN(augmentation=Augmentation(area=(0.5, 0.6)))._show(picture.expand(3, 8, -1, -1, -1), seeded())
    assert torch.equal(shown, shown[:, :, :1].expand(-1, -1, 8, -1, -1))
    assert (shown[0] - shown[1]).abs().max() > 0.1


@pytest.mark.parametrize("teacher", TEACHERS)
@pytest.mark.parametrize("contrast", [True, False])
def test_every_teacher_gives_a_system_that_is_deterministic_and_picklable(drawn, teacher, contrast):
    clips, levels, groups = drawn()
    told = []
    first, second = (
        SCN(**{**TINY, "teacher": teacher, "contrast": contrast})
        .run_with(seed=4, report=lambda share, message: told.append(share))
        .fit(clips, levels, groups)
        for _ in range(2)
    )
    scores = first.predict_proba(clips)
    assert scores.shape == (24, 4) and np.isfinite(scores).all()
    np.testing.assert_array_equal(second.predict_proba(clips), scores)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(first)).predict_proba(clips), scores)
    half = told[: len(told) // 2]
    assert half == sorted(half) and half[-1] == pytest.approx(1) and half[0] > 0
    other = SCN(**{**TINY, "teacher": teacher, "contrast": contrast}).run_with(seed=5).fit(clips, levels, groups)
    assert not np.array_equal(other.predict_proba(clips), scores)


def test_the_global_generator_is_left_alone(drawn):
    clips, levels, groups = drawn()
    torch.manual_seed(11)
    expected = torch.random.get_rng_state()
    SCN(**TINY).fit(clips, levels, groups)
    assert torch.equal(torch.random.get_rng_state(), expected)


def test_teachers_give_other_weights(drawn):
    clips, levels, groups = drawn()
    made = [SCN(**{**TINY, "teacher": teacher}).fit(clips, levels, groups).predict(clips) for teacher in TEACHERS]
    assert not np.allclose(made[0], made[1]) and not np.allclose(made[1], made[2])


def test_a_teacher_learns_the_clips_levels_where_all_frames_are_alike(drawn):
    clips, levels, groups = drawn()
    unmoved = ClipSet(clips.ids, clips.subjects, clips.features, [np.zeros(24, np.int64)] * len(clips))
    assert np.isfinite(SCN(**TINY).fit(unmoved, levels, groups).predict(clips)).all()


def test_the_level_is_learned_from_what_moves(drawn):
    clips, levels, groups = drawn(subjects=6)
    train, test = (np.flatnonzero(np.isin(groups, ["s4", "s5"]) == held_out) for held_out in (False, True))
    system = SCN(**{**TINY, "teacher": "none", "contrast": True, "epochs": 25, "learning_rate": 0.1})
    predicted = system.fit(clips.select(train), levels[train], groups[train]).predict(clips.select(test))
    assert np.corrcoef(predicted, levels[test])[0, 1] > 0.6


def test_clips_of_other_lengths_are_predicted(drawn):
    clips, levels, groups = drawn()
    system = SCN(**{**TINY, "teacher": "none"}).fit(clips, levels, groups)
    values = clips.features(system.extractors()[0]).values
    counts = [1, 3, 8]
    predicted = system.predict(of_pictures(values[: sum(counts)], counts))
    assert np.isfinite(predicted).all()
    repeated = np.repeat(values[:1], 8, axis=0)
    np.testing.assert_allclose(system.predict(of_pictures(repeated, [8])), predicted[:1], atol=1e-5)


def test_mirrored_clips_have_the_same_level(drawn):
    clips, levels, groups = drawn()
    system = SCN(**{**TINY, "teacher": "none"}).fit(clips, levels, groups)
    values = clips.features(system.extractors()[0]).values[:16]
    plain, mirrored = (system.predict(of_pictures(v, [8, 8])) for v in (values, values[..., ::-1].copy()))
    np.testing.assert_allclose(plain, mirrored, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"), [({"teacher": "imagenet"}, "teacher 'imagenet'"), ({"size": 16}, "size 16 is too small")]
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SCN(**options)
    assert SCN(size=16, teacher="none").size == 16


def test_hyper_parameters_are_described():
    described = dataclasses.replace(SCN(), contrast=True).describe()
    assert described["contrast"] is True and described["version"] == 1 and described["augmentation"]["flip"] is True
