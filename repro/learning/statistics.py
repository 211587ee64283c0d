"""What a table prints: means over subjects with intervals, pooled numbers beside them, paired tests.

The main number is the mean over subjects: the metric of each subject's own samples, runs (folds and seeds)
averaged within the subject first, with a bootstrap interval over subjects (`resampling`). The pooled
number, the metric of all subjects' samples together, is what papers quote; it mixes differences between
people, and between the models of different folds, into the metric, so it stands beside the mean and is
labelled. Subjects for whom a metric is undefined (one level only, a constant prediction) are left out of
the mean, counted and named.

Methods are compared on the same subjects by paired differences (Wilcoxon), not by overlap of intervals, and
p-values of several comparisons are adjusted (Holm). Everything is deterministic and in the metric's own unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from repro.learning.groups import alike, mean_over_defined
from repro.learning.metrics import DEFAULTS, MetricOptions, compute_each, metric_called
from repro.learning.predictions import Predictions
from repro.learning.resampling import (
    Statistic,
    average_statistic,
    bootstrap_interval,
    intensity_statistic,
    mean_auc_statistic,
    mean_of_defined,
    mean_statistic,
    pairs_of,
)

Array = NDArray[np.float64]

_EXACT = 50
"""Differences of which p-values are exact, at most; those without ties by SciPy."""


@dataclass(frozen=True)
class SubjectValues:
    """One metric of one method for each subject.

    Attributes
    ----------
    metric : str
    subjects : tuple of str, length S
        Sorted.
    values : ndarray, shape (S,)
        Mean over the subject's runs (fold and seed) in which the metric is defined; NaN when in none.
    n_folds, n_seeds : int
    partly_undefined : tuple of str
        Subjects for whom the metric is defined in some of their runs only.
    """

    metric: str
    subjects: tuple[str, ...]
    values: Array
    n_folds: int
    n_seeds: int
    partly_undefined: tuple[str, ...] = ()

    @property
    def undefined(self) -> tuple[str, ...]:
        """Subjects without a value."""
        return tuple(s for s, value in zip(self.subjects, self.values, strict=True) if np.isnan(value))


@dataclass(frozen=True)
class Estimate:
    """A number as a table prints it.

    Attributes
    ----------
    metric : str
    aggregate : str
        ``"subject_mean"`` or ``"pooled"``.
    value, ci_low, ci_high : float
        In the metric's unit (an AUC in 0..1). NaN where undefined; an interval needs two subjects.
    n_subjects : int
        Subjects tested, those without a value included.
    n_folds, n_seeds : int
    undefined : tuple of str
        What could not be computed and is left out of ``value``: subjects (subject mean) or ``"seed <seed>"``
        (pooled).
    partly_undefined : tuple of str
        Subjects whose value comes from some of their runs only.
    """

    metric: str
    aggregate: str
    value: float
    ci_low: float
    ci_high: float
    n_subjects: int
    n_folds: int
    n_seeds: int
    undefined: tuple[str, ...] = ()
    partly_undefined: tuple[str, ...] = ()

    @property
    def n_undefined(self) -> int:
        """Number of entries of ``undefined``."""
        return len(self.undefined)


def per_subject(predictions: Predictions, metric: str, options: MetricOptions = DEFAULTS) -> SubjectValues:
    """Compute a metric within each subject, each run on its own, and average a subject's runs.

    Parameters
    ----------
    predictions : Predictions
    metric : str
        A key of `repro.learning.metrics.METRICS`.
    options : MetricOptions

    Returns
    -------
    SubjectValues

    Raises
    ------
    ValueError
        For an unknown metric or unusable predictions.
    """
    subjects, subject = predictions.by_subject
    owner, run = predictions.by_run
    of_runs = compute_each(metric, predictions.level, predictions.scores, run, options)
    sizes = np.bincount(owner)
    values, missing = np.empty(len(subjects)), np.bincount(owner, np.isnan(of_runs))
    for chosen, runs in alike(sizes):
        values[chosen] = mean_of_defined(of_runs[runs].T)
    return SubjectValues(
        metric=metric,
        subjects=tuple(subjects.tolist()),
        values=values,
        n_folds=len(predictions.by_fold[0]),
        n_seeds=len(predictions.by_seed[0]),
        partly_undefined=tuple(subjects[(missing > 0) & (missing < sizes)].tolist()),
    )


def subject_mean(values: SubjectValues, *, confidence: float = 0.95, n_resamples: int = 2000) -> Estimate:
    """Average a metric over subjects, with a bootstrap interval over subjects: the main number.

    Parameters
    ----------
    values : SubjectValues
        From `per_subject`.
    confidence : float
    n_resamples : int

    Returns
    -------
    Estimate
        Over the subjects with a value; the others are named.
    """
    defined = values.values[~np.isnan(values.values)]
    low, high = bootstrap_interval(
        mean_statistic(defined), len(defined), confidence=confidence, n_resamples=n_resamples
    )
    return Estimate(
        metric=values.metric,
        aggregate="subject_mean",
        value=float(defined.mean()) if defined.size else float("nan"),
        ci_low=low,
        ci_high=high,
        n_subjects=len(values.subjects),
        n_folds=values.n_folds,
        n_seeds=values.n_seeds,
        undefined=values.undefined,
        partly_undefined=values.partly_undefined,
    )


def by_unit(name: str, values: ArrayLike, units: Sequence[str]) -> SubjectValues:
    """Put what was measured of units, such as videos or subjects, in the form that statistics take.

    Parameters
    ----------
    name : str
    values : array_like, (n,)
        Finite.
    units : sequence of str, length n
        What each value is of; the values of one unit are averaged.

    Returns
    -------
    SubjectValues
        Units stand in the place of subjects; there are no folds, and one run.

    Raises
    ------
    ValueError
        If there are no values, or units differ in number.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or len(numbers) != len(units) or not len(numbers):
        raise ValueError(f"{name}: {numbers.shape} values of {len(units)} units; give one of each, at least one")
    names, place = np.unique(np.asarray(units), return_inverse=True)
    return SubjectValues(name, tuple(map(str, names)), np.bincount(place, numbers) / np.bincount(place), 0, 1)


def pooled(
    predictions: Predictions,
    metric: str,
    options: MetricOptions = DEFAULTS,
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
) -> Estimate:
    """Compute a metric of all subjects' samples together, seed by seed, and average the seeds.

    Parameters
    ----------
    predictions : Predictions
    metric : str
        A key of `repro.learning.metrics.METRICS`.
    options : MetricOptions
    confidence : float
    n_resamples : int

    Returns
    -------
    Estimate
        The interval draws subjects with all their samples and seeds.

    Raises
    ------
    ValueError
        For an unknown metric or unusable predictions.
    """
    subjects, subject = predictions.by_subject
    seeds, seed = predictions.by_seed
    samples = [np.flatnonzero(seed == number) for number in range(len(seeds))]
    if (formula := metric_called(metric).of_intensity) is None:
        of_seeds, statistic = _pooled_auc(predictions, samples, metric, options)
    else:
        level, guess = options.intensities(predictions.level, predictions.scores)
        parts = [(subject[own], level[own], guess[own]) for own in samples]
        of_seeds = np.array([formula(own_level, own_guess) for _, own_level, own_guess in parts])
        of_parts = [intensity_statistic(metric, of, len(subjects), *values) for of, *values in parts]
        statistic = average_statistic(of_parts)
    low, high = bootstrap_interval(statistic, len(subjects), confidence=confidence, n_resamples=n_resamples)
    return Estimate(
        metric=metric,
        aggregate="pooled",
        value=float(mean_of_defined(of_seeds)),
        ci_low=low,
        ci_high=high,
        n_subjects=len(subjects),
        n_folds=len(predictions.by_fold[0]),
        n_seeds=len(seeds),
        undefined=tuple(f"seed {seed}" for seed in seeds[np.isnan(of_seeds)]),
    )


def _pooled_auc(
    predictions: Predictions, of_seeds: Sequence[NDArray[np.intp]], metric: str, options: MetricOptions
) -> tuple[Array, Statistic]:
    """Return an AUC of each seed, and its mean as a function of counts."""
    subjects, subject = predictions.by_subject
    contrasts = list(options.contrasts(metric, predictions.level, predictions.scores))
    pairs = [[pairs_of(one.at(own), subject[own], len(subjects)) for one in contrasts] for own in of_seeds]
    values = mean_over_defined(np.array([[one.auc for one in of_seed] for of_seed in pairs]))
    return values, mean_auc_statistic(pairs)


@dataclass(frozen=True)
class PairedTest:
    """A comparison of two methods on the same subjects.

    Attributes
    ----------
    n : int
        Subjects for whom both methods have a value.
    undefined : tuple of str
        Subjects left out.
    mean_difference, ci_low, ci_high : float
        First minus second, with a bootstrap interval over subjects.
    p_value : float
        Wilcoxon signed-rank test, two-sided; 1 when no subject differs, NaN without a subject.
    effect_size : float
        Matched-pairs rank-biserial correlation, -1..1: the rank sum in favour of the first method minus the
        one in favour of the second, over their total (Kerby 2014); 0 when no subject differs.
    """

    n: int
    undefined: tuple[str, ...]
    mean_difference: float
    ci_low: float
    ci_high: float
    p_value: float
    effect_size: float


def paired_test(
    first: SubjectValues, second: SubjectValues, *, confidence: float = 0.95, n_resamples: int = 2000
) -> PairedTest:
    """Compare two methods by the differences within subjects.

    Parameters
    ----------
    first, second : SubjectValues
        The same metric for the same subjects.
    confidence : float
    n_resamples : int

    Returns
    -------
    PairedTest
        Subjects without a difference take no part in the test and the effect size (Wilcoxon's own rule).

    Raises
    ------
    ValueError
        When the metrics or the subjects differ.
    """
    if first.metric != second.metric:
        raise ValueError(f"cannot compare {first.metric} with {second.metric}")
    if first.subjects != second.subjects:
        apart = sorted(set(first.subjects) ^ set(second.subjects))
        raise ValueError(f"a paired test needs the same subjects; only one method has {apart}")
    differences = first.values - second.values
    missing = np.isnan(differences)
    undefined = tuple(s for s, gone in zip(first.subjects, missing, strict=True) if gone)
    kept = differences[~missing]
    low, high = bootstrap_interval(mean_statistic(kept), len(kept), confidence=confidence, n_resamples=n_resamples)
    p_value, effect_size = _signed_ranks(kept)
    return PairedTest(
        n=len(kept),
        undefined=undefined,
        mean_difference=float(kept.mean()) if kept.size else float("nan"),
        ci_low=low,
        ci_high=high,
        p_value=p_value,
        effect_size=effect_size,
    )


def _signed_ranks(differences: Array) -> tuple[float, float]:
    """Return Wilcoxon's p-value and the matched-pairs rank-biserial correlation.

    Of up to `_EXACT` differences the p-value is exact, also where ranks are tied: SciPy would go through all signs of
    up to 13 tied differences one by one, and approximate that of more.
    """
    from scipy.stats import rankdata, wilcoxon

    if differences.size == 0:
        return float("nan"), float("nan")
    moved = differences[differences != 0]
    if moved.size == 0:
        return 1.0, 0.0
    ranks = rankdata(np.abs(moved))
    effect_size = float(np.sign(moved) @ ranks / ranks.sum())
    if len(moved) <= _EXACT and len(np.unique(ranks)) < len(ranks):
        return _exact_p(ranks, moved > 0), effect_size
    return float(wilcoxon(moved).pvalue), effect_size


def _exact_p(ranks: Array, positive: NDArray[np.bool_]) -> float:
    """Return the two-sided p-value of a sum of positive ranks, each of which is positive with a probability of 1/2."""
    doubled = np.rint(2 * ranks).astype(np.int64)  # ties have halves
    share = np.ones(1)  # of all signs, those whose positive ranks have this sum
    for rank in doubled:
        grown = np.zeros(len(share) + rank)
        grown[: len(share)] += 0.5 * share
        grown[rank:] += 0.5 * share
        share = grown
    found = int(doubled[positive].sum())
    return float(min(1.0, 2 * min(share[: found + 1].sum(), share[found:].sum())))


def holm(p_values: ArrayLike) -> Array:
    """Adjust p-values of several tests for the family-wise error (Holm 1979).

    Parameters
    ----------
    p_values : array_like, shape (m,)
        In 0..1. NaN stands for a comparison that could not be made: it stays NaN and is not counted.

    Returns
    -------
    ndarray, shape (m,)
        In the order given; below alpha exactly where Holm's procedure rejects at level alpha.

    Raises
    ------
    ValueError
        For values outside 0..1 or an array that is not 1-D.
    """
    given = np.asarray(p_values, dtype=np.float64)
    if given.ndim != 1 or (given < 0).any() or (given > 1).any():
        raise ValueError(f"p-values must be a 1-D array in 0..1, got {given}")
    adjusted = np.full_like(given, np.nan)
    tested = np.flatnonzero(~np.isnan(given))
    order = tested[np.argsort(given[tested], kind="stable")]
    scaled = given[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted
