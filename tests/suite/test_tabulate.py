"""Numbers are a pure function of stored predictions."""

import math
from dataclasses import replace

import numpy as np
import pytest

from repro.suite.emit import emit, to_latex, to_markdown
from repro.suite.figures import share_plot
from repro.suite.plan import Cell, Plan
from repro.suite.published import published, published_value
from repro.suite.scales import SCALES
from repro.suite.spec import Check, Column, Row, Share, Table
from repro.suite.store import CellPredictions, Store, hash_of
from repro.suite.tabulate import COLUMNS, judge, tabulate
from repro.table4 import TABLE

ROWS = (
    Row("BioVid → UNBC-McMaster", ("BioVid", "UNBC-McMaster"), "unbc", pretext=(Share("biovid"),)),
    Row("no pretext → UNBC-McMaster", ("no pretext", "UNBC-McMaster"), "unbc", "scratch", published=False),
)
SMALL = Table(
    name="table4",
    title="A small table",
    caption="Two rows.",
    lead=("Pretext data", "Downstream data"),
    rows=ROWS,
    columns=(Column("AUC", "auc_ovr"), Column("Pain AUC", "auc_binary", published=False)),
    protocol="grouped_k_fold",
    plot=share_plot,
    checks=(Check("high", ROWS[1].label, "Pain AUC", lambda value, low, high: value > 90, scales=("quick",)),),
)


def cells():
    return tuple(
        Cell(row.label, row.place(TABLE.columns[0]), fold, 0, hash_of({"row": row.label, "fold": fold}))
        for row in ROWS
        for fold in range(2)
    )


def plan():
    return Plan(cells(), (), {}, {})


def fill(store, keep=lambda cell: True):
    """Perfect predictions for the second row, reversed ones for the first; two subjects a fold, two levels."""
    for cell in filter(keep, cells()):
        levels = np.tile([0, 0, 1, 1], 2)
        scores = np.eye(2)[levels if cell.row == ROWS[1].label else 1 - levels]
        subjects = np.repeat([f"{cell.fold}a", f"{cell.fold}b"], 4)
        samples = np.array([f"{s}-{i}" for i, s in enumerate(subjects)])
        store.write(cell.key, CellPredictions(samples, subjects, levels, scores, cell.fold, 0), {})


def numbers(store, scale="quick"):
    return tabulate(SMALL, plan(), store, SCALES[scale], "simulated")


def test_values_of_known_predictions(tmp_path):
    fill(Store(tmp_path))
    frame, damaged = numbers(Store(tmp_path))
    assert list(frame.columns) == list(COLUMNS) and damaged == []
    assert len(frame) == 2 * 2 * 2  # rows, columns, aggregates
    by_row = frame.set_index(["row", "column", "aggregate"])
    for column in ("AUC", "Pain AUC"):
        for aggregate in ("subject_mean", "pooled"):
            assert by_row.loc[(ROWS[0].label, column, aggregate)].value == 0
            assert by_row.loc[(ROWS[1].label, column, aggregate)].value == 100
    assert set(frame.n_subjects) == {4} and set(frame.n_folds) == {2} and set(frame.cells_done) == {2}


def test_the_papers_number_stands_once_beside_ours(tmp_path):
    fill(Store(tmp_path))
    frame, _ = numbers(Store(tmp_path))
    paper = frame[frame.paper.notna()]
    assert len(paper) == 1
    assert (paper.row.item(), paper.column.item(), paper["aggregate"].item()) == (ROWS[0].label, "AUC", "subject_mean")
    assert paper.paper.item() == 69.2


def test_missing_cells_are_counted_and_shown(tmp_path):
    store = Store(tmp_path / "store")
    fill(store, lambda cell: cell.row == ROWS[1].label and cell.fold == 0)
    frame, _ = numbers(store)
    assert list(frame.drop_duplicates("row").cells_done) == [0, 1] and set(frame.cells_total) == {2}
    assert math.isnan(frame[frame.row == ROWS[0].label].value.iloc[0])
    text = to_markdown(SMALL, frame, SCALES["quick"])
    assert "INCOMPLETE" in text and "(1/2 cells)" in text and "(0/2 cells)" in text
    assert "(1/2)" in to_latex(SMALL, frame, SCALES["quick"])


def test_a_damaged_cell_counts_as_missing_and_is_set_aside(tmp_path):
    store = Store(tmp_path)
    fill(store)
    key = cells()[0].key
    path = store.result_folder(key) / "predictions.npz"
    path.write_bytes(path.read_bytes()[:-5])
    frame, damaged = numbers(store)
    assert len(damaged) == 1 and key in damaged[0]
    assert frame[frame.row == ROWS[0].label].cells_done.iloc[0] == 1
    assert not store.has(key)


def test_checks_are_judged_at_their_scale_and_fail_when_incomplete(tmp_path):
    store = Store(tmp_path)
    fill(store)
    (verdict,) = judge(SMALL, numbers(store)[0], SCALES["quick"])
    assert verdict["holds"] and verdict["value"] == 100
    assert judge(SMALL, numbers(store)[0], SCALES["smoke"]) == []
    store.set_aside(store.result_folder(cells()[-1].key))
    (verdict,) = judge(SMALL, numbers(store)[0], SCALES["quick"])
    assert not verdict["holds"]


def test_emitted_files(tmp_path):
    fill(Store(tmp_path))
    frame, _ = numbers(Store(tmp_path))
    written = emit(SMALL, frame, SCALES["quick"], tmp_path / "out", "simulated", {"seconds": 1})
    names = sorted(str(path.relative_to(tmp_path / "out")) for path in written)
    assert names == sorted(
        [f"tables/simulated/table4{suffix}" for suffix in (".csv", ".md", ".tex", ".json")]
        + [f"figures/simulated/table4{suffix}" for suffix in (".pdf", ".png", ".csv", ".json")]
    )
    first = {path: path.read_bytes() for path in written}
    emit(SMALL, frame, SCALES["quick"], tmp_path / "out", "simulated", {"seconds": 1})
    assert {path: path.read_bytes() for path in written} == first, "the same numbers give the same bytes"


def test_markdown_has_the_papers_shape(tmp_path):
    fill(Store(tmp_path))
    text = to_markdown(SMALL, numbers(Store(tmp_path))[0], SCALES["quick"])
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert lines[0] == ["Pretext data", "Downstream data", "AUC [95 % CI]", "AUC, paper", "Pain AUC [95 % CI]"]
    assert lines[2] == ["BioVid", "UNBC-McMaster", "**0.0 [0.0, 0.0]**", "69.2", "**0.0 [0.0, 0.0]**"]
    assert lines[3][0] == "*not in the paper:*" and lines[4][3] == ""
    assert "values are not comparable" in text


def test_a_number_that_lacks_cells_is_not_the_best(tmp_path):
    store = Store(tmp_path)
    fill(store, keep=lambda cell: cell != cells()[0])
    text = to_markdown(SMALL, numbers(store)[0], SCALES["quick"])
    assert "0.0 [0.0, 0.0] * (1/2 cells)" in text and "**0.0" not in text


def test_latex_has_a_macro_for_each_number(tmp_path):
    fill(Store(tmp_path))
    text = to_latex(SMALL, numbers(Store(tmp_path))[0], SCALES["quick"])
    macros = [line for line in text.splitlines() if line.startswith(r"\newcommand")]
    names = [line.split("{")[1].rstrip("}") for line in macros]
    assert len(macros) == 4 and len(set(names)) == 4
    assert all(name[1:].isalpha() for name in names)
    assert all(text.count(name) == 2 for name in names), "each macro is defined once and used once"
    assert "%" not in text.replace(r"\%", "").split("\n", 1)[1], "percent signs are escaped"


def test_every_published_number_has_its_row_and_every_row_its_number():
    frame = published()
    frame = frame[frame.table == TABLE.name]
    assert not frame.duplicated(["table", "row", "column"]).any()
    declared = {
        (TABLE.name, r.label, c.label) for r in TABLE.rows for c in TABLE.columns if r.published and c.published
    }
    assert {tuple(row) for row in frame[["table", "row", "column"]].itertuples(index=False)} == declared
    assert published_value("table4", "BioVid → UNBC-McMaster", "Pain AUC") is None


def test_labels_must_be_unique():
    with pytest.raises(ValueError, match="unique"):
        Table("t", "t", "t", (), (ROWS[0], ROWS[0]), SMALL.columns, "grouped_k_fold")


def test_a_gain_is_the_mean_difference_within_subjects(tmp_path):
    fill(Store(tmp_path))
    rows = (ROWS[0], replace(ROWS[1], versus=ROWS[0].label))
    table = replace(SMALL, rows=rows, columns=(Column("Gain", "auc_binary", published=False, gain=True),))
    frame, _ = tabulate(table, plan(), Store(tmp_path), SCALES["quick"], "simulated")
    assert list(frame["aggregate"]) == ["gain", "gain"]
    assert math.isnan(frame.value[0]) and frame.value[1] == frame.ci_low[1] == 100
    assert (frame.n_subjects[1], frame.n_folds[1]) == (4, 2)
    shown = to_markdown(table, frame, SCALES["quick"])
    assert "100.0 [100.0, 100.0]" in shown and "difference within subjects to BioVid" in shown


def test_a_check_may_subtract_a_reference(tmp_path):
    fill(Store(tmp_path))
    check = Check("above", ROWS[1].label, "Pain AUC", lambda value, low, high: value == 0, reference="AUC")
    frame, _ = numbers(Store(tmp_path))
    (verdict,) = judge(replace(SMALL, checks=(check,)), frame, SCALES["quick"])
    assert verdict["holds"] and verdict["value"] == 0


def test_a_gain_uses_only_cells_that_both_rows_have(tmp_path):
    fill(Store(tmp_path), lambda cell: cell.row == ROWS[1].label or cell.fold == 0)
    rows = (ROWS[0], replace(ROWS[1], versus=ROWS[0].label))
    table = replace(SMALL, rows=rows, columns=(Column("Gain", "auc_binary", published=False, gain=True),))
    frame, _ = tabulate(table, plan(), Store(tmp_path), SCALES["quick"], "simulated")
    assert (frame.n_subjects[1], frame.n_folds[1], frame.value[1]) == (2, 1, 100)
    assert (frame.cells_done[1], frame.cells_total[1]) == (1, 2), "a difference to what is missing is missing"


def test_pretext_accuracy_is_the_mean_of_the_runs_of_its_input(tmp_path):
    store = Store(tmp_path)
    for key, accuracy in (("a" * 40, 0.5), ("b" * 40, 0.7), ("c" * 40, 0.9)):
        history = [{"held_out_accuracy": x, "held_out_chance": 0.25} for x in (0.1, accuracy)]
        store.write_artifact(key, b"network", {"history": history})
    metrics = ("pretext_accuracy", "pretext_chance")
    columns = tuple(Column(f"{kind} {m}", m, kind, published=False) for kind in ("RGB", "SSD(RGB)") for m in metrics)
    shown = {"a" * 40: "RGB", "b" * 40: "RGB", "c" * 40: "SSD(RGB)", "d" * 40: "SSD(RGB)"}
    made = Plan(cells(), (), {}, {ROWS[0].label: tuple(shown)}, shown=shown)
    frame, _ = tabulate(replace(SMALL, columns=columns), made, store, SCALES["quick"], "simulated")
    found = frame[frame.row == ROWS[0].label]
    assert list(found.value) == pytest.approx([0.6, 0.25, 0.9, 0.25])
    assert (found.ci_low.iloc[0], found.ci_high.iloc[0], found.n_seeds.iloc[0]) == (0.5, 0.7, 2)
    assert frame[frame.row == ROWS[1].label].value.isna().all(), "a row without a pretext has none"
    assert "lowest and the highest run" in to_markdown(replace(SMALL, columns=columns), frame, SCALES["quick"])


def test_a_row_may_show_another_metric_and_gains_compare_it_with_the_columns(tmp_path):
    fill(Store(tmp_path))
    other = replace(ROWS[1], versus=ROWS[0].label, metrics=(("mse", "mse_argmax"), ("auc_ovr", "auc_ovo")))
    columns = (
        Column("MSE", "mse", published=False),
        *(Column(f"{metric} gain", metric, published=False, gain=True) for metric in ("mse", "auc_ovr", "auc_binary")),
    )
    frame, _ = tabulate(
        replace(SMALL, rows=(ROWS[0], other), columns=columns), plan(), Store(tmp_path), SCALES["quick"], "simulated"
    )
    numbers_of = frame[(frame.row == other.label) & (frame["aggregate"] != "pooled")].set_index("column")
    assert list(numbers_of.metric) == ["mse_argmax", "mse_argmax", "auc_ovo", "auc_binary"]
    assert list(numbers_of.value) == [0, -1, 100, 100], "perfect against reversed predictions"
    assert set(frame[frame.row == ROWS[0].label].metric) == {"mse", "auc_ovr", "auc_binary"}


def test_a_gain_pairs_subjects_whatever_their_folds(tmp_path):
    """Clips that are labelled otherwise are divided into other folds, of which some may be missing."""
    store = Store(tmp_path)
    levels = np.tile([0, 1], 2)
    for row, folds in ((ROWS[0], ("ab", "cd")), (ROWS[1], ("ac",))):
        for fold, subjects in enumerate(folds):
            owners = np.repeat(list(subjects), 2)
            scores = np.eye(2)[levels if row is ROWS[1] else 1 - levels]
            key = hash_of({"row": row.label, "fold": fold})
            store.write(key, CellPredictions(owners, owners, levels, scores, fold, 0), {})
    rows = (ROWS[0], replace(ROWS[1], versus=ROWS[0].label))
    table = replace(SMALL, rows=rows, columns=(Column("Gain", "auc_binary", published=False, gain=True),))
    frame, _ = tabulate(table, plan(), store, SCALES["quick"], "simulated")
    assert (frame.n_subjects[1], frame.value[1]) == (2, 100)


def test_an_accuracy_over_some_of_the_networks_is_marked(tmp_path):
    store = Store(tmp_path)
    fill(store)
    column = Column("accuracy", "pretext_accuracy", published=False)
    table = replace(SMALL, columns=(*SMALL.columns, column), checks=())
    networks = tuple(hash_of({"network": number}) for number in range(4))
    kind = ROWS[0].place(column).input
    shown = {**dict.fromkeys(networks[:2], kind), **dict.fromkeys(networks[2:], "RGB")}
    made = replace(plan(), artifacts={ROWS[0].label: networks}, shown=shown)
    found = []
    for number, key in enumerate(networks):
        frame, _ = tabulate(table, made, store, SCALES["quick"], "simulated")
        own = frame[(frame.row == ROWS[0].label) & (frame.column == "accuracy")].iloc[0]
        found.append(own[["value", "n_seeds", "cells_done", "cells_total"]].tolist())
        assert (frame[frame.column != "accuracy"].cells_done == 2).all()
        store.write_artifact(key, b"weights", {"history": [{"held_out_accuracy": 0.5 + number / 4}]})
    assert math.isnan(found[0][0]) and found[0][1:] == [0, 0, 2]
    assert found[1:] == [[0.5, 1, 1, 2], [0.625, 2, 2, 2], [0.625, 2, 2, 2]]
