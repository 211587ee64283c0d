"""The verdict on a claim, from the numbers of each subject.

A comparison of numbers (`repro.suite.claims`) is tested by its differences within subjects: their mean with an
interval by bootstrap over subjects, and Wilcoxon's signed-rank test, all p-values of the page adjusted together by
Holm's method. A subject that lacks one of the numbers is left out of that comparison, and counted. Times are of a few
videos or repetitions, which ranks cannot tell from chance however they differ (five have no p below 0.06):
Student's test is made of them, and where two times are compared, of the logarithms of their ratios.

A comparison is

* **supported** if the adjusted p-value is below 0.05 and both the mean and the ranks go the way that is claimed;
* **contradicted** if it is below 0.05 and both go the other way;
* **not decided** otherwise, also where no subject has a difference;
* **incomplete** where cells or measurements are missing;
* **not applicable** where a number cannot be on this data, such as a method's without the landmarks that it needs.

Where numbers are said to be alike, no test is made, as one of no difference can only speak against it: **supported**
if the 95 % interval lies within the margin, **contradicted** if it lies beyond, **not decided** if it reaches over an
end.

A claim is **incomplete** if one of its comparisons is, **supported** if all that are applicable are, **contradicted**
if one or more is, however the others are, and **not decided** otherwise, also where none is applicable.

A missing comparison counts among the tests, as one with p = 1: a verdict on a page that is not complete can only become
clearer when the rest is there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

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
    "to_frame",
]

ALPHA = 0.05
"""Level of the tests, after Holm's correction."""

SUPPORTED, CONTRADICTED, NOT_DECIDED = "supported", "contradicted", "not decided"
INCOMPLETE, NOT_APPLICABLE = "incomplete", "not applicable"

COLUMNS = (
    "claim", "comparison", "metric", "first", "second", "difference", "ci_low", "ci_high", "p", "p_holm", "n_subjects",
    "n_undefined", "direction", "paper", "verdict", "data", "scale",
)  # fmt: skip
"""Of the tidy CSV, one row a comparison, in the unit of tables; times as logarithms of base 2."""

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
    p, p_holm : float
        NaN where no test is made.
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
    p_holm: float = math.nan
    ranks: float = math.nan
    n_subjects: int = 0
    n_undefined: int = 0

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
    """A claim, its verdict, and what that rests on."""

    claim: Claim
    verdict: str
    findings: tuple[Finding, ...]

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
    tested = [1.0 if finding.verdict == INCOMPLETE and finding.sign else finding.p for finding in found]
    adjusted = [
        replace(finding, p_holm=math.nan if math.isnan(finding.p) else float(p))
        for finding, p in zip(found, holm(tested), strict=True)
    ]
    findings = [replace(finding, verdict=_verdict(finding)) for finding in adjusted]
    judged = []
    for claim in claims.claims:
        own = tuple(finding for finding in findings if finding.claim is claim)
        judged.append(Judged(claim, _conclude([finding.verdict for finding in own]), own))
    return judged


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
    known = differences[~np.isnan(differences)]
    if len(known) < 2:
        return math.nan
    spread = float(known.std(ddof=1)) / math.sqrt(len(known))
    if spread == 0:
        return float(known[0] == 0)
    return float(2 * student.sf(abs(float(known.mean())) / spread, len(known) - 1))


def _verdict(finding: Finding) -> str:
    if not finding.made:
        return finding.verdict
    if finding.sign:
        if not finding.p_holm < ALPHA or np.sign(finding.difference) != np.sign(finding.ranks):
            return NOT_DECIDED
        return SUPPORTED if finding.points_as_claimed else CONTRADICTED
    margin = finding.comparison.margin
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
            "p": finding.p,
            "p_holm": finding.p_holm,
            "n_subjects": finding.n_subjects,
            "n_undefined": finding.n_undefined,
            "direction": _DIRECTIONS[finding.sign],
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
