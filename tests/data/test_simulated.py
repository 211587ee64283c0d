"""The readers read what the simulator writes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from repro.data import faces, open_dataset, simulator
from repro.data.clips import cut
from repro.data.openface import read_openface
from repro.data.simulator.actor import Actor
from repro.data.simulator.coding import CODED
from repro.data.simulator.landmarks import UNBC_66
from repro.data.simulator.session import Session
from repro.data.simulator.still_files import invented_name
from repro.data.simulator.stills import simulate_stills
from repro.data.simulator.truth import true_pspi
from repro.data.simulator.wild import wild_identity
from repro.data.unbc_labels import parse_facs


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
    assert faces.prepare(frames, points, size=48).frames.shape == (record.n_frames, 3, 48, 48)
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


def test_unbc_gives_back_the_simulated_labels(root):
    simulator.simulate(simulator.UNBC, root / "unbc", n_subjects=1, videos_per_subject=2, seed=1, size=64, frames=48)
    data = open_dataset("unbc", root / "unbc")
    truth = true_pspi(root / "unbc")
    actor = Actor(simulator.UNBC, 1, 0, 64)
    specs = simulator.plan(simulator.UNBC, 1, 2, 1, frames=48)
    assert {record.video for record in data.records} == {f"{s.subject}/{s.name}" for s in specs} == set(truth)
    by_name = {record.video: record for record in data.records}
    for spec in specs:
        record, script = by_name[f"{spec.subject}/{spec.name}"], actor.script(spec)
        np.testing.assert_array_equal(record.levels, script.pspi)
        np.testing.assert_array_equal(record.levels, truth[record.video])
        facs = root / "unbc/Frame_Labels/FACS" / record.video
        for frame, codes in enumerate(script.codes):
            path = facs / f"{spec.name}{frame + 1:03d}_facs.txt"
            coded = {unit: code for unit, code in zip(CODED, codes.tolist(), strict=True) if code}
            assert parse_facs(str(path), path.read_bytes()) == coded
        # Written with seven decimals, read in single precision: 2**-24 of a coordinate below 128 pixels.
        drawn = actor.landmarks(script, actor.shot(spec))[:, list(UNBC_66)]
        np.testing.assert_allclose(record.landmarks(), drawn, rtol=0, atol=1e-5)


def test_biovid_gives_back_the_simulated_labels(root):
    simulator.simulate(simulator.BIOVID, root / "biovid", n_subjects=1, videos_per_subject=5, seed=1, size=64, frames=8)
    data = open_dataset("biovid", root / "biovid")
    actor = Actor(simulator.BIOVID, 1, 0, 64)
    by_name = {record.video: record for record in data.records}
    for spec in simulator.plan(simulator.BIOVID, 1, 5, 1, frames=8):
        record, script = by_name[f"{spec.subject}/{spec.name}"], actor.script(spec)
        assert record.levels.tolist() == [spec.level] * 8
        face = read_openface(record.landmark_file, n_frames=8)
        drawn = actor.landmarks(script, actor.shot(spec))
        # OpenFace's CSV has two decimals; half of the last, and single precision.
        np.testing.assert_allclose(record.landmarks(), drawn, rtol=0, atol=0.005 + 1e-5)
        np.testing.assert_allclose(face.intensities[45], 5 * script.closure, rtol=0, atol=0.005 + 1e-6)
        for unit in (4, 6, 7, 9, 10, 12):
            level = script.levels.get(f"AU{unit}", np.zeros(8))
            np.testing.assert_allclose(face.intensities[unit], level, rtol=0, atol=0.005 + 1e-6)
            np.testing.assert_array_equal(face.presences[unit], level >= 0.5)


def test_vggface2_gives_back_the_simulated_boxes(root):
    simulate_stills(root / "vggface2", n_identities=2, stills_per_identity=3, seed=1, size=48)
    data = open_dataset("vggface2", root / "vggface2")
    assert data.simulated and data.excluded == [] and data.notes == [] and data.verify() == []
    for index, record in enumerate(data.records):
        session = Session(wild_identity(1, index), 0, 48)
        taken = [session.take(k) for k in range(3)]
        assert list(record.boxes().values()) == [still.box for still in taken]
        assert record.name == invented_name(index)
        for name, cropped, still in zip(record.names(), record.stills(), taken, strict=True):
            whole = record.still(name, None)
            x, y, width, height = still.box
            rows = min(whole.shape[1], y + height) - max(0, y)
            columns = min(whole.shape[2], x + width) - max(0, x)
            assert cropped.shape == (3, rows, columns)
