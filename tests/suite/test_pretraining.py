"""A pretext network that is planned alone is the one that a table asks for."""

from dataclasses import replace

import numpy as np
import pytest

from repro.data.schema import Dataset, VideoRecord
from repro.siamese.pretext import SiamesePretext
from repro.suite.corpus import Corpus
from repro.suite.pretraining import plan_pretext
from repro.suite.scales import SCALES
from repro.suite.spec import Column, Row, Share, Table
from repro.suite.store import Store
from repro.suite.work import build_plan

SCALE = SCALES["quick"]


def corpus(name, frames=150):
    levels = np.arange(frames) % 2
    records = [VideoRecord(f"s{s}", f"s{s}/v{v}", frames, levels) for s in range(6) for v in range(3)]
    return Corpus(Dataset(name, "nowhere", records, content="0", n_levels=5), SCALE.clips[name], 40)


def alone(corpora, kind="RGB", repetition=0, videos=None, device="cpu"):
    run = replace(SCALE.pretext, schedule=SCALE.pretext.schedule_of("siamese"), methods={})
    spec = replace(SCALE.input, kind=kind)
    task = SiamesePretext(**SCALE.pretext.options("siamese"))
    names = videos or {"biovid": None}
    return plan_pretext(
        task,
        "siamese",
        corpora,
        names,
        spec,
        SCALE.fine_tuning,
        run,
        repetition=repetition,
        store="store",
        device=device,
    )


def test_a_table_asks_for_the_same_network():
    corpora = {name: corpus(name) for name in ("biovid", "unbc")}
    table = Table(
        "one", "", "", ("row",), (Row("a", ("a",), "unbc", pretext=(Share("biovid"),)),),
        tuple(Column(kind, "auc_binary", kind) for kind in ("RGB", "SSD(RGB)")), "grouped_k_fold",
    )  # fmt: skip
    plan = build_plan(table, SCALE, corpora, Store("store"), repetitions=2, device="cpu")
    theirs = {task.id: task for task in plan.tasks if task.kind == "pretext"}
    assert len(theirs) == 2 * 2
    for kind in ("RGB", "SSD(RGB)"):
        for repetition in (0, 1):
            mine = alone(corpora, kind, repetition)
            task = theirs[f"pretext-{mine.key}"]
            assert mine.training.requires == task.requires and mine.training.cost == task.cost
            for name in ("task", "shards", "videos", "seed", "device", "description"):
                assert mine.training.arguments[name] == task.arguments[name], name
            assert set(mine.inputs) == {required.partition("-")[2] for required in task.requires}


def test_only_subjects_of_the_chosen_videos_are_encoded():
    corpora = {"biovid": corpus("biovid")}
    made = alone(corpora, videos={"biovid": ["s1/v0", "s1/v2", "s4/v1"]})
    assert len(made.inputs) == 2 and len(alone(corpora).inputs) == 6
    assert made.key != alone(corpora).key and alone(corpora, device="cuda").key == alone(corpora).key


def test_videos_that_are_too_short_are_told():
    short = {"biovid": corpus("biovid", frames=41)}
    with pytest.raises(ValueError, match="too short; use longer"):
        alone(short)
    assert "give no source" in short["biovid"].remarks[0]
