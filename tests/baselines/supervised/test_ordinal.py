"""The support vector machines for ordered levels against plain scikit-learn, and what they may see of whom."""

import pickle
from functools import partial

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from baselines.supervised import ordinal
from baselines.supervised.inner_folds import inner_folds
from baselines.supervised.ordinal import FEWEST, OrdinalSVM, thresholds
from baselines.supervised.platt import fit_platt


def data(n_levels=2, subjects=6, each=12, features=7, seed=0, signal=1.0):
    """Features of which two follow the level, on a scale that differs from subject to subject; shuffled."""
    random = np.random.default_rng(seed)
    groups = random.permutation(np.repeat([f"s{i}" for i in range(subjects)], each))
    levels = random.permutation(np.arange(subjects * each) % n_levels)
    scale = dict(zip(np.unique(groups), random.normal(0, 0.5, subjects), strict=True))
    x = random.normal(size=(len(groups), features)) * 10.0 ** np.arange(-2, features - 2)
    x[:, 0] += 0.01 * signal * (levels + [scale[name] for name in groups])
    x[:, 3] -= 10 * signal * levels
    return x, levels, groups


def single(**options):
    """One candidate of each hyper-parameter."""
    return OrdinalSVM(**{"C": (2.0,), "gamma": (0.5,), **options})


def components(variance):
    return [PCA(variance, svd_solver="full")]


def plain(x, above, *steps, gamma=0.5, C=2.0):
    """The machine of `single` as a plain pipeline."""
    prepare = make_pipeline("passthrough", *steps)
    variance = prepare.fit_transform(x).var(axis=0).sum()
    return make_pipeline(prepare, SVC(C=C, gamma=gamma / variance, class_weight="balanced")).fit(x, above)


def test_with_two_levels_it_is_the_plain_machine():
    x, levels, groups = data()
    train = groups != "s0"
    model = single().fit(x[train], levels[train], groups[train])
    # Standardised, seven features have the total variance 7.
    other = make_pipeline(StandardScaler(), SVC(C=2.0, gamma=0.5 / 7, class_weight="balanced"))
    margins = other.fit(x[train], levels[train] > 0).decision_function(x[~train])
    probabilities = model.predict_proba(x[~train])
    assert probabilities.shape == (12, 2)
    np.testing.assert_array_equal(np.argsort(probabilities[:, 1]), np.argsort(margins))
    assert roc_auc_score(levels[~train], probabilities[:, 1]) > 0.8


@pytest.mark.parametrize("standardise", [True, False])
def test_components_come_after_standardising_or_alone(standardise):
    x, levels, groups = data(seed=1)
    x[:, 5:] *= 1e-3  # else the last feature has all the variance
    model = single(before=partial(components, 0.8), standardise=standardise).fit(x, levels, groups)
    steps = [StandardScaler()] * standardise + components(0.8)
    expected = plain(x, levels > 0, *steps).decision_function(x)
    margins = model.machines_[0].decision_function(model.preparation_.transform(x))
    np.testing.assert_allclose(margins, expected, atol=1e-9)
    # Seven features of one variance need five or more components for 80 %; else the largest feature is enough.
    kept = model.preparation_.transform(x).shape[1]
    assert kept >= 5 if standardise else kept == 1


def test_only_standardising_makes_features_of_all_scales_equal():
    x, levels, groups = data(seed=2)
    stretched = x * np.array([1, 5, 1, 0.1, 1, 1, 2])
    for standardise, alike in ((True, True), (False, False)):
        one, other = (single(standardise=standardise).fit(z, levels, groups).predict_proba(z) for z in (x, stretched))
        assert np.allclose(one, other, atol=1e-6) == alike


def test_gamma_follows_the_scale_of_all_features():
    x, levels, groups = data(seed=3)
    one, other = (single(standardise=False).fit(z, levels, groups).predict_proba(z) for z in (x, 1e3 * x))
    np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_probabilities_are_distributions_even_where_machines_cross(seed):
    x, levels, groups = data(n_levels=4, seed=seed, signal=0.2)
    fresh = np.random.default_rng(seed).normal(size=(200, 7)) * 10.0 ** np.arange(-2, 5)
    model = OrdinalSVM().fit(x, levels, groups)
    assert model.thresholds_ == [0, 1, 2]
    probabilities = model.predict_proba(fresh)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)
    assert probabilities.min() >= 0
    prepared = model.preparation_.transform(fresh)
    own = np.stack(
        [
            curve(machine.decision_function(prepared))
            for machine, curve in zip(model.machines_, model.curves_, strict=True)
        ],
        axis=1,
    )
    assert (np.diff(own, axis=1) > 0).any(), "no machines cross: the test shows nothing"
    above = probabilities[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
    np.testing.assert_allclose(above, np.minimum.accumulate(own, axis=1), atol=1e-12)


def test_levels_without_a_threshold_share_by_their_frequency():
    x, _, groups = data()
    levels = np.zeros(72, dtype=np.int64)
    levels[:30], levels[30:34], levels[34:36], levels[36] = 1, 3, 4, 6
    random = np.random.default_rng(0)
    order = random.permutation(72)
    levels = levels[order]
    assert thresholds(levels) == [0, 1]  # above 3 and 4 are only 3 and 1 clips
    probabilities = single().fit(x, levels, groups).predict_proba(x)
    assert probabilities.shape == (72, 7)
    np.testing.assert_array_equal(probabilities[:, [2, 5]], 0)
    rest = probabilities[:, [3, 4, 6]]
    np.testing.assert_allclose(rest, rest.sum(axis=1, keepdims=True) * np.array([4, 2, 1]) / 7, atol=1e-12)


def test_thresholds_have_enough_clips_on_each_side():
    assert FEWEST == 5
    assert thresholds(np.repeat([0, 1, 2, 5], [5, 3, 7, 5])) == [0, 1, 2]
    assert thresholds(np.repeat([0, 1, 2, 5], [4, 3, 7, 4])) == [1]
    assert thresholds(np.repeat([0, 2], [3, 3])) == [0]
    assert thresholds(np.repeat([0, 1, 2], [1, 2, 3])) == [1]  # the most even, where no side has five


def test_the_choice_has_the_best_auc_over_inner_folds():
    x, levels, groups = data(seed=4, signal=0.4)
    C, gamma = (0.1, 10.0), (3.0, 0.03)
    aucs = {}
    for choice in ((c, g) for c in C for g in gamma):
        rows, margins = [], []
        for fold in inner_folds(groups, levels):
            machine = plain(x[fold.train], levels[fold.train] > 0, StandardScaler(), C=choice[0], gamma=choice[1])
            rows.append(fold.test)
            margins.append(machine.decision_function(x[fold.test]))
        aucs[choice] = roc_auc_score(levels[np.concatenate(rows)], np.concatenate(margins))
    assert len(set(aucs.values())) == 4
    assert OrdinalSVM(C, gamma).fit(x, levels, groups).choice_ == max(aucs, key=aucs.__getitem__)


def test_the_curve_is_fitted_to_unseen_subjects():
    x, levels, groups = data(seed=5, signal=0.5)
    model = single().fit(x, levels, groups)
    rows, margins = [], []
    for fold in inner_folds(groups, levels):
        machine = plain(x[fold.train], levels[fold.train] > 0, StandardScaler())
        rows.append(fold.test)
        margins.append(machine.decision_function(x[fold.test]))
    rows, margins = np.concatenate(rows), np.concatenate(margins)
    curve = fit_platt(margins, levels[rows] > 0)
    np.testing.assert_allclose(model.curves_[0], curve, rtol=1e-6, atol=1e-6)
    seen = fit_platt(plain(x, levels > 0, StandardScaler()).decision_function(x), levels > 0)
    assert seen.slope > 1.5 * curve.slope  # who judges by what was learned is too sure


class Noting(TransformerMixin, BaseEstimator):
    """Changes nothing, and notes the first feature of the rows that it is fitted to."""

    fitted: list = []

    def fit(self, x, y=None):
        assert y is None, "preparing knows no levels"
        Noting.fitted.append(set(x[:, 0].astype(int)))
        self.is_fitted_ = True
        return self

    def transform(self, x):
        return x


def noting():
    return [Noting()]


def test_who_judges_a_machine_has_not_been_prepared_or_trained_for(monkeypatch):
    x, levels, groups = data(n_levels=3, seed=6)
    x[:, 0] = np.arange(len(x))  # the number of the row
    monkeypatch.setattr(Noting, "fitted", [])
    used, margins = [], ordinal._Unseen.margins

    def watched(self, choice, above, train, test):
        found = margins(self, choice, above, train, test)
        used.append((train, test))
        # A machine of the training rows alone, from their features alone.
        expected = plain(x[train], above[train], C=choice[0], gamma=choice[1]).decision_function(x[test])
        np.testing.assert_allclose(found, expected, atol=1e-9)
        return found

    monkeypatch.setattr(ordinal._Unseen, "margins", watched)
    OrdinalSVM(before=noting, standardise=False).fit(x, levels, groups)
    assert len(used) == 4 * 3 + 2 * 3  # choices by folds, thresholds by folds
    for train, test in used:
        assert not set(groups[train]) & set(groups[test])
    # What was fitted: each training part once, and all rows for the machines that are kept.
    parts = {frozenset(train.tolist()) for train, _ in used} | {frozenset(range(len(x)))}
    assert {frozenset(rows) for rows in Noting.fitted} == parts
    assert len(Noting.fitted) == len(parts)


def test_scalers_do_not_know_who_is_predicted():
    x, levels, groups = data(seed=7)
    train = groups != "s0"
    model = OrdinalSVM().fit(x[train], levels[train], groups[train])
    alone = np.concatenate([model.predict_proba(row[None]) for row in x[~train]])
    np.testing.assert_allclose(model.predict_proba(x[~train]), alone, atol=1e-12)


@pytest.mark.parametrize("standardise", [True, False])
def test_missing_features_take_the_training_mean(standardise):
    x, levels, groups = data(seed=8)
    x[::5, 1] = np.nan
    x[:, 4] = np.nan  # known of nobody
    kept = x.copy()
    model = single(standardise=standardise).fit(x, levels, groups)
    filled, holes = x[:6].copy(), x[:6].copy()
    filled[:, 1], holes[:, 1] = np.nanmean(x[:, 1]), np.nan
    np.testing.assert_allclose(model.predict_proba(holes), model.predict_proba(filled), atol=1e-12)
    assert np.isfinite(model.predict_proba(x)).all()
    np.testing.assert_array_equal(x, kept)


def test_a_single_subject_is_learned_from_without_comparison():
    x, levels, _ = data(seed=9)
    model = OrdinalSVM(C=(3.0, 1.0), gamma=(0.2, 1.0)).fit(x, levels, np.repeat("s0", len(x)))
    assert model.choice_ == (3.0, 0.2)
    assert roc_auc_score(levels, model.predict_proba(x)[:, 1]) > 0.8


def test_one_subject_with_pain_among_others_without():
    x, levels, groups = data(seed=10)
    levels[groups != "s0"] = 0
    model = OrdinalSVM().fit(x, levels, groups)
    probabilities = model.predict_proba(x)
    assert np.isfinite(probabilities).all()
    assert roc_auc_score(levels, probabilities[:, 1]) > 0.5


def test_features_that_do_not_vary_teach_the_frequencies():
    _, levels, groups = data(n_levels=3)
    probabilities = OrdinalSVM().fit(np.ones((72, 4)), levels, groups).predict_proba(np.ones((2, 4)))
    np.testing.assert_allclose(probabilities, 1 / 3, atol=0.05)


def test_it_can_be_pickled():
    x, levels, groups = data(seed=11)
    model = OrdinalSVM(before=partial(components, 0.9)).fit(x, levels, groups)
    other = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(other.predict_proba(x), model.predict_proba(x))
