"""What a table's numbers cost: 87 subjects of 20 clips each and 5 levels as in BioVid; 26 seeds."""

import time

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from repro.learning.metrics import MetricOptions
from repro.learning.predictions import Predictions
from repro.learning.resampling import auc_statistic, bootstrap_counts, pairs_of
from repro.learning.statistics import per_subject

SUBJECTS, CLIPS, LEVELS, SEEDS = 87, 20, 5, 26
RESAMPLES = 50
"""Of which scikit-learn is timed; a table takes 2,000."""


@pytest.fixture(scope="module")
def predictions():
    rng = np.random.default_rng(0)
    n = SEEDS * SUBJECTS * CLIPS
    scores = rng.dirichlet(np.ones(LEVELS), n)
    subject = np.tile(np.repeat(np.arange(SUBJECTS), CLIPS), SEEDS)
    names = np.array([f"s{i:02}" for i in range(SUBJECTS)])[subject]
    return Predictions(names, subject, np.arange(n) // (SUBJECTS * CLIPS), np.arange(n) % LEVELS, scores)


def one_of_each(truth, scores):
    """Return the mean over levels of each one's AUC against all others, by scikit-learn."""
    return np.mean([roc_auc_score(truth == level, scores[:, level]) for level in range(scores.shape[1])])


@pytest.mark.benchmark(group=f"AUC of {LEVELS} levels within each of {SUBJECTS} subjects and {SEEDS} seeds")
def test_auc_within_subjects(benchmark, predictions):
    found = benchmark.pedantic(per_subject, (predictions, "auc_ovr"), rounds=5, warmup_rounds=1)
    begin = time.perf_counter()
    runs = [slice(i, i + CLIPS) for i in range(0, len(predictions.level), CLIPS)]
    values = np.array([one_of_each(predictions.level[run], predictions.scores[run]) for run in runs])
    seconds = time.perf_counter() - begin
    np.testing.assert_allclose(found.values, values.reshape(SEEDS, SUBJECTS).mean(axis=0), rtol=1e-12)
    benchmark.extra_info["times_as_fast_as_scikit-learn"] = seconds / benchmark.stats.stats.median


@pytest.mark.benchmark(group=f"pooled AUC of {LEVELS} levels in {RESAMPLES} resamples of {SUBJECTS} subjects")
def test_pooled_auc_of_resamples(benchmark, predictions):
    one = predictions.select(predictions.seed == 0)
    counts = bootstrap_counts(SUBJECTS, RESAMPLES)
    _, subject = one.by_subject

    def ours():
        contrasts = MetricOptions().contrasts("auc_ovr", one.level, one.scores)
        return auc_statistic([pairs_of(contrast, subject, SUBJECTS) for contrast in contrasts])(counts)

    found = benchmark.pedantic(ours, rounds=5, warmup_rounds=1)
    begin = time.perf_counter()
    drawn = [np.repeat(np.arange(len(subject)), row.astype(int)[subject]) for row in counts]
    values = [one_of_each(one.level[samples], one.scores[samples]) for samples in drawn]
    seconds = time.perf_counter() - begin
    np.testing.assert_allclose(found, values, rtol=1e-12)
    benchmark.extra_info["times_as_fast_as_scikit-learn"] = seconds / benchmark.stats.stats.median
