"""The BioVid reader: names, samples.csv, landmarks of OpenFace, options, every damage."""

from __future__ import annotations

import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from repro.data import DataError, DatasetUnavailable, VideoError, VideoWarning, open_dataset
from repro.data.biovid import HOLDOUT, NONREACTIVE

A, B = "071309_w_21", "082315_w_60"
FIRST = f"{A}/{A}-BL1-081"


def file_of(root: Path, video: str = FIRST, suffix: str = ".mp4") -> Path:
    return root / "PartA" / "video" / f"{video}{suffix}"


def test_reads_what_is_there(make_biovid):
    data = open_dataset("biovid", make_biovid())
    assert (data.name, data.n_levels, data.simulated) == ("biovid", 5, False)
    assert data.subjects == [A, B] and len(data.records) == 20
    assert data.excluded == [] and data.notes == []
    by_name = {record.video: record for record in data.records}
    record = by_name[FIRST]
    assert (record.subject, record.n_frames, record.fps) == (A, 6, 25.0)
    assert record.levels.dtype == np.int64 and record.levels.tolist() == [0] * 6
    assert by_name[f"{B}/{B}-PA4-002"].levels.tolist() == [4] * 7  # the number of frames is the file's
    assert record.landmarks() is None
    assert record.frames().shape == (6, 3, 24, 32)
    # mp4v is lossy: grey levels of flat frames come back within 5, a quarter of a step.
    np.testing.assert_allclose(record.frames().float().mean((1, 2, 3)), np.arange(6) * 20, atol=5)


def test_root_may_be_part_a_itself(make_biovid):
    root = make_biovid()
    (root / "SIMULATED.json").write_text("{}")
    above, itself = open_dataset("biovid", root), open_dataset("biovid", root / "PartA")
    assert above.fingerprint == itself.fingerprint and len(itself.records) == 20
    assert above.simulated and itself.simulated


def test_samples_csv_is_optional(make_biovid):
    assert len(open_dataset("biovid", make_biovid(samples=False)).records) == 20


def test_stray_files_do_not_matter(make_biovid):
    root = make_biovid([A])
    before = open_dataset("biovid", root).fingerprint
    for folder in (root, root / "PartA" / "video", file_of(root).parent):
        for name in (".DS_Store", "Thumbs.db", f"._{A}-BL1-081.mp4", "readme.txt"):
            (folder / name).write_bytes(b"\0")
    assert open_dataset("biovid", root).fingerprint == before


def test_fingerprint_survives_moving_and_follows_the_files(make_biovid, make_video, tmp_path):
    root = make_biovid()
    before = open_dataset("biovid", root).fingerprint
    moved = Path(shutil.move(root, tmp_path / "elsewhere"))
    assert open_dataset("biovid", moved).fingerprint == before
    make_video(file_of(moved), n_frames=9)
    assert open_dataset("biovid", moved).fingerprint != before


def test_subject_lists():
    assert len(NONREACTIVE) == len(set(NONREACTIVE)) == 20
    assert len(HOLDOUT) == len(set(HOLDOUT)) == 26
    assert all(re.fullmatch(r"\d{6}_[mw]_\d\d", name) for name in (*NONREACTIVE, *HOLDOUT))


def test_subjects_without_reaction_are_left_out_on_request(make_biovid):
    root = make_biovid()
    every, reactive = open_dataset("biovid", root), open_dataset("biovid", root, exclude_nonreactive=True)
    assert reactive.subjects == [A]
    assert [(row.what, row.file) for row in reactive.excluded] == [("subject", B)]
    assert reactive.fingerprint != every.fingerprint and reactive.notes == []


@pytest.mark.parametrize(
    ("split", "subjects", "left_out"),
    [
        ("all", [A, B], []),
        ("development", [A], [(B, "is held out: left out by split='development'")]),
        ("holdout", [B], [(A, "is not held out: left out by split='holdout'")]),
    ],
)
def test_the_holdout_that_the_owners_propose(make_biovid, split, subjects, left_out):
    assert B in HOLDOUT and A not in HOLDOUT
    data = open_dataset("biovid", make_biovid(), split=split)
    assert data.subjects == subjects and data.notes == []
    assert [(row.file, row.reason) for row in data.excluded] == left_out


def test_every_proposed_subject_is_held_out_once(make_biovid):
    root = make_biovid()
    parts = [open_dataset("biovid", root, split=split) for split in ("development", "holdout")]
    assert sorted(r.video for part in parts for r in part.records) == sorted(
        r.video for r in open_dataset("biovid", root).records
    )
    both = open_dataset("biovid", root, split="holdout", exclude_nonreactive=True, strict=False)
    assert both.records == [] and [row.file for row in both.excluded] == [A, B]
    with pytest.raises(ValueError, match="split 'test' is none of 'all', 'development', 'holdout'"):
        open_dataset("biovid", root, split="test")


@pytest.mark.parametrize(
    ("name", "level"), [("BL1-081", 0), ("BL1-099", 0), ("BL1-100", 0), ("PA1-001", 1), ("PA4-080", 4)]
)
def test_suffixes_of_both_kinds(tmp_path, make_video, name, level):
    make_video(tmp_path / f"PartA/video/{A}/{A}-{name}.mp4")
    (record,) = open_dataset("biovid", tmp_path).records
    assert record.video == f"{A}/{A}-{name}" and set(record.levels.tolist()) == {level}


def test_shortened_derivatives(tmp_path, make_video, make_openface):
    """Face crops of the last 3 seconds: 75 frames."""
    make_video(tmp_path / f"PartA/video/{A}/{A}-PA3-007.mp4", n_frames=75)
    make_openface(tmp_path / f"OpenFace/{A}-PA3-007.csv", n_frames=75)
    (record,) = open_dataset("biovid", tmp_path).records
    assert record.n_frames == len(record.levels) == len(record.frames()) == len(record.landmarks()) == 75


def test_a_subject_without_videos(make_biovid):
    root = make_biovid([A])
    (root / "PartA/video/200101_w_20").mkdir()
    with pytest.raises(DataError, match="200101_w_20: no videos; copy the folder again, or remove it"):
        open_dataset("biovid", root)
    data = open_dataset("biovid", root, strict=False)
    assert len(data.records) == 10 and [(r.what, r.file) for r in data.excluded] == [("subject", "200101_w_20")]


def test_listed_videos_that_are_not_there_are_noted(make_biovid):
    root = make_biovid()
    file_of(root).unlink()
    data = open_dataset("biovid", root)
    (note,) = data.notes
    assert f"1 of the videos that it lists are not there: {A}-BL1-081" in note.reason


# --- landmarks


def test_landmarks_of_openface_beside_part_a(make_biovid):
    root = make_biovid(openface=True)
    (root / "OpenFace" / A / f"{A}-BL1-082.csv").unlink()
    data = open_dataset("biovid", root)
    points = data.records[0].landmarks()
    assert points.shape == (6, 68, 2) and points.dtype == np.float32
    np.testing.assert_array_equal(points[4, 10], [14, 20])
    assert np.isnan(points[2]).all()  # OpenFace failed on the third frame
    without = data.records[1]
    assert np.isnan(without.landmarks()).all() and without.landmarks().shape == (7, 68, 2)
    assert "1 videos have no file of landmarks" in data.notes[0].reason


def test_landmarks_of_openface_by_option(make_biovid, make_openface, tmp_path):
    root = make_biovid([A])
    before = open_dataset("biovid", root).fingerprint
    make_openface(tmp_path / "of" / f"{A}-BL1-081.csv")
    data = open_dataset("biovid", root, openface=tmp_path / "of")
    assert np.isfinite(data.records[0].landmarks()[0]).all()
    assert data.fingerprint != before
    (tmp_path / "none").mkdir()
    with pytest.raises(DatasetUnavailable, match="none: no CSV files of OpenFace"):
        open_dataset("biovid", root, openface=tmp_path / "none")


def test_landmarks_of_another_video(make_biovid, make_openface):
    root = make_biovid([A])
    make_openface(root / "OpenFace" / f"{A}-BL1-081.csv", n_frames=9)
    with pytest.raises(DataError, match=r"BL1-081\.csv: frame numbers 1\.\.9 are not in 1\.\.6"):
        open_dataset("biovid", root).records[0].landmarks()


# --- roots that are none


def test_missing_and_empty_root(tmp_path):
    with pytest.raises(DatasetUnavailable, match="expected BioVid Heat Pain.*does not exist.*agreement"):
        open_dataset("biovid", tmp_path / "none")
    with pytest.raises(DatasetUnavailable, match="is empty"):
        open_dataset("biovid", tmp_path)
    (tmp_path / "PartA" / "video").mkdir(parents=True)
    with pytest.raises(DatasetUnavailable, match="expected BioVid"):
        open_dataset("biovid", tmp_path)


def test_root_of_unbc(make_unbc):
    with pytest.raises(DatasetUnavailable, match="looks like the UNBC-McMaster archive: open it as 'unbc'"):
        open_dataset("biovid", make_unbc())


# --- damage


def samples_file(root: Path) -> Path:
    return root / "PartA" / "starting_point" / "samples.csv"


def edit_samples(root: Path, old: str, new: str) -> None:
    text = samples_file(root).read_text()
    assert old in text
    samples_file(root).write_text(text.replace(old, new, 1))


def cut(path: Path, share: float = 0.5) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


DAMAGE = {
    "truncated mp4": (lambda r: cut(file_of(r)), r"BL1-081\.mp4: cannot be opened.*copy it again"),
    "empty mp4": (lambda r: file_of(r).write_bytes(b""), r"BL1-081\.mp4: the file is empty"),
    "unknown class": (
        lambda r: file_of(r).rename(file_of(r, f"{A}/{A}-PA5-081")),
        r"PA5-081\.mp4: expected a name",
    ),
    "other subject": (
        lambda r: file_of(r).rename(file_of(r, f"{A}/{B}-BL1-099")),
        "expected a name such as 071309_w",
    ),
    "two files": (
        lambda r: shutil.copy(file_of(r), file_of(r, suffix=".avi")),
        "there is another file of this name",
    ),
    "class differs": (
        lambda r: edit_samples(r, f"0\tBL1\t1\t{A}-BL1-081", f"3\tPA3\t1\t{A}-BL1-081"),
        r"BL1-081\.mp4: is of subject 071309_w_21, class 0 by its name, but .*samples\.csv says .*class 3",
    ),
    "subject differs": (
        lambda r: edit_samples(r, f"{A}\t0\tBL1\t1\t", f"{B}\t0\tBL1\t1\t"),
        r"says subject 082315_w_60, class 0; copy both again, or remove samples\.csv",
    ),
    "not listed": (
        lambda r: edit_samples(r, f"{A}-BL1-081", f"{A}-BL1-099"),
        r"BL1-081\.mp4: is not listed in",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_an_error_or_an_exclusion(make_biovid, kind):
    damage, message = DAMAGE[kind]
    root = make_biovid()
    damage(root)
    with pytest.raises(DataError, match=message):
        open_dataset("biovid", root)
    data = open_dataset("biovid", root, strict=False)
    assert len(data.records) == (20 if kind == "two files" else 19)
    (row,) = data.excluded
    assert row.what == "video" and row.file.startswith(f"{A}/") and re.search(message, row.reason)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("class_name", "klass", r"samples\.csv: no column class_name \(tab-separated\)"),
        ("\t0\tBL1", "\t4\tBL1", r"samples\.csv: line 2: class_id '4' with class_name 'BL1'"),
    ],
)
def test_malformed_samples_csv(make_biovid, old, new, message):
    root = make_biovid()
    edit_samples(root, old, new)
    with pytest.raises(DataError, match=message):
        open_dataset("biovid", root)
    data = open_dataset("biovid", root, strict=False)
    assert len(data.records) == 20 and [row.what for row in data.excluded] == ["file"]


def test_video_with_fewer_frames_than_it_declares(make_biovid, make_video):
    """A truncated AVI opens and promises all its frames: only decoding tells."""
    root = make_biovid([A], samples=False)
    file_of(root).unlink()
    cut(make_video(file_of(root, suffix=".avi"), n_frames=40, codec="MJPG", noisy=True))
    record = open_dataset("biovid", root).records[0]
    assert (record.video, record.n_frames) == (FIRST, 40)
    with pytest.raises(VideoError, match=r"BL1-081\.avi: \d+ frames decoded, 40 declared"):
        record.frames()
    with pytest.raises(DataError, match="1 of 10 videos are damaged"):
        open_dataset("biovid", root).verify()
    data = open_dataset("biovid", root, strict=False)
    with pytest.warns(VideoWarning):
        assert 0 < len(data.records[0].frames()) < 40
    (row,) = data.verify()
    assert (row.what, row.file) == ("video", FIRST) and "40 declared" in row.reason
    assert data.excluded == [row] and len(data.records) == 9


def test_records_pickle_small(make_biovid):
    record = open_dataset("biovid", make_biovid([A])).records[0]
    data = pickle.dumps(record)
    assert len(data) < 1500 and pickle.loads(data).frames().shape == (6, 3, 24, 32)
