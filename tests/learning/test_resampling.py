"""The vectorised statistics against the metrics of literally resampled samples; the interval's coverage."""

import numpy as np
import pytest

from repro.learning.metrics import METRICS, Contrast, MetricOptions, compute, intensity
from repro.learning.resampling import (
    auc_statistic,
    average_statistic,
    bootstrap_counts,
    bootstrap_interval,
    intensity_statistic,
    mean_auc_statistic,
    mean_statistic,
    pairs_of,
)


def random_sample(seed: int, ties: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Seven subjects of 1 to 12 clips; subject 0 shows level 0 only, level 3 is rare."""
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(7), rng.integers(1, 13, 7))
    levels = rng.choice(4, size=len(subject), p=[0.5, 0.3, 0.15, 0.05]) * (subject > 0)
    scores = rng.dirichlet(np.ones(4), len(subject)) + 0.3 * np.eye(4)[levels]
    if ties:
        scores = np.round(scores, 1) + 0.05
    return subject, levels, scores / scores.sum(axis=1, keepdims=True)


def statistic_of(name: str, subject: np.ndarray, levels: np.ndarray, scores: np.ndarray):
    if METRICS[name].contrasts is not None:
        return auc_statistic([pairs_of(one, subject, 7) for one in MetricOptions().contrasts(name, levels, scores)])
    return intensity_statistic(name, subject, 7, levels.astype(float), intensity(scores))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", METRICS)
def test_statistics_equal_the_metric_of_the_resampled_samples(name, ties):
    for seed in range(3):
        subject, levels, scores = random_sample(seed, ties)
        counts = bootstrap_counts(7, 60)
        # Also the resamples that leave a metric undefined: one subject, or the one with a single level.
        counts = np.concatenate([counts, 7 * np.eye(7)])
        found = statistic_of(name, subject, levels, scores)(counts)
        expected = []
        for row in counts.astype(int):
            index = np.concatenate([np.repeat(np.flatnonzero(subject == s), n) for s, n in enumerate(row)])
            expected.append(compute(name, levels[index], scores[index]))
        # 1e-9: variances come from differences of sums here, from centred values in the metric.
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
        assert name in ("mse", "mae") or np.isnan(found).any()


@pytest.mark.parametrize("name", ["mse", "mae", "pcc", "icc"])
def test_sums_do_not_cancel_around_a_distant_mean(name):
    rng = np.random.default_rng(0)
    levels, subject = 1e6 + rng.normal(size=50), np.repeat(np.arange(5), 10)
    predicted = levels + rng.normal(size=50)
    found = intensity_statistic(name, subject, 5, levels, predicted)(np.ones((1, 5)))[0]
    assert found == pytest.approx(METRICS[name].of_intensity(levels, predicted), rel=1e-8)


def test_constant_predictions_have_no_pooled_correlation():
    levels, subject = np.arange(20.0), np.repeat(np.arange(4), 5)
    for name in ("pcc", "icc"):
        statistic = intensity_statistic(name, subject, 4, levels, np.full(20, 1 / 3))
        assert np.isnan(statistic(bootstrap_counts(4, 50))).all()


def test_average_is_over_the_defined():
    statistics = [mean_statistic(np.array([1.0, np.nan])), mean_statistic(np.array([3.0, 5.0]))]
    np.testing.assert_array_equal(average_statistic(statistics)(np.array([[1.0, 1.0]])), [4.0])
    np.testing.assert_array_equal(average_statistic(statistics[:1])(np.ones((2, 2))), [np.nan, np.nan])


def test_counts_are_draws_with_replacement_and_always_the_same():
    counts = bootstrap_counts(12, 4000)
    np.testing.assert_array_equal(counts, bootstrap_counts(12, 4000))
    np.testing.assert_array_equal(counts.sum(axis=1), 12)
    # Binomial(12, 1/12): mean 1, variance 11/12; 48,000 counts give 1 % and 3 % with room to spare.
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.08)
    assert counts.var() == pytest.approx(11 / 12, rel=0.03)


def test_interval_is_students_for_symmetric_values():
    """Values at the quantiles of a normal distribution: no skew, no bias, so t and ddof are what remains."""
    from scipy.stats import norm, t

    values = norm.ppf((np.arange(40) + 0.5) / 40)
    low, high = bootstrap_interval(mean_statistic(values), 40, n_resamples=20000)
    half = t.ppf(0.975, 39) * values.std(ddof=1) / np.sqrt(40)
    # 20,000 resamples fix a 2.5 % quantile to about 2 % of the half-width.
    assert (low, high) == (pytest.approx(-half, rel=0.05), pytest.approx(half, rel=0.05))


def test_interval_leans_to_the_side_of_the_skew():
    values = np.exp(np.linspace(-2, 2, 20))
    low, high = bootstrap_interval(mean_statistic(values), 20)
    assert high - values.mean() > 1.2 * (values.mean() - low)


def test_interval_widens_with_confidence():
    values = np.random.default_rng(0).random(15)
    widths = [np.diff(bootstrap_interval(mean_statistic(values), 15, confidence=c))[0] for c in (0.5, 0.9, 0.99)]
    assert 0 < widths[0] < widths[1] < widths[2]


def test_degenerate_intervals():
    assert bootstrap_interval(mean_statistic(np.full(5, 0.7)), 5) == (pytest.approx(0.7), pytest.approx(0.7))
    assert np.isnan(bootstrap_interval(mean_statistic(np.array([1.0])), 1)).all()
    assert np.isnan(bootstrap_interval(mean_statistic(np.array([])), 0)).all()
    assert np.isnan(bootstrap_interval(lambda counts: np.full(len(counts), np.nan), 5)).all()
    low, high = bootstrap_interval(mean_statistic(np.array([0.0, 1.0])), 2)
    assert (low, high) == (0.0, 1.0)


@pytest.mark.parametrize(("n_subjects", "least"), [(12, 0.91), (40, 0.92)])
def test_coverage_of_the_mean_over_subjects(n_subjects, least):
    """Skewed values like per-subject AUCs: 1000 draws, standard error 0.7 points; 94 and 95 % expected."""
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(1000):
        low, high = bootstrap_interval(mean_statistic(rng.beta(6, 2, n_subjects)), n_subjects, n_resamples=800)
        held += low <= 0.75 <= high
    assert least <= held / 1000 <= 0.98


def test_coverage_of_a_pooled_correlation():
    """Subjects differ in offset: clips alone would give far too narrow an interval, subjects do not."""
    rng = np.random.default_rng(6)
    n_subjects, n_clips, held, held_by_clips = 30, 20, 0, 0
    # cov = 1, var = 2 each for x = u + e, y = u + f with u of the subject: correlation 1/2.
    for _ in range(200):
        shared = np.repeat(rng.normal(size=n_subjects), n_clips)
        x, y = shared + rng.normal(size=(2, n_subjects * n_clips))
        subject = np.repeat(np.arange(n_subjects), n_clips)
        low, high = bootstrap_interval(
            intensity_statistic("pcc", subject, n_subjects, x, y), n_subjects, n_resamples=500
        )
        held += low <= 0.5 <= high
        error = 1.96 / np.sqrt(len(x) - 3)
        held_by_clips += abs(np.arctanh(np.corrcoef(x, y)[0, 1]) - np.arctanh(0.5)) <= error
    # Standard error 1.7 points.
    assert 0.88 <= held / 200 <= 0.99
    assert held_by_clips / 200 < 0.75


@pytest.mark.parametrize("options", [{"confidence": 1.0}, {"confidence": 0}, {"n_resamples": 0}])
def test_bad_options(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        bootstrap_interval(mean_statistic(np.arange(3.0)), 3, **options)


@pytest.mark.parametrize("alike", [True, False])
def test_the_mean_over_seeds_is_that_of_the_single_seeds(alike):
    rng = np.random.default_rng(1)
    subject = np.repeat(np.arange(7), 9)
    parts, single = [], []
    for seed in range(4):
        own = subject if alike or seed else np.roll(subject, 5)
        levels = np.tile(np.arange(3), 21)
        scores = rng.dirichlet(np.ones(3), len(levels)).round(1) + 1e-9
        scores /= scores.sum(axis=1, keepdims=True)
        parts.append([pairs_of(one, own, 7) for one in MetricOptions().contrasts("auc_ovr", levels, scores)])
        single.append(auc_statistic(parts[-1]))
    counts = bootstrap_counts(7, 50)
    expected = average_statistic(single)(counts)
    np.testing.assert_allclose(mean_auc_statistic(parts)(counts), expected, rtol=1e-12)


@pytest.mark.parametrize("n_positives", [0, 1, 20, 200])
def test_pairs_are_those_counted_one_by_one(n_positives):
    rng = np.random.default_rng(n_positives)
    subject, score = rng.integers(0, 6, 220), rng.integers(0, 30, 220) / 7  # with ties
    positive = rng.permutation(220) < n_positives
    negative = ~positive & (rng.random(220) < 0.9)
    found = pairs_of(Contrast(positive, negative, score), subject, 6)
    won = np.zeros((6, 6))
    for p in np.flatnonzero(positive):
        for n in np.flatnonzero(negative):
            won[subject[p], subject[n]] += (score[p] > score[n]) + (score[p] == score[n]) / 2
    np.testing.assert_array_equal(found.won, won)
    np.testing.assert_array_equal(found.positives, np.bincount(subject[positive], minlength=6))
    np.testing.assert_array_equal(found.negatives, np.bincount(subject[negative], minlength=6))
    np.testing.assert_array_equal(found.auc, Contrast(positive, negative, score).auc())  # sums of halves are exact
