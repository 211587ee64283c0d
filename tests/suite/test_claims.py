"""Claims are judged by what is stored: planted differences are found, and what is missing is told."""

import argparse
import json
import math
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from repro.learning.statistics import SubjectValues, holm, paired_test
from repro.suite import claims_command, claims_page
from repro.suite.claims import (
    Claim,
    Claims,
    Comparison,
    Entry,
    Term,
    alike,
    better,
    better_than,
    faster,
    needed,
    paper_difference,
    rising,
)
from repro.suite.claims_command import run_claims
from repro.suite.command import COMPLETE, INCOMPLETE, USAGE, Computed, add_options
from repro.suite.render import render
from repro.suite.report.parsing import parse_table, read_rows
from repro.suite.scales import SCALES
from repro.suite.spec import Column, Row, Table
from repro.suite.store import CellPredictions, Store, hash_of
from repro.suite.verdicts import COLUMNS, Finding, Reading, judge, to_frame
from repro.suite.work import Cell, Plan

SUBJECTS = tuple(f"s{number:02d}" for number in range(10))
ROWS = ("high", "low", "mixed", "absent")
TABLE = Table(
    name="t",
    title="A table",
    caption="Of four rows.",
    lead=("Row",),
    rows=tuple(Row(label, (label,), "unbc", "scratch") for label in ROWS),
    columns=(
        Column("AUC", "auc_ovr"),
        Column("MSE", "mse"),
        Column("time", "seconds_per_frame"),
        Column("added", "training_overhead"),
        Column("images", "image_correlation"),
    ),
    protocol="grouped_k_fold",
)
RANKS = {"high": (7, 8), "low": (2, 1), "mixed": (4, 0, 1, 2), "absent": (5,)}
"""Of eight clips without pain, how many lie below the one with pain: subject by subject, over and over."""


def auc(row):
    return Entry("t", row, "AUC")


def page(*claims, tables=(TABLE,)):
    return Claims("claims", "Claims", "Some claims.", tables, claims)


PAGE = page(
    Claim("true", "High beats low", "Table 1", (better("high against low", auc("high"), auc("low")),)),
    Claim("false", "Low beats the others", "Table 1",
          (better("low against high", auc("low"), auc("high")), better("low against mixed", auc("low"), auc("mixed")))),
    Claim("open", "Mixed beats low", "Table 1", (better("mixed against low", auc("mixed"), auc("low")),)),
)  # fmt: skip


def place():
    return TABLE.rows[0].place(TABLE.columns[0])


def cells():
    return [Cell(row, place(), fold, 0, hash_of({"row": row, "fold": fold})) for row in ROWS for fold in range(2)]


def predictions(row, fold):
    """Eight clips without pain and one with it, of five subjects; ranked as the row's are."""
    subjects = SUBJECTS[fold::2]
    scores = []
    for number in range(fold, len(SUBJECTS), 2):
        rank = RANKS[row][number % len(RANKS[row])]
        scores += [(place + 1) / 10 for place in range(8)] + [(rank + 0.5) / 10]
    pain = np.array(scores)
    return CellPredictions(
        np.array([f"{subject}-{clip}" for subject in subjects for clip in range(9)]),
        np.repeat(subjects, 9),
        np.tile([0] * 8 + [1], len(subjects)),
        np.column_stack([1 - pain, pain]),
        fold,
        0,
    )


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    for cell in cells():
        store.write(cell.key, predictions(cell.row, cell.fold), {})
    return store


@pytest.fixture
def asked(monkeypatch):
    """In place of simulating and training: the table's plan, whose cells are in the store or not. Tables asked for."""
    seen = []

    def compute(table, options, session, progress):
        seen.append(table)
        plan = Plan(tuple(cells()), (), {}, {})
        corpora = {"unbc": SimpleNamespace(dataset=SimpleNamespace(simulated=True, fingerprint="f"))}
        return Computed(table, SCALES[options.scale], plan, corpora, "simulated", (), ())

    monkeypatch.setattr(claims_command, "compute", compute)
    return seen


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Figures take seconds; one test is about them."""
    monkeypatch.setattr(claims_page, "render", lambda plot, frame: {".csv": frame.to_csv().encode()})


def run(claims, store, out, *more):
    parser = argparse.ArgumentParser()
    add_options(parser)
    options = ["--scale", "smoke", "--store", str(store.root), "--out", str(out), "--quiet", "--jobs", "1", *more]
    return run_claims(claims, parser.parse_args(options))


def emitted(out, suffix):
    return (out / "tables/simulated" / f"claims.{suffix}").read_text()


def values(numbers, metric="auc_ovr", subjects=SUBJECTS):
    numbers = np.broadcast_to(np.asarray(numbers, dtype=float), len(subjects)).copy()
    return SubjectValues(metric, tuple(subjects), numbers, 1, 1)


def findings(comparisons, numbers):
    """Judge comparisons as one claim; numbers by row and column."""
    claims = page(Claim("c", "A claim", "Table 1", tuple(comparisons)))
    (judged,) = judge(claims, lambda entry: numbers[entry.row, entry.column])
    return judged


def one(comparison, **numbers):
    """Judge one comparison of values of AUC by row."""
    return findings([comparison], {(row, "AUC"): Reading(values(own)) for row, own in numbers.items()}).findings[0]


def test_planted_claims_are_judged_from_stored_predictions(store, tmp_path, asked):
    assert run(PAGE, store, tmp_path) == COMPLETE
    frame = pd.read_csv(tmp_path / "tables/simulated/claims.csv")
    assert list(frame.columns) == list(COLUMNS)
    assert list(frame.verdict) == ["supported", "contradicted", "not decided", "not decided"]
    verdicts = {claim["claim"]: claim["verdict"] for claim in json.loads(emitted(tmp_path, "json"))["claims"]}
    assert verdicts == {"true": "supported", "false": "contradicted", "open": "not decided"}
    assert frame.difference[0] == pytest.approx(100 * (7.5 - 1.5) / 8) and frame.difference[1] == -frame.difference[0]
    assert (frame.n_subjects == 10).all() and (frame.n_undefined == 0).all()
    assert set(frame["data"]) == {"simulated"} and set(frame.scale) == {"smoke"} and set(frame.direction) == {"above"}
    assert (frame["first"][0], frame["second"][0]) == ("t: high, AUC", "t: low, AUC")


def test_p_values_are_adjusted_over_the_whole_page(store, tmp_path, asked):
    run(PAGE, store, tmp_path)
    frame = pd.read_csv(tmp_path / "tables/simulated/claims.csv")
    assert list(frame.p_holm) == pytest.approx(list(holm(frame.p)), abs=1e-15)
    # unanimous: twice the chance that all of ten signs are alike
    assert frame.p[0] == pytest.approx(2**-9) and frame.p_holm[0] == pytest.approx(4 * 2**-9)


def test_a_claim_can_fail_by_the_number_of_tests_alone():
    comparison = better("high against low", auc("high"), auc("low"))
    several = [replace(comparison, label=str(number)) for number in range(30)]
    rising_by = np.linspace(0.01, 0.1, len(SUBJECTS))
    numbers = {("high", "AUC"): Reading(values(0.5 + rising_by)), ("low", "AUC"): Reading(values(0.5))}
    assert findings(several[:25], numbers).verdict == "supported", "25 x 2^-9 = 0.049"
    judged = findings(several, numbers)
    assert judged.verdict == "not decided" and judged.n_as_claimed == 30


def test_what_is_missing_makes_its_claim_incomplete_and_is_told(store, tmp_path, asked, capsys):
    key = next(cell.key for cell in cells() if cell.row == "mixed")
    run(PAGE, store, tmp_path / "whole")
    shutil.rmtree(store.result_folder(key))
    assert run(PAGE, store, tmp_path) == INCOMPLETE
    assert "INCOMPLETE: 2/3 claims lack cells" in capsys.readouterr().err
    whole, frame = (pd.read_csv(out / "tables/simulated/claims.csv") for out in (tmp_path / "whole", tmp_path))
    assert list(frame.verdict) == ["supported", "contradicted", "incomplete", "incomplete"]
    assert frame.difference[2:].isna().all() and frame.p_holm[2:].isna().all()
    # a missing test counts as one with p = 1, so that a verdict stands when the rest is there
    assert (frame.p_holm[:2] >= whole.p_holm[:2]).all() and (frame.p[:2] == whole.p[:2]).all()
    text = emitted(tmp_path, "md")
    assert "INCOMPLETE: 2 of 4 comparisons lack cells" in text and "- mixed against low: incomplete" in text


def test_a_damaged_cell_counts_as_missing(store, tmp_path, asked, capsys):
    path = store.result_folder(cells()[0].key) / "predictions.npz"
    path.write_bytes(path.read_bytes()[:-5])
    assert run(PAGE, store, tmp_path) == INCOMPLETE
    assert "set aside" in capsys.readouterr().err


def test_nothing_but_what_is_compared_is_asked_for(store, tmp_path, asked):
    run(PAGE, store, tmp_path)
    (part,) = asked
    assert [row.label for row in part.rows] == ["high", "low", "mixed"]
    assert [column.label for column in part.columns] == ["AUC"] and part.plot is None
    more = Claim("more", "More", "Table 2", (faster("high", Entry("t", "high", "time"), Entry("t", "low", "time")),))
    parts = needed(page(*PAGE.claims, more))
    labels = [([row.label for row in part.rows], [column.label for column in part.columns]) for part in parts]
    assert labels == [(["high", "low"], ["AUC", "time"]), (["mixed"], ["AUC"])]


def test_equal_stores_give_equal_files(store, tmp_path, asked, monkeypatch):
    monkeypatch.setattr(claims_page, "render", render)
    for out in ("first", "second"):
        run(PAGE, store, tmp_path / out)
    for kind, suffixes in (("tables", ("csv", "md", "tex")), ("figures", ("pdf", "png", "csv"))):
        for suffix in suffixes:
            file = f"{kind}/simulated/claims.{suffix}"
            assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes(), file


def test_the_page_tells_verdicts_numbers_and_limits(store, tmp_path, asked, capsys):
    run(PAGE, store, tmp_path)
    text = emitted(tmp_path, "md")
    assert text in capsys.readouterr().out
    assert "SIMULATED" in text and "neither an interval nor a test" in text
    assert "Contradicted, Low beats the others: low against high." in text
    first = next(line for line in text.splitlines() if line.startswith("| High beats low"))
    cells_of = [cell.strip() for cell in first.strip("|").split("|")]
    assert cells_of == ["High beats low", "Table 1", "–", "+75.0 points", "1 of 1, 1 surely", "supported"]
    told = next(line for line in text.splitlines() if line.startswith("- high against low"))
    assert told.startswith("- high against low: +75.0 [") and told.endswith("n = 10: supported")
    assert "points (no number in the paper), p = 0.002, 0.0078 after Holm" in told
    latex = emitted(tmp_path, "tex")
    assert r"\newcommand{\ClaimsFalseLowAgainstHigh}{$-$75.0}" in latex
    assert r"\newcommand{\ClaimsFalseVerdict}{contradicted}" in latex


def test_the_page_can_be_read_back_by_the_report(store, tmp_path, asked):
    run(PAGE, store, tmp_path)
    rows = read_rows(emitted(tmp_path, "csv"), "claims.csv")
    table = parse_table("claims", emitted(tmp_path, "md"), emitted(tmp_path, "tex"), rows)
    assert [fields[-1].text for _, fields in table.rows] == ["supported", "contradicted", "not decided"]


def test_tests_that_cannot_pass_are_told(store, tmp_path, asked):
    many = [better(f"{number}", auc("high"), auc("low")) for number in range(26)]
    run(page(Claim("many", "Many", "Table 1", tuple(many))), store, tmp_path)
    assert "26 of 26 tests of ranks are of so few subjects, at most 10, that" in emitted(tmp_path, "md")
    run(PAGE, store, tmp_path)
    assert "so few subjects" not in emitted(tmp_path, "md")


def test_a_missing_dataset_is_no_verdict(store, tmp_path, monkeypatch):
    monkeypatch.setattr(claims_command, "compute", lambda *given: INCOMPLETE)
    assert run(PAGE, store, tmp_path) == INCOMPLETE and not (tmp_path / "tables").exists()
    monkeypatch.setattr(claims_command, "compute", lambda *given: COMPLETE)
    assert run(PAGE, store, tmp_path, "--mode", "plan") == COMPLETE


def test_licensed_and_simulated_tables_are_not_mixed(store, tmp_path, asked, monkeypatch, capsys):
    computed = claims_command.compute
    kinds = iter(("licensed", "simulated"))
    monkeypatch.setattr(claims_command, "compute", lambda *given: replace(computed(*given), data=next(kinds)))
    other = replace(TABLE, name="u")
    claim = Claim("c", "A claim", "Table 1", (better("x", auc("high"), Entry("u", "high", "AUC")),))
    assert run(page(claim, tables=(TABLE, other)), store, tmp_path) == USAGE
    assert "some tables are of licensed data" in capsys.readouterr().err


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
    added = np.linspace(0.03, 0.05, len(SUBJECTS))
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


def test_the_papers_sum_is_taken_from_its_text_or_else_its_numbers():
    text = better("x", Entry("table2", "SSD (RGB)", "BioVid"), Entry("table2", "OF", "BioVid"))
    assert paper_difference(text) == 1.2
    times = faster("x", Entry("table3", "VGG16", "2D time"), Entry("table3", "VGG16", "3D time"))
    assert paper_difference(times) == pytest.approx(math.log2(0.924 / 2.769), abs=5e-4)
    assert paper_difference(better_than("x", Entry("table3", "ResNet-50", "SSD adds to training"), 10.0)) == -4.5
    two = better(
        "x", Entry("table5", "BioVid → UNBC-McMaster", "AUC"), Entry("table4", "BioVid → UNBC-McMaster", "AUC")
    )
    assert paper_difference(two) == 10.9
    assert paper_difference(better("x", auc("high"), auc("low"))) is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: better("x", auc("high"), auc("typo")), "t: typo, AUC: found 0 such numbers"),
        (lambda: better("x", auc("high"), Entry("u", "low", "AUC")), "u: low, AUC: found 0 such numbers"),
        (lambda: better("x", auc("high"), Entry("t", "low", "MSE")), "cannot compare auc_ovr with mse"),
        (lambda: better("x", *[Entry("t", row, "images") for row in ("high", "low")]), "neither more nor less"),
        (lambda: Comparison("x", (Term(1.0, auc("high")), Term(-0.5, auc("low")))), "weights sum to 0.5"),
        (lambda: Comparison("x", ()), "weights sum to 0"),
        (lambda: alike("x", auc("high"), auc("low"), 0.0), "alike within one"),
    ],
)
def test_comparisons_that_mean_nothing_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        page(Claim("c", "A claim", "Table 1", (make(),)))


def test_names_must_be_unique():
    claim = PAGE.claims[0]
    with pytest.raises(ValueError, match="are not unique"):
        page(claim, claim)
    with pytest.raises(ValueError, match="are not unique, or none"):
        page(replace(claim, comparisons=claim.comparisons * 2))
    with pytest.raises(ValueError, match="are not unique, or none"):
        page(replace(claim, comparisons=()))


def test_what_points_as_claimed():
    comparison = better("x", auc("high"), auc("low"))
    base = Finding(PAGE.claims[0], comparison, "auc_ovr", 1, None)
    assert replace(base, difference=0.1).points_as_claimed and not replace(base, difference=0.0).points_as_claimed
    assert not base.points_as_claimed, "NaN points nowhere"
    near = replace(base, sign=0, comparison=alike("x", auc("high"), auc("low"), 3.0))
    assert replace(near, difference=-2.9).points_as_claimed and not replace(near, difference=3.1).points_as_claimed
