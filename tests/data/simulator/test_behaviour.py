"""Time courses, codes and PSPI."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from repro.data.simulator import BIOVID, UNBC, plan
from repro.data.simulator.actions import CHANNELS
from repro.data.simulator.behaviour import (
    CODED,
    biovid_script,
    codes,
    long_runs,
    pspi,
    sample_temper,
    unbc_script,
)
from repro.data.simulator.subject import sample_identity


def people(domain, n, seed=0):
    for index in range(n):
        identity = sample_identity(seed, domain.name, index, ages=domain.ages)
        yield identity, sample_temper(identity, domain, seed, index)


@pytest.fixture(scope="module")
def unbc_scripts():
    specs = plan(UNBC, 25, 8)
    cast = list(people(UNBC, 25))
    return [unbc_script(*_cast(cast, UNBC, s), s.n_frames, s.index) for s in specs]


def _cast(cast, domain, spec):
    identity, temper = cast[spec.subject_index]
    return identity, domain, temper


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


def test_unbc_histogram_is_like_the_archives(unbc_scripts):
    levels = np.concatenate([s.pspi for s in unbc_scripts])
    share = np.bincount(levels, minlength=17) / len(levels)
    # The archive has 82.7 % zeros, 15.4 % at 1-4 and 1.8 % above; wide bounds, as 25 subjects vary.
    assert 0.74 < share[0] < 0.90
    assert share[1:5].sum() > 2 * share[5:].sum() > 0
    assert 9 <= levels.max() <= 16
    zero = [s.pspi.max() == 0 for s in unbc_scripts]
    assert 0.2 < np.mean(zero) < 0.8


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


def test_reactivity_and_head_motion_are_parameters():
    still = dataclasses.replace(UNBC, head_motion=0.0, guarding=0.0)
    numb = dataclasses.replace(UNBC, reactivity=0.0, distraction=0.0)
    (identity, temper), (_, dulled) = next(people(UNBC, 1)), next(people(numb, 1))
    lively = unbc_script(identity, UNBC, temper, 200, 0).performance
    calm = unbc_script(identity, still, temper, 200, 0).performance
    assert calm.move.std(axis=0).max() < 1e-12 < lively.move.std(axis=0).max()
    assert all(unbc_script(identity, numb, dulled, 200, k).pspi.max() <= 1 for k in range(8))


def test_a_script_does_not_depend_on_other_scripts():
    (identity, temper) = next(people(UNBC, 1))
    first = unbc_script(identity, UNBC, temper, 100, 3)
    unbc_script(identity, UNBC, temper, 70, 1)
    again = unbc_script(identity, UNBC, temper, 100, 3)
    np.testing.assert_array_equal(first.performance.activation, again.performance.activation)
    np.testing.assert_array_equal(first.codes, again.codes)
