"""Metrics of pain intensity: MSE, MAE, PCC, ICC(3,1) and AUC, as pure functions of stored predictions.

A prediction is a distribution over the levels 0..L - 1: ``scores`` of shape (n, L), each row summing to 1.
Its intensity is the expectation of the level (D15). What a sample cannot decide is NaN and never 0: a
constant has no correlation, one level alone has no AUC. All values are in their natural unit (AUC in 0..1);
per cent is for tables to print.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from repro.learning.groups import alike, mean_over_defined, small

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_SUM_TOLERANCE = 1e-3
"""How far a row of scores may be from 1: half precision's rounding, no more."""

DECODINGS = ("expectation", "argmax")
"""How a distribution over levels may become an intensity, see `intensity`."""

_CONSTANT = 1e-12
"""Range, relative to the largest magnitude, below which values differ by float64 rounding only."""


class Metrics(TypedDict):
    """The metrics of one sample of predictions; NaN where the sample leaves one undefined.

    Attributes
    ----------
    mse : float
        Mean squared error of the intensity, in squared levels; >= 0, 0 is best.
    mae : float
        Mean absolute error of the intensity, in levels; >= 0, 0 is best.
    pcc : float
        Pearson's correlation of level and intensity, -1..1.
    icc : float
        ICC(3,1) of level and intensity, -1..1.
    auc_ovr : float
        Area under the ROC curve, one level against the rest, mean over levels present (D16), 0..1.
    auc_ovo : float
        The same for each pair of levels (Hand & Till 2001), 0..1.
    auc_binary : float
        The same for a set of positive levels against a set of negative ones, 0..1.
    """

    mse: float
    mae: float
    pcc: float
    icc: float
    auc_ovr: float
    auc_ovo: float
    auc_binary: float


def intensity(scores: ArrayLike, *, decode: str = "expectation") -> Array:
    """Decode distributions over levels to intensities (D15).

    Parameters
    ----------
    scores : array_like, shape (n, L)
        Probabilities.
    decode : {"expectation", "argmax"}
        The expected level, or the most probable one (the lowest of several).

    Returns
    -------
    ndarray, shape (n,), float64

    Raises
    ------
    ValueError
        When ``scores`` is not a matrix of probabilities: negative, not finite, or rows off 1 by over 1e-3.
    """
    table = _probabilities(scores)
    if decode == "expectation":
        # Not a matrix product: its blocking may give equal rows unequal results; a constant must stay one.
        return (table * np.arange(table.shape[1])).sum(axis=1) / table.sum(axis=1)
    if decode == "argmax":
        return table.argmax(axis=1).astype(np.float64)
    raise ValueError(f"decode must be 'expectation' or 'argmax', got {decode!r}")


def scores_of_intensity(values: ArrayLike, n_levels: int) -> Array:
    """Write intensities as distributions, so that a regression is judged by the same metrics.

    The probability is shared between the two neighbouring levels such that the expectation is the intensity.

    Parameters
    ----------
    values : array_like, shape (n,)
        Predicted intensities, in levels; values outside 0..n_levels - 1 are moved to the nearer end.
    n_levels : int
        At least 2.

    Returns
    -------
    ndarray, shape (n, n_levels), float64

    Raises
    ------
    ValueError
        For values that are not finite or not 1-D, or fewer than two levels.
    """
    clipped = np.clip(_vector(values, "intensities"), 0, n_levels - 1)
    if n_levels < 2:
        raise ValueError(f"a distribution needs at least 2 levels, got {n_levels}")
    return np.maximum(0.0, 1.0 - np.abs(clipped[:, None] - np.arange(n_levels)))


def mse(levels: ArrayLike, predicted: ArrayLike) -> float:
    """Mean squared error of intensities (n,) against levels (n,), in squared levels."""
    return _of_one(_mse, levels, predicted)


def mae(levels: ArrayLike, predicted: ArrayLike) -> float:
    """Mean absolute error of intensities (n,) against levels (n,), in levels."""
    return _of_one(_mae, levels, predicted)


def pcc(levels: ArrayLike, predicted: ArrayLike) -> float:
    """Pearson's correlation of levels (n,) and intensities (n,); NaN when either is constant."""
    return _of_one(_pcc, levels, predicted)


def icc(levels: ArrayLike, predicted: ArrayLike) -> float:
    """ICC(3,1) of levels (n,) and intensities (n,) as two raters; NaN when either is constant.

    The formula gives 0 when one of two raters is constant, whatever the other says. That would be a verdict
    on the sample and not on the predictor, so it counts as undefined, as it does for `pcc`.
    """
    return _of_one(_icc, levels, predicted)


def icc31(ratings: ArrayLike) -> float:
    """Intra-class correlation ICC(3,1): two-way mixed effects, consistency, a single rater.

    (BMS - EMS) / (BMS + (k - 1) EMS), with BMS the mean square between targets and EMS the residual mean
    square of the two-way analysis of variance without interaction (Shrout & Fleiss 1979).

    Parameters
    ----------
    ratings : array_like, shape (n, k)
        Targets by raters.

    Returns
    -------
    float
        NaN for fewer than two targets or raters, and when no rating differs from its rater's mean.
    """
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2 or not np.isfinite(table).all():
        raise ValueError(f"ratings must be finite, targets by raters, got shape {table.shape}")
    return float("nan") if table.size and _is_constant(table.T).all() else float(_icc31(table.T))


def auc(positive: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve: the probability that a positive outscores a negative, ties counting one half.

    Parameters
    ----------
    positive : array_like of bool, shape (n,)
    score : array_like, shape (n,)

    Returns
    -------
    float
        0..1, from the number of pairs won (Mann & Whitney 1947); NaN without a positive or without a negative.
    """
    truth = np.asarray(positive, dtype=np.bool_)
    ranked = _vector(score, "scores")
    if truth.shape != ranked.shape:
        raise ValueError(f"{truth.shape} labels do not match {ranked.shape} scores")
    positives, negatives = np.sort(ranked[truth]), np.sort(ranked[~truth])
    if not (positives.size and negatives.size):
        return float("nan")
    below, not_above = (np.searchsorted(negatives, positives, side).sum() for side in ("left", "right"))
    return float((below + not_above) / 2 / (positives.size * negatives.size))


@dataclass(frozen=True)
class Contrast:
    """One two-class problem that an AUC is taken of; arrays of shape (n,), one entry for each sample."""

    positive: Mask
    negative: Mask
    score: Array

    def at(self, samples: NDArray[Any]) -> "Contrast":
        """Return the contrast of some of the samples, by their numbers or a mask (n,)."""
        return Contrast(self.positive[samples], self.negative[samples], self.score[samples])

    def auc(self) -> float:
        """Return this contrast's AUC; NaN when a side is empty."""
        if not (self.positive.any() and self.negative.any()):
            return float("nan")
        used = self.positive | self.negative
        return auc(self.positive[used], self.score[used])


def contrasts_ovr(levels: ArrayLike, scores: ArrayLike) -> Iterator[Contrast]:
    """Each of the L levels against all others, by its own probability."""
    truth, table = _labelled(levels, scores)
    for level in range(table.shape[1]):
        yield Contrast(truth == level, truth != level, table[:, level])


def contrasts_ovo(levels: ArrayLike, scores: ArrayLike) -> Iterator[Contrast]:
    """Each level against each other one, by the first one's probability: L (L - 1) contrasts."""
    truth, table = _labelled(levels, scores)
    for level in range(table.shape[1]):
        for other in range(table.shape[1]):
            if other != level:
                yield Contrast(truth == level, truth == other, table[:, level])


def contrasts_binary(
    levels: ArrayLike,
    scores: ArrayLike,
    *,
    negative: Sequence[int] = (0,),
    positive: Sequence[int] | None = None,
) -> Iterator[Contrast]:
    """Positive levels (all but the negative ones when omitted) against negative levels: one contrast.

    The score is the probability of the positive levels given that the level is one of either set, and 1/2
    where both have probability 0. Samples of other levels take no part.
    """
    truth, table = _labelled(levels, scores)
    everything = range(table.shape[1])
    chosen = [k for k in everything if k not in negative] if positive is None else list(positive)
    if not chosen or not negative or set(chosen) & set(negative):
        raise ValueError(f"positive {chosen} and negative {list(negative)} levels must be disjoint, not empty")
    if unknown := (set(chosen) | set(negative)) - set(everything):
        raise ValueError(f"levels {sorted(unknown)} have no column in scores of shape {table.shape}")
    for_it, against = table[:, chosen].sum(axis=1), table[:, list(negative)].sum(axis=1)
    either = for_it + against
    score = np.divide(for_it, either, out=np.full_like(either, 0.5), where=either > 0)
    yield Contrast(np.isin(truth, chosen), np.isin(truth, list(negative)), score)


def auc_ovr(levels: ArrayLike, scores: ArrayLike) -> float:
    """Macro one-versus-rest AUC over the levels present (D16).

    Parameters
    ----------
    levels : array_like of int, shape (n,)
        In 0..L - 1.
    scores : array_like, shape (n, L)

    Returns
    -------
    float
        0..1, the unweighted mean of the levels' AUCs; NaN when fewer than two levels are present.
    """
    return _macro(contrasts_ovr(levels, scores))


def auc_ovo(levels: ArrayLike, scores: ArrayLike) -> float:
    """Macro one-versus-one AUC over the pairs of levels present: M of Hand & Till 2001.

    Arguments and result as for `auc_ovr`. A pair's value is the mean of its two directions.
    """
    return _macro(contrasts_ovo(levels, scores))


def auc_binary(
    levels: ArrayLike,
    scores: ArrayLike,
    *,
    negative: Sequence[int] = (0,),
    positive: Sequence[int] | None = None,
) -> float:
    """AUC of positive against negative levels, such as PSPI > 0 (the default) or BL1 against PA4.

    Parameters
    ----------
    levels, scores
        As for `auc_ovr`.
    negative, positive : sequence of int
        Disjoint sets of levels; ``positive=None`` means all that are not negative. BL1 against PA4 is
        ``negative=(0,), positive=(4,)``. Samples of other levels are left out.

    Returns
    -------
    float
        0..1; NaN when a side has no sample.
    """
    return _macro(contrasts_binary(levels, scores, negative=negative, positive=positive))


@dataclass(frozen=True)
class Metric:
    """An entry of `METRICS`: of the intensity, or of the scores through contrasts; exactly one is given.

    Attributes
    ----------
    of_intensity : callable, optional
        Levels and intensities of n samples, both (n,) -> a number; of G groups, (G, n) -> (G,). NaN where undefined.
    contrasts : callable, optional
        Levels (n,) and scores (n, L), and for ``auc_binary`` the levels of both sides -> `Contrast` of each AUC.
    higher_is_better : bool
    """

    of_intensity: Callable[[Array, Array], Array] | None = None
    contrasts: Callable[..., Iterator[Contrast]] | None = None
    higher_is_better: bool = True


def _mse(truth: Array, guess: Array) -> Array:
    return np.mean((truth - guess) ** 2, axis=-1)


def _mae(truth: Array, guess: Array) -> Array:
    return np.mean(np.abs(truth - guess), axis=-1)


def _pcc(truth: Array, guess: Array) -> Array:
    x, y = (values - values.mean(axis=-1, keepdims=True) for values in (truth, guess))
    spread = np.sqrt((x * x).sum(axis=-1) * (y * y).sum(axis=-1))
    defined = ~(_is_constant(truth) | _is_constant(guess)) & (spread > 0)
    return np.clip(_quotient((x * y).sum(axis=-1), spread, defined), -1.0, 1.0)


def _icc(truth: Array, guess: Array) -> Array:
    constant = _is_constant(truth) | _is_constant(guess)
    return np.where(constant, np.nan, _icc31(np.stack([truth, guess], axis=-2)))


def _icc31(ratings: Array) -> Array:
    """Return ICC(3,1) of tables of ratings (..., k, n), NaN for fewer than two raters or targets."""
    k, n = ratings.shape[-2:]
    if n < 2 or k < 2:
        return np.full(ratings.shape[:-2], np.nan)
    centred = ratings - ratings.mean(axis=-1, keepdims=True)
    targets = centred.mean(axis=-2)
    between = k * (targets * targets).sum(axis=-1) / (n - 1)
    squares = (centred - targets[..., None, :]) ** 2
    error = squares.sum(axis=-1).sum(axis=-1) / ((n - 1) * (k - 1))
    total = between + (k - 1) * error
    return _quotient(between - error, total, total > 0)


METRICS: Mapping[str, Metric] = {
    "mse": Metric(of_intensity=_mse, higher_is_better=False),
    "mae": Metric(of_intensity=_mae, higher_is_better=False),
    "pcc": Metric(of_intensity=_pcc),
    "icc": Metric(of_intensity=_icc),
    "auc_ovr": Metric(contrasts=contrasts_ovr),
    "auc_ovo": Metric(contrasts=contrasts_ovo),
    "auc_binary": Metric(contrasts=contrasts_binary),
}
"""The keys of `Metrics`, in its order."""


@dataclass(frozen=True)
class MetricOptions:
    """What the paper leaves open about metrics; the defaults are the suite's.

    Attributes
    ----------
    decode : str
        D15, see `intensity`.
    negative, positive : sequence of int
        D16, see `auc_binary`.
    """

    decode: str = "expectation"
    negative: Sequence[int] = (0,)
    positive: Sequence[int] | None = None

    def contrasts(self, name: str, levels: ArrayLike, scores: ArrayLike) -> Iterator[Contrast]:
        """Return the contrasts of the AUC called ``name``."""
        make = metric_called(name).contrasts
        if make is None:
            raise ValueError(f"{name} is no AUC and has no contrasts")
        sides = {"negative": self.negative, "positive": self.positive} if name == "auc_binary" else {}
        return make(levels, _probabilities(scores), **sides)

    def intensities(self, levels: ArrayLike, scores: ArrayLike) -> tuple[Array, Array]:
        """Return levels and decoded intensities, both (n,), of which errors and correlations are taken."""
        truth, table = _labelled(levels, scores)
        return truth.astype(np.float64), intensity(table, decode=self.decode)


DEFAULTS = MetricOptions()


def metric_called(name: str) -> Metric:
    """Return an entry of `METRICS`; a ValueError tells the names that there are."""
    if name not in METRICS:
        raise ValueError(f"unknown metric {name!r}; known are {', '.join(METRICS)}")
    return METRICS[name]


def with_decoding(name: str, options: MetricOptions = DEFAULTS) -> tuple[str, MetricOptions]:
    """Split the decoding off a metric's name: ``mse_argmax`` is ``mse`` of the most probable level (D15).

    Parameters
    ----------
    name : str
        A key of `METRICS`, as it is, or of a metric of the intensity and ``_argmax`` or ``_expectation``.
    options : MetricOptions

    Returns
    -------
    name : str
        A key of `METRICS`.
    options : MetricOptions
        With the decoding that the name asks for; those given, when it asks for none.

    Raises
    ------
    ValueError
        For an unknown metric, or an AUC, which no decoding changes.
    """
    if name in METRICS:
        return name, options
    metric, _, decode = name.rpartition("_")
    if decode not in DECODINGS or metric not in METRICS or METRICS[metric].of_intensity is None:
        known = [key for key, entry in METRICS.items() if entry.of_intensity is not None]
        raise ValueError(
            f"unknown metric {name!r}; known are {', '.join(METRICS)}, and {', '.join(known)} with _argmax or"
            " _expectation"
        )
    return metric, replace(options, decode=decode)


def compute(name: str, levels: ArrayLike, scores: ArrayLike, options: MetricOptions = DEFAULTS) -> float:
    """Compute one metric by its name.

    Parameters
    ----------
    name : str
        A key of `METRICS`.
    levels : array_like of int, shape (n,)
        In 0..L - 1, which is also the intensity each stands for.
    scores : array_like, shape (n, L)
        Probabilities.
    options : MetricOptions

    Returns
    -------
    float
        NaN where undefined.

    Raises
    ------
    ValueError
        For an unknown name, mismatched or empty arrays, levels outside 0..L - 1, or scores that are not
        probabilities.
    """
    of_intensity = metric_called(name).of_intensity
    if of_intensity is None:
        return _macro(options.contrasts(name, levels, scores))
    return float(of_intensity(*options.intensities(levels, scores)))


def compute_each(
    name: str, levels: ArrayLike, scores: ArrayLike, groups: ArrayLike, options: MetricOptions = DEFAULTS
) -> Array:
    """Compute one metric within each group of samples: what `compute` gives for each, to the last bit, but faster.

    Parameters
    ----------
    name, levels, scores, options
        As for `compute`.
    groups : array_like of int, shape (n,)
        Group of each sample, 0..G - 1, each with at least one sample.

    Returns
    -------
    ndarray, shape (G,)
        NaN where undefined.

    Raises
    ------
    ValueError
        As `compute` does.
    """
    of_intensity = metric_called(name).of_intensity
    group = np.asarray(groups, dtype=np.intp)
    sizes = np.bincount(group)
    order = np.argsort(small(group, len(sizes)), kind="stable")
    if of_intensity is None:
        contrasts = options.contrasts(name, levels, scores)
        return mean_over_defined(
            np.stack([_auc_of_each(one.at(order), group[order], sizes) for one in contrasts], axis=1)
        )
    truth, guess = (values[order] for values in options.intensities(levels, scores))
    found = np.empty(len(sizes))
    for chosen, samples in alike(sizes):
        found[chosen] = of_intensity(truth[samples], guess[samples])
    return found


def _auc_of_each(contrast: Contrast, group: NDArray[np.intp], sizes: NDArray[np.intp]) -> Array:
    """Return a contrast's AUC within each group; groups are sorted. Sums of ranks are exact, in any order."""
    used = contrast.positive | contrast.negative
    owner, positive, score = group[used], contrast.positive[used], contrast.score[used]
    n_groups = len(sizes)
    order = np.argsort(score)
    order = order[np.argsort(small(owner, n_groups)[order], kind="stable")]
    positive, score = positive[order], score[order]  # owners are as they were
    counts = np.bincount(owner, minlength=n_groups)
    start = (np.cumsum(counts) - counts)[owner]
    # a run of equal scores shares the mean of its ranks
    new = np.ones(len(score), dtype=np.bool_)
    new[1:] = (score[1:] != score[:-1]) | (owner[1:] != owner[:-1])
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(score)) - 1
    run = np.cumsum(new) - 1
    rank = ((first + last) / 2)[run] - start + 1
    winners = owner[positive]
    n_positive = np.bincount(winners, minlength=n_groups)
    n_negative = counts - n_positive
    rank_sum = np.bincount(winners, rank[positive], minlength=n_groups)
    pairs = n_positive * n_negative
    won = rank_sum - n_positive * (n_positive + 1) / 2
    return np.divide(won, pairs, out=np.full(n_groups, np.nan), where=pairs > 0)


def evaluate(levels: ArrayLike, scores: ArrayLike, options: MetricOptions = DEFAULTS) -> Metrics:
    """Compute all metrics; see `compute`."""
    values = {name: compute(name, levels, scores, options) for name in METRICS}
    return Metrics(**values)  # type: ignore[typeddict-item]


def _macro(contrasts: Iterator[Contrast]) -> float:
    """Return the mean AUC over the contrasts that have both sides, NaN when none has."""
    return float(mean_over_defined(np.array([[contrast.auc() for contrast in contrasts]]))[0])


def _of_one(metric: Callable[[Array, Array], Array], levels: ArrayLike, predicted: ArrayLike) -> float:
    """Return a metric of one group of samples, whose arrays may not fit together."""
    truth, guess = _paired(levels, predicted)
    return float(metric(truth, guess))


def _is_constant(values: Array) -> Mask:
    """Whether values (..., n) are equal up to rounding, (...)."""
    return np.ptp(values, axis=-1) <= _CONSTANT * np.abs(values).max(axis=-1)


def _quotient(numerator: Array, denominator: Array, defined: Mask) -> Array:
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=defined)


def _vector(values: ArrayLike, name: str) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be a non-empty 1-D array, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} hold {np.count_nonzero(~np.isfinite(array))} values that are not finite")
    return array


def _paired(levels: ArrayLike, predicted: ArrayLike) -> tuple[Array, Array]:
    truth, guess = _vector(levels, "levels"), _vector(predicted, "intensities")
    if truth.shape != guess.shape:
        raise ValueError(f"{truth.shape} levels do not match {guess.shape} intensities")
    return truth, guess


def _labelled(levels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.intp], Array]:
    truth, table = _vector(levels, "levels"), np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or len(table) != len(truth):
        raise ValueError(f"scores must have shape ({len(truth)}, L) as there are levels, got {table.shape}")
    if not np.isfinite(table).all():
        raise ValueError(f"scores hold {np.count_nonzero(~np.isfinite(table))} values that are not finite")
    if (truth % 1 != 0).any() or truth.min() < 0 or truth.max() >= table.shape[1]:
        raise ValueError(f"levels must be whole numbers in 0..{table.shape[1] - 1}, got {np.unique(truth)}")
    return truth.astype(np.intp), table


def _probabilities(scores: ArrayLike) -> Array:
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(f"scores must have shape (n, L) with L >= 2 levels, got {table.shape}")
    # Written so that NaN fails too.
    if not ((table >= 0).all() and (np.abs(table.sum(axis=1) - 1) <= _SUM_TOLERANCE).all()):
        raise ValueError(
            "scores are not probabilities: rows must be >= 0 and sum to 1. Apply a softmax, or"
            " `scores_of_intensity` to a regression's output"
        )
    return table
