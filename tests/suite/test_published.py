"""The paper's numbers: each once, each with its place in a table, and as the paper's text says they are."""

from importlib import import_module

import pytest

from baselines import METHODS
from repro.__main__ import EXPERIMENTS
from repro.suite.display import METRICS
from repro.suite.published import (
    published,
    published_best,
    published_difference,
    published_reason,
    published_value,
)
from repro.suite.spec import Table

TABLES = [table for name in EXPERIMENTS if isinstance(table := import_module(f"repro.{name}").TABLE, Table)]
NAMED = {table.name: table for table in TABLES}

UNSAID = {("table3", network, "SSD adds to training") for network in ("VGG16", "Inception-V1", "ResNet-18")}
"""Cells whose column the paper has for one row only: the text tells the training time of ResNet-50."""

CELLS = ["table", "row", "column"]


def cells(frame):
    return list(frame[CELLS].itertuples(index=False, name=None))


def test_each_number_is_there_once_with_its_metric_and_its_place():
    numbers, absent = published(), published("absent")
    assert len(set(cells(numbers) + cells(absent))) == len(numbers) + len(absent)
    assert numbers.value.notna().all() and set(numbers.metric) <= set(METRICS)
    for frame in (numbers, absent):
        lines = frame.source.str.extract(r"^Table (\d), line \d+$")[0].dropna()
        assert (lines == frame.table.loc[lines.index].str.removeprefix("table")).all()
        assert frame.source.loc[frame.index.difference(lines.index)].str.startswith("Section 3").all()
    assert numbers.groupby("table").size().to_dict() == {
        "table1": 6, "table2": 8, "table3": 17, "table4": 8, "table5": 8, "table6": 45, "table7": 23,
    }  # fmt: skip


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_numbers_and_declared_cells_are_the_same(table):
    declared = {
        (table.name, row.label, column.label): column.metric
        for row in table.rows
        for column in table.columns
        if row.published and column.published
    }
    numbers, absent = (one[one.table == table.name] for one in (published(), published("absent")))
    assert set(cells(numbers)) | set(cells(absent)) == set(declared) - UNSAID
    for cell, metric in zip(cells(numbers), numbers.metric, strict=True):
        assert declared[cell] == metric, cell


def test_every_number_is_of_a_table_that_is_declared():
    assert set(published().table) - {"table1"} <= set(NAMED), "table1 has tests of its own"


@pytest.mark.parametrize("name", ["differences", "best"])
def test_what_the_text_says_is_about_declared_rows(name):
    for said in published(name).itertuples():
        labels = {row.label for row in NAMED[said.table].rows}
        assert said.row in labels
        if name == "differences":
            columns = {column.label: column.metric for column in NAMED[said.table].columns}
            assert said.other in labels and columns[said.column] == said.metric


def test_differences_in_the_text_are_those_of_the_tables():
    said = published("differences")
    assert list(said.value) == [2.3, 1.2, 3.34, 1.83]
    for one in said.itertuples():
        of_table = published_value(one.table, one.row, one.column) - published_value(one.table, one.other, one.column)
        # 1e-9: the binary rounding of two decimals, no more.
        assert one.value == pytest.approx(of_table, abs=1e-9)


def test_a_difference_that_the_text_does_not_name_is_computed():
    assert published_difference("table2", "SSD (RGB)", "RGB", "BioVid") == 1.6
    assert published_difference("table6", "Our method", "DeepCluster", "SSD(RGB) MSE") == -0.2
    assert published_difference("table6", "OSVR", "RVR", "RGB MSE") is None
    assert published_difference("table6", "Our method", "RVR", "RGB pain AUC") is None


def test_the_text_on_training_time_and_on_the_best_self_supervised_method_fits_the_tables():
    assert published_value("table3", "ResNet-50", "SSD adds to training") == round(100 * (1326 / 1257 - 1), 1)
    selfsup = [method.label for method in METHODS.values() if method.kind == "self-supervised"]
    assert METHODS["siamese"].label in selfsup
    for column in ("RGB AUC", "SSD(RGB) AUC"):
        assert sorted(selfsup, key=lambda label: published_value("table7", label, column))[-2:] == [
            METHODS["deepcluster"].label,
            METHODS["siamese"].label,
        ]
    for column, value in (("RGB MSE", 1.03), ("SSD(RGB) MSE", 0.92)):
        assert min(published_value("table6", label, column) for label in selfsup) == value
        assert published_value("table6", METHODS["siamese"].label, column) == value


def test_what_the_paper_prints_in_place_of_a_number():
    assert published_reason("table6", "OSVR", "RGB MSE") == "N/A" == published_reason("table7", "SCN", "SSD(RGB) AUC")
    assert published_value("table6", "OSVR", "RGB MSE") is None
    assert published_reason("table6", "OSVR", "RGB PCC") is None and published_reason("table8", "x", "y") is None
    assert len(published("absent")) == 4


def test_what_the_text_calls_best():
    assert published_best("figure3") == ("segment length 20", "window 5")
    assert published_best("table4") == ()
