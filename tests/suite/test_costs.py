"""Units of work: what is counted is what training and encoding do, and each step is counted once."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from repro.data.schema import Dataset, VideoRecord
from repro.learning import finetune
from repro.learning.finetune import FineTuning
from repro.learning.pretext import BackboneSpec
from repro.learning.schedule import Schedule
from repro.suite import tasks
from repro.suite.corpus import Corpus
from repro.suite.costs import Ledger
from repro.suite.scales import SCALES
from repro.suite.spec import OWN, Column, Row, Table
from repro.suite.store import Store
from repro.suite.units import Encoding, Features, FineTune, Fit, Infer, Pretrain, Read
from repro.suite.work import build_plan

SCALE = SCALES["smoke"]
SUBJECTS, VIDEOS, FRAMES = 6, 3, 130


def corpus():
    records = []
    for s in range(SUBJECTS):
        for v in range(VIDEOS):
            levels = np.zeros(FRAMES, np.int64)
            levels[40:70] = 1 + v
            records.append(VideoRecord(f"s{s}", f"s{s}/v{v}", FRAMES, levels))
    made = Dataset("unbc", "nowhere", records, content="0", n_levels=17)
    return Corpus(made, SCALE.clips["unbc"], SCALE.input.shortest_clip)


def counted(*rows, ledger=None, data=None):
    data = data or corpus()
    table = Table("table", "title", "caption", ("",), rows, (Column("AUC", "auc_binary"),), "grouped_k_fold")
    plan = build_plan(table, SCALE, {"unbc": data}, Store("nowhere"), repetitions=1, device="cpu")
    ledger = ledger or Ledger({id(record): "unbc" for record in data.dataset.records})
    return (*ledger.add(plan.tasks, plan.remaining(Store("nowhere"))), ledger, data)


def of(units, kind):
    return {work: count for work, count in units.items() if isinstance(work, kind)}


def row(method="scratch", **more):
    return Row(f"{method}{more}", ("",), "unbc", method, **more)


@pytest.mark.parametrize(("clips", "min_updates"), [(9, 0), (9, 11), (3, 7), (16, 2)])
def test_as_many_images_are_counted_as_fine_tuning_is_fed(monkeypatch, clips, min_updates):
    fed = []
    usual = finetune.to_network
    monkeypatch.setattr(finetune, "to_network", lambda images: fed.append(len(images)) or usual(images))
    settings = FineTuning(BackboneSpec("resnet18", width=0.125), Schedule(2, 4), min_updates=min_updates)
    images = torch.zeros((clips, 3, 32, 32), dtype=torch.uint8)
    finetune.fine_tune(images, np.arange(clips) % 2, 2, settings, seed=0)

    records = [VideoRecord(f"s{i}", f"s{i}/v", 45, np.full(45, i % 2, np.int64)) for i in range(2 * clips)]
    made = Dataset("unbc", "nowhere", records, content="0", n_levels=17)
    data = Corpus(made, SCALE.clips["unbc"], SCALE.input.shortest_clip)
    table = Table("table", "", "", ("",), (row(),), (Column("AUC", "auc_binary"),), "grouped_k_fold")
    scale = replace(SCALE, fine_tuning=settings)
    plan = build_plan(table, scale, {"unbc": data}, Store("nowhere"), repetitions=1, device="cpu")
    units, _ = Ledger({id(r): "unbc" for r in records}).add(plan.tasks, plan.tasks)
    assert sum(of(units, FineTune).values()) == scale.n_folds * sum(fed)  # two folds of equally many clips


def test_tested_clips_are_shown_with_their_mirror_images():
    units, steps, _, data = counted(row())
    assert sum(of(units, Infer).values()) == 2 * len(data.labelled)
    assert steps == {"input": SUBJECTS, "cell": SCALE.n_folds}


def test_frames_of_all_clips_are_encoded_once():
    units, _, ledger, data = counted(row())
    assert sum(of(units, Encoding).values()) == sum(map(len, data.labelled))
    again, steps, *_ = counted(row(), ledger=ledger, data=data)
    assert not again and not steps
    shuffled, _, *_ = counted(row(shuffled=True), ledger=ledger, data=data)
    assert not of(shuffled, Encoding) and of(shuffled, FineTune)


def test_each_cell_reads_the_images_of_all_its_clips():
    units, *_, data = counted(row(input="RGB"))
    assert sum(of(units, Read).values()) == SCALE.n_folds * len(data.labelled) * SCALE.input.frames


@pytest.mark.parametrize("held", [True, False])
def test_a_pool_that_is_too_large_to_hold_is_read_as_it_is_drawn(monkeypatch, held):
    without = sum(of(counted(row())[0], Read).values())
    if not held:
        monkeypatch.setattr(tasks, "IN_MEMORY", 1000)
    units, *_ = counted(row("jigsaw", pretext=(OWN,)))
    (work,) = of(units, Pretrain)
    assert work.stored != held and ("from disk" in work.label) != held
    assert (sum(of(units, Read).values()) > without) == held


def test_a_pretext_is_fed_its_updates():
    units, steps, *_ = counted(row("jigsaw", pretext=(OWN,)))
    run = SCALE.pretext
    (work,) = of(units, Pretrain)
    expected = SCALE.n_folds * run.schedule.epochs * run.steps_per_epoch * run.schedule.batch_size
    assert units[work] == expected and steps["pretext"] == SCALE.n_folds
    assert "jigsaw" in work.label and "resnet18 x 0.125 2D, 32 px" in work.label


def test_clustering_looks_at_the_whole_pool():
    without = sum(of(counted(row("jigsaw", pretext=(OWN,)))[0], Infer).values())
    clustered, _, _, data = counted(row("deepcluster", pretext=(OWN,)))
    cut = SCALE.clips["unbc"]
    span = cut.source_length + (cut.clips_per_source - 1) * cut.source_stride
    pool_of_a_subject = VIDEOS * (FRAMES // span) * cut.clips_per_source
    trained = sum(len(data.dataset.subjects) // 2 for _ in range(SCALE.n_folds))
    assert sum(of(clustered, Infer).values()) - without == trained * pool_of_a_subject * SCALE.pretext.schedule.epochs


def test_a_probe_trains_no_network():
    units, *_, data = counted(row(probed=True))
    assert not of(units, FineTune)
    assert sum(of(units, Infer).values()) == 2 * SCALE.n_folds * len(data.labelled)


def test_features_are_counted_once_for_each_extractor():
    units, _, ledger, data = counted(row("lbp_top"))
    frames = sum(map(len, data.labelled))
    assert list(of(units, Features).values()) == [frames]
    assert {work.label: count for work, count in of(units, Fit).items()} == {"lbp_top": SCALE.n_folds}
    more, *_ = counted(row("lbp_top"), row("bsif_top"), ledger=ledger, data=data)
    (new,) = of(more, Features)
    (old,) = of(units, Features)
    assert not {e.name for e in new.extractors} & {e.name for e in old.extractors}
