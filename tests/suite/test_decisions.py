"""Decisions: each of DECISIONS.md has a value, which is the one in force."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from repro import sensitivity
from repro.suite.decisions import DECISIONS, decisions
from repro.suite.scales import SCALES
from repro.table2 import TABLE as TABLE2
from repro.table4 import TABLE as TABLE4

ROOT = Path(__file__).resolve().parents[2]


def test_every_decision_is_there():
    documented = re.findall(r"^\| (D\d+) \|", (ROOT / "DECISIONS.md").read_text(), re.M)
    assert list(DECISIONS) == documented
    for scale in SCALES.values():
        told = decisions(TABLE4, scale)
        assert list(told) == documented and all(one["value"] not in (None, {}, [], "") for one in told.values())
        json.dumps(told)


def test_values_follow_the_scale():
    smoke = SCALES["smoke"]
    told = decisions(TABLE4, smoke)
    assert told["D0"]["value"] == {"fine-tuning": "cosine", "pretext": "cosine"}
    assert told["D1"]["value"] == {"noise_variance": 0.4}
    assert told["D9"]["value"] == {"flow": "dis", "flow_limit": 0.01}
    assert told["D13"]["value"]["source_length"] == {"unbc": 20, "biovid": 20}
    assert told["D17"]["value"] == {"level": {"unbc": "max", "biovid": "max"}}
    assert decisions(TABLE4, SCALES["paper"])["D0"]["value"]["fine-tuning"] == "paper"
    assert decisions(TABLE4, SCALES["paper"])["D9"]["value"]["flow"] == "tvl1"
    other = replace(smoke, input=replace(smoke.input, noise_variance=4.0, depth=3))
    changed = {name for name, one in decisions(TABLE4, other).items() if one != told[name]}
    assert changed == {"D1", "D3"}


@pytest.mark.parametrize("own", [False, True])
def test_what_the_pretext_sees_is_that_of_the_table_as_computed(own):
    table = TABLE2.without_stills() if own else TABLE2
    told = decisions(table, SCALES["quick"])["D14"]["value"]
    assert ("VGGFace2" in told) != own


def test_rows_that_decide_otherwise_are_named():
    told = decisions(sensitivity.TABLE.at("quick"), SCALES["quick"])
    rows = {name: one.get("rows", {}) for name, one in told.items()}
    assert rows["D0"] == {"D0: the paper's schedule": {"schedule": "paper"}}
    assert rows["D1"]["D1: noise_variance=4.0"] == {"noise_variance": 4.0} and len(rows["D1"]) == 3
    assert rows["D13"]["D13: stretch=None"] == {"stretch": None}
    assert rows["D15"] == {"D15: the likeliest level": {"mse": "mse_argmax", "pcc": "pcc_argmax"}}
    varied = {name for name, one in rows.items() if one}
    assert varied == {"D0", "D1", "D2", "D3", "D5", "D7", "D9", "D10", "D12", "D13", "D15", "D16", "D17"}
