"""Clips and sources: where they begin and end, what level they have, what is left out."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from repro.data.clips import Clip, EvenClips, Source, cut, cut_sources
from repro.data.schema import UNLABELLED, Dataset, VideoRecord


def dataset(*lengths: int, levels: list[int] | None = None) -> Dataset:
    records = []
    for index, length in enumerate(lengths):
        values = np.zeros(length, np.int64) if levels is None else np.array(levels, np.int64)
        records.append(VideoRecord(f"s{index}", f"s{index}/v{index}", length, values))
    return Dataset("made", Path(), records, content="", n_levels=17)


def spans(clips: list[Clip]) -> list[tuple[int, int]]:
    return [(clip.start, clip.stop) for clip in clips]


@pytest.mark.parametrize(
    ("n", "length", "stride", "expected"),
    [
        (10, 4, 3, [(0, 4), (3, 7), (6, 10)]),
        (11, 4, 3, [(0, 4), (3, 7), (6, 10)]),
        (10, 4, None, [(0, 4), (4, 8)]),
        (4, 4, 1, [(0, 4)]),
        (9, 2, 5, [(0, 2), (5, 7)]),
        (10, None, None, [(0, 10)]),
        (10, None, 3, [(0, 10)]),
    ],
)
def test_spans(n, length, stride, expected):
    clips, excluded = cut(dataset(n), length=length, stride=stride)
    assert spans(clips) == expected and excluded == []
    assert all(len(clip) == clip.stop - clip.start for clip in clips)


def test_clips_follow_the_records():
    clips, _ = cut(dataset(4, 5), length=2, stride=2)
    assert [clip.id for clip in clips] == ["s0/v0:0-2", "s0/v0:2-4", "s1/v1:0-2", "s1/v1:2-4"]
    assert [clip.subject for clip in clips] == ["s0", "s0", "s1", "s1"]


@pytest.mark.parametrize(
    ("levels", "rule", "expected"),
    [
        ([0, 3, 1, 0], "max", 3),
        ([0, 1, 0, 1], "mean", 1),  # 0.5 up, where rounding to even gives 0
        ([2, 3, 2, 3], "mean", 3),  # 2.5 up, where rounding to even gives 2
        ([0, 1, 0, 0], "mean", 0),
        ([0, 1, 1, 1, 0, 0, 0], "mean", 0),  # 3/7
        ([0, 3, 1, 0], "centre", 1),
        ([0, 3, 1], "centre", 3),
        ([0, 3, 1, 2], "last", 2),
    ],
)
def test_level_of_a_clip(levels, rule, expected):
    (clip,), _ = cut(dataset(len(levels), levels=levels), length=None, level=rule)
    assert clip.level == expected and type(clip.level) is int


def test_level_is_that_of_the_clips_own_frames():
    clips, _ = cut(dataset(6, levels=[0, 5, 0, 0, 7, 1]), length=2, stride=2)
    assert [clip.level for clip in clips] == [5, 0, 7]


def test_short_videos():
    data = dataset(39, 40, 45)
    clips, excluded = cut(data, length=45, stride=10, min_length=40)
    assert [(c.video, c.start, c.stop) for c in clips] == [("s1/v1", 0, 40), ("s2/v2", 0, 45)]
    ((what, file, reason),) = excluded
    assert (what, file) == ("video", "s0/v0")
    assert "39 frames, fewer than the 40" in reason and "shorter segments" in reason
    clips, excluded = cut(data, length=45, stride=10)
    assert len(clips) == 1 and len(excluded) == 2
    clips, excluded = cut(data, length=None, min_length=45)
    assert len(clips) == 1 and len(excluded) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "length must be at least 1 frame, got 0"),
        ({"length": 4, "stride": 0}, "stride must be at least 1"),
        ({"length": 4, "min_length": 0}, "min_length must be"),
        ({"length": 4, "min_length": 5}, "min_length 5 is above length 4"),
        ({"length": 4, "level": "median"}, "level 'median' is not one of 'max', 'mean', 'centre', 'last'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        cut(dataset(10), **options)


def test_sources():
    sources = cut_sources(dataset(230, 110))
    assert [(s.video, s.index, s.id) for s in sources] == [
        ("s0/v0", 0, "s0/v0#0"),
        ("s0/v0", 1, "s0/v0#1"),
        ("s1/v1", 0, "s1/v1#0"),
    ]
    assert spans(sources[0].clips) == [(10 * k, 10 * k + 40) for k in range(8)]
    assert spans(sources[1].clips) == [(110 + 10 * k, 150 + 10 * k) for k in range(8)]
    assert {clip.level for source in sources for clip in source.clips} == {UNLABELLED}
    ids = [clip.id for source in sources for clip in source.clips]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(("n", "step"), [(109, 9), (60, 2), (48, 1), (47, 1)])
def test_a_short_video_is_one_source_of_closer_clips(n, step):
    (source,) = cut_sources(dataset(n))
    assert spans(source.clips) == [(step * k, step * k + 40) for k in range(8)]
    assert source.clips[-1].stop <= n


def test_a_video_too_short_for_a_source_is_told():
    with pytest.warns(UserWarning, match="1 of 2 videos have fewer than 47 frames and give no source: s1/v1"):
        sources = cut_sources(dataset(47, 46))
    assert len(sources) == 1


@pytest.mark.parametrize("options", [{"clip_length": 0}, {"stride": 0}, {"clips_per_source": 1}])
def test_bad_options_of_sources(options):
    with pytest.raises(ValueError, match="must be at least 1 and clips_per_source at least 2"):
        cut_sources(dataset(100), **options)


def test_even_clips_are_the_tuple_that_they_stand_for() -> None:
    clips = EvenClips("s", "s/v", range(10, 40, 10), 25)
    made = tuple(Clip("s", "s/v", start, start + 25, UNLABELLED) for start in (10, 20, 30))
    assert (
        clips == made
        and made == clips
        and hash(clips) == hash(made)
        and clips == EvenClips("s", "s/v", range(10, 31, 10), 25)
    )
    assert len(clips) == 3 and clips[-1] == made[-1] and clips[1:] == made[1:] and tuple(reversed(clips)) == made[::-1]
    assert clips != made[:2] and clips != EvenClips("s", "s/v", range(10, 40, 10), 24) and clips != list(made)
    assert pickle.loads(pickle.dumps(clips)) == made
    with pytest.raises(IndexError):
        clips[3]
    for source in (Source("s", "s/v", 0, clips), Source("s", "s/v", 0, made)):
        assert source.n_frames == 75 and source == Source("s", "s/v", 0, made)
