"""FAD, head movement and time windows: what the contract of all systems does not test."""

import dataclasses

import numpy as np
import pytest

from baselines.features.head_pose import FACE, rotation
from baselines.supervised.fad import FAD, standardised
from baselines.supervised.head_movement import HeadMovement
from baselines.supervised.time_windows import TimeWindows
from repro.data.features import ClipSet


def split(drawn, kind="RGB", test="s3"):
    clips, levels, groups = drawn(kind)
    train, held_out = np.flatnonzero(groups != test), np.flatnonzero(groups == test)
    return clips.select(train), levels[train], groups[train], clips.select(held_out), levels[held_out]


@pytest.mark.parametrize("kind", ["RGB", "SSD(RGB)"])
@pytest.mark.parametrize("system", [FAD, TimeWindows])
def test_another_face_is_understood(drawn, system, kind):
    *training, tested, levels = split(drawn, kind)
    predicted = system().fit(*training).predict(tested)
    assert np.corrcoef(predicted, levels)[0, 1] > 0.6  # brows and mouth move by the level


@pytest.mark.parametrize("kind", ["RGB", "SSD(RGB)"])
def test_a_head_that_turns_by_the_level_is_understood(drawn_sequences, kind):
    face = drawn_sequences(kind)[0]
    random, sequences, levels = np.random.default_rng(0), [], np.tile(np.arange(4), 8)
    for level in levels:
        angles = 0.08 * level * np.sin(np.linspace(0, np.pi, len(face)) + random.normal(0, 0.2))
        points = random.normal(0, 0.1, (len(face), 68, 2))
        for frame, yaw in zip(points, angles, strict=True):
            frame[list(FACE)] += (np.array(list(FACE.values())) @ rotation(0, yaw, 0).T)[:, :2] / 4 + 24
        sequences.append(dataclasses.replace(face, landmarks=points))
    clips, people = ClipSet.of_sequences(sequences), np.repeat(["a", "b", "c", "d"], 8)
    train, test = np.flatnonzero(people != "d"), np.flatnonzero(people == "d")
    model = HeadMovement().fit(clips.select(train), levels[train], people[train])
    assert np.corrcoef(model.predict(clips.select(test)), levels[test])[0, 1] > 0.6


def test_standardising_by_hand():
    features = np.array([[1.0, 5, np.nan], [3, 5, 2], [10, 1, 4], [10, 2, np.nan]])
    found = standardised(features, np.array(["a", "a", "b", "b"]))
    np.testing.assert_allclose(found, [[-1, 0, np.nan], [1, 0, 0], [0, -1, 0], [0, 1, np.nan]])
    assert features[0, 0] == 1, "the features were modified"


def test_standardising_removes_what_is_a_persons_own():
    random = np.random.default_rng(0)
    features, subjects = random.normal(size=(12, 5)), np.repeat(["a", "b"], 6)
    own = np.where(subjects == "a", 1, 4)[:, None] * features + np.where(subjects == "a", 0, 9)[:, None]
    np.testing.assert_allclose(standardised(own, subjects), standardised(features, subjects), atol=1e-9)


def test_a_single_clip_of_a_subject_is_zeros():
    np.testing.assert_array_equal(standardised(np.array([[3.0, np.nan]]), np.array(["a"])), [[0, np.nan]])


def test_per_subject_is_transductive_and_can_be_switched_off(drawn):
    *training, tested, _ = split(drawn)
    few = tested.select(np.arange(2))
    together = {}
    for per_subject in (True, False):
        model = FAD(per_subject=per_subject).run_with(seed=1).fit(*training)
        together[per_subject] = np.allclose(model.predict(tested)[:2], model.predict(few))
    assert together == {True: False, False: True}


def test_levels_that_are_missing_in_training_have_no_probability(drawn):
    clips, levels, groups, tested, _ = split(drawn)
    model = FAD(trees=5).fit(clips, np.where(levels == 1, 3, levels), groups)
    scores = model.predict_proba(tested)
    assert scores.shape[1] == 4 and (scores[:, 1] == 0).all()
    np.testing.assert_allclose(scores.sum(axis=1), 1)


def test_forests_differ_by_seed_only(drawn):
    *training, tested, _ = split(drawn)
    first, again, other = (FAD(trees=10).run_with(seed=s).fit(*training).predict_proba(tested) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_missing_descriptors_take_the_training_mean(drawn):
    *training, tested, _ = split(drawn)
    model = FAD(trees=5, per_subject=False).fit(*training)
    clips = training[0]

    def replaced(value):
        def source(extractor):
            moments = tested.features(extractor)
            return type(moments)(np.broadcast_to(value, moments.values.shape), moments.counts, moments.spans)

        return ClipSet(tested.ids, tested.subjects, source)

    mean = clips.features(*model.extractors()).values.astype(np.float64).mean(axis=0)
    np.testing.assert_array_equal(model.predict_proba(replaced(np.nan)), model.predict_proba(replaced(mean)))
