"""Metrics of pain intensity: MSE, MAE, PCC, ICC(3,1) and AUC, as pure functions of stored predictions.

A prediction is a distribution over the levels 0..L - 1: ``scores`` of shape (n, L), each row summing to 1.
Its intensity is the expectation of the level (D15). What a sample cannot decide is NaN and never 0: a
constant has no correlation, one level alone has no AUC. All values are in their natural unit (AUC in 0..1);
per cent is for tables to print.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
    truth, guess = _paired(levels, predicted)
    return float(np.mean((truth - guess) ** 2))


def mae(levels: ArrayLike, predicted: ArrayLike) -> float:
    """Mean absolute error of intensities (n,) against levels (n,), in levels."""
    truth, guess = _paired(levels, predicted)
    return float(np.mean(np.abs(truth - guess)))


def pcc(levels: ArrayLike, predicted: ArrayLike) -> float:
    """Pearson's correlation of levels (n,) and intensities (n,); NaN when either is constant."""
    truth, guess = _paired(levels, predicted)
    if _is_constant(truth) or _is_constant(guess):
        return float("nan")
    truth, guess = truth - truth.mean(), guess - guess.mean()
    return float(np.clip(truth @ guess / np.sqrt((truth @ truth) * (guess @ guess)), -1.0, 1.0))


def icc(levels: ArrayLike, predicted: ArrayLike) -> float:
    """ICC(3,1) of levels (n,) and intensities (n,) as two raters; NaN when either is constant.

    The formula gives 0 when one of two raters is constant, whatever the other says. That would be a verdict
    on the sample and not on the predictor, so it counts as undefined, as it does for `pcc`.
    """
    truth, guess = _paired(levels, predicted)
    if _is_constant(truth) or _is_constant(guess):
        return float("nan")
    return icc31(np.stack([truth, guess], axis=1))


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
    n, k = table.shape
    if n < 2 or k < 2 or all(_is_constant(rater) for rater in table.T):
        return float("nan")
    centred = table - table.mean(axis=0)
    targets = centred.mean(axis=1)
    residual = centred - targets[:, None]
    between = k * (targets @ targets) / (n - 1)
    error = (residual**2).sum() / ((n - 1) * (k - 1))
    return float((between - error) / (between + (k - 1) * error))


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
    """An entry of `METRICS`: of the intensity, or of the scores through contrasts; exactly one is given."""

    of_intensity: Callable[[ArrayLike, ArrayLike], float] | None = None
    contrasts: Callable[..., Iterator[Contrast]] | None = None
    higher_is_better: bool = True


METRICS: Mapping[str, Metric] = {
    "mse": Metric(of_intensity=mse, higher_is_better=False),
    "mae": Metric(of_intensity=mae, higher_is_better=False),
    "pcc": Metric(of_intensity=pcc),
    "icc": Metric(of_intensity=icc),
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
        make = METRICS[name].contrasts
        if make is None:
            raise ValueError(f"{name} is no AUC and has no contrasts")
        sides = {"negative": self.negative, "positive": self.positive} if name == "auc_binary" else {}
        return make(levels, scores, **sides)


DEFAULTS = MetricOptions()


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
    if name not in METRICS:
        raise ValueError(f"unknown metric {name!r}; known are {', '.join(METRICS)}")
    of_intensity = METRICS[name].of_intensity
    if of_intensity is None:
        return _macro(options.contrasts(name, levels, _probabilities(scores)))
    truth, table = _labelled(levels, scores)
    return of_intensity(truth, intensity(table, decode=options.decode))


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
    if name not in METRICS:
        raise ValueError(f"unknown metric {name!r}; known are {', '.join(METRICS)}")
    truth, table = _labelled(levels, _probabilities(scores))
    group = np.asarray(groups, dtype=np.intp)
    order = np.argsort(group, kind="stable")
    truth, table, group = truth[order], np.ascontiguousarray(table[order]), group[order]
    sizes = np.bincount(group)
    of_intensity = METRICS[name].of_intensity
    if of_intensity is None:
        values = np.stack([_auc_of_each(contrast, group, sizes) for contrast in options.contrasts(name, truth, table)])
        return _mean_of_each(values)
    guess = intensity(table, decode=options.decode)
    ends = np.cumsum(sizes)
    return np.array([of_intensity(truth[e - n : e], guess[e - n : e]) for e, n in zip(ends, sizes, strict=True)])


def _auc_of_each(contrast: Contrast, group: NDArray[np.intp], sizes: NDArray[np.intp]) -> Array:
    """Return a contrast's AUC within each group; groups are sorted. Sums of ranks are exact, in any order."""
    used = contrast.positive | contrast.negative
    owner, positive, score = group[used], contrast.positive[used], contrast.score[used]
    n_groups = len(sizes)
    order = np.lexsort((score, owner))
    owner, positive, score = owner[order], positive[order], score[order]
    counts = np.bincount(owner, minlength=n_groups)
    start = (np.cumsum(counts) - counts)[owner]
    # a run of equal scores shares the mean of its ranks
    new = np.ones(len(score), dtype=np.bool_)
    new[1:] = (score[1:] != score[:-1]) | (owner[1:] != owner[:-1])
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(score)) - 1
    run = np.cumsum(new) - 1
    rank = (first[run] + last[run]) / 2 - start + 1
    n_positive = np.bincount(owner[positive], minlength=n_groups)
    n_negative = counts - n_positive
    rank_sum = np.bincount(owner[positive], rank[positive], minlength=n_groups)
    pairs = n_positive * n_negative
    won = rank_sum - n_positive * (n_positive + 1) / 2
    return np.divide(won, pairs, out=np.full(n_groups, np.nan), where=pairs > 0)


def _mean_of_each(values: Array) -> Array:
    """Return the mean over the contrasts (C, G) that are defined in each group, as `_macro` does."""
    if len(values) == 1:
        return values[0]
    return np.array([own[~np.isnan(own)].mean() if not np.isnan(own).all() else np.nan for own in values.T.copy()])


def evaluate(levels: ArrayLike, scores: ArrayLike, options: MetricOptions = DEFAULTS) -> Metrics:
    """Compute all metrics; see `compute`."""
    values = {name: compute(name, levels, scores, options) for name in METRICS}
    return Metrics(**values)  # type: ignore[typeddict-item]


def _macro(contrasts: Iterator[Contrast]) -> float:
    """Return the mean AUC over the contrasts that have both sides, NaN when none has."""
    values = np.array([contrast.auc() for contrast in contrasts])
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def _is_constant(values: Array) -> bool:
    return bool(np.ptp(values) <= _CONSTANT * np.abs(values).max())


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
