"""Landmarks as a tracker would give them: how wrong they are, and that nothing else changes."""

from dataclasses import replace

import numpy as np
import pytest

from repro.data import open_dataset
from repro.data.simulator import DOMAINS, simulate
from repro.data.simulator.landmarks import mistracked

SIZE = {"n_subjects": 1, "videos_per_subject": 1, "size": 48, "frames": 60}


def test_size_and_memory_of_the_error():
    marks = np.zeros((4000, 68, 2))
    marks[:, [42, 45], 0] = 20.0
    wrong = mistracked(marks, 0.01, 25.0, np.random.default_rng(0)) - marks
    assert wrong.std() == pytest.approx(0.2, rel=0.02), "544,000 values, of which neighbours in time are alike"
    assert abs(wrong.mean()) < 0.005
    lags = [np.mean(wrong[lag:] * wrong[: len(wrong) - lag]) / wrong.var() for lag in (1, 25, 100)]
    # half of it has a memory of 25 frames: 0.5 exp(-lag / 25)
    np.testing.assert_allclose(lags, [0.48, 0.184, 0.009], atol=0.02)
    assert abs(np.corrcoef(wrong[:, 0, 0], wrong[:, 1, 0])[0, 1]) < 0.15, "points err by themselves"


@pytest.mark.parametrize("name", ["unbc", "biovid"])
def test_only_landmarks_change(name, tmp_path):
    roots = [
        simulate(replace(DOMAINS[name], landmark_error=error), tmp_path / str(error), **SIZE) for error in (0, 0.02)
    ]
    exact, wrong = (open_dataset(name, root).records[0] for root in roots)
    assert (exact.frames() == wrong.frames()).all() and (exact.levels == wrong.levels).all()
    points = exact.landmarks()
    eyes = np.median(np.hypot(*(points[:, [42, 45]].mean(1) - points[:, [36, 39]].mean(1)).T))
    assert (wrong.landmarks() - points).std() / eyes == pytest.approx(0.02, rel=0.2)


def test_a_simulation_without_error_is_the_one_that_there_was_before(tmp_path):
    root = simulate(DOMAINS["unbc"], tmp_path, **SIZE)
    assert "landmark_error" not in (root / "SIMULATED.json").read_text()
    assert simulate(DOMAINS["unbc"], tmp_path, **SIZE) == root
    with pytest.raises(ValueError, match="parameters"):
        simulate(replace(DOMAINS["unbc"], landmark_error=0.01), tmp_path, **SIZE)
