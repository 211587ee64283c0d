"""The regression on topographic histograms: what it learns, from whom, and how a clip's moments become its answer."""

import pickle

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from baselines.supervised.hot import Choice, HoT
from baselines.supervised.inner_folds import inner_folds
from repro.data.features import ClipSet

KINDS = ("RGB", "SSD(RGB)")


def unlabelled(clips, index):
    """Some of the clips, as they are handed to be predicted: without levels of frames."""
    part = clips.select(index)
    return ClipSet(part.ids, part.subjects, part.features)


def split(groups, held_out="s0"):
    return np.flatnonzero(groups != held_out), np.flatnonzero(groups == held_out)


def fitted(clips, levels, groups, index, **options):
    return HoT(**options).fit(clips.select(index), levels[index], groups[index])


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_it_ranks_clips_of_a_subject_it_has_not_seen(drawn, kind, known):
    clips, levels, groups = drawn(kind, known=known)
    train, test = split(groups)
    predicted = fitted(clips, levels, groups, train).predict(unlabelled(clips, test))
    # The drawn brows and mouth move in proportion to the level, alike in all subjects: 0.997 or more for each of them.
    assert np.corrcoef(predicted, levels[test])[0, 1] > 0.95
    assert predicted.min() > 0 and predicted.max() < 3


@pytest.mark.parametrize(("known", "reduce"), [(True, np.max), (False, np.mean)])
def test_a_clip_answers_with_its_highest_moment_if_moments_had_levels(drawn, known, reduce):
    clips, levels, groups = drawn(known=known)
    train, test = split(groups)
    model = fitted(clips, levels, groups, train)
    moments = clips.features(*model.extractors()).select(test)
    by_moment = model.machine_.predict(moments.values.astype(np.float64)).reshape(len(test), 5)
    assert by_moment.std(axis=1).min() > 0
    np.testing.assert_allclose(model._intensity(unlabelled(clips, test)), reduce(by_moment, axis=1), rtol=1e-12)


def test_moments_are_learned_with_levels_of_their_own(drawn):
    clips, levels, groups = drawn()
    train, test = split(groups)
    shown = fitted(clips, levels, groups, train)
    moments = clips.features(*shown.extractors()).select(test)
    own = clips.select(test).moment_levels(moments, levels[test])
    assert not np.array_equal(own, levels[test][moments.clip])
    by_moment = shown.machine_.predict(moments.values.astype(np.float64))
    assert np.mean((by_moment - own) ** 2) < np.mean((by_moment - levels[test][moments.clip]) ** 2)


def test_the_machine_is_the_published_chain(drawn):
    clips, levels, groups = drawn(known=False)
    train, test = split(groups)
    choice = Choice(10.0, 0.1, 0.1)
    model = fitted(clips, levels, groups, train, C=(10.0,), gamma=(0.1,), epsilon=(0.1,))
    assert model.choice_ == choice
    moments = clips.features(*model.extractors())
    x, y = moments.select(train).values.astype(np.float64), np.repeat(levels[train], 5)
    scaler = StandardScaler().fit(x)
    full = PCA().fit(scaler.transform(x))
    kept = 1 + int(np.argmax(np.cumsum(full.explained_variance_ratio_) > 0.95))
    components = full.transform(scaler.transform(x))[:, :kept]
    gamma = 0.1 / components.var(axis=0).sum()
    machine = SVR(C=10.0, gamma=gamma, epsilon=0.1).fit(components, y)
    others = full.transform(scaler.transform(moments.select(test).values.astype(np.float64)))[:, :kept]
    expected = machine.predict(others).reshape(len(test), 5).mean(axis=1)
    # Signs of components are free; distances are not. libsvm stops at 1e-3.
    np.testing.assert_allclose(model._intensity(unlabelled(clips, test)), expected, atol=2e-3)


def test_the_choice_has_the_least_error_over_inner_folds(drawn):
    clips, levels, groups = drawn(known=False)
    model = HoT(C=(0.01, 1.0, 10.0), gamma=(10.0, 0.1), epsilon=(0.1,)).fit(clips, levels, groups)
    moments = clips.features(*model.extractors())
    x, y, people = moments.values.astype(np.float64), levels[moments.clip], groups[moments.clip]
    errors = {}
    for C in model.C:
        for gamma in model.gamma:
            wrong = []
            for fold in inner_folds(people, y):
                assert not set(people[fold.train]) & set(people[fold.test])
                machine = model._machine(Choice(C, gamma, 0.1), x[fold.train], y[fold.train])
                wrong.extend((machine.predict(x[fold.test]) - y[fold.test]) ** 2)
            errors[Choice(C, gamma, 0.1)] = np.mean(wrong)
    assert model.choice_ == min(errors, key=errors.get)
    assert max(errors.values()) > 1.1 * min(errors.values())


def test_a_clip_is_predicted_whoever_is_beside_it(drawn):
    clips, levels, groups = drawn()
    train, test = split(groups)
    model = fitted(clips, levels, groups, train)
    together = model.predict_proba(unlabelled(clips, test))
    alone = np.concatenate([model.predict_proba(unlabelled(clips, test[i : i + 1])) for i in range(len(test))])
    np.testing.assert_allclose(alone, together, atol=1e-12)


def test_more_moments_than_may_be_are_drawn_by_the_seed(drawn):
    clips, levels, groups = drawn(known=False)
    models = [HoT(most_moments=40).run_with(seed=seed).fit(clips, levels, groups) for seed in (0, 0, 1)]
    assert [model.machine_[-1].shape_fit_[0] for model in models] == [40] * 3
    one, same, other = (model.predict(clips) for model in models)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert HoT(most_moments=120).fit(clips, levels, groups).machine_[-1].shape_fit_[0] == 120


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("people", "quiet"), [(["s1"], ()), (["s1", "s2"], ()), (["s1", "s2"], ("s2",))])
def test_few_subjects_are_enough(drawn, kind, people, quiet):
    clips, levels, groups = drawn(kind, quiet=quiet)
    model = fitted(clips, levels, groups, np.flatnonzero(np.isin(groups, people)))
    if len(people) == 1:
        assert model.choice_ == Choice(1.0, 1.0, 0.1)
    probabilities = model.predict_proba(unlabelled(clips, np.arange(len(clips))))
    assert probabilities.shape == (len(clips), model.n_levels_)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_what_was_learned_can_be_pickled_without_clips(drawn):
    clips, levels, groups = drawn()
    model = HoT().fit(clips, levels, groups)
    data = pickle.dumps(model)
    # 120 moments of up to 60 components, the scaler and the projection of 376 features: no picture, no moment.
    assert len(data) < 500_000
    np.testing.assert_array_equal(pickle.loads(data).predict(clips), model.predict(clips))
