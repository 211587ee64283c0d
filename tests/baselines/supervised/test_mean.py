"""Predictors without a face, on counts done by hand."""

import numpy as np

from baselines.supervised.mean import LevelGivenFeature, MeanPredictor


def test_the_mean_predictor_says_the_training_frequencies():
    model = MeanPredictor().fit(np.zeros(4), np.array([0, 0, 0, 2]), np.zeros(4))
    np.testing.assert_allclose(model.predict_proba(np.zeros(2)), [[0.75, 0, 0.25]] * 2)
    np.testing.assert_allclose(model.predict(np.zeros(2)), [0.5, 0.5])


def test_levels_given_a_feature_are_counted_and_smoothed():
    feature, levels = np.array([0, 0, 0, 5]), np.array([0, 0, 1, 1])
    model = LevelGivenFeature(smoothing=1.0).fit(feature, levels, np.zeros(4))
    # prior (1/2, 1/2); value 0: counts (2, 1) + prior; value 5: (0, 1) + prior; value 9 was not seen: the prior
    expected = [[2.5 / 4, 1.5 / 4], [0.5 / 2, 1.5 / 2], [0.5, 0.5]]
    np.testing.assert_allclose(model.predict_proba(np.array([0, 5, 9])), expected)
    np.testing.assert_allclose(model.predict(np.array([5])), [0.75])
