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

from repro.learning.statistics import SubjectValues
from repro.suite import claims_command, drawn
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
)
from repro.suite.claims_command import run_claims
from repro.suite.claims_page import lay_out, markdown
from repro.suite.command import COMPLETE, INCOMPLETE, USAGE, Computed, add_options
from repro.suite.decisions import DECISIONS
from repro.suite.display import METRICS
from repro.suite.plan import Cell, Plan
from repro.suite.render import SUFFIXES, render
from repro.suite.report.parsing import parse_table, read_rows
from repro.suite.scales import SCALES
from repro.suite.spec import Column, Row, Table
from repro.suite.store import CellPredictions, Store, hash_of
from repro.suite.verdicts import COLUMNS, Reading, judge

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

    def compute(table, options, session, progress, *, title):
        seen.append(table)
        plan = Plan(tuple(cells()), (), {}, {})
        corpora = {"unbc": SimpleNamespace(dataset=SimpleNamespace(simulated=True, fingerprint="f"))}
        return Computed(table, SCALES[options.scale], plan, corpora, "simulated", 0, (), ())

    monkeypatch.setattr(claims_command, "compute", compute)
    return seen


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Figures take seconds; one test is about them."""
    monkeypatch.setattr(drawn, "render", lambda plot, shown, frame: dict.fromkeys(SUFFIXES, frame.to_csv().encode()))


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


def test_planted_claims_are_judged_from_stored_predictions(store, tmp_path, asked):
    assert run(PAGE, store, tmp_path) == COMPLETE
    frame = pd.read_csv(tmp_path / "tables/simulated/claims.csv")
    assert list(frame.columns) == list(COLUMNS)
    assert list(frame.verdict) == ["supported", "contradicted", "not decided", "not decided"]
    record = json.loads(emitted(tmp_path, "json"))
    verdicts = {claim["claim"]: claim["verdict"] for claim in record["claims"]}
    (told,) = record["tables"]
    assert set(told["decisions"]) == set(DECISIONS) and told["seeds"]["repetitions"] == 1
    assert verdicts == {"true": "supported", "false": "contradicted", "open": "not decided"}
    assert frame.difference[0] == pytest.approx(100 * (7.5 - 1.5) / 8) and frame.difference[1] == -frame.difference[0]
    assert (frame.n_subjects == 10).all() and (frame.n_undefined == 0).all()
    assert set(frame["data"]) == {"simulated"} and set(frame.scale) == {"smoke"} and set(frame.direction) == {"above"}
    assert (frame["first"][0], frame["second"][0]) == ("t: high, AUC", "t: low, AUC")


def test_p_values_are_adjusted_within_claims_and_over_the_claims_of_the_page(store, tmp_path, asked):
    """Unanimous subjects have twice the chance that all of ten signs are alike; three claims are six hypotheses."""
    run(PAGE, store, tmp_path)
    frame = pd.read_csv(tmp_path / "tables/simulated/claims.csv")
    assert list(frame.p[:2]) == [2**-9, 2**-9] and list(frame.p_within[:2]) == [2**-9, 2 * 2**-9]
    assert frame.p[3] == frame.p_within[3] == frame.p_claim[3] > 0.05
    assert list(frame.p_claim[:3]) == [2**-9, 2 * 2**-9, 2 * 2**-9]
    assert list(frame.p_holm) == [3 * 2**-9, 5 * 2**-9, 5 * 2**-9, pytest.approx(2 * frame.p[3])]
    assert set(frame.level) == {0.05 / 2}, "two of three claims are decided"


def test_what_is_missing_makes_its_claim_incomplete_and_is_told(store, tmp_path, asked, capsys):
    key = next(cell.key for cell in cells() if cell.row == "mixed")
    run(PAGE, store, tmp_path / "whole")
    shutil.rmtree(store.result_folder(key))
    assert run(PAGE, store, tmp_path) == INCOMPLETE
    assert "INCOMPLETE: 2/3 claims lack cells" in capsys.readouterr().err
    whole, frame = (pd.read_csv(out / "tables/simulated/claims.csv") for out in (tmp_path / "whole", tmp_path))
    assert list(frame.verdict) == ["supported", "contradicted", "incomplete", "incomplete"]
    assert frame.difference[2:].isna().all() and frame.p[2:].isna().all()
    # a missing test and its claim count as ones with p = 1, so that a verdict stands when the rest is there
    assert (frame.p_within[2:] == 1).all() and (frame.p_claim[1:] == 1).all()
    assert (frame.p_holm >= whole.p_holm).all() and (frame.p[:2] == whole.p[:2]).all()
    text = emitted(tmp_path, "md")
    assert "INCOMPLETE: 2 of 4 comparisons lack cells; their claims count with p = 1." in text
    assert "- mixed against low: incomplete" in text


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
    assert part.name == TABLE.name, "what a scale has for a table, such as its training, holds for its part, too"
    more = Claim("more", "More", "Table 2", (faster("high", Entry("t", "high", "time"), Entry("t", "low", "time")),))
    parts = needed(page(*PAGE.claims, more))
    labels = [([row.label for row in part.rows], [column.label for column in part.columns]) for part in parts]
    assert labels == [(["high", "low"], ["AUC", "time"]), (["mixed"], ["AUC"])]


def test_equal_stores_give_equal_files(store, tmp_path, asked, monkeypatch):
    monkeypatch.setattr(drawn, "render", render)
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
    assert "points (no number in the paper), p = 0.002, n" in told
    assert "**High beats low: supported (p = 0.002, 0.0059 after Holm)**" in text
    told = next(line for line in text.splitlines() if line.startswith("- low against high"))
    assert "p = 0.002, 0.0039 within the claim, n = 10: contradicted" in told
    assert "the largest of their p-values is below 0.025. Contradicted:" in text
    assert "This level is Holm's for the 3 claims that rest on tests" in text and "said to be alike" not in text
    latex = emitted(tmp_path, "tex")
    assert r"\newcommand{\ClaimsFalseLowAgainstHigh}{$-$75.0}" in latex
    assert r"\newcommand{\ClaimsFalseVerdict}{contradicted}" in latex


def test_the_page_can_be_read_back_by_the_report(store, tmp_path, asked):
    run(PAGE, store, tmp_path)
    rows = read_rows(emitted(tmp_path, "csv"), "claims.csv")
    table = parse_table("claims", emitted(tmp_path, "md"), emitted(tmp_path, "tex"), rows)
    assert [fields[-1].text for _, fields in table.rows] == ["supported", "contradicted", "not decided"]


def test_tests_that_cannot_pass_are_told():
    steps = np.linspace(0.1, 0.2, len(SUBJECTS))
    given = {"high": values(0.5 + steps), "low": values(0.5)}
    ways = [better("for", auc("high"), auc("low")), better("against", auc("low"), auc("high"))]
    counts = ((26, 1, "26 of 26 claims, and for any one comparison to contradict 26."),  # 26 x 2^-9 = 0.051
              (25, 1, None),
              (13, 2, "support 0 of 13 claims, and for any one comparison to contradict 13."),
              (12, 2, None))  # fmt: skip
    for number, size, told in counts:
        claims = page(*(Claim(f"c{n}", "A claim", "Table 1", tuple(ways[:size])) for n in range(number)))
        judged = judge(claims, lambda entry: Reading(given[entry.row]))
        text = markdown(lay_out(claims, judged, SCALES["smoke"], "simulated"), judged)
        assert told in text if told else "Even unanimous" not in text
        assert (judged[0].verdict == "not decided") is bool(told)


def test_a_missing_dataset_is_no_verdict(store, tmp_path, monkeypatch):
    monkeypatch.setattr(claims_command, "compute", lambda *given, title: INCOMPLETE)
    assert run(PAGE, store, tmp_path) == INCOMPLETE and not (tmp_path / "tables").exists()
    monkeypatch.setattr(claims_command, "compute", lambda *given, title: COMPLETE)
    assert run(PAGE, store, tmp_path, "--mode", "plan") == COMPLETE


def test_licensed_and_simulated_tables_are_not_mixed(store, tmp_path, asked, monkeypatch, capsys):
    computed = claims_command.compute
    kinds = iter(("licensed", "simulated"))

    def compute(*given, title):
        return replace(computed(*given, title=title), data=next(kinds))

    monkeypatch.setattr(claims_command, "compute", compute)
    other = replace(TABLE, name="u")
    claim = Claim("c", "A claim", "Table 1", (better("x", auc("high"), Entry("u", "high", "AUC")),))
    assert run(page(claim, tables=(TABLE, other)), store, tmp_path) == USAGE
    assert "some tables are of licensed data" in capsys.readouterr().err


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


def test_amounts_have_their_units():
    """Points, ratios, and beside a bound the number itself."""
    entry, times = Entry("t", "high", "added"), [Entry("t", row, "time") for row in ("high", "low")]
    errors = [Entry("t", row, "MSE") for row in ("high", "low")]
    claims = page(
        Claim("c", "A claim", "Table 1", (better_than("added", entry, 10.0), faster("times", *times),
                                          better("errors", *errors), alike("alike", auc("high"), auc("low"), 3.0))),
    )  # fmt: skip
    steps = np.array([0.9, 1.1])
    given = {
        ("high", "added"): values(5.5 * steps / METRICS["training_overhead"].factor, "training_overhead", SUBJECTS[:2]),
        ("high", "time"): values(steps[:1], "seconds_per_frame", SUBJECTS[:1]),
        ("low", "time"): values(steps[:1] * 4, "seconds_per_frame", SUBJECTS[:1]),
        ("high", "MSE"): values(0.5 * steps, "mse", SUBJECTS[:2]),
        ("low", "MSE"): values(0.75 * steps, "mse", SUBJECTS[:2]),
        ("high", "AUC"): values(0.71 * steps, subjects=SUBJECTS[:2]),
        ("low", "AUC"): values(0.7 * steps, subjects=SUBJECTS[:2]),
    }
    judged = judge(claims, lambda entry: Reading(given[entry.row, entry.column]))
    text = markdown(lay_out(claims, judged, SCALES["smoke"], "licensed"), judged)
    told = [line for line in text.splitlines() if line.startswith("- ")]
    assert told[0].startswith("- added: 5.5 [") and "] % (no number in the paper), p = " in told[0]
    assert told[1] == "- times: ×0.25 [–, –] (no number in the paper), too few for a test, n = 1: not decided"
    assert told[2].startswith("- errors: -0.25 [") and "] (no number in the paper), p = " in told[2]
    assert (
        told[3].startswith("- alike: +1.0 [") and "points (no number in the paper), margin 3 points, n = 2" in told[3]
    )
    assert "SIMULATED" not in text and "Numbers said to be alike are not tested" in text
