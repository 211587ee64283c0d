"""The page of claims: what it asks for is declared, and the paper's own numbers say what it has the paper say."""

import pytest

from repro import table6, table7
from repro.__main__ import EXPERIMENTS
from repro.claims import BEST, METRICS, NOT_PRINTED, OTHERS, OURS, SMALL, SUPERVISED, TABLE
from repro.suite.claims import needed, paper_difference
from repro.suite.claims_command import main
from repro.suite.command import COMPLETE, INCOMPLETE
from repro.suite.display import METRICS as DISPLAYED
from repro.suite.published import published, published_best, published_value
from repro.suite.sheet import macro_name

COMPARISONS = TABLE.comparisons


def test_it_is_an_experiment():
    assert TABLE.name in EXPERIMENTS


def test_every_number_compared_is_one_that_the_paper_has_or_draws():
    for _, comparison in COMPARISONS:
        for entry in comparison.entries:
            if entry.table == "figure3":
                assert TABLE.column(entry).metric == "auc_ovr"
            else:
                assert published_value(*entry) is not None, entry
                assert TABLE.column(entry).published, entry


def test_the_papers_numbers_point_the_way_it_claims():
    for claim, comparison in COMPARISONS:
        paper = paper_difference(comparison)
        if comparison.entries[0].table == "figure3":
            assert paper is None, "the figure is not read off"
        elif sign := TABLE.sign(comparison):
            assert paper * sign > 0, (claim.name, comparison.label, paper)
        else:
            assert abs(paper) < comparison.margin, (claim.name, comparison.label, paper)


def test_a_claim_rests_on_tests_or_on_margins():
    """So that those with a p-value are decided by it alone."""
    for claim in TABLE.claims:
        signs = {abs(TABLE.sign(comparison)) for comparison in claim.comparisons}
        assert signs == ({0} if claim.name == "2D as 3D" else {1}), claim.name


def test_every_difference_that_the_text_names_is_among_them():
    named = published("differences")
    assert len(named)
    told = {
        (first.table, first.row, second.row, first.column): paper_difference(comparison)
        for _, comparison in COMPARISONS
        if len(comparison.entries) == 2
        for first, second in [comparison.entries]
        if first.column == second.column
    }
    for row in named.itertuples():
        assert told[row.table, row.row, row.other, row.column] == row.value


def test_peaks_are_where_the_text_has_them():
    peaks = {
        comparison.entries[0].row for claim, comparison in COMPARISONS if claim.name in ("segment length", "window")
    }
    assert peaks == set(published_best("figure3"))


@pytest.mark.parametrize("table", [table6.TABLE, table7.TABLE], ids=lambda table: table.name)
def test_all_methods_are_there_that_the_paper_has_on_both_inputs(table):
    """And none where it prints N/A."""
    name = table.name
    both = {
        (row.label, metric)
        for row in table.rows
        for metric in METRICS[name]
        if all(published_value(name, row.label, f"{kind} {metric}") is not None for kind in ("RGB", "SSD(RGB)"))
    }
    claimed = {(m, metric) for m in (*SUPERVISED[name], *OTHERS, OURS) for metric in METRICS[name]} - NOT_PRINTED
    assert claimed == both
    assert {row.label for row in table.rows if row.lead[0] == "self-supervised"} == {*OTHERS, OURS}


@pytest.mark.parametrize("table", [table6.TABLE, table7.TABLE], ids=lambda table: table.name)
def test_the_best_supervised_systems_are_the_papers_best(table):
    supervised = [row.label for row in table.rows if row.lead[0] == "supervised"]
    for kind, best in BEST[table.name].items():
        for metric in METRICS[table.name]:
            found = {label: published_value(table.name, label, f"{kind} {metric}") for label in supervised}
            numbers = {label: number for label, number in found.items() if number is not None}
            pick = min if DISPLAYED[metric.lower() if metric != "AUC" else "auc_ovr"].higher_is_better is False else max
            assert pick(numbers, key=numbers.__getitem__) == best


def test_the_bound_on_training_time_is_above_the_papers_addition():
    assert published_value("table3", "ResNet-50", "SSD adds to training") == 5.5 < SMALL


def test_commands_of_latex_are_unique():
    names = [macro_name("claims", claim.name, comparison.label) for claim, comparison in COMPARISONS]
    names += [macro_name("claims", claim.name, "verdict") for claim in TABLE.claims]
    assert len(set(names)) == len(names)


def test_tables_are_asked_for_in_part_and_those_that_need_most_data_first():
    parts = needed(TABLE)
    assert set(parts[0].datasets) == {name for part in parts for name in part.datasets}, (
        "it fails before others compute"
    )
    assert not any(column.metric == "auc_binary" for part in parts for column in part.columns)
    asked = {entry for _, comparison in COMPARISONS for entry in comparison.entries}
    got = {(part.name, row.label, column.label) for part in parts for row in part.rows for column in part.columns}
    assert got == asked


def test_a_plan_names_each_table_and_an_empty_store_has_no_verdict(tmp_path, capsys):
    options = ["--scale", "smoke", "--store", str(tmp_path / "store"), "--out", str(tmp_path), "--quiet", "--jobs", "1"]
    assert main(TABLE, [*options, "--mode", "plan"]) == COMPLETE
    printed = capsys.readouterr().out
    assert all(f"{name}: 0/" in printed for name in ("table2", "figure3", "table3", "table4", "table7"))
    assert main(TABLE, [*options, "--mode", "only-cache"]) == INCOMPLETE
    assert not (tmp_path / "tables").exists()


def test_stills_are_needed_beside_the_given_dataset(tmp_path, capsys):
    options = ["--scale", "smoke", "--store", str(tmp_path / "store"), "--out", str(tmp_path), "--quiet", "--jobs", "1"]
    assert main(TABLE, [*options, "--unbc", str(tmp_path)]) == 2
    assert "sees vggface2, and only unbc was given" in capsys.readouterr().err
