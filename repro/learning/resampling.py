"""The bootstrap over subjects.

Clips of one subject resemble each other, but subjects were recruited one by one: they are the unit that is
drawn with replacement. A resample is a row of counts, how often each subject was drawn, and every statistic
here is a function of such rows, so that thousands are evaluated at once.

* Errors and correlations are functions of sums over samples: those of a resample are ``counts @ sums``,
  with one row of ``sums`` for each subject.
* An AUC is a ratio of numbers of pairs: with ``wins[s, t]`` the pairs in which a positive of subject s
  outscores a negative of subject t, it is ``counts @ wins @ counts`` over the number of all pairs.

The interval is BCa (Efron 1987), which corrects for skew and for a statistic's bias, with tails widened for
small samples (Hesterberg 2015). In simulations of the mean over subjects (1000 draws; the Monte Carlo error
is 0.7 points) a nominal 95 % interval held the truth in

====================  ==========  ====  =============
subjects, values      percentile  BCa   widened BCa
====================  ==========  ====  =============
12, Beta(6, 2)        89.4        90.1  93.8
12, normal            91.2        91.0  94.6
12, log-normal (.8)   84.5        85.3  90.2
25, Beta(6, 2)        93.6        94.0  95.3
25, log-normal (.8)   89.9        90.5  91.6
87, Beta(6, 2)        95.2        95.1  95.5
====================  ==========  ====  =============

per cent of draws.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from repro.learning.metrics import Contrast
from repro.learning.seeds import seed_from

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
"""Counts (B, S) of how often each of S subjects was drawn -> (B,) values, NaN where undefined."""

_ROUNDING = 1e-12
"""A difference below this share of what was subtracted is float64 rounding."""


@lru_cache(maxsize=32)
def bootstrap_counts(n_subjects: int, n_resamples: int) -> Array:
    """Draw subjects with replacement.

    Parameters
    ----------
    n_subjects, n_resamples : int

    Returns
    -------
    ndarray, shape (n_resamples, n_subjects)
        How often each subject was drawn; rows sum to ``n_subjects``. The draw is the same at every call:
        its seed is hashed from a fixed name, so that intervals are reproducible and methods share their
        resamples. It cannot be written to.
    """
    generator = np.random.default_rng(seed_from("bootstrap", "subjects"))
    chances = np.full(n_subjects, 1 / n_subjects)
    counts = generator.multinomial(n_subjects, chances, size=n_resamples).astype(np.float64)
    counts.flags.writeable = False
    return counts


def bootstrap_interval(
    statistic: Statistic, n_subjects: int, *, confidence: float = 0.95, n_resamples: int = 2000
) -> tuple[float, float]:
    """Compute a widened BCa interval over subjects.

    Parameters
    ----------
    statistic : callable
        See `Statistic`.
    n_subjects : int
    confidence : float
        Above 0 and below 1.
    n_resamples : int

    Returns
    -------
    low, high : float
        NaN with fewer than two subjects or when the statistic itself is undefined. Resamples in which it is
        undefined are left out, as are such subjects in the jackknife that gives the acceleration.

    Raises
    ------
    ValueError
        For a confidence or a number of resamples out of range.
    """
    from scipy.special import ndtri, stdtrit  # here, as SciPy takes long to import

    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1, got {n_resamples}")
    if n_subjects < 2:
        return float("nan"), float("nan")
    value = statistic(np.ones((1, n_subjects)))[0]
    draws = statistic(bootstrap_counts(n_subjects, n_resamples))
    draws = draws[~np.isnan(draws)]
    if np.isnan(value) or draws.size == 0:
        return float("nan"), float("nan")
    if np.ptp(draws) <= _ROUNDING * np.abs(draws).max():
        return float(value), float(value)
    # Ties with the value, up to rounding, count one half: a discrete statistic is not therefore a biased one.
    tied = np.abs(draws - value) <= 1e3 * _ROUNDING * np.abs(draws).max()
    below = np.mean((draws < value) & ~tied) + np.mean(tied) / 2
    bias = ndtri(np.clip(below, 0.5 / draws.size, 1 - 0.5 / draws.size))
    acceleration = _acceleration(statistic(np.ones((n_subjects, n_subjects)) - np.eye(n_subjects)))
    # Student's quantile instead of the normal one, and the ddof that a bootstrap's spread lacks.
    tail = np.sqrt(n_subjects / (n_subjects - 1)) * stdtrit(n_subjects - 1, (1 - confidence) / 2)
    low, high = np.quantile(draws, [_bca(bias, acceleration, tail), _bca(bias, acceleration, -tail)])
    return float(low), float(high)


def _bca(bias: float, acceleration: float, tail: float) -> float:
    """Return the quantile of the resamples that stands for the normal deviate ``tail``."""
    from scipy.special import ndtr

    shifted = bias + tail
    # Past its pole the correction turns back on itself; there the end of the distribution is meant.
    if acceleration * shifted >= 1:
        return 1.0 if shifted > 0 else 0.0
    return float(ndtr(bias + shifted / (1 - acceleration * shifted)))


def _acceleration(left_out: Array) -> float:
    """Return the acceleration from the statistic without each subject in turn (Efron 1987, Section 6)."""
    kept = left_out[~np.isnan(left_out)]
    deviation = kept.mean() - kept if kept.size else kept
    squares = (deviation**2).sum()
    return float((deviation**3).sum() / (6 * squares**1.5)) if squares > 0 else 0.0


def mean_statistic(values: Array) -> Statistic:
    """Return the mean of values (S,), one for each subject, as a function of counts."""
    return lambda counts: counts @ values / counts.sum(axis=1)


def intensity_statistic(
    name: str, subject: NDArray[np.intp], n_subjects: int, levels: Array, predicted: Array
) -> Statistic:
    """Return a pooled ``mse``, ``mae``, ``pcc`` or ``icc`` as a function of counts.

    Parameters
    ----------
    name : str
    subject : ndarray of int, shape (n,)
        Subject of each sample, in 0..n_subjects - 1.
    n_subjects : int
    levels, predicted : ndarray, shape (n,)
        Levels and intensities.

    Returns
    -------
    callable
        Equal to the metric of the resample's samples, computed directly, up to rounding.
    """
    formula = _FORMULAS[name]
    # The sums of squares would cancel around a distant mean.
    x, y = levels - levels.mean(), predicted - predicted.mean()
    terms = (
        np.ones_like(x),
        x,
        y,
        x * x,
        y * y,
        x * y,
        (levels - predicted) ** 2,
        np.abs(levels - predicted),
    )
    sums = np.stack([np.bincount(subject, term, minlength=n_subjects) for term in terms], axis=1)
    return lambda counts: formula(_Sums(*(counts @ sums).T))


class _Sums(NamedTuple):
    """Sums over the samples of each resample, (B,); x the centred level, y the centred intensity."""

    n: Array
    x: Array
    y: Array
    xx: Array
    yy: Array
    xy: Array
    squared_error: Array
    absolute_error: Array


def _mse(s: _Sums) -> Array:
    return _ratio(s.squared_error, s.n)


def _mae(s: _Sums) -> Array:
    return _ratio(s.absolute_error, s.n)


def _pcc(s: _Sums) -> Array:
    of_x, of_y, of_both = _spreads(s)
    return np.clip(_ratio(of_both, np.sqrt(of_x * of_y)), -1.0, 1.0)


def _icc(s: _Sums) -> Array:
    # For two raters ICC(3,1) is twice their covariance over the sum of their variances.
    of_x, of_y, of_both = _spreads(s)
    return _ratio(2 * of_both, np.where((of_x == 0) | (of_y == 0), 0.0, of_x + of_y))


_FORMULAS: dict[str, Callable[[_Sums], Array]] = {"mse": _mse, "mae": _mae, "pcc": _pcc, "icc": _icc}


def _spreads(s: _Sums) -> tuple[Array, Array, Array]:
    """Return n**2 times the variances and the covariance, variances of rounding size set to 0."""
    of_x, of_y = s.n * s.xx - s.x**2, s.n * s.yy - s.y**2
    of_x = np.where(of_x <= _ROUNDING * s.n * s.xx, 0.0, of_x)
    of_y = np.where(of_y <= _ROUNDING * s.n * s.yy, 0.0, of_y)
    return of_x, of_y, s.n * s.xy - s.x * s.y


def auc_statistic(contrasts: Iterable[Contrast], subject: NDArray[np.intp], n_subjects: int) -> Statistic:
    """Return a pooled AUC, the mean over the contrasts that a resample can form, as a function of counts.

    Parameters
    ----------
    contrasts : iterable of Contrast
    subject : ndarray of int, shape (n,)
        Subject of each sample, in 0..n_subjects - 1.
    n_subjects : int

    Returns
    -------
    callable
        Equal to the AUC of the resample's samples, computed directly, up to rounding.
    """
    return _statistic_of_pairs(_tables(contrasts, subject, n_subjects))


def mean_auc_statistic(parts: Sequence[tuple[Iterable[Contrast], NDArray[np.intp]]], n_subjects: int) -> Statistic:
    """Return the mean over several seeds of a pooled AUC as a function of counts.

    Where all seeds predict samples of the same subjects and levels, the pairs of a resample are the same in number, so
    that the mean of the AUCs is that of the mean pairs won, which is computed once.

    Parameters
    ----------
    parts : sequence of (contrasts, subject)
        As for `auc_statistic`, for each seed.
    n_subjects : int
    """
    tables = [_tables(contrasts, subject, n_subjects) for contrasts, subject in parts]
    totals = [np.array([table[1:] for table in of_seed]) for of_seed in tables]
    if all(np.array_equal(own, totals[0]) for own in totals):
        of_contrasts = zip(*tables, strict=True)
        tables = [[(np.mean([won for won, _, _ in own], axis=0), own[0][1], own[0][2]) for own in of_contrasts]]
    return average_statistic([_statistic_of_pairs(of_seed) for of_seed in tables])


_Pairs = tuple[Array, Array, Array]
"""Pairs won (S, S) by positives of s over negatives of t, and each subject's numbers of both (S,)."""


def _tables(contrasts: Iterable[Contrast], subject: NDArray[np.intp], n_subjects: int) -> list[_Pairs]:
    usable = [c for c in contrasts if c.positive.any() and c.negative.any()]
    return [_pair_counts(contrast, subject, n_subjects) for contrast in usable]


def _statistic_of_pairs(tables: Sequence[_Pairs]) -> Statistic:
    def statistic(counts: Array) -> Array:
        values = np.full((len(tables), len(counts)), np.nan)
        for row, (wins, positives, negatives) in zip(values, tables, strict=True):
            some, other = np.flatnonzero(positives), np.flatnonzero(negatives)
            won = ((counts[:, some] @ wins[np.ix_(some, other)]) * counts[:, other]).sum(axis=1)
            row[:] = _ratio(won, (counts @ positives) * (counts @ negatives))
        return mean_of_defined(values)

    return statistic


def _pair_counts(contrast: Contrast, subject: NDArray[np.intp], n_subjects: int) -> _Pairs:
    """Return wins (S, S) of positives of s over negatives of t, and each subject's numbers of both (S,)."""
    winner, loser = subject[contrast.positive], subject[contrast.negative]
    high, low = contrast.score[contrast.positive], contrast.score[contrast.negative]
    order = np.argsort(low, kind="stable")
    # beaten[r, t]: negatives of subject t among the r lowest.
    beaten = np.zeros((len(low) + 1, n_subjects), dtype=np.float32)  # exact for whole numbers below 2**24
    beaten[np.arange(1, len(low) + 1), loser[order]] = 1
    np.cumsum(beaten, axis=0, out=beaten)
    by_winner = np.argsort(winner, kind="stable")
    winners, first = np.unique(winner[by_winner], return_index=True)
    below, not_above = (np.searchsorted(low[order], high[by_winner], side) for side in ("left", "right"))
    twice = beaten[below] + beaten[not_above]
    wins = np.zeros((n_subjects, n_subjects))
    wins[winners] = np.add.reduceat(twice, first, axis=0, dtype=np.float64) / 2
    positives = np.bincount(winner, minlength=n_subjects).astype(np.float64)
    negatives = np.bincount(loser, minlength=n_subjects).astype(np.float64)
    return wins, positives, negatives


def average_statistic(statistics: Sequence[Statistic]) -> Statistic:
    """Return the mean of several statistics (seeds), over those that are defined in a resample."""
    return lambda counts: mean_of_defined(np.stack([statistic(counts) for statistic in statistics]))


def mean_of_defined(values: Array) -> Array:
    """Return the mean over the first axis of values (R, ...) that are not NaN; NaN where all are."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0.0).sum(axis=0), defined.sum(axis=0).astype(np.float64))


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Divide; NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full_like(denominator, np.nan), where=denominator > 0)
