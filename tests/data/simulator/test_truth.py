"""The replayed truth agrees with the label files."""

import dataclasses

import numpy as np
import pytest

from repro.data import open_dataset
from repro.data.simulator import BIOVID, UNBC, prepare, simulate
from repro.data.simulator.truth import true_pspi


def test_the_labels_on_disk_are_the_truth(tmp_path):
    domain = dataclasses.replace(UNBC, reactivity=1.3)
    simulate(domain, tmp_path, n_subjects=1, videos_per_subject=3, seed=5, size=32, frames=60)
    truth = true_pspi(tmp_path)
    records = open_dataset("unbc", tmp_path).records
    assert set(truth) == {record.video for record in records}
    assert any(values.any() for values in truth.values())
    for record in records:
        np.testing.assert_array_equal(truth[record.video], record.levels)


def test_stronger_heat_shows_in_more_faces(tmp_path):
    prepare(BIOVID, tmp_path, n_subjects=30, videos_per_subject=20, seed=1, size=32)
    truth = true_pspi(tmp_path)
    peak = {level: np.mean([v.max() for k, v in truth.items() if f"-{level}-" in k]) for level in ("BL1", "PA4")}
    assert peak["PA4"] > peak["BL1"] + 1
    assert all(len(values) == 138 for values in truth.values()) and len(truth) == 600


def test_real_counts_are_replayed(tmp_path):
    prepare(UNBC, tmp_path, n_subjects=2, seed=1, size=32)
    truth = true_pspi(tmp_path)
    assert len(truth) == 17 and sum(map(len, truth.values())) == 2134 + 1120


def test_a_folder_without_a_simulation_is_refused(tmp_path):
    with pytest.raises(ValueError, match="SIMULATED.json"):
        true_pspi(tmp_path)
    prepare(BIOVID, tmp_path, n_subjects=1, videos_per_subject=1, seed=1, size=32)
    marker = tmp_path / "SIMULATED.json"
    marker.write_text(marker.read_text().replace('"generator": "', '"generator": "older '))
    with pytest.raises(ValueError, match="version older"):
        true_pspi(tmp_path)
