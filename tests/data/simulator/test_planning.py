"""Names, lengths and numbers of sequences, those of the real datasets, and their division among workers."""

from __future__ import annotations

import csv
from collections import Counter
from importlib import resources

import numpy as np
import pytest

from repro.data.simulator import BIOVID, UNBC, archive, plan
from repro.data.simulator.blocks import divide


@pytest.fixture(scope="module")
def published():
    text = resources.files("repro.data").joinpath("published_counts.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_names_cannot_collide():
    specs = plan(UNBC, 25, 40)
    assert len({(s.subject, s.name) for s in specs}) == 1000
    specs = plan(BIOVID, 30, 100)
    assert len({s.name for s in specs}) == 3000
    assert max(int(s.name[-3:]) for s in specs) == 100 and min(int(s.name[-3:]) for s in specs) == 1


def test_lengths_follow_the_archive():
    lengths = np.array([s.n_frames for s in plan(UNBC, 25, 8, frames=225)])
    # Archive: 48, 225, 683. The median of 200 draws has a standard error of about 7.
    assert lengths.min() >= 48 and lengths.max() <= 683
    assert abs(np.median(lengths) - 225) < 30


def test_unbc_has_the_archives_subjects_sequences_and_frames(published):
    specs = plan(UNBC, 25)
    assert (len(specs), sum(s.n_frames for s in specs)) == (200, 48398)
    for quantity, found in (
        ("sequences", Counter(s.subject_index for s in specs)),
        ("frames", Counter({i: sum(s.n_frames for s in specs if s.subject_index == i) for i in range(25)})),
    ):
        of_each = [int(r["count"]) for r in published if r["subject"] and r["quantity"] == quantity]
        assert [found[i] for i in range(25)] == of_each
    lengths = np.array([s.n_frames for s in specs])
    assert (lengths.min(), np.median(lengths), lengths.max()) == (48, 225, 683)
    assert (lengths < 120).sum() == 15 and ((lengths >= 150) & (lengths <= 200)).sum() == 48
    assert len({s.name for s in specs}) == 200
    real = {name for name, *_ in archive.unbc_subjects()}
    assert not real & {s.subject for s in specs}, "names stay invented"


def test_biovid_has_part_a_s_videos():
    specs = plan(BIOVID, 87)
    assert len(specs) == 8700 and {s.n_frames for s in specs} == {138}
    assert set(Counter((s.subject, s.level) for s in specs).values()) == {20}
    assert sum(s.n_frames for s in specs) == 1_200_600


@pytest.mark.parametrize(("domain", "videos"), [(UNBC, None), (UNBC, 8), (BIOVID, None)])
def test_a_subjects_sequences_do_not_depend_on_the_number_of_subjects(domain, videos):
    assert plan(domain, 9, videos, 3) == [s for s in plan(domain, 20, videos, 3) if s.subject_index < 9]


def test_real_counts_exclude_what_would_change_them():
    with pytest.raises(ValueError, match="frames=100 was given without videos_per_subject"):
        plan(UNBC, 3, None, frames=100)
    with pytest.raises(ValueError, match="n_subjects=26, but UNBC-McMaster has 25"):
        plan(UNBC, 26)
    with pytest.raises(ValueError, match=r"0\.\.24, got 25"):
        archive.unbc_lengths(25)


@pytest.mark.parametrize(("domain", "n", "videos"), [(UNBC, 12, 8), (UNBC, 25, None), (BIOVID, 87, None), (UNBC, 1, 8)])
@pytest.mark.parametrize("workers", [1, 2, 16])
def test_blocks_divide_the_work_evenly(domain, n, videos, workers):
    specs = plan(domain, n, videos)
    found = divide(specs, workers)
    assert [(b.subject_index, k) for b in found for k in b.sequences] == [(s.subject_index, s.index) for s in specs]
    assert sum(b.n_frames for b in found) == sum(s.n_frames for s in specs)
    # Workers take the next block whenever they are free: the last one must not be late by much. A block that is not
    # divided further has up to 400 frames, and a sequence more or less.
    busy = [0] * workers
    for block in found:
        busy[busy.index(min(busy))] += block.n_frames
    assert max(busy) - sum(busy) / workers <= 400 + max(s.n_frames for s in specs)


def test_subjects_stay_whole_while_many_are_left():
    assert len(divide(plan(UNBC, 25), 1)) <= 28
    first = divide(plan(BIOVID, 87), 4)[0]
    assert len(first.sequences) == 100
    with pytest.raises(ValueError, match="got 0"):
        divide([], 0)
