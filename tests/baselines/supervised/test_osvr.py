"""OSVR: it learns from order and levels, by which rule it answers, and what it does with what is missing."""

from dataclasses import replace

import numpy as np
import pytest

from baselines.features.lbp import LBP
from baselines.features.shape import Shape
from baselines.supervised.ordinal_regression import apex_pairs
from baselines.supervised.osvr import OSVR
from repro.data.features import ClipSet, Moments
from repro.learning.metrics import auc, pcc

SMALL = {"frames": 6, "grid": 4, "appearance_components": 10, "shape_components": 10, "ridge": (10.0, 1e3)}


def split(clips, levels, groups, test=("s3",)):
    held_out = np.isin(groups, test)
    train = np.flatnonzero(~held_out)
    return clips.select(train), levels[train], groups[train], clips.select(np.flatnonzero(held_out)), levels[held_out]


@pytest.mark.parametrize("kind", ["RGB", "SSD(RGB)"])
@pytest.mark.parametrize("known", [True, False])
def test_pain_of_an_unseen_person_is_recognised(kind, known, drawn):
    train, levels, groups, test, truth = split(*drawn(kind, known=known))
    model = OSVR(**SMALL).fit(train, levels, groups)
    answer = model.predict(test)
    assert auc(truth > 0, answer) > 0.9
    assert pcc(truth, answer) > 0.8
    assert answer.min() >= 0 and answer.max() <= 3


def test_a_clip_is_its_highest_moment_if_frames_have_levels_else_their_mean(drawn):
    for known, rule in ((True, np.max), (False, np.mean)):
        clips, levels, groups = drawn(known=known)
        model = OSVR(**SMALL).fit(clips, levels, groups)
        single = np.concatenate([model._intensity(_moment(clips, m)) for m in range(6)]).reshape(6, -1)
        # features are sums of float32, whose order, and so last digits, may depend on how many are summed at once
        np.testing.assert_allclose(model._intensity(clips), rule(single, axis=0), rtol=1e-4, atol=1e-6)


def _moment(clips, m):
    """Return the clips as if only their m-th moment were looked at."""

    def source(extractor):
        moments = clips.features(extractor)
        rows = np.arange(m, 6 * len(clips), 6)
        return Moments(moments.values[rows], np.ones(len(clips), np.int64), moments.spans[rows])

    return ClipSet(clips.ids, clips.subjects, source)


def test_training_moments_are_brought_closer_to_their_order_by_its_weight(drawn):
    clips, levels, groups = drawn(levels=4)
    moments = clips.features(Shape(6))
    pairs, _ = apex_pairs(clips.moment_levels(moments, levels), moments.counts, 20)
    broken = []
    for weight in (0.0, 1e4):
        model = OSVR(**{**SMALL, "ridge": (1e3,)}, gamma2=(weight,)).fit(clips, levels, groups)
        intensity = np.stack([model._intensity(_moment(clips, m)) for m in range(6)], axis=1).ravel()
        broken.append(np.maximum(0, 1 - intensity[pairs[:, 0]] + intensity[pairs[:, 1]]).mean())
    assert broken[1] < 0.9 * broken[0]


def test_both_solvers_predict_the_same(drawn):
    train, levels, groups, test, _ = split(*drawn())
    one, other = (OSVR(**SMALL, solver=s).fit(train, levels, groups).predict(test) for s in ("lbfgs", "admm"))
    np.testing.assert_allclose(one, other, atol=0.01)  # each within 1e-6 of the optimal value


def test_clips_without_landmarks_are_judged_by_their_texture(drawn):
    train, levels, groups, test, truth = split(*drawn())
    model = OSVR(**SMALL).fit(train, levels, groups)

    def blind(extractor):
        moments = test.features(extractor)
        return replace(moments, values=np.full_like(moments.values, np.nan)) if extractor.name == "shape" else moments

    answer = model.predict(ClipSet(test.ids, test.subjects, blind))
    assert np.isfinite(answer).all() and np.ptp(answer) > 0
    marked, values, people, unseen, truth = split(*drawn(marked=False))
    assert auc(truth > 0, OSVR(**SMALL).fit(marked, values, people).predict(unseen)) > 0.8


def test_landmarks_alone_suffice(drawn):
    train, levels, groups, test, truth = split(*drawn())
    model = OSVR(**SMALL, appearance=False)
    assert model.extractors() == (Shape(6),)
    assert auc(truth > 0, model.fit(train, levels, groups).predict(test)) > 0.9


def test_with_one_subject_the_first_choice_counts(drawn):
    clips, levels, groups = drawn()
    own = np.flatnonzero(groups == "s1")
    model = OSVR(**SMALL).fit(clips.select(own), levels[own], groups[own])
    assert model.choice_ == (10.0, 1.0)
    assert np.isfinite(model.predict_proba(clips)).all()


def test_subjects_without_pain_do_no_harm(drawn):
    clips, levels, groups = drawn(quiet=("s0", "s1"))
    answer = OSVR(**SMALL).fit(clips, levels, groups).predict(clips)
    assert pcc(levels, answer) > 0.8


def test_weights_of_order_are_not_compared_without_an_apex(drawn):
    clips, levels, groups = drawn(known=False)
    assert OSVR(**SMALL, gamma2=(5.0, 50.0)).fit(clips, levels, groups).choice_[1] == 5.0


def test_features_of_other_moments_are_refused(drawn):
    clips, levels, groups = drawn()
    odd = ClipSet(
        clips.ids,
        clips.subjects,
        lambda extractor: clips.features(LBP(5, 4) if extractor.name == "lbp" else extractor),
        clips.frame_levels,
    )
    with pytest.raises(ValueError, match="other moments"):
        OSVR(**SMALL).fit(odd, levels, groups)
