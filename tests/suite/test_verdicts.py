"""A comparison's verdict, from the values of each subject, and a claim's from its comparisons."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import norm, ttest_rel

from repro.learning.statistics import SubjectValues, holm, paired_test
from repro.suite.claims import Claim, Claims, Entry, alike, better, better_than, faster, rising
from repro.suite.display import METRICS
from repro.suite.spec import Column, Row, Table
from repro.suite.verdicts import ALPHA, Finding, Reading, judge, over_claims, p_of_claim, p_within_claim, to_frame

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


def steps(low=0.01, high=0.1, subjects=SUBJECTS):
    """Return differences that all subjects have, each another: Wilcoxon's p is the smallest there can be."""
    return np.linspace(low, high, len(subjects))


def unanimous(subjects=SUBJECTS):
    """Return numbers of AUC of a row that is higher in every subject than another."""
    return {("high", "AUC"): Reading(values(0.5 + steps(subjects=subjects), subjects=subjects)),
            ("low", "AUC"): Reading(values(0.5, subjects=subjects))}  # fmt: skip


def for_it(count):
    return [better(f"for {number}", auc("high"), auc("low")) for number in range(count)]


def against(count):
    return [better(f"against {number}", auc("low"), auc("high")) for number in range(count)]


def a_page(*claims, numbers):
    """Judge lists of comparisons, each as a claim of one page."""
    made = tuple(Claim(f"c{number}", "A claim", "Table 1", tuple(own)) for number, own in enumerate(claims))
    return judge(Claims("claims", "Claims", "Some.", (TABLE,), made), lambda entry: numbers[entry.row, entry.column])


def test_p_values_within_a_claim_by_hand():
    within = p_within_claim([0.01, 0.02, 0.03, math.nan], [1, -1, -1, 0])
    assert within == pytest.approx([0.01, 4 * 0.02, 3 * 0.03, 1.0], abs=1e-15), "Holm, with those as claimed as ones"
    assert p_of_claim(within, [1, -1, -1, 0]) == pytest.approx(0.08, abs=1e-15)
    assert p_of_claim([0.01, 0.04], [1, 1]) == 0.04 == p_of_claim(p_within_claim([0.01, 0.04], [1, 1]), [1, 1])
    assert p_of_claim([0.01, 1.0], [1, 0]) == 1.0, "nothing but one way is evidence of all comparisons"


def test_holm_over_claims_by_hand():
    """Four claims are eight hypotheses: 8 x 0.001 / 2, 7 x 0.01 / 2, 6 x 0.03 / 2."""
    adjusted, level = over_claims([0.001, 0.03, math.nan, 0.01, 1.0])
    assert adjusted == pytest.approx([0.004, 0.09, math.nan, 0.035, 1.0], abs=1e-15, nan_ok=True)
    assert level == pytest.approx(0.05 / 3, abs=1e-15), "two are decided: 6 of 8 hypotheses are left"
    assert over_claims([0.01])[1] == over_claims([0.5])[1] == 0.05
    assert over_claims([0.01, 0.03])[1] == pytest.approx(0.05 / 1.5, abs=1e-15)
    assert math.isnan(over_claims([math.nan])[1]) and math.isnan(over_claims([])[1])


def test_the_level_is_where_holms_steps_end():
    generator = np.random.default_rng(5)
    for _ in range(200):
        p = generator.random(9) ** generator.integers(1, 6)
        adjusted, level = over_claims(p)
        assert list(adjusted < ALPHA) == list(p < level)


BIG = 8.0
"""An effect, in standard errors, that is never missed."""

TRUTHS = {
    "no effect, one comparison": [(0.0,)] * 5,
    "no effect, many comparisons": [(0.0,) * 10] * 3 + [(0.0,)] * 2,
    "one of several lacks": [(BIG, BIG, 0.0)] * 4,
    "mixed": [(0.0,), (BIG, 0.0), (0.0, 0.0), (BIG, BIG), (-BIG, BIG), (-BIG, 0.0), (0.5,), (1.0, 2.0), (-0.5, BIG)],
}
"""Effects of the comparisons of each claim of a page."""


def decided(z):
    """Return each claim's verdict, 1 supported, -1 contradicted or 0, from normal statistics of its comparisons."""
    ways = [np.sign(own) for own in z]
    within = [p_within_claim(2 * ndtr(-np.abs(own)), way) for own, way in zip(z, ways, strict=True)]
    _, level = over_claims([p_of_claim(*both) for both in zip(within, ways, strict=True)])
    return [
        -1 if ((p < level) & (way < 0)).any() else int(((p < level) & (way > 0)).all())
        for p, way in zip(within, ways, strict=True)
    ]


def is_wrong(verdict, effects):
    return min(effects) <= 0 if verdict > 0 else verdict < 0 and min(effects) >= 0


@pytest.mark.parametrize("shared", [0.0, 0.8], ids=["independent", "dependent"])
@pytest.mark.parametrize("truth", TRUTHS)
def test_pages_with_a_wrong_verdict_are_at_most_one_in_twenty(truth, shared):
    """Of 500: three standard errors above 5 % are 7.9 %."""
    effects, pages, wrong = TRUTHS[truth], 500, 0
    generator = np.random.default_rng(11)
    sizes = [len(own) for own in effects]
    noise = generator.standard_normal((pages, sum(sizes)))
    noise = math.sqrt(1 - shared) * noise + math.sqrt(shared) * generator.standard_normal((pages, 1))
    for page in noise:
        parts = np.split(page, np.cumsum(sizes)[:-1])
        verdicts = decided([np.add(own, part) for own, part in zip(effects, parts, strict=True)])
        wrong += any(map(is_wrong, verdicts, effects))
    assert wrong / pages <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / pages)
    if (truth, shared) == ("no effect, one comparison", 0.0):
        assert wrong / pages >= 0.03, "here the bound is nearly reached"


def test_a_right_verdict_on_one_claim_does_not_ease_a_wrong_one_on_another_too_much():
    """Two claims that depend on each other as badly as they can, by cells of known probability: 3.9 % are wrong.

    The first has a small effect as claimed, 0.28 standard errors, the second none. Stepping from ALPHA / 2 to ALPHA,
    as over two claims, whatever their ways, 5.6 % would be.
    """
    half = norm.isf(ALPHA / 4)  # of a two-sided p of ALPHA / 2
    effect = half - norm.isf(ALPHA / 2)
    cells = [  # probability; two-sided p-value and way of the first claim, of the second
        (norm.sf(half + effect), (0.02, -1), (0.5, 1)),
        (ALPHA / 2 / 3, (0.02, 1), (0.030, 1)),  # p of the second is even between 0.025 and 0.05
        (ALPHA / 2 / 3, (0.02, 1), (0.038, 1)),
        (ALPHA / 2 / 3, (0.02, 1), (0.046, 1)),
        (ALPHA / 2, (0.5, 1), (0.02, 1)),
    ]
    assert norm.sf(half - effect) == pytest.approx(ALPHA / 2, rel=1e-12), "how often the first is right"
    wrong = stepped = 0.0
    for probability, *claims in cells:
        truly = [1, 0]
        p = [p_of_claim(p_within_claim([p], [way]), [way]) for p, way in claims]
        _, level = over_claims(p)
        wrong += probability * any(
            own < level and way != true for own, (_, way), true in zip(p, claims, truly, strict=True)
        )
        stepped += probability * any(
            own < ALPHA and way != true for own, (_, way), true in zip(holm(p), claims, truly, strict=True)
        )
    assert wrong == pytest.approx(0.0392, abs=1e-4) and stepped == pytest.approx(0.0558, abs=1e-4)


def test_a_claim_that_needs_all_is_not_corrected_for_how_many():
    judged = findings(for_it(30), unanimous())
    assert (judged.verdict, judged.p, judged.p_holm, judged.level) == ("supported", 2**-9, 2**-9, 0.05)
    assert {finding.p_within for finding in judged.findings} == {2**-9} and judged.n_as_claimed == 30


@pytest.mark.parametrize(("count", "verdict"), [(25, "contradicted"), (26, "not decided")])
def test_the_other_way_is_corrected_for_the_comparisons_of_the_claim(count, verdict):
    """25 x 2^-9 = 0.049; what goes as claimed is not corrected."""
    judged = findings([*for_it(count - 1), *against(1)], unanimous())
    assert judged.verdict == verdict and judged.p == count * 2**-9 == judged.findings[-1].p_within
    assert judged.findings[-1].verdict == verdict and {f.verdict for f in judged.findings[:-1]} == {"supported"}


@pytest.mark.parametrize(("count", "verdict"), [(25, "supported"), (26, "not decided")])
def test_a_claim_can_fail_by_the_number_of_claims_alone(count, verdict):
    judged = a_page(*[for_it(1)] * count, numbers=unanimous())
    assert {one.verdict for one in judged} == {verdict}
    assert judged[0].p_holm == count * 2**-9 and {one.verdict for one in judged[0].findings} == {verdict}


def test_twelve_subjects_can_decide_sixteen_claims():
    """Also where one of them goes the other way, in the smallest of ranks."""
    subjects = tuple(f"s{number:02d}" for number in range(12))
    gains = np.array([-0.01, *np.linspace(0.02, 0.1, 11)])
    numbers = unanimous(subjects) | {("high", "AUC"): Reading(values(0.5 + gains, subjects=subjects))}
    judged = a_page(*[for_it(2)] * 16, numbers=numbers)
    assert {(one.verdict, one.p_holm) for one in judged} == {("supported", 16 * 2**-10)}


def test_one_comparison_left_open_leaves_the_claim_open():
    numbers = unanimous() | {("mixed", "AUC"): Reading(values(0.5 + steps(-0.05, 0.06)))}
    open_one = better("open", auc("mixed"), auc("low"))
    judged = findings([*for_it(2), open_one], numbers)
    assert [f.verdict for f in judged.findings] == ["supported", "supported", "not decided"]
    assert judged.verdict == "not decided" and judged.p == judged.findings[-1].p > 0.05
    assert findings([*against(1), open_one], numbers).verdict == "contradicted"


def test_a_missing_comparison_gives_its_claim_p_1_and_counts():
    """And what is decided stays so when it is there, whatever it is."""
    numbers = unanimous()
    before = a_page([*against(1), better("gap", auc("mixed"), auc("low"))], for_it(1), against(2),
                    numbers=numbers | {("mixed", "AUC"): Reading(None)})  # fmt: skip
    assert [one.verdict for one in before] == ["incomplete", "supported", "contradicted"]
    (known, gap), p = before[0].findings, before[0].p
    assert (known.verdict, known.p_within) == ("contradicted", 2 * 2**-9)
    assert p == gap.p_within == 1.0 and math.isnan(gap.p)
    for mixed in (0.5 + steps(), 0.5 - steps(), 0.5, np.nan):
        after = a_page([*against(1), better("gap", auc("mixed"), auc("low"))], for_it(1), against(2),
                       numbers=numbers | {("mixed", "AUC"): Reading(values(mixed))})  # fmt: skip
        assert [one.verdict for one in after[1:]] == ["supported", "contradicted"]
        assert all(late.p_holm <= early.p_holm for late, early in zip(after, before, strict=True))


def test_a_verdict_can_be_made_again_from_the_csv():
    numbers = unanimous() | {("mixed", "AUC"): Reading(values(0.5 + steps(-0.05, 0.06))),
                             ("absent", "AUC"): Reading(None, applicable=False)}  # fmt: skip
    mixed, absent = better("open", auc("mixed"), auc("low")), better("absent", auc("high"), auc("absent"))
    close = alike("alike", auc("high"), auc("low"), 30.0)
    claims = [for_it(3), [*for_it(2), *against(2)], [mixed, *for_it(1)], [close], [absent], [absent, *for_it(1)]]
    judged = a_page(*claims, numbers=numbers)
    frame = to_frame(judged, "licensed", "paper")
    tests = frame[frame.p_within.notna()]
    assert list(frame.index.difference(tests.index)) == [9, 10, 11], "alike, and not applicable twice"
    p_claims = {}
    for name, own in tests.groupby("claim"):
        other = (own.found != own.direction) & (own.found != "")
        as_claimed = own.found == own.direction
        corrected = holm(np.where(other, own.p, 1.0))
        assert list(own.p_within) == list(np.where(as_claimed, own.p, corrected))
        p_claims[name] = own.p.max() if as_claimed.all() else corrected[other].min() if other.any() else 1.0
        assert set(own.p_claim) == {p_claims[name]}
    adjusted = dict(zip(p_claims, holm([*(p / 2 for p in p_claims.values()), *[1.0] * len(p_claims)]), strict=False))
    assert all(set(own.p_holm) == {adjusted[name]} for name, own in tests.groupby("claim"))
    (level,) = set(frame.level)
    assert list(tests.verdict != "not decided") == list(tests.p_within < level)
    for one in judged:
        if one.claim.name in adjusted:
            assert (one.verdict != "not decided") == (adjusted[one.claim.name] < ALPHA)
    assert [one.verdict for one in judged] == ["supported", "contradicted", "not decided", "supported", "not decided",
                                               "supported"]  # fmt: skip


def test_the_mean_and_the_ranks_must_agree():
    """Small gains and one great loss: the ranks are sure of the gains, the mean is a loss."""
    subjects = tuple(f"s{number:02d}" for number in range(30))
    gains = np.linspace(0.01, 0.02, 30)
    gains[-1] = -0.9
    numbers = {("high", "AUC"): Reading(values(0.9 + gains, subjects=subjects)),
               ("low", "AUC"): Reading(values(0.9, subjects=subjects))}  # fmt: skip
    for comparison in (better("x", auc("high"), auc("low")), better("x", auc("low"), auc("high"))):
        judged = findings([comparison], numbers)
        (found,) = judged.findings
        assert found.p < 0.05 and found.difference * found.ranks < 0
        assert (found.way, found.p_within, judged.p) == (0, 1.0, 1.0) and found.verdict == "not decided"
        assert to_frame([judged], "licensed", "paper").found[0] == ""


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
     (0.0, 0.2, "not decided"), (0.03, 0.02, "not decided"), (0.0, 0.0, "not decided")],
)  # fmt: skip
def test_numbers_are_alike_if_the_interval_lies_within_the_margin(centre, spread, verdict):
    differences = centre + spread * np.linspace(-1, 1, len(SUBJECTS))
    found = one(alike("x", auc("high"), auc("low"), 3.0), high=0.7 + differences, low=0.7)
    assert found.verdict == verdict and math.isnan(found.p) and math.isnan(found.p_within)


def test_alike_is_no_test():
    steps = np.linspace(0.01, 0.02, len(SUBJECTS))
    numbers = {("high", "AUC"): Reading(values(0.7 + steps)), ("low", "AUC"): Reading(values(0.7))}
    both = findings([better("b", auc("low"), auc("high")), alike("a", auc("high"), auc("low"), 3.0)], numbers)
    assert both.findings[0].p_within == both.findings[0].p == both.p == both.p_holm == 2**-9
    (alone, other) = a_page([alike("a", auc("high"), auc("low"), 3.0)], for_it(1), numbers=numbers)
    assert math.isnan(alone.p) and math.isnan(alone.p_holm) and (other.p_holm, other.level) == (2**-9, 0.05)


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
    assert math.isnan(found.p) and (found.n_subjects, found.verdict) == (1, "not decided") and found.p_within == 1


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
    assert judged.p == judged.findings[0].p_within == judged.findings[0].p
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
