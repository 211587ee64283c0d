"""Metrics against scipy, scikit-learn, literal definitions and cases computed by hand."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import mean_absolute_error, mean_squared_error, roc_auc_score

from repro.learning.metrics import (
    METRICS,
    MetricOptions,
    Metrics,
    auc,
    auc_binary,
    auc_ovo,
    auc_ovr,
    compute,
    compute_each,
    evaluate,
    icc,
    icc31,
    intensity,
    mae,
    mse,
    pcc,
    scores_of_intensity,
    with_decoding,
)

# Six targets by four judges: the worked example of Shrout & Fleiss 1979, Table 2.
SHROUT_FLEISS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])

EXACT = {"rtol": 1e-12, "atol": 1e-12}  # the same quantity in float64, in another order of operations


def random_predictions(seed: int, n: int = 60, n_levels: int = 5, ties: bool = False) -> tuple:
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, n_levels, n)
    scores = rng.dirichlet(np.ones(n_levels), n)
    scores = scores + 0.3 * np.eye(n_levels)[levels]
    if ties:
        scores = np.round(scores, 1) + 0.05
    return levels, scores / scores.sum(axis=1, keepdims=True)


def literal_icc31(ratings: np.ndarray) -> float:
    """The analysis of variance, sum of squares by sum of squares."""
    n, k = ratings.shape
    grand = ratings.mean()
    total = sum((ratings[i, j] - grand) ** 2 for i in range(n) for j in range(k))
    targets = sum(k * (ratings[i].mean() - grand) ** 2 for i in range(n))
    judges = sum(n * (ratings[:, j].mean() - grand) ** 2 for j in range(k))
    bms, ems = targets / (n - 1), (total - targets - judges) / ((n - 1) * (k - 1))
    return (bms - ems) / (bms + (k - 1) * ems)


def literal_auc(positive: np.ndarray, score: np.ndarray) -> float:
    won = [(p > n) + 0.5 * (p == n) for p in score[positive] for n in score[~positive]]
    return sum(won) / len(won)


def test_intensity_is_the_expectation():
    scores = [[0.5, 0.5, 0, 0], [0, 0, 0, 1], [0.25, 0.25, 0.25, 0.25], [0.4, 0, 0.2, 0.4]]
    np.testing.assert_allclose(intensity(scores), [0.5, 3, 1.5, 1.6], **EXACT)
    np.testing.assert_array_equal(intensity(scores, decode="argmax"), [0, 3, 0, 0])


def test_intensity_of_half_precision_scores_is_normalised():
    scores = np.full((1, 3), 1 / 3, dtype=np.float16)
    np.testing.assert_allclose(intensity(scores), [1.0], **EXACT)


@pytest.mark.parametrize("n", [2, 3, 40])
@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_errors_and_correlations_match_scipy_and_scikit_learn(n, shift):
    rng = np.random.default_rng(n)
    levels = shift + np.arange(n) + rng.normal(size=n)
    predicted = 0.5 * levels + rng.normal(size=n)
    assert mse(levels, predicted) == pytest.approx(mean_squared_error(levels, predicted), rel=1e-12)
    assert mae(levels, predicted) == pytest.approx(mean_absolute_error(levels, predicted), rel=1e-12)
    # A mean of 1e6 costs 6 of float64's 16 digits, squared in the literal sums of squares.
    digits = 1e-12 if shift == 0 else 1e-7
    assert pcc(levels, predicted) == pytest.approx(stats.pearsonr(levels, predicted).statistic, abs=digits)
    expected = literal_icc31(np.stack([levels - shift, predicted - shift / 2], axis=1))
    assert icc(levels, predicted) == pytest.approx(expected, abs=digits)


def test_errors_by_hand():
    assert mse([0, 2, 4], [1, 2, 1]) == pytest.approx(10 / 3)
    assert mae([0, 2, 4], [1, 2, 1]) == pytest.approx(4 / 3)
    assert pcc([1, 2, 3], [1, 3, 2]) == pytest.approx(0.5)
    # Consistency, not agreement: an offset costs nothing in ICC(3,1), a scale does (2 * 2 / (1 + 4)).
    assert icc([1, 2, 3], [11, 12, 13]) == pytest.approx(1.0)
    assert icc([1, 2, 3], [2, 4, 6]) == pytest.approx(0.8)
    assert icc([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)


def test_icc31_of_shrout_and_fleiss():
    assert icc31(SHROUT_FLEISS) == pytest.approx(0.71, abs=0.005)
    assert icc31(SHROUT_FLEISS) == pytest.approx(literal_icc31(SHROUT_FLEISS), rel=1e-12)
    # A judge's own level does not matter in ICC(3,1).
    assert icc31(SHROUT_FLEISS + np.array([0, 5, -3, 100])) == pytest.approx(literal_icc31(SHROUT_FLEISS))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_auc_matches_its_definition_and_scikit_learn(seed, ties):
    rng = np.random.default_rng(seed)
    positive, score = rng.random(25) < 0.4, rng.normal(size=25)
    if ties:
        score = np.round(score)
    assert auc(positive, score) == pytest.approx(literal_auc(positive, score), rel=1e-12)
    assert auc(positive, score) == pytest.approx(roc_auc_score(positive, score), rel=1e-12)


def test_auc_by_hand():
    assert auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == 0.75
    assert auc([0, 1, 1, 0], [3, 3, 3, 3]) == 0.5
    assert auc([0, 1], [2, 1]) == 0.0


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_multiclass_auc_matches_scikit_learn(seed, ties):
    levels, scores = random_predictions(seed, ties=ties)
    ovr = roc_auc_score(levels, scores, multi_class="ovr", average="macro")
    ovo = roc_auc_score(levels, scores, multi_class="ovo", average="macro")
    assert auc_ovr(levels, scores) == pytest.approx(ovr, rel=1e-12)
    assert auc_ovo(levels, scores) == pytest.approx(ovo, rel=1e-12)
    assert abs(ovr - ovo) > 1e-4, "the case would not tell the two conventions apart"


def test_only_levels_present_count():
    """Levels 1 and 3 of five: the mean of their own AUCs, by literal pairs."""
    levels, scores = random_predictions(1, n=30)
    levels = np.where(levels % 2 == 0, 1, 3)
    ovr = np.mean([literal_auc(levels == k, scores[:, k]) for k in (1, 3)])
    assert auc_ovr(levels, scores) == pytest.approx(ovr, rel=1e-12)
    assert auc_ovo(levels, scores) == pytest.approx(ovr, rel=1e-12)


def test_ovo_is_hand_and_tills():
    levels, scores = random_predictions(7, n=40, n_levels=4)
    pairs = []
    for i, j in combinations(range(4), 2):
        used = np.isin(levels, [i, j])
        one = literal_auc(levels[used] == i, scores[used, i])
        pairs.append((one + literal_auc(levels[used] == j, scores[used, j])) / 2)
    assert auc_ovo(levels, scores) == pytest.approx(np.mean(pairs), rel=1e-12)


def test_binary_auc():
    levels, scores = random_predictions(2)
    expected = roc_auc_score(levels > 0, 1 - scores[:, 0])
    assert auc_binary(levels, scores) == pytest.approx(expected, abs=1e-12)
    ends = np.isin(levels, [0, 4])
    ratio = scores[ends, 4] / (scores[ends, 0] + scores[ends, 4])
    expected = roc_auc_score(levels[ends] == 4, ratio)
    assert auc_binary(levels, scores, negative=(0,), positive=(4,)) == pytest.approx(expected, rel=1e-12)


def test_binary_auc_where_neither_side_is_thought_possible():
    """Probability 0 for both sides is no evidence: 1/2, between a confident no and a confident yes."""
    scores = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert auc_binary([0, 2, 2], scores, positive=(2,)) == 1.0
    assert auc_binary([2, 0, 2], scores, positive=(2,)) == 0.5


def test_undefined_is_nan_never_zero():
    one_level, constant = [2, 2, 2], [1.5, 1.5, 1.5]
    for metric in (pcc, icc):
        assert math.isnan(metric([0, 1, 2], constant))
        assert math.isnan(metric(one_level, [0.0, 1.0, 2.0]))
        assert math.isnan(metric([1], [1.0]))
    for metric in (auc_ovr, auc_ovo, auc_binary):
        assert math.isnan(metric(one_level, [[0.2, 0.3, 0.5], [0.1, 0.1, 0.8], [1, 0, 0]]))
    assert math.isnan(icc31([[1.0, 2.0]])) and math.isnan(icc31([[1.0], [2.0]]))
    assert math.isnan(icc31(np.ones((4, 3))))


@pytest.mark.parametrize("n_levels", [3, 5, 16])
def test_mean_predictor_has_no_correlation_and_chance_auc(n_levels):
    """Equal rows of scores decode to exactly equal intensities, whatever the rounding."""
    rng = np.random.default_rng(n_levels)
    levels = rng.integers(0, n_levels, 1003)
    found = evaluate(levels, np.tile(rng.dirichlet(np.ones(n_levels)), (1003, 1)))
    assert math.isnan(found["pcc"]) and math.isnan(found["icc"])
    assert found["auc_ovr"] == found["auc_ovo"] == found["auc_binary"] == 0.5


def test_evaluate_holds_every_metric():
    levels, scores = random_predictions(3)
    found = evaluate(levels, scores)
    assert list(found) == list(METRICS) == list(Metrics.__annotations__)
    assert found["mse"] == mse(levels, intensity(scores))
    assert found["icc"] == icc(levels, intensity(scores))
    assert found["auc_ovr"] == auc_ovr(levels, scores)
    other = evaluate(levels, scores, MetricOptions(decode="argmax", positive=(3, 4)))
    assert other["mse"] == mse(levels, scores.argmax(axis=1))
    assert other["auc_binary"] == auc_binary(levels, scores, positive=(3, 4))
    assert other["auc_ovr"] == found["auc_ovr"]
    assert {name for name, metric in METRICS.items() if not metric.higher_is_better} == {"mse", "mae"}


@pytest.mark.parametrize("name", ["mse", "mae", "pcc", "icc"])
def test_a_name_may_ask_for_a_decoding(name):
    levels, scores = random_predictions(3)
    options = MetricOptions(positive=(3, 4))
    metric, asked = with_decoding(f"{name}_argmax", options)
    assert (metric, asked) == (name, MetricOptions(decode="argmax", positive=(3, 4)))
    assert compute(metric, levels, scores, asked) == METRICS[name].of_intensity(levels, scores.argmax(axis=1))
    assert compute(metric, levels, scores, asked) != compute(name, levels, scores)
    assert with_decoding(name, options) == (name, options) and with_decoding("auc_ovr") == ("auc_ovr", MetricOptions())
    back = with_decoding(f"{name}_expectation", MetricOptions(decode="argmax"))[1]
    assert compute(name, levels, scores, back) == compute(name, levels, scores)


def test_scores_of_intensity():
    values = np.array([-0.5, 0.0, 0.25, 1.0, 2.75, 3.0, 9.0])
    scores = scores_of_intensity(values, 4)
    np.testing.assert_allclose(intensity(scores), np.clip(values, 0, 3), **EXACT)
    np.testing.assert_allclose(scores[2], [0.75, 0.25, 0, 0], **EXACT)
    np.testing.assert_allclose(scores[4], [0, 0, 0.25, 0.75], **EXACT)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compute("f1", [0], [[1, 0]]), "unknown metric 'f1'; known are mse"),
        (lambda: compute("mse", [0, 1], [[1, 0]]), r"scores must have shape \(2, L\)"),
        (lambda: compute("mse", [2], [[0.5, 0.5]]), r"whole numbers in 0..1, got \[2.\]"),
        (lambda: compute("mse", [0.5], [[0.5, 0.5]]), "whole numbers"),
        (lambda: compute("auc_ovr", [0], [[2.0, -1.0]]), "not probabilities"),
        (lambda: compute("mse", [0], [[3.0, 1.0]]), "Apply a softmax"),
        (lambda: compute("auc_ovr", [0], [[np.nan, 1.0]]), "not probabilities"),
        (lambda: compute("mse", [0], [[1.0]]), "L >= 2"),
        (lambda: compute("mse", [], np.zeros((0, 2))), "non-empty"),
        (lambda: mse([0, 1], [np.nan, 1]), "1 values that are not finite"),
        (lambda: mse([0, 1], [1]), "do not match"),
        (lambda: auc_ovr([0, 1], [[np.inf, 1.0], [0, 1]]), "not finite"),
        (lambda: intensity([[0.5, 0.5]], decode="median"), "decode must be"),
        (lambda: auc_binary([0, 1], [[1, 0], [0, 1]], positive=(0,)), "disjoint"),
        (lambda: auc_binary([0, 1], [[1, 0], [0, 1]], positive=(2,)), r"levels \[2\] have no column"),
        (lambda: icc31([1.0, 2.0]), "targets by raters"),
        (lambda: scores_of_intensity([1.0], 1), "at least 2 levels"),
        (lambda: with_decoding("auc_ovr_argmax"), "unknown metric 'auc_ovr_argmax'; known are mse"),
        (lambda: with_decoding("mse_median"), "mse, mae, pcc, icc with _argmax or _expectation"),
        (lambda: MetricOptions().contrasts("mse", [0], [[1, 0]]), "mse is no AUC"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", [*METRICS])
@pytest.mark.parametrize("n_levels", [2, 5, 17])
def test_groups_give_the_same_bits_as_one_by_one(name, n_levels):
    rng = np.random.default_rng(n_levels)
    groups = rng.permutation(np.repeat(np.arange(40), rng.integers(1, 30, 40)))
    levels = rng.integers(0, n_levels, len(groups))
    levels[groups == 3] = 0  # without a second level
    scores = rng.integers(1, 6, (len(groups), n_levels)).astype(np.float32)  # with ties
    scores /= scores.sum(axis=1, keepdims=True)
    scores[groups == 5] = scores[groups == 5][:1]  # a constant prediction
    for options in (MetricOptions(), MetricOptions(negative=(0,), positive=(n_levels - 1,), decode="argmax")):
        each = compute_each(name, levels, scores, groups, options)
        alone = [compute(name, levels[groups == g], scores[groups == g], options) for g in range(40)]
        np.testing.assert_array_equal(each, alone)
    assert np.isnan(each[3]) == (name not in ("mse", "mae"))


def test_groups_are_checked_as_samples_are():
    with pytest.raises(ValueError, match="unknown metric"):
        compute_each("rmse", [0, 1], np.eye(2), [0, 0])
    with pytest.raises(ValueError, match="not probabilities"):
        compute_each("mse", [0, 1], 2 * np.eye(2), [0, 0])
    with pytest.raises(ValueError, match="levels must be"):
        compute_each("mse", [0, 2], np.eye(2), [0, 0])
