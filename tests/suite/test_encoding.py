"""Encoding a dataset as tasks: what enters a key, what is told of faces."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from repro.data.encoding import InputSpec
from repro.data.inputs import read_inputs
from repro.data.material import Material
from repro.data.schema import Dataset, VideoRecord
from repro.suite.corpus import Corpus
from repro.suite.encoding import encoding_tasks, faces_found
from repro.suite.spec import Clips
from repro.suite.store import Store

SPEC = InputSpec("RGB", size=16, alignment="none")


@dataclass(frozen=True, eq=False)
class Grey(VideoRecord):
    """A video of one grey; subject s2 gives fewer frames than it declares."""

    def frames(self):
        return torch.full((3 if self.subject == "s2" else self.n_frames, 3, 20, 20), 50, dtype=torch.uint8)


def corpus(length=10, content="0"):
    records = [Grey(s, f"{s}/{v}", 30, np.zeros(30, np.int64)) for s in ("s0", "s1", "s2") for v in "ab"]
    data = Dataset("unbc", "nowhere", records, content=content, n_levels=17)
    return Corpus(data, Clips(length, 10, 10, 5, 4), 1)


def keys(made=None, spec=SPEC, **options):
    return list(encoding_tasks(made or corpus(), spec, "store", **options))


def test_each_subject_has_a_key_of_all_that_changes_its_images():
    base = keys()
    assert len(base) == 3 and keys() == base
    assert keys(subjects={"s1"}) == [base[1]]
    others = [
        keys(material=Material()),
        keys(corpus(length=20)),
        keys(corpus(content="1")),
        keys(spec=replace(SPEC, size=20)),
        keys(spec=replace(SPEC, kind="OF")),
    ]
    assert len({key for made in (base, *others) for key in made}) == 6 * 3
    assert keys(spec=replace(SPEC, window=7, flow="dis")) == base, "neither matters for RGB"


@pytest.mark.parametrize("material", [None, Material()])
def test_a_task_leaves_its_subjects_clips_under_its_key(tmp_path, material):
    store, made = Store(tmp_path), corpus()
    tasks = encoding_tasks(made, SPEC, str(tmp_path), material=material, subjects={"s1"})
    ((key, task),) = tasks.items()
    assert task.id == f"input-{key}" and task.kind == "input" and task.cost > 0
    task.function(**task.arguments)
    read = read_inputs([store.input_folder(key)])
    if material is None:
        assert list(read.clips) == [clip for clip in made.labelled if clip.subject == "s1"]
    else:
        expected = [
            (clip, source.id)
            for source in made.sources(material, SPEC)
            for clip in source.clips
            if clip.subject == "s1"
        ]
        assert list(zip(read.clips, read.sources, strict=True)) == expected


def test_flow_costs_more_and_more_pixels_too():
    costs = [
        sum(task.cost for task in encoding_tasks(corpus(), spec, "store").values())
        for spec in (SPEC, InputSpec("SSD(OF)", 64, flow="dis"), InputSpec("SSD(OF)", 64), InputSpec("SSD(OF)", 224))
    ]
    assert costs[0] < costs[1] and costs[2] > 10 * costs[1] and costs[3] > 10 * costs[2]


def test_faces_are_counted_of_this_dataset_and_of_what_is_encoded(tmp_path):
    store, made, other = Store(tmp_path), corpus(), corpus(content="1")
    tasks = [
        task
        for data in (made, other)
        for material in (None, Material())
        for task in encoding_tasks(data, SPEC, str(tmp_path), material=material).values()
    ]
    assert faces_found(tasks, made, store) == {}
    for task in tasks[:2]:
        task.function(**task.arguments)
    assert faces_found(tasks, made, store) == {"centre crop": 4}, "two videos of each of two subjects"
    assert faces_found(tasks, other, store) == {}
    for task in tasks:
        task.function(**task.arguments)
    assert faces_found(tasks, made, store) == {"centre crop": 6}, "labelled and unlabelled clips share their videos"
