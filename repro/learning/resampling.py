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

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from repro.learning.metrics import Contrast, Mask
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


class Pairs(NamedTuple):
    """The pairs of a contrast's samples, by their subjects.

    Attributes
    ----------
    won : ndarray, shape (S, S)
        Pairs in which a positive of s outscores a negative of t, ties counting one half.
    positives, negatives : ndarray, shape (S,)
        Each subject's samples of both sides.
    """

    won: Array
    positives: Array
    negatives: Array

    @property
    def auc(self) -> float:
        """The contrast's AUC; NaN when a side is empty."""
        n = self.positives.sum() * self.negatives.sum()
        return float(self.won.sum() / n) if n else float("nan")


def pairs_of(contrast: Contrast, subject: NDArray[np.intp], n_subjects: int) -> Pairs:
    """Count the pairs of a contrast.

    Parameters
    ----------
    contrast : Contrast
    subject : ndarray of int, shape (n,)
        Subject of each sample, in 0..n_subjects - 1.
    n_subjects : int

    Returns
    -------
    Pairs
    """
    positives, negatives = (
        np.bincount(subject[side], minlength=n_subjects).astype(np.float64)
        for side in (contrast.positive, contrast.negative)
    )
    order = np.argsort(contrast.score)
    score, of, winner, loser = contrast.score[order], subject[order], contrast.positive[order], contrast.negative[order]
    if positives.sum() <= negatives.sum():
        twice = _twice_won(score, of, winner, loser, n_subjects)
    else:  # what takes time is a row of each winner
        twice = _twice_won(-score[::-1], of[::-1], loser[::-1], winner[::-1], n_subjects).T
    return Pairs(twice / 2, positives, negatives)


def _twice_won(score: Array, subject: NDArray[np.intp], winner: Mask, loser: Mask, n_subjects: int) -> NDArray[np.intp]:
    """Return twice the pairs (S, S) in which a winner of s has a higher score than a loser of t; scores ascend."""
    twice = np.zeros((n_subjects, n_subjects), dtype=np.intp)
    won_by, lost_by = subject[winner], subject[loser]
    if not (len(won_by) and len(lost_by)):
        return twice
    # for each loser, the first of the winners that it does not exceed, and the first of those that exceed it
    before: NDArray[np.intp] = np.cumsum(winner) - winner
    if (equal := score[1:] == score[:-1]).any():
        first = np.flatnonzero(np.append(True, ~equal))
        lengths = np.diff(np.append(first, len(score)))
        reached: NDArray[np.intp] = np.repeat(before[first], lengths)[loser]
        exceeded = np.repeat(np.append(before[first[1:]], len(won_by)), lengths)[loser]
    else:
        reached = exceeded = before[loser]
    places = np.concatenate([reached, exceeded]) * n_subjects + np.concatenate([lost_by, lost_by])
    # beaten[r, t]: losers of t that the r-th winner reaches, and those that it exceeds
    beaten = np.bincount(places, minlength=(len(won_by) + 1) * n_subjects).reshape(-1, n_subjects)[:-1]
    beaten = np.cumsum(beaten, axis=0, dtype=np.int32)
    by_winner = np.argsort(won_by, kind="stable")
    winners, first = np.unique(won_by[by_winner], return_index=True)
    twice[winners] = np.add.reduceat(beaten[by_winner], first, axis=0, dtype=np.intp)
    return twice


def auc_statistic(pairs: Sequence[Pairs]) -> Statistic:
    """Return a pooled AUC, the mean over the contrasts that a resample can form, as a function of counts.

    Parameters
    ----------
    pairs : sequence of Pairs
        Of each contrast, see `pairs_of`.

    Returns
    -------
    callable
        Equal to the AUC of the resample's samples, computed directly, up to rounding.
    """
    of_both = [np.flatnonzero((one.positives > 0) | (one.negatives > 0)) for one in pairs]

    def statistic(counts: Array) -> Array:
        values = np.full((len(pairs), len(counts)), np.nan)
        for row, one, some in zip(values, pairs, of_both, strict=True):
            own, won = (
                (counts, one.won) if len(some) == len(one.won) else (counts[:, some], one.won[np.ix_(some, some)])
            )
            row[:] = _ratio(((own @ won) * own).sum(axis=1), (counts @ one.positives) * (counts @ one.negatives))
        return mean_of_defined(values)

    return statistic


def mean_auc_statistic(of_seeds: Sequence[Sequence[Pairs]]) -> Statistic:
    """Return the mean over several seeds of a pooled AUC as a function of counts.

    Where all seeds predict samples of the same subjects and levels, the pairs of a resample are the same in number, so
    that the mean of the AUCs is that of the mean pairs won, which is computed once.

    Parameters
    ----------
    of_seeds : sequence of sequence of Pairs
        As for `auc_statistic`, for each seed.
    """
    totals = [np.array([one[1:] for one in pairs]) for pairs in of_seeds]
    if all(np.array_equal(own, totals[0]) for own in totals):
        of_contrasts = zip(*of_seeds, strict=True)
        of_seeds = [[own[0]._replace(won=np.mean([one.won for one in own], axis=0)) for own in of_contrasts]]
    return average_statistic([auc_statistic(pairs) for pairs in of_seeds])


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
