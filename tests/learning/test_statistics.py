"""Aggregation over subjects, folds and seeds, and paired tests, against cases computed by hand and scipy."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from repro.learning.metrics import METRICS, MetricOptions, auc_ovr, intensity, mse, pcc
from repro.learning.predictions import Predictions
from repro.learning.statistics import (
    SubjectValues,
    _exact_p,
    holm,
    paired_test,
    per_subject,
    pooled,
    subject_mean,
)


def simulate(seed: int = 0, n_subjects: int = 6, n_seeds: int = 3, n_clips: int = 15) -> Predictions:
    """Two subjects a fold; the subject s0 shows one level only."""
    rng = np.random.default_rng(seed)
    parts = []
    number = np.repeat(np.arange(n_subjects), n_clips)
    levels = rng.integers(0, 4, len(number)) * (number > 0)
    for run in range(n_seeds):
        scores = rng.dirichlet(np.ones(4), len(number)) + 0.5 * np.eye(4)[levels]
        scores /= scores.sum(axis=1, keepdims=True)
        parts.append(
            Predictions(
                subject=np.array([f"s{i}" for i in number]),
                fold=number // 2,
                seed=np.full(len(number), run),
                level=levels,
                scores=scores,
            )
        )
    columns = ("subject", "fold", "seed", "level", "scores")
    return Predictions(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))


def values(numbers: list[float], metric: str = "auc_ovr", **options: object) -> SubjectValues:
    names = tuple(f"s{i:02d}" for i in range(len(numbers)))
    return SubjectValues(metric, names, np.array(numbers, dtype=float), n_folds=len(numbers), n_seeds=1, **options)


def test_per_subject_averages_seeds_within_the_subject():
    predictions = simulate()
    found = per_subject(predictions, "mse")
    assert found.subjects == ("s0", "s1", "s2", "s3", "s4", "s5")
    for name, value in zip(found.subjects, found.values, strict=True):
        of_seeds = []
        for seed in range(3):
            own = predictions.select((predictions.subject == name) & (predictions.seed == seed))
            of_seeds.append(mse(own.level, intensity(own.scores)))
        assert value == pytest.approx(np.mean(of_seeds), rel=1e-12)
    assert (found.n_folds, found.n_seeds, found.undefined, found.partly_undefined) == (3, 3, (), ())


def test_subjects_count_alike_however_many_clips_they_have():
    """Subject a: one clip, error 0. Subject b: three clips, error 1. Mean over subjects 1/2, pooled 3/4."""
    predictions = Predictions(
        subject=["a", "b", "b", "b"],
        fold=[0, 1, 1, 1],
        seed=[0] * 4,
        level=[0, 1, 1, 1],
        scores=[[1.0, 0.0]] * 4,
    )
    mean = subject_mean(per_subject(predictions, "mse"))
    together = pooled(predictions, "mse")
    assert (mean.aggregate, mean.value) == ("subject_mean", 0.5)
    assert (together.aggregate, together.value) == ("pooled", 0.75)
    assert (mean.ci_low, mean.ci_high) == (0.0, 1.0)


def test_pooling_over_folds_gives_the_training_mean_a_negative_correlation():
    """Leave-one-subject-out with the mean of the others: undefined within each subject, pooled near -1."""
    rng = np.random.default_rng(1)
    subject = np.repeat(np.arange(12), 10)
    level = np.minimum(rng.poisson(subject / 6.0), 4)
    mean = np.array([level[subject != s].mean() for s in subject])
    low = np.floor(mean).astype(int)
    scores = np.zeros((120, 5))
    scores[np.arange(120), low], scores[np.arange(120), low + 1] = 1 - (mean - low), mean - low
    predictions = Predictions(subject, subject, np.zeros(120, int), level, scores)
    within = subject_mean(per_subject(predictions, "pcc"))
    assert math.isnan(within.value) and math.isnan(within.ci_low)
    assert within.n_undefined == within.n_subjects == 12
    assert pooled(predictions, "pcc").value == pytest.approx(pcc(level, mean), rel=1e-9)
    assert pooled(predictions, "pcc").value < -0.3


def test_undefined_subjects_are_counted_and_named():
    estimate = subject_mean(per_subject(simulate(), "auc_ovr"))
    found = per_subject(simulate(), "auc_ovr").values
    assert estimate.undefined == ("s0",) and estimate.n_undefined == 1 and estimate.n_subjects == 6
    assert math.isnan(found[0])
    assert estimate.value == pytest.approx(found[1:].mean(), rel=1e-12)
    assert estimate.ci_low < estimate.value < estimate.ci_high


def test_a_subject_undefined_in_some_runs_is_named():
    """A run that collapsed to a constant has no PCC; the subject's value is that of its other run."""
    level, spread = [0, 1, 2, 0, 1, 2], np.eye(3)[[0, 2, 1]]
    predictions = Predictions(
        subject=["a"] * 6,
        fold=[0] * 6,
        seed=[0, 0, 0, 1, 1, 1],
        level=level,
        scores=np.concatenate([spread, np.full((3, 3), 1 / 3)]),
    )
    found = per_subject(predictions, "pcc")
    assert found.values[0] == pytest.approx(0.5)
    assert found.partly_undefined == ("a",) and found.undefined == ()
    assert subject_mean(found).partly_undefined == ("a",)
    together = pooled(predictions, "pcc")
    assert together.value == pytest.approx(0.5) and together.undefined == ("seed 1",)


@pytest.mark.parametrize("metric", METRICS)
def test_pooled_is_the_mean_over_seeds_of_the_metric_of_all_samples(metric):
    predictions = simulate(4)
    found = pooled(predictions, metric)
    assert found.ci_low < found.value < found.ci_high
    assert (found.n_subjects, found.n_folds, found.n_seeds, found.n_undefined) == (6, 3, 3, 0)
    if metric == "auc_ovr":
        seeds = [predictions.select(predictions.seed == s) for s in range(3)]
        expected = np.mean([auc_ovr(part.level, part.scores) for part in seeds])
        assert found.value == pytest.approx(expected, rel=1e-12)


def test_everything_is_reproducible_and_blind_to_the_order_of_rows():
    predictions = simulate(2)
    order = np.random.default_rng(0).permutation(len(predictions.level))
    shuffled = predictions.select(order)
    for metric in ("pcc", "auc_ovr"):
        one, other = pooled(predictions, metric), pooled(shuffled, metric)
        # Sums over samples in another order.
        np.testing.assert_allclose(
            [one.value, one.ci_low, one.ci_high], [other.value, other.ci_low, other.ci_high], rtol=1e-10
        )
        assert pooled(predictions, metric) == one
        mean = subject_mean(per_subject(predictions, metric))
        assert subject_mean(per_subject(predictions, metric)) == mean


def test_options_reach_both_aggregates():
    predictions, options = simulate(), MetricOptions(decode="argmax")
    hard = predictions.scores.argmax(axis=1)
    expected = np.mean([mse(predictions.level[p], hard[p]) for s in range(3) for p in [predictions.seed == s]])
    assert pooled(predictions, "mse", options).value == pytest.approx(expected, rel=1e-12)
    assert subject_mean(per_subject(predictions, "mse", options)).value == pytest.approx(expected, rel=1e-12)


def test_predictions_from_a_frame():
    predictions = simulate()
    frame = pd.DataFrame({name: getattr(predictions, name) for name in ("subject", "fold", "seed", "level")})
    for level in range(4):
        frame[f"score_{level}"] = predictions.scores[:, level]
    read = Predictions.from_frame(frame)
    for name in ("subject", "fold", "seed", "level", "scores"):
        np.testing.assert_array_equal(getattr(read, name), getattr(predictions, name))
    with pytest.raises(ValueError, match=r"needs columns \['fold', 'score_1'\]"):
        Predictions.from_frame(frame.drop(columns=["fold", "score_1"]))
    with pytest.raises(ValueError, match="needs columns"):
        Predictions.from_frame(frame[["subject", "fold", "seed", "level"]])


def test_bad_predictions():
    with pytest.raises(ValueError, match=r"seed of shape \(2,\) does not fit 1 predictions"):
        Predictions(["a"], [0], [0, 1], [0], [[1.0, 0.0]])
    with pytest.raises(ValueError, match="at least 1"):
        Predictions([], [], [], [], np.zeros((0, 2)))
    with pytest.raises(ValueError, match="scores of shape"):
        Predictions(["a"], [0], [0], [0], [1.0])
    with pytest.raises(ValueError, match="unknown metric 'auc'"):
        pooled(simulate(), "auc")


def literal_wilcoxon(differences: np.ndarray) -> float:
    """Two-sided p by going through all assignments of signs."""
    ranks = stats.rankdata(np.abs(differences))
    total, observed = ranks.sum(), ranks[differences > 0].sum()
    extreme = abs(observed - total / 2) - 1e-9
    sums = [ranks[np.array(signs)].sum() for signs in product([False, True], repeat=len(ranks))]
    return float(np.mean([abs(s - total / 2) >= extreme for s in sums]))


@pytest.mark.parametrize("seed", range(4))
def test_paired_test_against_enumeration(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random(9) + 0.2, rng.random(9)
    found = paired_test(values(a), values(b))
    assert found.p_value == pytest.approx(literal_wilcoxon(a - b), abs=1e-12)
    assert found.mean_difference == pytest.approx((a - b).mean(), rel=1e-12)
    assert found.ci_low < found.mean_difference < found.ci_high
    ranks = stats.rankdata(np.abs(a - b))
    favourable, unfavourable = ranks[a > b].sum(), ranks[a < b].sum()
    assert found.effect_size == pytest.approx((favourable - unfavourable) / 45, rel=1e-12)
    swapped = paired_test(values(b), values(a))
    assert (swapped.p_value, swapped.effect_size) == (found.p_value, pytest.approx(-found.effect_size))


@pytest.mark.parametrize("seed", range(6))
def test_paired_test_with_tied_ranks_against_enumeration(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 5, 10) / 8, rng.integers(0, 4, 10) / 8  # eighths: differences are exactly equal
    moved = (a - b)[a != b]
    assert len(np.unique(np.abs(moved))) < len(moved)
    assert paired_test(values(a), values(b)).p_value == pytest.approx(literal_wilcoxon(moved), abs=1e-12)


@pytest.mark.parametrize("n", [14, 25, 50])
def test_the_exact_distribution_is_scipys_where_ranks_are_not_tied(n):
    differences = np.random.default_rng(n).normal(0.3, size=n)
    found = _exact_p(stats.rankdata(np.abs(differences)), differences > 0)
    assert found == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue, rel=1e-9)


def test_one_tie_among_25_hardly_changes_the_p_value():
    differences = np.random.default_rng(1).normal(0.3, size=25)
    order = np.argsort(np.abs(differences))
    tied = differences.copy()
    tied[order[3]] = np.copysign(differences[order[4]], differences[order[3]])
    p_values = [paired_test(values(d), values(np.zeros(25))).p_value for d in (differences, tied)]
    # Two neighbouring ranks, each moved by 1/2, move their sum by at most 1 of 37, its standard deviation.
    assert p_values[1] == pytest.approx(p_values[0], rel=0.1)


def test_paired_test_by_hand():
    """Differences 1, 2, 3, -4: rank sums 6 and 4 of 10; 14 of 16 sign patterns are as far from 5."""
    found = paired_test(values([1, 2, 3, 0]), values([0, 0, 0, 4]))
    assert found.effect_size == pytest.approx(0.2)
    assert found.p_value == pytest.approx(14 / 16)
    assert (found.n, found.mean_difference) == (4, 0.5)


def test_paired_test_leaves_out_and_names_undefined_subjects():
    nan = float("nan")
    found = paired_test(values([1, nan, 3, 4, 5]), values([0, 1, nan, 2, 6]))
    assert found.undefined == ("s01", "s02") and found.n == 3
    assert found.mean_difference == pytest.approx(2 / 3)


def test_degenerate_paired_tests():
    same = paired_test(values([0.5, 0.6, 0.7]), values([0.5, 0.6, 0.7]))
    assert (same.p_value, same.effect_size, same.mean_difference) == (1.0, 0.0, 0.0)
    assert (same.ci_low, same.ci_high) == (0.0, 0.0)
    none = paired_test(values([float("nan")]), values([1.0]))
    assert none.n == 0 and all(map(math.isnan, (none.p_value, none.effect_size, none.mean_difference, none.ci_low)))
    one = paired_test(values([1.0]), values([0.5]))
    assert (one.p_value, one.effect_size) == (1.0, 1.0) and math.isnan(one.ci_low)


def test_paired_test_refuses_what_is_not_paired():
    with pytest.raises(ValueError, match=r"only one method has \['s02'\]"):
        paired_test(values([1, 2, 3]), values([1, 2]))
    with pytest.raises(ValueError, match="cannot compare auc_ovr with mse"):
        paired_test(values([1]), values([1], metric="mse"))


def test_paired_test_holds_its_level():
    """No difference, 300 trials of 15 subjects with skewed values: 5 %, standard error 1.3 points."""
    rng = np.random.default_rng(3)
    rejected = sum(
        paired_test(values(rng.beta(6, 2, 15)), values(rng.beta(6, 2, 15)), n_resamples=10).p_value < 0.05
        for _ in range(300)
    )
    assert 0.01 <= rejected / 300 <= 0.09


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02], rtol=1e-12)
    np.testing.assert_allclose(holm([0.9, 0.8]), [1.0, 1.0])
    np.testing.assert_allclose(holm([0.04]), [0.04])
    assert holm([]).shape == (0,)


def test_holm_rejects_step_by_step():
    """Adjusted values against the procedure as Holm states it, for random p-values and levels."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        p, alpha = rng.random(8) ** 3, rng.random() * 0.2
        rejected = np.zeros(8, dtype=bool)
        for step, index in enumerate(np.argsort(p)):
            if p[index] > alpha / (8 - step):
                break
            rejected[index] = True
        np.testing.assert_array_equal(holm(p) <= alpha, rejected)


def test_holm_skips_comparisons_that_could_not_be_made():
    np.testing.assert_allclose(holm([0.03, np.nan, 0.02]), [0.04, np.nan, 0.04])
    with pytest.raises(ValueError, match="in 0..1"):
        holm([0.5, 1.5])
