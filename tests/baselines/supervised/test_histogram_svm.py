"""The support vector machines on histograms of local patterns: what they learn, and from what."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from baselines.features.bsif import BSIFTop
from baselines.features.lbp_top import LBPTop
from baselines.supervised.bsif_top import BSIFTopSVM
from baselines.supervised.lbp_top import LBPTopSVM
from repro.data.features import ClipSet

SYSTEMS = (LBPTopSVM, BSIFTopSVM)


def split(groups, held_out="s0"):
    return np.flatnonzero(groups != held_out), np.flatnonzero(groups == held_out)


@pytest.mark.parametrize("kind", ["RGB", "SSD(RGB)"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_it_ranks_clips_of_a_subject_it_has_not_seen(drawn, system, kind):
    clips, levels, groups = drawn(kind)
    train, test = split(groups)
    model = system().fit(clips.select(train), levels[train], groups[train])
    predicted = model.predict(clips.select(test))
    # The drawn brows and mouth move alike in all subjects; eighteen clips teach it.
    assert np.corrcoef(predicted, levels[test])[0, 1] > 0.8
    probabilities = model.predict_proba(clips.select(test))
    assert probabilities.shape == (6, 4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("system", SYSTEMS)
def test_the_machine_is_the_described_chain(drawn, system, standardise):
    clips, levels, groups = drawn()
    train, test = split(groups)
    model = system(C=(3.0,), gamma=(0.5,), standardise=standardise)
    model.fit(clips.select(train), levels[train], groups[train])
    roots = np.sqrt(clips.features(*model.extractors()).values.astype(np.float64))
    if standardise:
        roots = StandardScaler().fit(roots[train]).transform(roots)
    full = PCA().fit(roots[train])
    kept = 1 + int(np.argmax(np.cumsum(full.explained_variance_ratio_) > 0.95))
    x = full.transform(roots)[:, :kept]
    gamma = 0.5 / x[train].var(axis=0).sum()
    inner = model.model_
    above = levels > inner.thresholds_[0]
    machine = SVC(C=3.0, gamma=gamma, class_weight="balanced").fit(x[train], above[train])
    curve = inner.curves_[0](machine.decision_function(x[test]))
    found = model.predict_proba(clips.select(test))[:, inner.thresholds_[0] + 1 :].sum(axis=1)
    np.testing.assert_allclose(found, curve, atol=1e-6)


def test_hyper_parameters_are_those_of_the_features():
    assert LBPTopSVM(grid=3, radius=2, time_radius=1).extractors() == (LBPTop(3, 2, 1),)
    assert BSIFTopSVM(grid=5).extractors() == (BSIFTop(5),)
    assert LBPTopSVM().extractors() == (LBPTop(grid=4, radius=1, time_radius=3),)
    for system in SYSTEMS:
        assert set(system().describe()) >= {"version", "grid", "variance", "standardise", "C", "gamma"}


@pytest.mark.parametrize("system", SYSTEMS)
def test_clips_of_other_lengths_can_be_predicted(drawn, drawn_sequences, system):
    clips, levels, groups = drawn("SSD(RGB)")
    model = system().fit(clips, levels, groups)
    (sequence, *_) = drawn_sequences("SSD(RGB)")
    single = replace(sequence, pictures=sequence.pictures[:1], spans=sequence.spans[:1])
    probabilities = model.predict_proba(ClipSet.of_sequences([single, sequence]))
    assert np.isfinite(probabilities).all()
    other = pickle.loads(pickle.dumps(model)).predict_proba(ClipSet.of_sequences([single, sequence]))
    np.testing.assert_array_equal(probabilities, other)


@pytest.mark.parametrize("system", SYSTEMS)
def test_features_of_the_set_stay_as_they_are(drawn, system):
    clips, levels, groups = drawn()
    values = clips.features(*system().extractors()).values
    before = values.copy()
    system().fit(clips, levels, groups).predict(clips)
    np.testing.assert_array_equal(values, before)
