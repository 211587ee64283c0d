"""What the pictures show: identity, domains, landmarks, action units."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from repro.data.simulator import BIOVID, UNBC, plan
from repro.data.simulator.actor import Actor
from repro.data.simulator.render import project_points
from repro.data.simulator.sheet import CAPTION, INTENSITY_ROWS, activation, contact_sheet, intensity_sheet, still
from repro.data.simulator.subject import sample_identity

SIZE = 96


@pytest.fixture(scope="module")
def actor():
    return Actor(UNBC, 0, 3, SIZE)


def film(actor, rows, *, yaw=0.0, lids=0.0):
    """Return linear images (F, H, W, 3) and landmarks in rendered pixels (F, 68, 2)."""
    performance = still(np.atleast_2d(rows), yaw=yaw)
    performance.lids[:] = lids
    shot = actor.shot(plan(actor.domain, 4, 1)[3])
    images = np.stack([image.copy() for image in actor.person.render(performance, shot.background, shot.pose)])
    head = actor.marks.positions(performance.activation.astype(float), actor.person.eye_state(performance))
    return images, project_points(head, performance, shot.pose)


def grey(image):
    return image.mean(axis=-1)


# Region of each action: landmarks around which the picture must change most, and others where it must not.
REGIONS = {
    "AU4": ([20, 21, 22, 23], [7, 8, 9, 57]),
    "AU6": ([36, 45, 40, 47], [7, 8, 9]),
    "AU7": ([37, 41, 44, 46], [7, 8, 9, 57]),
    "AU9": ([28, 29, 31, 35], [7, 8, 9]),
    "AU10": ([50, 51, 52, 62], [19, 24, 38]),
    "AU43": ([37, 38, 43, 44], [7, 8, 9, 57]),
    "AU12": ([48, 54], [19, 24]),
    "AU26": ([57, 66, 8], [19, 24, 38]),
}


def near(shape, points, radius):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.min([(x - px) ** 2 + (y - py) ** 2 for px, py in points], axis=0) < radius**2


@pytest.mark.parametrize("action", list(REGIONS))
def test_an_action_changes_its_region_more_with_intensity(actor, action):
    rows = np.stack([activation({action: level}) for level in range(6)])
    images, marks = film(actor, rows)
    here, elsewhere = REGIONS[action]
    radius = 0.35 * np.linalg.norm(marks[0, 39] - marks[0, 42])
    shape = images.shape[1:3]
    inside, outside = near(shape, marks[0, here], radius), near(shape, marks[0, elsewhere], radius)
    change = np.abs(grey(images) - grey(images[0]))
    amount = change[:, inside].mean(axis=1)
    # What moves out of the region no longer adds to it: the last steps may level off, within a tenth.
    assert 0 < amount[1] < amount[2] < amount[5], amount
    assert (np.diff(amount) > -0.1 * amount.max()).all(), amount
    assert amount[5] > 4 * change[5][outside & ~inside].mean()


# Places where one action acts and another does not, as landmarks between which the place lies.
PLACES = {
    "bridge": [[27], [28], [21, 22, 27]],
    "upper lip": [[50], [51], [52], [61, 62]],
    "cheek": [[36, 48], [45, 54]],
    "outer corner": [[36, 17], [45, 26]],
}


@pytest.fixture(scope="module")
def changes():
    """Return the mean change in each place by each action at intensity 5, over people of both domains."""
    total = {}
    for domain, index in ((UNBC, 3), (UNBC, 1), (BIOVID, 0), (BIOVID, 3)):
        person = Actor(domain, 0, index, SIZE)
        rows = np.stack([activation(levels) for levels in ({}, {"AU6": 5}, {"AU9": 5}, {"AU10": 5})])
        images, marks = film(person, rows)
        radius = 0.30 * np.linalg.norm(marks[0, 39] - marks[0, 42])
        for place, groups in PLACES.items():
            inside = near(images.shape[1:3], [marks[0, group].mean(axis=0) for group in groups], radius)
            for name, image in zip(("AU6", "AU9", "AU10"), images[1:], strict=True):
                # Relative to the skin's brightness, so that every skin tone counts alike.
                change = np.abs(grey(image) - grey(images[0]))[inside].mean() / grey(images[0])[inside].mean()
                total[name, place] = total.get((name, place), 0) + change / 4
    return total


def test_au6_au9_and_au10_act_in_their_own_places(changes):
    # A clear margin of one half: each of the three must be told from the other two by where the face changes.
    assert changes["AU6", "outer corner"] > 1.5 * max(changes[a, "outer corner"] for a in ("AU9", "AU10"))
    assert changes["AU6", "cheek"] > 1.5 * changes["AU9", "cheek"]
    assert changes["AU9", "bridge"] > 1.5 * max(changes[a, "bridge"] for a in ("AU6", "AU10"))
    assert changes["AU10", "upper lip"] > 1.5 * max(changes[a, "upper lip"] for a in ("AU6", "AU9"))


def test_au9_differs_from_au10_by_more_than_noise():
    # Through the camera, noise included, on the person whose skin shows least.
    person = Actor(UNBC, 0, 5, SIZE)
    performance = still(np.stack([activation({"AU9": 4}), activation({"AU10": 4})]))
    shot = person.shot(plan(person.domain, 6, 1)[5])
    nose, lip = (
        np.stack([shot.expose(frame) for _ in range(8)]).astype(float).mean(axis=-1)
        for frame in (image.copy() for image in person.person.render(performance, shot.background, shot.pose))
    )
    rest = still(np.atleast_2d(activation({})))
    head = person.marks.positions(rest.activation.astype(float), person.person.eye_state(rest))
    marks = shot.pixels(project_points(head, rest, shot.pose))[0]
    radius = 0.35 * np.linalg.norm(marks[39] - marks[42])
    for place in ("bridge", "upper lip"):
        inside = near(nose.shape[1:], [marks[group].mean(axis=0) for group in PLACES[place]], radius)
        between = np.abs(nose.mean(0) - lip.mean(0))[inside].mean()
        # Two means of four frames of one action differ by noise alone.
        alone = max(np.abs(v[:4].mean(0) - v[4:].mean(0))[inside].mean() for v in (nose, lip))
        assert between > 3 * alone, (place, between, alone)


def test_a_smile_keeps_the_lips_together_and_au10_bares_the_teeth(actor):
    # The interior of the mouth is drawn only where lips part.
    pairs = {}
    for name in ("AU12", "AU10"):
        _, marks = film(actor, activation({name: 5}))
        pairs[name] = marks[0, [65, 66, 67], 1] - marks[0, [63, 62, 61], 1]
    assert (np.abs(pairs["AU12"]) < 0.3).all() and (pairs["AU10"] > 2).all()


def test_the_brow_lowers_and_the_lips_part(actor):
    _, neutral = film(actor, activation({}))
    _, frown = film(actor, activation({"AU4": 5}))
    _, open_ = film(actor, activation({"AU25": 4, "AU26": 3}))
    assert (frown[0, [20, 21, 22, 23], 1] > neutral[0, [20, 21, 22, 23], 1] + 0.5).all()
    assert frown[0, 22, 0] - frown[0, 21, 0] < neutral[0, 22, 0] - neutral[0, 21, 0]
    gap = [m[0, 66, 1] - m[0, 62, 1] for m in (neutral, open_)]
    assert gap[0] < 0.3 < 2 < gap[1]


def test_lids_close_by_blink_and_by_au43(actor):
    _, open_ = film(actor, activation({}))
    for marks in (film(actor, activation({"AU43": 5}))[1], film(actor, activation({}), lids=1.0)[1]):
        height = [np.abs(m[0, [37, 38, 43, 44], 1] - m[0, [41, 40, 47, 46], 1]).mean() for m in (open_, marks)]
        assert height[1] < 0.15 * height[0]


def test_eye_landmarks_lie_on_the_eyes(actor):
    images, marks = film(actor, np.stack([activation({}), activation({"AU43": 5})]))
    image = grey(images[0])
    # What changes when the lids close is the eye: its extent must be that of the landmarks, within 1.5 rendered pixels.
    change = cv2.GaussianBlur(np.abs(grey(images[1]) - image).astype(np.float32), (0, 0), 0.7)
    for corners, lids in ((slice(36, 42), (37, 38, 40, 41)), (slice(42, 48), (43, 44, 46, 47))):
        points = marks[0, corners]
        middle = points.mean(axis=0)
        box = near(image.shape, [middle], 0.8 * np.ptp(points[:, 0]))
        ys, xs = np.nonzero(box & (change > 0.25 * change[box].max()))
        assert abs(xs.mean() - middle[0]) < 1.5 and abs(ys.mean() - marks[0, list(lids), 1].mean()) < 1.5
        # The corners hardly change, so that the change is narrower than the eye, by less than a third.
        assert 0.67 < np.ptp(xs) / np.ptp(points[:, 0]) < 1.2


def test_landmarks_follow_the_head(actor):
    still_, turned = film(actor, activation({}))[1][0], film(actor, activation({}), yaw=0.3)[1][0]
    # Turned to image right, the nose tip goes further than the eyes, which lie behind it.
    assert turned[30, 0] - still_[30, 0] > turned[[39, 42], 0].mean() - still_[[39, 42], 0].mean() > 0
    right, left = np.ptp(turned[36:40, 0]), np.ptp(turned[42:46, 0])
    assert right > left  # the far eye is foreshortened


def test_landmarks_keep_their_order(actor):
    marks = film(actor, activation({}))[1][0]
    assert (np.diff(marks[[36, 39, 27, 42, 45], 0]) > 0).all()
    assert (np.diff(marks[[27, 28, 29, 30, 33, 51, 62, 66, 57, 8], 1]) > -0.2).all()
    # The outline may bulge at the temples, by a pixel or two.
    assert (np.diff(marks[:17, 0]) > -2).all() and np.argmax(marks[:17, 1]) in (7, 8, 9)


def test_asymmetry_moves_one_side_more(actor):
    _, neutral = film(actor, activation({}))
    _, uneven = film(actor, activation({"AU12": 5}, {"AU12": 0.6}))
    moved = np.linalg.norm(uneven[0] - neutral[0], axis=1)
    assert moved[54] > 1.5 * moved[48]


def test_a_face_does_not_depend_on_its_resolution():
    small, large = Actor(UNBC, 0, 2, 72), Actor(UNBC, 0, 2, 144)
    assert small.identity == large.identity
    row = activation({"AU4": 3, "AU10": 2})
    (coarse, marks), (fine, more) = film(small, row), film(large, row)
    # The geometry is solved on one grid whatever the resolution: only rounding is left.
    np.testing.assert_allclose(2 * marks, more, atol=1e-6)
    reduced = cv2.resize(fine[0], coarse.shape[2:0:-1], interpolation=cv2.INTER_AREA)
    similar = np.corrcoef(grey(reduced).ravel(), grey(coarse[0]).ravel())[0, 1]
    assert similar > 0.985
    other = film(Actor(UNBC, 0, 4, 72), row)[0]
    assert np.corrcoef(grey(other[0]).ravel(), grey(coarse[0]).ravel())[0, 1] < similar - 0.02


def test_people_differ_and_span_ages_sexes_and_skin_tones():
    people = [sample_identity(0, "unbc", i, ages=(20, 70)) for i in range(12)]
    assert {p.sex for p in people} == {"m", "w"}
    assert np.ptp([p.age for p in people]) > 30
    assert np.ptp([p.melanin for p in people]) > 0.5
    assert sample_identity(0, "biovid", 0, ages=(20, 70)).shape != people[0].shape


def test_the_domains_look_different():
    frames = {}
    for domain in (UNBC, BIOVID):
        actor = Actor(domain, 0, 1, 64)
        spec = plan(domain, 2, 1)[1]
        script, shot = actor.script(spec), actor.shot(spec)
        images = actor.person.render(script.performance, shot.background, shot.pose)
        frames[domain.name] = np.stack([shot.expose(image) for image in itertools.islice(images, 6)]).astype(float)
    noise = {name: np.diff(video[:, :6, :6], axis=0).std() for name, video in frames.items()}
    assert noise["unbc"] > 1.3 * noise["biovid"]
    corner = {name: video[:, :6, :6].mean(axis=(0, 1, 2)) for name, video in frames.items()}
    assert np.abs(corner["unbc"] - corner["biovid"]).max() > 15


def test_contact_sheet():
    sheet = contact_sheet(48, subjects=1)
    assert sheet.shape[0] == 24 + 2 * 48 and sheet.dtype == np.uint8 and sheet[24:].std() > 20


def test_the_sheet_of_intensities_grows_with_the_grade():
    size = 80
    sheet = intensity_sheet(size).astype(np.float32)
    assert sheet.shape[0] == CAPTION + len(INTENSITY_ROWS) * size
    for k, name in enumerate(INTENSITY_ROWS):
        # Without the name that is written at the foot of the first picture.
        row = sheet[CAPTION + k * size : CAPTION + (k + 1) * size - 20]
        # Smoothed, so that sensor noise, which every picture has anew, stays below one step.
        pictures = [cv2.GaussianBlur(p, (0, 0), 1.5) for p in np.split(row, 6, axis=1)]
        change = [np.square(p - pictures[0]).mean() for p in pictures[1:]]
        assert (np.diff(change) > 0).all() and change[-1] > 1.5 * change[0], (name, change)
