"""A comparison's verdict, from the values of each subject, and a claim's from its comparisons."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_rel

from repro.learning.statistics import SubjectValues, paired_test
from repro.suite.claims import Claim, Claims, Entry, alike, better, better_than, faster, rising
from repro.suite.display import METRICS
from repro.suite.spec import Column, Row, Table
from repro.suite.verdicts import Finding, Reading, judge, to_frame

SUBJECTS = tuple(f"s{number:02d}" for number in range(10))
ROWS = ("high", "low", "mixed", "absent")
COLUMNS = {"AUC": "auc_ovr", "MSE": "mse", "time": "seconds_per_frame", "added": "training_overhead"}
TABLE = Table(
    name="t",
    title="A table",
    caption="Of four rows.",
    lead=("Row",),
    rows=tuple(Row(label, (label,), "unbc", "scratch") for label in ROWS),
    columns=tuple(Column(label, metric) for label, metric in COLUMNS.items()),
    protocol="grouped_k_fold",
)


def auc(row):
    return Entry("t", row, "AUC")


def values(numbers, metric="auc_ovr", subjects=SUBJECTS):
    numbers = np.broadcast_to(np.asarray(numbers, dtype=float), len(subjects)).copy()
    return SubjectValues(metric, tuple(subjects), numbers, 1, 1)


def findings(comparisons, numbers):
    """Judge comparisons as one claim; numbers by row and column."""
    claims = Claims("claims", "Claims", "A claim.", (TABLE,), (Claim("c", "A claim", "Table 1", tuple(comparisons)),))
    (judged,) = judge(claims, lambda entry: numbers[entry.row, entry.column])
    return judged


def one(comparison, **numbers):
    """Judge one comparison of values of AUC by row."""
    return findings([comparison], {(row, "AUC"): Reading(values(own)) for row, own in numbers.items()}).findings[0]


def test_a_claim_can_fail_by_the_number_of_tests_alone():
    comparison = better("high against low", auc("high"), auc("low"))
    several = [replace(comparison, label=str(number)) for number in range(30)]
    rising_by = np.linspace(0.01, 0.1, len(SUBJECTS))
    numbers = {("high", "AUC"): Reading(values(0.5 + rising_by)), ("low", "AUC"): Reading(values(0.5))}
    assert findings(several[:25], numbers).verdict == "supported", "25 x 2^-9 = 0.049"
    judged = findings(several, numbers)
    assert judged.verdict == "not decided" and judged.n_as_claimed == 30


def test_the_mean_and_the_ranks_must_agree():
    """Nine small gains and one great loss: the ranks are sure of the gains, the mean is a loss."""
    subjects = tuple(f"s{number:02d}" for number in range(30))
    gains = np.linspace(0.01, 0.02, 30)
    gains[-1] = -0.9
    numbers = {("high", "AUC"): Reading(values(0.9 + gains, subjects=subjects)),
               ("low", "AUC"): Reading(values(0.9, subjects=subjects))}  # fmt: skip
    (found,) = findings([better("x", auc("high"), auc("low"))], numbers).findings
    assert found.p_holm < 0.05 and found.difference < 0 < found.ranks
    assert found.verdict == "not decided" and not found.points_as_claimed


def test_less_is_better_where_the_metric_says_so():
    first, second = Entry("t", "high", "MSE"), Entry("t", "low", "MSE")
    steps = np.linspace(0.1, 0.2, len(SUBJECTS))
    numbers = {("high", "MSE"): Reading(values(1 - steps, "mse")), ("low", "MSE"): Reading(values(1, "mse"))}
    (found,) = findings([better("x", first, second)], numbers).findings
    assert (found.sign, found.verdict) == (-1, "supported") and found.difference == pytest.approx(-0.15)
    (found,) = findings([better("x", second, first)], numbers).findings
    assert found.verdict == "contradicted"


@pytest.mark.parametrize(
    ("centre", "spread", "verdict"),
    [(0.0, 0.01, "supported"), (0.02, 0.001, "supported"), (0.1, 0.01, "contradicted"), (-0.1, 0.01, "contradicted"),
     (0.0, 0.2, "not decided"), (0.03, 0.02, "not decided")],
)  # fmt: skip
def test_numbers_are_alike_if_the_interval_lies_within_the_margin(centre, spread, verdict):
    differences = centre + spread * np.linspace(-1, 1, len(SUBJECTS))
    found = one(alike("x", auc("high"), auc("low"), 3.0), high=0.7 + differences, low=0.7)
    assert found.verdict == verdict and math.isnan(found.p) and math.isnan(found.p_holm)


def test_alike_is_no_test():
    steps = np.linspace(0.01, 0.02, len(SUBJECTS))
    numbers = {("high", "AUC"): Reading(values(0.7 + steps)), ("low", "AUC"): Reading(values(0.7))}
    both = findings([better("b", auc("high"), auc("low")), alike("a", auc("high"), auc("low"), 3.0)], numbers)
    assert both.findings[0].p_holm == both.findings[0].p == pytest.approx(2**-9)


def test_times_are_compared_by_their_ratios():
    seconds = np.linspace(1, 9, len(SUBJECTS))
    numbers = {("high", "time"): Reading(values(seconds, "seconds_per_frame")),
               ("low", "time"): Reading(values(2 * seconds, "seconds_per_frame"))}  # fmt: skip
    judged = findings([faster("x", Entry("t", "high", "time"), Entry("t", "low", "time"))], numbers)
    (found,) = judged.findings
    assert (found.metric, found.verdict) == ("log2_seconds_per_frame", "supported")
    assert found.difference == pytest.approx(-1, abs=1e-12) == found.ci_low


def test_ratios_of_a_few_times_are_tested_by_their_mean():
    """Five videos: no test of ranks is below 0.06."""
    videos = SUBJECTS[:5]
    times = {"high": np.array([1.0, 1.1, 1.2, 0.9, 1.05]), "low": np.array([2.1, 2.2, 2.45, 1.8, 2.0])}
    numbers = {(row, "time"): Reading(values(own, "seconds_per_frame", videos)) for row, own in times.items()}
    comparison = faster("x", Entry("t", "high", "time"), Entry("t", "low", "time"))
    (found,) = findings([comparison], numbers).findings
    expected = ttest_rel(np.log2(times["high"]), np.log2(times["low"]))
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9) and found.verdict == "supported"
    alone = {
        key: Reading(values(reading.values.values[:1], "seconds_per_frame", videos[:1]))
        for key, reading in numbers.items()
    }
    (found,) = findings([comparison], alone).findings
    assert math.isnan(found.p) and (found.n_subjects, found.verdict) == (1, "not decided")


def test_a_bound_is_subtracted():
    entry = Entry("t", "high", "added")
    added = np.linspace(3, 5, len(SUBJECTS)) / METRICS["training_overhead"].factor
    numbers = {("high", "added"): Reading(values(added, "training_overhead"))}
    (found,) = findings([better_than("x", entry, 10.0)], numbers).findings
    assert found.verdict == "supported" and found.difference == pytest.approx(4 - 10)
    (found,) = findings([better_than("x", entry, 2.0)], numbers).findings
    assert found.verdict == "contradicted" and found.difference == pytest.approx(4 - 2)
    frame = to_frame([findings([better_than("x", entry, 2.0)], numbers)], "licensed", "paper")
    assert (frame["second"][0], frame.direction[0], frame["data"][0]) == ("2", "below", "licensed")


def test_the_rise_of_a_line_is_that_of_least_squares():
    places = (0.0, 0.1, 0.3, 0.5)
    generator = np.random.default_rng(3)
    numbers = generator.random((len(places), len(SUBJECTS)))
    rows = dict(zip(places, ROWS, strict=True))
    trend = rising("x", {place: auc(row) for place, row in rows.items()})
    found = one(trend, **{row: numbers[number] for number, row in enumerate(ROWS)})
    slopes = np.polyfit(places, numbers, 1)[0]
    assert found.difference == pytest.approx(100 * 0.5 * slopes.mean(), rel=1e-9)
    expected = paired_test(values(0.5 * slopes), values(0.0))
    assert found.p == expected.p_value and found.ci_low == pytest.approx(100 * expected.ci_low, rel=1e-9)


@pytest.mark.parametrize("level", [0.1, 0.3, 0.7, 0.9])
def test_a_level_line_does_not_rise(level):
    """Weights cancel up to rounding; ranks must not make a significant difference of the rest."""
    trend = rising("x", {place: auc(row) for place, row in zip((0.0, 0.1, 0.3, 0.5), ROWS, strict=True)})
    found = one(trend, **dict.fromkeys(ROWS, level))
    assert (found.difference, found.p, found.verdict) == (0.0, 1.0, "not decided")


def test_subjects_without_a_value_are_left_out_and_counted():
    steps = np.linspace(0.1, 0.2, len(SUBJECTS))
    steps[:3] = np.nan
    found = one(better("x", auc("high"), auc("low")), high=0.5 + steps, low=0.5)
    assert (found.n_subjects, found.n_undefined) == (7, 3) and found.verdict == "supported"
    nobody = one(better("x", auc("high"), auc("low")), high=np.nan, low=0.5)
    assert (nobody.n_subjects, nobody.n_undefined, nobody.verdict) == (0, 10, "not decided")


def test_what_cannot_be_compared_does_not_stand_in_the_way():
    steps = np.linspace(0.1, 0.2, len(SUBJECTS))
    numbers = {("high", "AUC"): Reading(values(0.5 + steps)), ("low", "AUC"): Reading(values(0.5)),
               ("absent", "AUC"): Reading(None, applicable=False), ("mixed", "AUC"): Reading(None)}  # fmt: skip
    possible = better("possible", auc("high"), auc("low"))
    impossible = better("impossible", auc("high"), auc("absent"))
    missing = better("missing", auc("high"), auc("mixed"))
    judged = findings([possible, impossible], numbers)
    assert judged.verdict == "supported" and [f.verdict for f in judged.findings] == ["supported", "not applicable"]
    assert judged.findings[0].p_holm == judged.findings[0].p
    assert findings([impossible], numbers).verdict == "not decided"
    assert findings([possible, missing, impossible], numbers).verdict == "incomplete"


def test_other_subjects_are_refused():
    numbers = {("high", "AUC"): Reading(values(0.5)), ("low", "AUC"): Reading(values(0.5, subjects=SUBJECTS[1:]))}
    with pytest.raises(ValueError, match="c, x: t: low, AUC: not of the same subjects as the others; only one has s00"):
        findings([better("x", auc("high"), auc("low"))], numbers)


def test_what_points_as_claimed():
    comparison = better("x", auc("high"), auc("low"))
    base = Finding(Claim("c", "A claim", "Table 1", (comparison,)), comparison, "auc_ovr", 1, None)
    assert replace(base, difference=0.1).points_as_claimed and not replace(base, difference=0.0).points_as_claimed
    assert not base.points_as_claimed, "NaN points nowhere"
    near = replace(base, sign=0, comparison=alike("x", auc("high"), auc("low"), 3.0))
    assert replace(near, difference=-2.9).points_as_claimed and not replace(near, difference=3.1).points_as_claimed
