"""The linear probe: scikit-learn's optimum, chosen and standardised by training subjects only."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from repro.learning.augmentation import to_network
from repro.learning.pretext import BackboneSpec
from repro.learning.probe import LinearProbe, features


def problem(n=90, d=12, seed=0, n_subjects=6):
    rng = np.random.default_rng(seed)
    inputs = 3 + 2 * rng.normal(size=(n, d)) * np.linspace(0.1, 4, d)
    levels = np.digitize(inputs[:, -1] + inputs[:, -2] + rng.normal(size=n), [3.0, 9.0])
    return inputs, levels, np.repeat([f"s{i}" for i in range(n_subjects)], n // n_subjects)


@pytest.mark.parametrize("penalty", [0.01, 1.0])
def test_the_optimum_is_scikit_learns(penalty):
    inputs, levels, groups = problem()
    probe = LinearProbe(3, penalties=(penalty,)).fit(inputs, levels, groups)
    standard = (inputs - inputs.mean(0)) / inputs.std(0)
    # its loss is the sum over samples and C multiplies it, so that C n penalty = 1; intercepts are free there
    other = LogisticRegression(C=1 / (len(levels) * penalty), tol=1e-10, max_iter=10_000).fit(standard, levels)
    # the trace of a penalty on the intercepts moves probabilities by about as much
    np.testing.assert_allclose(probe.predict_proba(inputs), other.predict_proba(standard), atol=2e-3)


def test_the_penalty_is_the_best_over_inner_subjects():
    inputs, levels, groups = problem()
    noisy = np.concatenate([inputs, np.random.default_rng(1).normal(size=(90, 60))], axis=1)
    probe = LinearProbe(3).fit(noisy, levels, groups)
    fresh, truth, _ = problem(seed=3, n=600)
    fresh = np.concatenate([fresh, np.random.default_rng(4).normal(size=(600, 60))], axis=1)

    def loss(penalties):
        scores = LinearProbe(3, penalties=penalties).fit(noisy, levels, groups).predict_proba(fresh)
        return -np.log(scores[np.arange(600), truth]).mean()

    assert min(probe.penalties) < probe.penalty_
    assert loss((probe.penalty_,)) < loss((min(probe.penalties),)), "72 features of 90 clips overfit without a penalty"


def test_no_test_clip_changes_the_probe():
    inputs, levels, groups = problem()
    probe = LinearProbe(3).fit(inputs, levels, groups)
    alone = probe.predict_proba(inputs[:1])
    np.testing.assert_allclose(alone, probe.predict_proba(np.concatenate([inputs[:1], 1e3 * inputs]))[:1], rtol=1e-12)


def test_levels_that_do_not_occur_get_little_and_constant_features_nothing():
    inputs, levels, groups = problem()
    inputs[:, 0] = 7.0
    probe = LinearProbe(5).fit(inputs, levels, groups)
    scores = probe.predict_proba(inputs)
    assert scores.shape == (90, 5) and np.isfinite(scores).all() and scores[:, 3:].max() < 0.02
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-12)
    inputs[:, 0] = -100.0
    np.testing.assert_array_equal(probe.predict_proba(inputs), scores)


def test_one_subject_takes_the_largest_penalty():
    inputs, levels, _ = problem()
    assert LinearProbe(3).fit(inputs, levels, np.full(90, "s")).penalty_ == max(LinearProbe(3).penalties)


@pytest.mark.parametrize(("levels", "message"), [(np.zeros(90, int), "two levels"), (np.arange(90) % 4, "0..2")])
def test_unusable_labels_are_refused(levels, message):
    inputs, _, groups = problem()
    with pytest.raises(ValueError, match=message):
        LinearProbe(3).fit(inputs, levels, groups)


def test_features_are_means_over_images_and_their_mirror_images():
    backbone = BackboneSpec("resnet18", width=0.125).build(torch.Generator().manual_seed(0))
    images = torch.randint(0, 256, (3, 2, 3, 32, 32), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    found = features(backbone, images)
    with torch.no_grad():
        shown = [image for clip in images for image in (*clip, *clip.flip(-1))]
        single = [backbone.eval()(to_network(image)[None]) for image in shown]
    expected = torch.cat(single).double().unflatten(0, (3, 4)).mean(1).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)  # float32, other batches
    assert found.shape == (3, backbone.n_features)
