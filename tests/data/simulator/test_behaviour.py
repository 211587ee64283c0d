"""Time courses, codes and PSPI; what a domain's parameters change and what they leave alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from repro.data.simulator import BIOVID, UNBC, plan
from repro.data.simulator.actions import CHANNELS
from repro.data.simulator.behaviour import biovid_script, sample_temper, unbc_script
from repro.data.simulator.coding import CODED, codes, long_runs, pspi
from repro.data.simulator.subject import sample_identity
from repro.data.simulator.truth import replay

ARCHIVE = np.array([40029, 2909, 2351, 1412, 802, 242, 270, 53, 79, 32, 67, 76, 48, 22, 1, 5, 0]) / 48398
"""Share of frames of each PSPI in UNBC-McMaster (published_counts.csv)."""


def people(domain, n, seed=0):
    for index in range(n):
        identity = sample_identity(seed, domain.name, index, ages=domain.ages)
        yield identity, sample_temper(identity, domain, seed, index)


def scripts(domain, n, videos=None, seed=0):
    return [script for _, script in replay(domain, plan(domain, n, videos, seed), seed)]


@pytest.fixture(scope="module")
def archives():
    """Scripts of four simulated archives of the real one's size."""
    return [scripts(UNBC, 25, None, seed) for seed in range(4)]


@pytest.fixture(scope="module")
def unbc_scripts(archives):
    return archives[0]


def test_pspi_is_prkachin_and_solomons_sum():
    row = dict.fromkeys(CODED, 0) | {4: 2, 6: 1, 7: 3, 9: 4, 10: 2, 12: 5, 25: 5, 43: 1}
    assert pspi(np.array([[row[au] for au in CODED]])).tolist() == [2 + 3 + 4 + 1]
    assert pspi(np.full((1, len(CODED)), 5)).tolist() == [20]  # AU43 is 0 or 1 in codes, so that 16 is the real maximum


def test_codes_are_the_rounded_intensities_and_blinks_are_no_au43():
    fps = 25.0
    level = {"AU4": np.array([0.0, 0.4, 0.6, 2.5001, 4.7, 5.4])}
    table = codes(level, np.zeros(6), fps)
    assert table[:, CODED.index(4)].tolist() == [0, 0, 1, 3, 5, 5]
    blink, sleep = np.zeros(100), np.zeros(100)
    blink[10:16] = 1.0
    sleep[10:40] = 1.0
    assert codes({}, blink, fps)[:, CODED.index(43)].sum() == 0
    assert codes({}, sleep, fps)[:, CODED.index(43)].sum() == 30


def test_long_runs_keeps_runs_from_the_limit_on():
    flags = np.array([1, 1, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1], bool)
    assert long_runs(flags, 3).tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1]


def test_unbc_histogram_is_like_the_archives(archives):
    share = np.array(
        [np.bincount(np.concatenate([s.pspi for s in archive]), minlength=17) / 48398 for archive in archives]
    )
    mean = share.mean(axis=0)
    # Between archives the share of zeros scatters by .011 (one standard deviation), the distance by .007.
    assert abs(mean[0] - ARCHIVE[0]) < 0.02 and (abs(share[:, 0] - ARCHIVE[0]) < 0.04).all()
    distance = np.abs(share - ARCHIVE).sum(axis=1) / 2
    assert distance.mean() < 0.03 and distance.max() < 0.05
    # Level by level: a fifth up to 4, where there are hundreds of frames. In the archive the counts of 5 and more are a
    # few episodes each (53 frames of 7, 79 of 8), so that these are compared in groups: by a factor of two and a half.
    assert (abs(mean[1:5] / ARCHIVE[1:5] - 1) < 0.2).all()
    for group in (slice(5, 7), slice(7, 10), slice(10, 13), slice(13, 17)):
        limit = 2.5 if group.start < 13 else 4.0
        assert abs(np.log(mean[group].sum() / ARCHIVE[group].sum())) < np.log(limit), group
    assert 0.0015 < mean[10:].sum() < 0.0100  # .45 % in the archive
    assert all(10 <= np.flatnonzero(row).max() <= 16 for row in share)


def test_some_sequences_and_the_odd_subject_show_no_pain(archives):
    subjects = [s.subject_index for s in plan(UNBC, 25)]
    for archive in archives:
        peak = np.array([s.pspi.max() for s in archive])
        assert 0.3 < (peak == 0).mean() < 0.6
        # The archive has one subject of 25 whose PSPI is always 0; two of 25 simulated ones hardly react but may smile.
        of_each = [max(p for p, k in zip(peak, subjects, strict=True) if k == i) for i in range(25)]
        assert 0 <= of_each.count(0) <= 4


def test_the_quick_tables_have_clips_with_pain():
    for seed in (0, 1):
        clips = [
            script.pspi[at : at + 60].max() > 0
            for script in scripts(UNBC, 12, 8, seed)
            for at in range(0, len(script.pspi) - 59, 30)
        ]
        assert 0.25 < np.mean(clips) < 0.55


def test_distractors_occur_without_pain(unbc_scripts):
    calm = np.concatenate([s.codes[s.pspi == 0] for s in unbc_scripts])
    for au in (12, 25, 26):
        assert (calm[:, CODED.index(au)] > 0).mean() > 0.005, au


def test_courses_are_smooth(unbc_scripts):
    skip = [CHANNELS.index(name + side) for name in ("AU25", "AU26", "AU18", "AU12", "AU43") for side in "LR"]
    for script in unbc_scripts[:60]:
        steps = np.abs(np.diff(np.delete(script.performance.activation, skip, axis=1), axis=0))
        # The fastest onset takes 0.24 s, 6 frames: no frame may bring more than a third of the range.
        assert steps.max() < 0.34
        assert np.abs(np.diff(script.performance.angles, axis=0)).max() < np.radians(2.5)


def test_biovid_reacts_more_and_later_with_the_level():
    peak, first = np.zeros((5, 24)), []
    for index, (identity, temper) in enumerate(people(BIOVID, 24)):
        for level in range(5):
            for k in range(4):
                script = biovid_script(identity, BIOVID, temper, 138, level, k)
                peak[level, index] += script.pspi.max() / 4
                if level == 4 and script.pspi.max() > 2:
                    first.append(int(np.argmax(script.pspi > 1)))
    mean = peak.mean(axis=1)
    assert (np.diff(mean[1:]) > 0).all() and mean[4] > 4 * mean[0]
    # About a fifth hardly reacts even to the highest level.
    assert 0.08 <= (peak[4] < 1).mean() <= 0.4
    assert np.median(first) > 0.8 * BIOVID.fps


def test_people_show_the_same_without_pain_in_both(unbc_scripts):
    heat = scripts(BIOVID, 12, 20)
    for found in (unbc_scripts, heat):
        calm = [(s.codes[s.pspi == 0], s.closure[s.pspi == 0]) for s in found]
        table, closure = np.concatenate([c for c, _ in calm]), np.concatenate([c for _, c in calm])
        for au in (12, 25, 26):
            assert (table[:, CODED.index(au)] > 0).mean() > 0.005, au
        # A blink of a third of a second every 2 to 6 seconds.
        assert 0.01 < (closure > 0.5).mean() < 0.1


def test_false_expressions_at_baseline():
    baseline = [s for spec, s in replay(BIOVID, plan(BIOVID, 40, 20), 0) if spec.level == 0]
    assert 0.03 < np.mean([s.pspi.max() > 0 for s in baseline]) < 0.25


PAIN = [(UNBC, 8), (BIOVID, 10)]
"""Domains, and videos of three people: pain is among them."""


def changed(domain, videos, **parameters):
    """Return scripts of three people before and after a change of parameters."""
    return scripts(domain, 3, videos), scripts(dataclasses.replace(domain, **parameters), 3, videos)


def assert_same(before, after, *fields):
    for a, b in zip(before, after, strict=True):
        for field in fields:
            holder = (a, b) if field in ("codes", "pspi", "closure") else (a.performance, b.performance)
            np.testing.assert_array_equal(getattr(holder[0], field), getattr(holder[1], field), err_msg=field)


@pytest.mark.parametrize(("domain", "videos"), PAIN)
def test_head_motion_moves_the_head_alone(domain, videos):
    before, after = changed(domain, videos, head_motion=3 * domain.head_motion, guarding=0.0)
    assert_same(before, after, "codes", "pspi", "closure", "activation", "lids")
    still = scripts(dataclasses.replace(domain, head_motion=0.0, guarding=0.0), 3, videos)
    for lively, calm in zip(after, still, strict=True):
        assert np.ptp(calm.performance.angles, axis=0).max() == 0 == np.ptp(calm.performance.move, axis=0).max()
        # Three times the movement about the same resting pose; 1 is about 3 degrees of yaw.
        assert np.ptp(lively.performance.angles, axis=0).min() > 0
    yaw = [s.performance.angles[:, 1] for s in scripts(dataclasses.replace(domain, head_motion=1.0), 20, videos)]
    resting = [s.performance.angles[:, 1] for s in scripts(dataclasses.replace(domain, head_motion=0.0), 20, videos)]
    deviation = np.concatenate(yaw) - np.concatenate(resting)
    assert 2.0 < np.degrees(deviation.std()) < 4.0


@pytest.mark.parametrize(("domain", "videos"), PAIN)
def test_guarding_moves_the_head_in_pain_alone(domain, videos):
    before, after = changed(domain, videos, guarding=2 * domain.guarding)
    assert_same(before, after, "codes", "pspi", "closure", "activation", "lids")
    without = scripts(dataclasses.replace(domain, guarding=0.0), 3, videos)
    moved = 0
    for none, once, twice in zip(without, before, after, strict=True):
        for field in ("angles", "move"):
            base = getattr(none.performance, field)
            first, second = getattr(once.performance, field) - base, getattr(twice.performance, field) - base
            np.testing.assert_allclose(second, 2 * first, atol=1e-12)
            moved += np.abs(first).max() > 1e-3
        if once.pspi.max() >= 4:
            shift = np.abs(once.performance.move - none.performance.move).max(axis=1)
            assert shift[once.pspi >= 4].min() > 0
    assert moved


@pytest.mark.parametrize(("domain", "videos"), PAIN)
def test_reactivity_changes_the_response_to_pain_alone(domain, videos):
    calm = {"guarding": 0.0, "distraction": 0.0}
    domain = dataclasses.replace(domain, **calm)
    before, after = changed(domain, videos, reactivity=0.5)
    assert_same(before, after, "lids", "angles", "move", "gaze")
    total = [sum(int(s.pspi.sum()) for s in found) for found in (before, after)]
    assert total[1] < 0.6 * total[0]
    numb = scripts(dataclasses.replace(domain, reactivity=0.0), 3, videos)
    # Without heat, some of BioVid's people still frown for reasons of their own.
    limit = 0 if domain.name == "unbc" else 2
    assert max(s.pspi.max() for s in numb) <= limit < max(s.pspi.max() for s in before)


@pytest.mark.parametrize(("domain", "videos"), PAIN)
def test_expressiveness_changes_the_face_but_not_its_codes(domain, videos):
    before, after = changed(domain, videos, expressiveness=0.5)
    assert_same(before, after, "codes", "pspi", "closure", "lids", "angles", "move", "gaze")
    lids = [CHANNELS.index(f"AU43{side}") for side in "LR"]
    for full, half in zip(before, after, strict=True):
        expected = 0.5 * full.performance.activation
        expected[:, lids] = full.performance.activation[:, lids]
        np.testing.assert_allclose(half.performance.activation, expected, atol=1e-6)


@pytest.mark.parametrize(("domain", "videos"), PAIN)
def test_asymmetry_changes_the_balance_alone(domain, videos):
    before, after = changed(domain, videos, asymmetry=0.0)
    assert_same(before, after, "codes", "pspi", "closure", "lids", "angles", "move", "gaze")
    left, right = ([CHANNELS.index(c) for c in CHANNELS if c.endswith(side)] for side in "LR")
    assert any(
        not np.array_equal(s.performance.activation[:, left], s.performance.activation[:, right]) for s in before
    )
    for lopsided, even in zip(before, after, strict=True):
        a, b = lopsided.performance.activation, even.performance.activation
        np.testing.assert_array_equal(b[:, left], b[:, right])
        # The stronger half does what both do without asymmetry.
        np.testing.assert_allclose(np.maximum(a[:, left], a[:, right]), b[:, left], atol=1e-6)


def test_a_script_does_not_depend_on_other_scripts():
    (identity, temper) = next(people(UNBC, 1))
    first = unbc_script(identity, UNBC, temper, 100, 3)
    unbc_script(identity, UNBC, temper, 70, 1)
    again = unbc_script(identity, UNBC, temper, 100, 3)
    np.testing.assert_array_equal(first.performance.activation, again.performance.activation)
    np.testing.assert_array_equal(first.codes, again.codes)
