"""The comparisons of self-supervised methods: everyone takes part, on equal terms."""

from dataclasses import replace

import numpy as np
import pytest

from baselines import METHODS
from repro import label_efficiency, self_supervised
from repro.data.schema import Dataset, VideoRecord
from repro.suite.corpus import Corpus
from repro.suite.scales import SCALES
from repro.suite.store import Store
from repro.suite.work import build_plan

SELF_SUPERVISED = [method for method in METHODS.values() if method.kind == "self-supervised"]
SCALE = SCALES["quick"]


def dataset(name):
    rng = np.random.default_rng(0)
    records = [
        VideoRecord(f"s{s}", f"s{s}/v{v}", 240, (rng.random(240) < 0.02).astype(np.int64))
        for s in range(6)
        for v in range(12)
    ]
    return Dataset(name, "nowhere", records, content="0", n_levels=5)


def plan(table):
    corpora = {name: Corpus(dataset(name), SCALE.clips[name], 40) for name in ("unbc", "biovid")}
    return build_plan(table, SCALE, corpora, Store("store"), repetitions=1, device="cpu")


@pytest.fixture(scope="module")
def compared():
    return plan(self_supervised.TABLE)


def test_every_self_supervised_method_has_its_row():
    labels = [method.label for method in SELF_SUPERVISED]
    assert [row.label for row in self_supervised.TABLE.rows if not row.task][1:] == labels
    arms = {row.lead[0] for row in label_efficiency.TABLE.rows}
    assert arms == {"no pretext", *labels, "Our method, distance of means", "the images' pixels"}


def test_methods_share_videos_updates_images_and_backbone(compared):
    tasks = [task.arguments for task in compared.tasks if task.kind == "pretext"]
    assert {task["task"].name for task in tasks} == {method.name for method in SELF_SUPERVISED}
    budgets: dict[str, set] = {}
    for task in tasks:
        updates = task["schedule"].epochs * task["steps_per_epoch"]
        budgets.setdefault(str(task["videos"]), set()).add(
            (updates, task["schedule"].batch_size, task["backbone"], task["task"].name)
        )
    assert len(budgets) == SCALE.n_folds, "the videos of each fold's training subjects"
    for of_fold in budgets.values():
        assert len(of_fold) == len(SELF_SUPERVISED) and len({budget[:-1] for budget in of_fold}) == 1


def test_methods_are_trained_on_both_inputs_with_paired_seeds(compared):
    seen = {}
    for task in (task.arguments for task in compared.tasks if task.kind == "pretext"):
        kind = task["description"]["input"]["kind"]
        seen.setdefault((task["task"].name, str(task["task"])), set()).add((kind, task["seed"]))
    assert len({frozenset(pairs) for pairs in seen.values()}) == 1
    assert {kind for kind, _ in next(iter(seen.values()))} == {"RGB", "SSD(RGB)"}


def test_no_pretext_sees_a_held_out_subject(compared):
    of_pretext = {task.id: task.arguments["videos"]["unbc"] for task in compared.tasks if task.kind == "pretext"}
    looked_at = 0
    for task in (task for task in compared.tasks if task.kind == "cell" and task.arguments.get("pretext")):
        videos = of_pretext[f"pretext-{task.arguments['pretext']}"]
        assert {video.split("/")[0] for video in videos} == set(task.arguments["train_subjects"])
        looked_at += 1
    assert looked_at == (len(SELF_SUPERVISED) + 1) * 2 * SCALE.n_folds  # inputs


def test_pretexts_are_shared_by_both_experiments():
    few = plan(label_efficiency.TABLE.at("quick"))
    networks = {task.id for task in few.tasks if task.kind == "pretext"}
    others = {task.id for task in plan(self_supervised.TABLE).tasks if task.kind == "pretext"}
    of_images = replace(self_supervised.TABLE, columns=self_supervised.TABLE.columns[-1:])
    assert {task.id for task in plan(of_images).tasks if task.kind == "pretext"} <= networks & others


def test_every_pretext_is_checked_to_be_learned():
    checks = {(check.row, check.column) for check in self_supervised.TABLE.checks}
    assert checks == {(m.label, f"{kind} accuracy") for m in SELF_SUPERVISED for kind in self_supervised.INPUTS}
    for name, margin in self_supervised.MARGINS.items():
        assert (margin > 0) == METHODS[name].load().accuracy.higher_is_better
    holds = self_supervised.TABLE.checks[0].holds
    assert holds(-2.5, 0, 0) and not holds(-1.5, 0, 0), "a lower end-point error is better"


def test_every_number_of_labels_has_its_reference():
    rows = {row.label: row for row in label_efficiency.TABLE.rows}
    for row in rows.values():
        if row.versus:
            reference = rows[row.versus]
            assert (reference.labels, reference.probed, reference.repeat) == (row.labels, row.probed, row.repeat)
            assert reference.method == "scratch" and set(row.scales) <= set(reference.scales)
    assert {row.labels for row in label_efficiency.TABLE.at("quick").rows} == {24, 96, None}
