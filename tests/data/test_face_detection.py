"""The detector on simulated people, and the choice of one face among what it sees."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
import torch

from repro.data.face_detection import Detections, detect, surest_path
from repro.data.face_landmarks import FACE_SIDE, face_squares
from repro.data.simulator import BIOVID, UNBC, plan
from repro.data.simulator.actor import Actor
from repro.data.simulator.domain import Domain
from repro.data.simulator.sheet import EXPRESSIONS, portraits

# --- the choice


def path(*rows):
    """Frames chosen and squares chosen, for rows of (frame, left, top, side, weight)."""
    table = np.array(rows, dtype=float).reshape(-1, 5)
    chosen = surest_path(table[:, 0].astype(int), table[:, 1:])
    return table[chosen, 0].tolist(), table[chosen, 1].tolist()


def test_the_track_is_followed_rather_than_the_surest_square_of_a_frame():
    face = [(t, 100 + t, 50, 80, 5) for t in range(0, 30, 5)]
    elsewhere = (10, 300, 50, 80, 9)
    rows = sorted([*face, elsewhere])
    assert path(*rows) == ([0, 5, 10, 15, 20, 25], [100, 105, 110, 115, 120, 125])


def test_a_frame_with_something_else_only_is_passed_over():
    rows = [(0, 100, 50, 80, 5), (5, 102, 50, 80, 5), (10, 300, 50, 80, 9), (15, 101, 50, 80, 5)]
    assert path(*rows)[0] == [0, 5, 15]
    inside = (10, 125, 75, 25, 9)  # a mouth that is taken for a face
    assert path(*rows[:2], inside, rows[3])[0] == [0, 5, 15]


def test_of_two_people_the_surer_one_is_kept():
    left = [(t, 50, 50, 60, 4) for t in range(4)]
    right = [(t, 200, 50, 90, 6) for t in range(1, 4)]
    assert path(*sorted(left + right)) == ([1, 2, 3], [200, 200, 200])
    assert path(*sorted(left + right[:2])) == ([0, 1, 2, 3], [50] * 4)


def test_of_two_squares_the_one_that_agrees_with_the_others_is_kept():
    rows = [(0, 100, 50, 80, 5), (1, 100, 50, 80, 5), (1, 90, 40, 110, 6), (2, 100, 50, 80, 5)]
    assert path(*rows) == ([0, 1, 2], [100, 100, 100])


def test_doubtful_squares_count_for_nothing():
    assert path((0, 100, 50, 80, 5), (1, 100, 50, 80, -1)) == ([0], [100])
    assert path() == ([], [])


# --- the detector


def film(actor: Actor, domain: Domain) -> tuple[torch.Tensor, np.ndarray]:
    """The first 26 frames of a simulated sequence and their landmarks (26, 68, 2)."""
    spec = plan(domain, 1, 5, frames=48)[0]
    script, shot = actor.script(spec), actor.shot(spec)
    images = itertools.islice(actor.person.render(script.performance, shot.background, shot.pose), 26)
    frames = np.stack([shot.expose(image) for image in images])[..., ::-1]
    return torch.from_numpy(frames.transpose(0, 3, 1, 2).copy()), actor.landmarks(script, shot)[:26]


@pytest.fixture(scope="module")
def films():
    return [film(Actor(domain, 0, subject, 96), domain) for domain in (UNBC, BIOVID) for subject in range(4)]


def test_the_detector_frames_simulated_people_as_their_landmarks_do(films):
    """Eight people: dark and light skin, glasses, beards, fringes. Distances are in sides of the square.

    The detector's square depends on hair and forehead, so that single people may be off by a tenth of the side,
    as much as the margin of a crop; the median person must not be.
    """
    shares, offsets, ratios = [], [], []
    for frames, landmarks in films:
        found = detect(frames)
        centres, side = face_squares(landmarks)
        offsets.append(np.median(found.centres - centres[found.frames], axis=0) / side)
        ratios.append(np.median(found.sides) / side)
        shares.append(found.share)
    assert np.mean(shares) > 0.95 and min(shares) >= 0.5
    np.testing.assert_allclose(np.median(offsets, axis=0), 0, atol=0.03)
    np.testing.assert_allclose(np.median(ratios), 1, atol=0.04)
    np.testing.assert_allclose(offsets, 0, atol=0.1)
    np.testing.assert_allclose(ratios, 1, atol=0.16)


def test_the_detector_is_the_same_at_any_resolution(films):
    frames = films[0][0][:1]
    large = torch.nn.functional.interpolate(frames.float(), scale_factor=4, mode="nearest").byte()
    small = torch.nn.functional.interpolate(frames.float(), scale_factor=0.5, mode="area").byte()
    reference = detect(frames)
    side = reference.sides[0]
    # The cascade's sizes are 10 % apart, and half the pixels are half the detail.
    for other, factor, tolerance in ((large, 4.0, 0.06), (small, 0.5, 0.1)):
        found = detect(other)
        # Pixel centres are whole numbers: x + 1/2 is what scales.
        np.testing.assert_allclose((found.centres + 0.5) / factor - 0.5, reference.centres, atol=tolerance * side)
        np.testing.assert_allclose(found.sides / factor, reference.sides, rtol=0.12)


def test_expressions_hardly_move_the_detectors_square():
    """Ten expressions of a person, pain among them: within a tenth of the distance between the eyes."""
    row = portraits(UNBC, 1, 128, 0, list(EXPRESSIONS.values()))[..., ::-1]
    pictures = np.stack(np.split(row, len(EXPRESSIONS), axis=1)).transpose(0, 3, 1, 2).copy()
    found = detect(torch.from_numpy(pictures), step=1)
    assert found.share == 1
    eyes = found.sides[0] / FACE_SIDE
    assert np.hypot(*(found.centres - np.median(found.centres, axis=0)).T).max() < 0.1 * eyes


def test_every_so_many_frames_and_the_last_are_looked_at(films):
    frames = films[0][0][:24]
    assert detect(frames).frames.tolist() == [0, 5, 10, 15, 20, 23]
    assert detect(frames, step=9).frames.tolist() == [0, 9, 18, 23]
    blank = frames.clone()
    blank[3:15] = 128
    found = detect(blank)
    assert found.frames.tolist() == [0, 15, 20, 23]
    assert found.share == pytest.approx(4 / 6)


def test_it_gives_the_same_with_any_number_of_threads(films):
    frames = films[0][0][:16]
    before = cv2.getNumThreads()
    results: list[Detections] = []
    try:
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            results.append(detect(frames))
            assert cv2.getNumThreads() == threads
    finally:
        cv2.setNumThreads(before)
    np.testing.assert_array_equal(results[0].centres, results[1].centres)
    np.testing.assert_array_equal(results[0].sides, results[1].sides)


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (2, 3, 8, 8), (2, 3, 2, 900), (2, 3, 700, 3), (1, 3, 1500, 2000)])
def test_frames_without_a_face(shape):
    found = detect(torch.full(shape, 60, dtype=torch.uint8))
    assert found.share == 0 and found.frames.shape == (0,) and found.centres.shape == (0, 2)
