"""The verdict on a claim, from the numbers of each subject.

A comparison of numbers (`repro.suite.claims`) is tested by its differences within subjects: their mean with an
interval by bootstrap over subjects, and Wilcoxon's signed-rank test, two-sided. A subject that lacks one of the numbers
is left out of that comparison, and counted. Times are of a few videos or repetitions, which ranks cannot tell from
chance however they differ (five have no p below 0.06): Student's test is made of them, and where two times are
compared, of the logarithms of their ratios. A comparison goes as claimed, or the other way, if both its mean and its
ranks do; else it goes neither way.

A claim holds if all its comparisons do, and fails if one goes the other way. Its p-value, ``p_claim``, is

* where all comparisons go as claimed, the largest of their p-values: an intersection-union test, which needs no
  correction (Berger 1982, Multiparameter hypothesis testing and acceptance sampling, Technometrics 24);
* else the smallest p-value of those that go the other way, corrected by Holm's method over all tests of the claim;
* else 1.

``p_within`` is a comparison's part in this: its p-value if it goes as claimed, the corrected one if it goes the other
way, else 1. Holm's method is then applied to all claims, each with its two ways: ``p_holm``. Where its steps end there
is one level for the page, ``level = ALPHA / (m - d / 2)`` for m claims, d of which are decided (m - 1 at most count). A
comparison is

* **supported** if it goes as claimed and its ``p_within`` is below that level;
* **contradicted** if it goes the other way and its ``p_within`` is below that level;
* **not decided** otherwise, also where no subject has a difference;
* **incomplete** where cells or measurements are missing;
* **not applicable** where a number cannot be on this data, such as a method's without the landmarks that it needs.

Where numbers are said to be alike, no test is made, as one of no difference can only speak against it: **supported**
if the 95 % interval lies within the margin, **contradicted** if it lies beyond, **not decided** if it reaches over an
end. These comparisons take no part in p-values. An interval of no width decides nothing: every subject has the same
difference, as of two networks that have learned nothing and give every clip the same answer.

A claim is **incomplete** if one of its comparisons is, **supported** if all that are applicable are, **contradicted**
if one or more is, however the others are, and **not decided** otherwise, also where none is applicable. That is: of
claims that rest on tests alone, those are decided whose ``p_holm`` is below `ALPHA`.

The probability that a page has a wrong verdict on a claim that rests on tests is at most `ALPHA`, if the tests
themselves hold what they promise. A claim has two null hypotheses: S, that not all its comparisons have an effect as
claimed, which "supported" rejects, and C, that none has an effect the other way, which "contradicted" rejects. Both can
be true. A two-sided p-value is twice that of the side that it points to, and the other side's is taken to be 1.

* S is tested by s, the largest one-sided p-value: if S is true, so is one comparison's null hypothesis, and s is at
  least that one's p-value.
* C is tested by c, the smallest one-sided p-value of the other way times the number of tests (Bonferroni, which is
  Holm's first step).
* ``p_claim`` is 2 min(s, c), of which one is 1 at least: the sum of both error rates is at most what it says.
* Holm's method over the 2 m hypotheses, with s and c, bounds the error of all, however the tests depend on each other.
  The step after d rejections compares with ALPHA / (2 m - d), which is the level above for ``p_claim``.

Steps over m claims in place of 2 m hypotheses, with a last level of ALPHA / (m - d), have no such proof: they reject
more, and where tests depend on each other can err more often.

The bound is of claims. Verdicts on comparisons tell what a claim's rests on; those of a claim that is not decided are
not corrected for how many there are.

A missing comparison, or one of too few subjects for a test, counts as one with p = 1, and a claim with a missing one
has ``p_claim`` 1: a verdict on a page that is not complete can only become clearer when the rest is there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from repro.learning.statistics import SubjectValues, holm, paired_test
from repro.suite.claims import LOG2, Claim, Claims, Comparison, Entry, Term, paper_difference
from repro.suite.display import METRICS

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ALPHA",
    "COLUMNS",
    "CONTRADICTED",
    "INCOMPLETE",
    "NOT_APPLICABLE",
    "NOT_DECIDED",
    "SUPPORTED",
    "Finding",
    "Judged",
    "Reading",
    "judge",
    "over_claims",
    "p_of_claim",
    "p_within_claim",
    "to_frame",
]

ALPHA = 0.05
"""Bound of the probability that any verdict on a claim that rests on tests is wrong."""

SUPPORTED, CONTRADICTED, NOT_DECIDED = "supported", "contradicted", "not decided"
INCOMPLETE, NOT_APPLICABLE = "incomplete", "not applicable"

COLUMNS = (
    "claim", "comparison", "metric", "first", "second", "difference", "ci_low", "ci_high", "n_subjects", "n_undefined",
    "direction", "found", "p", "p_within", "p_claim", "p_holm", "level", "paper", "verdict", "data", "scale",
)  # fmt: skip
"""Of the tidy CSV, one row a comparison, in the unit of tables; times as logarithms of base 2.

``direction`` is the one claimed, ``found`` the one that mean and ranks both have, empty if they differ. ``p_claim`` and
``p_holm`` are the claim's, ``level`` is the page's.
"""

_ROUNDING = 1e-12

_DIRECTIONS = {1: "above", -1: "below", 0: "alike"}


class Reading(NamedTuple):
    """A number of each subject, or why there is none.

    Attributes
    ----------
    values : SubjectValues or None
        In the metric's own unit; None where not all that it is computed from is there.
    applicable : bool
        Whether there can be such a number on this data.
    """

    values: SubjectValues | None
    applicable: bool = True


@dataclass(frozen=True)
class Finding:
    """What was found of a comparison.

    Attributes
    ----------
    claim : Claim
    comparison : Comparison
    metric : str
        With `LOG2` in front where logarithms are compared.
    sign : int
        1 if more is claimed, -1 if less, 0 if the same.
    difference, ci_low, ci_high : float
        In the unit of tables; NaN where there is none.
    p : float
        Two-sided; NaN where no test is made.
    p_within : float
        Its part in the claim's p-value; NaN of a comparison that does not count among the tests.
    ranks : float
        Which way the ranks of the differences go, or their mean where that is tested.
    n_subjects, n_undefined : int
        Subjects with all numbers, and without.
    paper : float or None
    verdict : str
    """

    claim: Claim
    comparison: Comparison
    metric: str
    sign: int
    paper: float | None
    verdict: str = NOT_DECIDED
    difference: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    p: float = math.nan
    p_within: float = math.nan
    ranks: float = math.nan
    n_subjects: int = 0
    n_undefined: int = 0

    @property
    def tested(self) -> bool:
        """Whether it counts among the tests, also if it is missing."""
        return self.sign != 0 and self.verdict != NOT_APPLICABLE

    @property
    def found(self) -> int:
        """1 if mean and ranks are above 0, -1 if both are below, else 0."""
        return int(np.sign(self.difference)) if self.difference * self.ranks > 0 else 0

    @property
    def way(self) -> int:
        """1 if mean and ranks go as claimed, -1 if both go the other way, else 0; 0 where no direction is claimed."""
        return self.sign * self.found

    @property
    def points_as_claimed(self) -> bool:
        """Whether the mean lies where the claim has it, however surely."""
        if self.sign:
            return self.sign * self.difference > 0
        return abs(self.difference) < self.comparison.margin

    @property
    def made(self) -> bool:
        """Whether a comparison could be made."""
        return self.verdict in (SUPPORTED, CONTRADICTED, NOT_DECIDED)


@dataclass(frozen=True)
class Judged:
    """A claim, its verdict, and what that rests on.

    Attributes
    ----------
    claim : Claim
    verdict : str
    findings : tuple of Finding
    p, p_holm : float
        ``p_claim`` before and after Holm's method over the claims; NaN for a claim that rests on no test.
    level : float
        With which ``p`` is compared, the same for a whole page; NaN if no claim of it rests on a test.
    """

    claim: Claim
    verdict: str
    findings: tuple[Finding, ...]
    p: float = math.nan
    p_holm: float = math.nan
    level: float = math.nan

    def of(self, verdict: str) -> tuple[Finding, ...]:
        """Return the comparisons with one verdict."""
        return tuple(finding for finding in self.findings if finding.verdict == verdict)

    @property
    def made(self) -> tuple[Finding, ...]:
        """The comparisons that could be made."""
        return tuple(finding for finding in self.findings if finding.made)

    @property
    def n_as_claimed(self) -> int:
        """How many of these point the way that is claimed, however surely."""
        return sum(finding.points_as_claimed for finding in self.made)


def judge(claims: Claims, read: Callable[[Entry], Reading]) -> list[Judged]:
    """Judge every claim of a page.

    Parameters
    ----------
    claims : Claims
    read : callable
        From an entry of a table to what is there.

    Returns
    -------
    list of Judged
        In the order of the claims.

    Raises
    ------
    ValueError
        If numbers that are compared are of different subjects.
    """
    found = [_compare(claims, claim, comparison, read) for claim, comparison in claims.comparisons]
    weighed = [_weigh([finding for finding in found if finding.claim is claim]) for claim in claims.claims]
    p_claims = [p for p, _ in weighed]
    p_holm, level = over_claims(p_claims)
    judged = []
    for claim, p, adjusted, (_, findings) in zip(claims.claims, p_claims, p_holm, weighed, strict=True):
        own = tuple(replace(finding, verdict=_verdict(finding, level)) for finding in findings)
        verdict = _conclude([finding.verdict for finding in own])
        judged.append(Judged(claim, verdict, own, p, float(adjusted), level))
    return judged


def p_within_claim(p_values: ArrayLike, ways: ArrayLike) -> NDArray[np.float64]:
    """Return what each test of a claim has to say about it.

    Parameters
    ----------
    p_values : array_like, shape (k,)
        Two-sided; NaN, of a test that could not be made, counts as 1.
    ways : array_like, shape (k,)
        1 as claimed, -1 the other way, 0 neither.

    Returns
    -------
    ndarray, shape (k,)
        The p-value of a test that goes as claimed; of one that goes the other way, corrected by Holm's method over all
        k; else 1.
    """
    p, way = np.nan_to_num(np.asarray(p_values, dtype=np.float64), nan=1.0), np.asarray(ways)
    against = holm(np.where(way < 0, p, 1.0))
    return np.where(way > 0, p, against)


def p_of_claim(within: ArrayLike, ways: ArrayLike) -> float:
    """Return a claim's p-value from those of `p_within_claim`.

    Returns
    -------
    float
        The largest if all tests go as claimed, else the smallest of those that go the other way, else 1.
    """
    p, way = np.asarray(within, dtype=np.float64), np.asarray(ways)
    return float(p.max() if (way > 0).all() else p[way < 0].min(initial=1.0))


def over_claims(p_claims: ArrayLike) -> tuple[NDArray[np.float64], float]:
    """Adjust the p-values of claims by Holm's method over all claims, each with the two ways to decide it.

    Parameters
    ----------
    p_claims : array_like, shape (m,)
        NaN for a claim that rests on no test.

    Returns
    -------
    ndarray, shape (m,)
        Below `ALPHA` where a claim is decided.
    float
        The level of Holm's last step: the same claims have ``p_claims`` below it. NaN without tests.
    """
    p = np.asarray(p_claims, dtype=np.float64)
    no_evidence = np.where(np.isnan(p), np.nan, 1.0)
    adjusted = holm(np.concatenate([p / 2, no_evidence]))[: len(p)]
    m = int(np.isfinite(p).sum())
    decided = min(int((adjusted < ALPHA).sum()), m - 1)
    return adjusted, ALPHA / (m - decided / 2) if m else math.nan


def _weigh(findings: Sequence[Finding]) -> tuple[float, list[Finding]]:
    """Return a claim's p-value, and its comparisons with their part in it."""
    tested = [finding for finding in findings if finding.tested]
    if not tested:
        return math.nan, list(findings)
    ways = [finding.way for finding in tested]
    within = p_within_claim([finding.p for finding in tested], ways)
    p = 1.0 if any(finding.verdict == INCOMPLETE for finding in findings) else p_of_claim(within, ways)
    parts = iter(within)
    return p, [replace(finding, p_within=float(next(parts))) if finding.tested else finding for finding in findings]


def _compare(claims: Claims, claim: Claim, comparison: Comparison, read: Callable[[Entry], Reading]) -> Finding:
    """Test one comparison, or say why that is not possible; its verdict is open where a test was made."""
    metric = claims.metric(comparison)
    named = f"{LOG2}{metric}" if comparison.logarithms else metric
    finding = Finding(claim, comparison, named, claims.sign(comparison), paper_difference(comparison))
    readings = [read(entry) for entry in comparison.entries]
    if not all(reading.applicable for reading in readings):
        return replace(finding, verdict=NOT_APPLICABLE)
    values = [reading.values for reading in readings if reading.values is not None]
    if len(values) < len(readings):
        return replace(finding, verdict=INCOMPLETE)
    factor = 1.0 if comparison.logarithms else METRICS[metric].factor
    try:
        sides = _sides(comparison, values, factor)
    except ValueError as error:
        raise ValueError(f"{claim.name}, {comparison.label}: {error}") from error
    test = paired_test(*sides)
    ranked = comparison.test == "wilcoxon"
    p = test.p_value if ranked else _student(sides[0].values - sides[1].values)
    return replace(
        finding,
        difference=test.mean_difference * factor,
        ci_low=test.ci_low * factor,
        ci_high=test.ci_high * factor,
        p=p if finding.sign else math.nan,
        ranks=test.effect_size if ranked else test.mean_difference,
        n_subjects=test.n,
        n_undefined=len(test.undefined),
    )


def _sides(
    comparison: Comparison, values: Sequence[SubjectValues], factor: float
) -> tuple[SubjectValues, SubjectValues]:
    """Return the sums of what is counted for and against, whose difference is the comparison's."""
    first = values[0]
    sides = [np.zeros(len(first.subjects)), np.full(len(first.subjects), comparison.bound / factor)]
    for term, own in zip(comparison.terms, values, strict=True):
        if own.subjects != first.subjects:
            apart = sorted(set(own.subjects) ^ set(first.subjects))
            raise ValueError(f"{term.entry}: not of the same subjects as the others; only one has {', '.join(apart)}")
        numbers = np.log2(own.values) if comparison.logarithms else own.values
        sides[int(term.weight < 0)] += abs(term.weight) * numbers
    # Weights such as 0.29 cancel up to rounding only, and ranks would make a difference of what that leaves.
    sides[1] = np.where(np.isclose(sides[0], sides[1], rtol=_ROUNDING, atol=_ROUNDING), sides[0], sides[1])
    for_it, against = (replace(first, values=side, partly_undefined=()) for side in sides)
    return for_it, against


def _student(differences: NDArray[np.float64]) -> float:
    """Return the p-value of Student's test, two-sided, of a mean of 0; NaN without two differences."""
    from scipy.special import stdtr  # here, as SciPy takes long to import

    known = differences[~np.isnan(differences)]
    if len(known) < 2:
        return math.nan
    spread = float(known.std(ddof=1)) / math.sqrt(len(known))
    if spread == 0:
        return float(known[0] == 0)
    return float(2 * stdtr(len(known) - 1, -abs(float(known.mean())) / spread))


def _verdict(finding: Finding, level: float) -> str:
    """Return a comparison's verdict at the level of its page."""
    if not finding.made:
        return finding.verdict
    if finding.sign:
        if not finding.p_within < level:
            return NOT_DECIDED
        return SUPPORTED if finding.way > 0 else CONTRADICTED
    margin = finding.comparison.margin
    if finding.ci_low == finding.ci_high:
        return NOT_DECIDED
    if -margin < finding.ci_low and finding.ci_high < margin:
        return SUPPORTED
    return CONTRADICTED if finding.ci_low > margin or finding.ci_high < -margin else NOT_DECIDED


def _conclude(verdicts: Sequence[str]) -> str:
    """Return a claim's verdict from those of its comparisons."""
    if INCOMPLETE in verdicts:
        return INCOMPLETE
    applicable = set(verdicts) - {NOT_APPLICABLE}
    if CONTRADICTED in applicable:
        return CONTRADICTED
    return SUPPORTED if applicable == {SUPPORTED} else NOT_DECIDED


def to_frame(judged: Sequence[Judged], data: str, scale: str) -> pd.DataFrame:
    """Return all comparisons as tidy numbers, with the columns `COLUMNS`.

    Parameters
    ----------
    judged : sequence of Judged
    data : {"simulated", "licensed"}
    scale : str
    """
    import pandas as pd

    rows: list[dict[str, Any]] = [
        {
            "claim": finding.claim.name,
            "comparison": finding.comparison.label,
            "metric": finding.metric,
            "first": _side(finding.comparison.terms, 1),
            "second": _side(finding.comparison.terms, -1) or f"{finding.comparison.bound:g}",
            "difference": finding.difference,
            "ci_low": finding.ci_low,
            "ci_high": finding.ci_high,
            "n_subjects": finding.n_subjects,
            "n_undefined": finding.n_undefined,
            "direction": _DIRECTIONS[finding.sign],
            "found": _DIRECTIONS[finding.found] if finding.found else "",
            "p": finding.p,
            "p_within": finding.p_within,
            "p_claim": claim.p,
            "p_holm": claim.p_holm,
            "level": claim.level,
            "paper": math.nan if finding.paper is None else finding.paper,
            "verdict": finding.verdict,
            "data": data,
            "scale": scale,
        }
        for claim in judged
        for finding in claim.findings
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _side(terms: Sequence[Term], sign: int) -> str:
    """Return what stands on one side of a comparison; of more than two numbers with their weights."""
    own = [term for term in terms if term.weight * sign > 0]
    if len(terms) <= 2:
        return "".join(str(term.entry) for term in own)
    return "; ".join(f"{abs(term.weight):.4g} x {term.entry}" for term in own)
