"""The readers read what the simulator writes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from repro.data import faces, open_dataset, simulator
from repro.data.clips import cut


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("simulated")


def test_unbc(root):
    simulator.simulate(simulator.UNBC, root / "unbc", n_subjects=1, videos_per_subject=2, seed=1, size=64, frames=48)
    data = open_dataset("unbc", root / "unbc")
    assert data.simulated and len(data.records) == 2
    assert not [row for row in data.excluded if row.what != "metric"]  # one person may happen to show no pain
    assert not [note for note in data.notes if "action units" in note.reason]  # its PSPI obeys the formula
    assert data.verify() == []
    record = data.records[0]
    frames, points = record.frames(), record.landmarks()
    assert frames.shape[:2] == (record.n_frames, 3) and frames.dtype == torch.uint8
    assert points.shape == (record.n_frames, 66, 2)
    assert faces.prepare(frames, points, size=48).shape == (record.n_frames, 3, 48, 48)
    clips, excluded = cut(data, length=48, stride=24)
    assert excluded == [] and {clip.video for clip in clips} == {record.video for record in data.records}


def test_biovid(root):
    simulator.simulate(simulator.BIOVID, root / "biovid", n_subjects=1, videos_per_subject=5, seed=1, size=64, frames=8)
    data = open_dataset("biovid", root / "biovid")
    assert data.simulated and data.excluded == [] and data.notes == []
    assert sorted(int(record.levels[0]) for record in data.records) == [0, 1, 2, 3, 4]
    assert data.verify() == []
    record = data.records[0]
    assert record.n_frames == 8 and record.fps == 25.0
    points = record.landmarks()
    assert points.shape == (8, 68, 2) and np.isfinite(points).all()
    height, width = record.frames().shape[-2:]
    assert (points >= 0).all() and (points < (width, height)).all()
