"""The decisions that the paper leaves open: all have their line, each alternative changes one thing, which shows."""

import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from repro.data.encoding import InputSpec
from repro.data.schema import Dataset, VideoRecord
from repro.sensitivity import DEFAULT, TABLE
from repro.siamese.pretext import SiamesePretext, SiameseStills
from repro.suite.command import COMPLETE, main
from repro.suite.corpus import Corpus
from repro.suite.scales import SCALES
from repro.suite.sheet import macro_name
from repro.suite.spec import OWN, STILLS, Clips, Row
from repro.suite.store import Store
from repro.suite.work import build_plan

ROWS = {row.label: row for row in TABLE.rows}
VARIED = [row for row in TABLE.rows if row.versus]
NAMED = {"label", "lead", "versus", "scales"}
"""Fields that say what a row is called and where it stands, not what it computes."""


def differences(row, other):
    """Return what of two rows differs: a field, or a field and the name in it."""
    found = {}
    for name in (field.name for field in fields(Row) if field.name not in NAMED):
        one, two = getattr(row, name), getattr(other, name)
        if name in ("encoding", "clips", "network", "training", "task", "metrics"):
            one, two = dict(one), dict(two)
            changed = [key for key in one.keys() | two.keys() if (key, one.get(key)) not in two.items()]
            found |= {(name, key): one.get(key) for key in changed}
        elif one != two:
            found[name,] = one
    return found


def decision(row):
    return row.label.partition(":")[0]


def test_every_decision_has_its_line():
    varied = {f"D{number}" for number in range(18)}
    for scale in ("quick", "paper"):
        assert {decision(row) for row in TABLE.at(scale).rows if ":" in row.label} == varied
    documented = (Path(__file__).parents[1] / "DECISIONS.md").read_text()
    assert varied <= set(re.findall(r"^\| (D\d+) \|", documented, re.M))


def test_labels_give_different_names_to_numbers():
    names = [macro_name(TABLE.name, row.label, column.label) for row in TABLE.rows for column in TABLE.columns]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", VARIED, ids=lambda row: row.label)
def test_an_alternative_differs_from_its_default_in_one_thing(row):
    found = differences(row, ROWS[row.versus])
    allowed = {"D15": 2}.get(decision(row), 1)  # both metrics of the intensity
    assert len(found) == allowed
    assert set(row.scales) <= set(ROWS[row.versus].scales)
    default, usual = SCALES["quick"], {"encoding": InputSpec(), "task": SiamesePretext(), "clips": Clips(None, 1, 1, 1)}
    for (name, *key), value in found.items():
        if name in usual:
            assert getattr(usual[name], *key) != value, "it is no other name of the default"
        if name == "encoding" and "quick" in row.scales:
            changed = replace(default.input, kind=row.input or "SSD(RGB)", **dict(row.encoding))
            assert changed.describe() != replace(default.input, kind=changed.kind).describe(), "it matters"
        if name == "task" and STILLS in row.pretext:
            described = [SiameseStills(**dict(one.task)).description() for one in (row, ROWS[row.versus])]
            assert described[0] != described[1], "it matters on stills"


def test_lines_without_an_alternative_say_why():
    without = {row.label: row.unavailable for row in TABLE.rows if row.unavailable}
    assert {decision(ROWS[label]) for label in without} == {"D4", "D6", "D7", "D8", "D9", "D11"}
    only = [label for label in without if label.endswith("no alternative")]
    assert {decision(ROWS[label]) for label in only} == {"D4", "D6", "D8", "D11"}
    assert all(without[label].startswith("no alternative is offered: ") for label in only)


def test_defaults_are_those_of_other_tables():
    default = ROWS[DEFAULT]
    assert (default.pretext, default.encoding, default.task, default.clips) == ((STILLS,), (), (), ())
    assert {row.pretext for row in TABLE.rows if not row.unavailable} == {(STILLS,), (OWN,)}


@pytest.mark.parametrize(
    ("scale", "label"), [("quick", "D0: the paper's schedule"), ("paper", "D0: warm-up and cosine")]
)
def test_schedules_are_the_other_scales_and_as_long(scale, label):
    usual = SCALES[scale].fine_tuning.schedule
    (changed,) = dict(ROWS[label].training).values()
    assert changed.decay != usual.decay and ROWS[label].scales == (scale,)
    assert replace(changed, decay=usual.decay, learning_rate=usual.learning_rate) == usual


@pytest.fixture(scope="module")
def planned():
    """The table's plan on data without frames, as far as stills are not needed."""
    rng = np.random.default_rng(0)
    records = [
        VideoRecord(f"s{s}", f"s{s}/v{v}", 240, (rng.random(240) < 0.02).astype(np.int64))
        for s in range(6)
        for v in range(12)
    ]
    data = Dataset("unbc", "nowhere", records, content="0", n_levels=17)
    scale = SCALES["quick"]
    table = TABLE.at("quick").without_stills()
    corpora = {one.name: Corpus(data, replace(scale.clips["unbc"], **dict(one.clips)), 40) for one in table.populations}
    return table, build_plan(table, scale, corpora, Store("store"), repetitions=1, device="cpu")


def test_decisions_about_metrics_need_no_further_cell(planned):
    _, plan = planned
    keys = {label: {cell.key for cell in plan.cells if cell.row == label} for label in ROWS}
    for label, of_row in keys.items():
        assert (of_row == keys[DEFAULT]) == (decision(ROWS[label]) in (DEFAULT, "D14", "D15", "D16")), label
    assert not plan.measured["D4: no alternative", "Image correlation"].key


def test_images_are_compared_where_a_decision_changes_them(planned):
    table, plan = planned
    changed = {label for (label, _), one in plan.measured.items() if one.key}
    assert changed == {row.label for row in table.rows if row.encoding}


SOME = ("D2: center=False", "D4: no alternative", "D15: the likeliest level", "D16: pain against none")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, smoke_store):
    """Run some rows at smoke scale."""
    place = tmp_path_factory.mktemp("sensitivity")
    smoke_store(place / "store")
    table = replace(TABLE, rows=tuple(ROWS[label] for label in (DEFAULT, *SOME)))
    options = ["--store", str(place / "store"), "--out", str(place), "--quiet", "--device", "cpu", "--jobs", "1"]
    assert main(table, ["--scale", "smoke", *options]) == COMPLETE
    return place


def test_numbers_of_a_run(finished):
    frame = pd.read_csv(finished / "tables/simulated/sensitivity.csv")
    assert (frame.cells_done == frame.cells_total).all()
    at = frame[frame["aggregate"] != "pooled"].set_index(["row", "column"])
    default = at.loc[DEFAULT]
    assert default.value["Pain AUC"] == at.loc["D16: pain against none"].value["Pain AUC"]
    for column in ("AUC change", "Change"):
        assert at.loc[("D15: the likeliest level", column)].value == 0, "no AUC asks for an intensity"
    assert at.loc[("D15: the likeliest level", "MSE change")].value != 0
    assert at.loc[("D16: pain against none", "AUC change")].metric == "auc_binary"
    assert at.loc[("D16: pain against none", "AUC change")].value != 0
    assert at.loc[("D4: no alternative", "Change")].cells_total == 0
    assert 0 < at.loc[("D2: center=False", "Image correlation")].value < 1
    assert at.loc[(DEFAULT, "Image correlation")].cells_total == 0
    text = (finished / "tables/simulated/sensitivity.md").read_text()
    assert "no alternative is offered" in text
    assert (finished / "figures/simulated/sensitivity.pdf").stat().st_size > 500
