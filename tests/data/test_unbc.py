"""The UNBC reader: what it reads, every quirk that the archive is met with, every damage."""

from __future__ import annotations

import pickle
import re
import shutil
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from repro.data import DataError, DatasetUnavailable, VideoWarning, open_dataset
from repro.data.unbc_labels import pspi

FIRST = "042-ll042/ll042t1aaaff"
LEVELS = [0, 1, 5, 12, 16]


def test_reads_what_is_there(make_unbc):
    root = make_unbc()
    data = open_dataset("unbc", root)
    assert (data.name, data.n_levels, data.simulated) == ("unbc", 17, False)
    assert data.subjects == ["042-ll042", "043-jh043", "123-jh123"]
    assert [record.video for record in data.records] == [
        FIRST,
        "042-ll042/ll042t2aeaff",
        "043-jh043/jh043t1aaaff",
        "123-jh123/jh123t1aaaff",
    ]
    assert data.excluded == [] and data.notes == []
    record = data.records[0]
    assert (record.subject, record.n_frames, record.fps) == ("042-ll042", 5, None)
    assert record.levels.dtype == np.int64 and record.levels.tolist() == LEVELS
    assert record.ratings == {"AFF": 7.0, "OPR": 2.0, "SEN": 6.0, "VAS": 4.0}


def test_frames_are_rgb_in_order(make_unbc):
    frames = open_dataset("unbc", make_unbc()).records[0].frames()
    assert frames.shape == (5, 3, 24, 32) and frames.dtype == torch.uint8
    assert frames[:, 1, 5, 5].tolist() == [10, 11, 12, 13, 14]
    assert frames[2, :, 0, 0].tolist() == [255, 0, 0]


def test_grey_images_become_rgb(make_unbc):
    root = make_unbc()
    for path in (root / "Images" / FIRST).glob("*.png"):
        cv2.imwrite(str(path), np.full((24, 32), 77, np.uint8))
    assert (open_dataset("unbc", root).records[0].frames() == 77).all()


def test_landmarks_are_nan_where_the_file_is_empty_or_missing(make_unbc):
    root = make_unbc()
    folder = root / "AAM_landmarks" / FIRST
    (folder / "ll042t1aaaff002_aam.txt").write_text("")
    (folder / "ll042t1aaaff004_aam.txt").unlink()
    points = open_dataset("unbc", root).records[0].landmarks()
    assert points.shape == (5, 66, 2) and points.dtype == np.float32
    assert np.isnan(points[[1, 3]]).all() and np.isfinite(points[[0, 2, 4]]).all()
    np.testing.assert_array_equal(points[2, 8], [8 * 0.25 + 2, 8 * 0.125 + 0.5])


def test_optional_folders_may_be_absent(make_unbc):
    root = make_unbc()
    for name in ("AAM_landmarks", "Sequence_Labels", "Frame_Labels/FACS"):
        shutil.rmtree(root / name)
    record = open_dataset("unbc", root).records[0]
    assert record.landmarks() is None and record.ratings == {}
    assert record.levels.tolist() == LEVELS


# --- quirks


def test_doubled_nesting_is_the_same_dataset(make_unbc):
    plain, nested = (
        open_dataset("unbc", make_unbc()),
        open_dataset("unbc", make_unbc(name="nested", nested=True)),
    )
    assert nested.fingerprint == plain.fingerprint
    assert nested.records[0].ratings == plain.records[0].ratings
    torch.testing.assert_close(nested.records[0].frames(), plain.records[0].frames(), rtol=0, atol=0)


def test_frame_labels_inside_sequence_labels(make_unbc):
    root = make_unbc()
    (root / "Frame_Labels").rename(root / "Sequence_Labels" / "Frame_Labels")
    assert open_dataset("unbc", root).records[0].levels.tolist() == LEVELS


@pytest.mark.parametrize("name", ["2-ll042", "ll042"])
def test_sequence_labels_under_shortened_subjects(make_unbc, name):
    root = make_unbc()
    for rating in ("AFF", "OPR", "SEN", "VAS"):
        (root / "Sequence_Labels" / rating / "042-ll042").rename(root / "Sequence_Labels" / rating / name)
    assert open_dataset("unbc", root).records[0].ratings["VAS"] == 4.0


def test_stray_files_do_not_matter(make_unbc):
    root = make_unbc()
    before = open_dataset("unbc", root).fingerprint
    for folder in ("", "Images", f"Images/{FIRST}", "Images/042-ll042", f"Frame_Labels/PSPI/{FIRST}"):
        for name in (".DS_Store", "Thumbs.db", "._ll042t1aaaff001.png", "._ll042t1aaaff001_facs.txt"):
            (root / folder / name).write_bytes(b"\0")
    (root / "Images" / "__MACOSX").mkdir()
    after = open_dataset("unbc", root)
    assert after.fingerprint == before and len(after.records) == 4


@pytest.mark.parametrize("folder", ["Images", "AAM_landmarks", "Frame_Labels", "Frame_Labels/PSPI", "Sequence_Labels"])
def test_each_folder_may_be_nested_alone(make_unbc, folder):
    root = make_unbc()
    before = open_dataset("unbc", root)
    (root / folder).rename(root / "moved")
    (root / folder).mkdir()
    (root / "moved").rename(root / folder / Path(folder).name)
    after = open_dataset("unbc", root)
    assert after.fingerprint == before.fingerprint
    assert after.records[0].ratings == before.records[0].ratings and after.records[0].landmarks() is not None


@pytest.mark.parametrize("name", ["ll042t1aaaff", "ll042t2abunaff", "ll042t12azaff", "ll042t1ajjaff", "ll042rest"])
def test_movement_letters_are_free(make_unbc, name):
    (record,) = open_dataset("unbc", make_unbc({f"042-ll042/{name}": [0, 2, 0]})).records
    assert record.video == f"042-ll042/{name}" and record.levels.tolist() == [0, 2, 0] and len(record.frames()) == 3


def test_empty_facs_files_mean_that_nothing_is_coded(make_unbc):
    root = make_unbc({FIRST: [0, 4, 0]})
    assert (root / "Frame_Labels/FACS" / FIRST / "ll042t1aaaff001_facs.txt").read_bytes() == b""
    assert open_dataset("unbc", root).notes == []
    (root / "Frame_Labels/FACS" / FIRST / "ll042t1aaaff002_facs.txt").write_bytes(b"")
    assert "ll042t1aaaff002_facs.txt 4 against 0" in open_dataset("unbc", root).notes[0].reason


@pytest.mark.parametrize(("closed", "level"), [(0, 0), (1, 1)])
def test_closed_eyes_are_0_or_1(make_unbc, closed, level):
    root = make_unbc({FIRST: [level]})
    (root / "Frame_Labels/FACS" / FIRST / "ll042t1aaaff001_facs.txt").write_text(f"  43.0 {closed}.0 0.0 0.0\n")
    assert open_dataset("unbc", root).notes == []


def test_sequences_may_differ_in_size(make_unbc):
    root = make_unbc()
    for path in (root / "Images/042-ll042/ll042t2aeaff").glob("*.png"):
        cv2.imwrite(str(path), np.full((20, 26), 77, np.uint8))
    first, second, *_ = open_dataset("unbc", root).records
    assert first.frames().shape[2:] == (24, 32) and second.frames().shape[2:] == (20, 26)


@pytest.mark.parametrize(
    ("rating", "value"), [("VAS", "10.1"), ("OPR", "6"), ("AFF", "15.5"), ("SEN", "-1"), ("VAS", "nan")]
)
def test_ratings_out_of_range(make_unbc, rating, value):
    root = make_unbc()
    (root / "Sequence_Labels" / rating / "042-ll042/ll042t1aaaff.txt").write_text(value)
    with pytest.raises(DataError, match=rf"{rating}/042-ll042/ll042t1aaaff\.txt: .*copy the labels again"):
        open_dataset("unbc", root)
    (row,) = open_dataset("unbc", root, strict=False).excluded
    assert row.file == FIRST


def test_subject_without_pain_is_kept_and_has_no_metric(make_unbc):
    data = open_dataset("unbc", make_unbc({FIRST: LEVELS, "101-mg101/mg101t1aaaff": [0, 0, 0]}))
    assert data.subjects == ["042-ll042", "101-mg101"] and data.notes == []
    ((what, file, reason),) = data.excluded
    assert (what, file) == ("metric", "101-mg101") and "PSPI is 0 in every frame" in reason


def test_black_frames_are_kept_and_noted(make_unbc):
    root = make_unbc({"095-tv095/tv095t1afaff": [1, 1, 1, 1, 1, 1]})
    folder = root / "Images" / "095-tv095" / "tv095t1afaff"
    random = np.random.default_rng(0)
    for index, path in enumerate(sorted(folder.glob("*.png"))):
        cv2.imwrite(str(path), random.integers(0, 256, (24, 32, 3)).astype(np.uint8) * (index not in (2, 3)))
    data = open_dataset("unbc", root)
    assert data.records[0].n_frames == 6 and data.excluded == []
    assert [(n.what, n.file) for n in data.notes] == [("frame", "095-tv095/tv095t1afaff")]
    assert "2 black frames are kept: tv095t1afaff003.png, tv095t1afaff004.png" in data.notes[0].reason


def test_facs_ids_below_one_are_skipped_and_blank_lines_too(make_unbc):
    root = make_unbc()
    path = root / "Frame_Labels" / "FACS" / FIRST / "ll042t1aaaff001_facs.txt"
    path.write_text("  -1.0 3.0 0.0 0.0\n\n   0.0 2.0 0.0 0.0\n 25.0 3.0 0 0\n")
    assert open_dataset("unbc", root).notes == []


def test_contradiction_of_pspi_and_action_units_is_noted(make_unbc):
    root = make_unbc()
    path = root / "Frame_Labels" / "FACS" / FIRST / "ll042t1aaaff003_facs.txt"
    path.write_text("4.0 2.0 0.0 0.0\n6.0 3.0 0.0 0.0\n7.0 1.0 0.0 0.0\n43.0 1.0 0.0 0.0\n")
    data = open_dataset("unbc", root)
    assert data.records[0].levels.tolist() == LEVELS
    assert [note.file for note in data.notes] == [FIRST]
    assert "ll042t1aaaff003_facs.txt 5 against 6" in data.notes[0].reason


@pytest.mark.parametrize(
    ("units", "value"),
    [
        ({}, 0),
        ({4: 3}, 3),
        ({6: 2, 7: 4}, 4),
        ({9: 5, 10: 1}, 5),
        ({43: 1}, 1),
        ({12: 5, 25: 3, 45: 1}, 0),
        ({4: 5, 6: 5, 7: 5, 9: 5, 10: 5, 43: 1}, 16),
    ],
)
def test_pspi_formula(units, value):
    assert pspi(units) == value


# --- fingerprint


def test_fingerprint_survives_moving(make_unbc, tmp_path):
    root = make_unbc()
    before = open_dataset("unbc", root).fingerprint
    assert len(before) == 64
    moved = shutil.move(root, tmp_path / "elsewhere")
    assert open_dataset("unbc", moved).fingerprint == before
    shutil.copytree(moved, tmp_path / "copy")
    assert open_dataset("unbc", tmp_path / "copy").fingerprint == before


@pytest.mark.parametrize(
    "file",
    [
        f"Frame_Labels/PSPI/{FIRST}/ll042t1aaaff001_facs.txt",
        f"AAM_landmarks/{FIRST}/ll042t1aaaff001_aam.txt",
        "Sequence_Labels/VAS/042-ll042/ll042t1aaaff.txt",
    ],
)
def test_fingerprint_follows_labels(make_unbc, file):
    root = make_unbc()
    before = open_dataset("unbc", root).fingerprint
    text = (root / file).read_text()
    edited = text.replace(text.strip()[0], "1", 1)
    assert len(edited) == len(text) and edited != text
    (root / file).write_text(edited)
    assert open_dataset("unbc", root).fingerprint != before


def test_fingerprint_follows_which_sequences_there_are(make_unbc):
    root = make_unbc()
    before = open_dataset("unbc", root).fingerprint
    shutil.rmtree(root / "Images" / "043-jh043")
    assert open_dataset("unbc", root).fingerprint != before


# --- roots that are none


def test_missing_root(tmp_path):
    with pytest.raises(DatasetUnavailable, match="expected the root of the UNBC.*does not exist.*agreement"):
        open_dataset("unbc", tmp_path / "none")


def test_empty_root(tmp_path):
    with pytest.raises(DatasetUnavailable, match="is empty"):
        open_dataset("unbc", tmp_path)


def test_root_is_a_file(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(DatasetUnavailable, match="x is a file"):
        open_dataset("unbc", tmp_path / "x")


def test_root_of_biovid(make_biovid):
    root = make_biovid(subjects=["071309_w_21"])
    for given in (root, root / "PartA"):
        with pytest.raises(DatasetUnavailable, match="looks like BioVid Heat Pain, Part A: open it as 'biovid'"):
            open_dataset("unbc", given)


def test_other_root_tells_what_was_found(tmp_path):
    for name in "abcdefghi":
        (tmp_path / name).mkdir()
    with pytest.raises(DatasetUnavailable, match="holds a, b, c, d, e, f and 3 more"):
        open_dataset("unbc", tmp_path)


def test_images_without_labels(make_unbc):
    root = make_unbc()
    shutil.rmtree(root / "Frame_Labels")
    with pytest.raises(DatasetUnavailable, match="Frame_Labels/PSPI"):
        open_dataset("unbc", root)


def test_folders_without_sequences(tmp_path):
    (tmp_path / "Images").mkdir()
    (tmp_path / "Frame_Labels" / "PSPI").mkdir(parents=True)
    with pytest.raises(DatasetUnavailable):
        open_dataset("unbc", tmp_path, strict=False)


# --- damage


def truncate(path: Path, share: float = 0.5) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def pspi_file(root: Path, number: int = 2) -> Path:
    return root / "Frame_Labels" / "PSPI" / FIRST / f"ll042t1aaaff{number:03d}_facs.txt"


def image_file(root: Path, number: int = 2) -> Path:
    return root / "Images" / FIRST / f"ll042t1aaaff{number:03d}.png"


DAMAGE = {
    "pspi no number": (
        lambda r: pspi_file(r).write_text("pain\n"),
        r"ll042t1aaaff002_facs\.txt.*'pain.*copy the lab",
    ),
    "pspi empty": (lambda r: pspi_file(r).write_text(""), r"ll042t1aaaff002_facs\.txt: expected one number"),
    "pspi nan": (
        lambda r: pspi_file(r).write_text("nan"),
        r"002_facs\.txt: expected one number, found b'nan'",
    ),
    "pspi above": (
        lambda r: pspi_file(r).write_text("17"),
        r"002_facs\.txt: PSPI 17 is not a whole number in 0\.\.16",
    ),
    "pspi below": (lambda r: pspi_file(r).write_text("-1"), r"002_facs\.txt: PSPI -1 is not"),
    "pspi half": (lambda r: pspi_file(r).write_text("2.5"), r"002_facs\.txt: PSPI 2\.5 is not"),
    "pspi missing": (lambda r: pspi_file(r).unlink(), r"no PSPI for 1 of 5 frames \(ll042t1aaaff002_facs"),
    "pspi folder missing": (lambda r: shutil.rmtree(pspi_file(r).parent), "no PSPI for 5 of 5 frames"),
    "first frame missing": (
        lambda r: image_file(r, 1).unlink(),
        r"PSPI for 1 frames that Images does not have",
    ),
    "last frame missing": (
        lambda r: image_file(r, 5).unlink(),
        r"PSPI for 1 frames that Images does not have",
    ),
    "frame missing": (
        lambda r: image_file(r, 3).unlink(),
        r"frames between ll042t1aaaff002\.png and ll042t1aaaff004",
    ),
    "no frames": (
        lambda r: [p.unlink() for p in image_file(r).parent.iterdir()],
        "no frames; copy the folder again",
    ),
    "foreign frame": (
        lambda r: image_file(r, 5).rename(image_file(r).parent / "x5.png"),
        r"x5\.png: expected a name",
    ),
    "png truncated": (lambda r: truncate(image_file(r)), r"ll042t1aaaff002\.png: is not a whole PNG image"),
    "png empty": (
        lambda r: image_file(r).write_bytes(b""),
        r"ll042t1aaaff002\.png: is not a whole PNG image",
    ),
    "png text": (
        lambda r: image_file(r).write_text("x" * 99),
        r"ll042t1aaaff002\.png: is not a whole PNG image",
    ),
    "png of other size": (
        lambda r: cv2.imwrite(str(image_file(r)), np.zeros((8, 8, 3), np.uint8)),
        r"ll042t1aaaff002\.png: is 8 x 8, the frames before it 32 x 24",
    ),
    "facs": (
        lambda r: (r / "Frame_Labels/FACS" / FIRST / "ll042t1aaaff002_facs.txt").write_text("AU four"),
        r"ll042t1aaaff002_facs\.txt: expected rows of action unit and intensity, found b'AU four'",
    ),
    "landmarks short": (
        lambda r: (r / "AAM_landmarks" / FIRST / "ll042t1aaaff002_aam.txt").write_text("1 2\n3 4\n"),
        r"ll042t1aaaff002_aam\.txt: expected 66 rows of x and y, found 4 values",
    ),
    "landmarks text": (
        lambda r: (r / "AAM_landmarks" / FIRST / "ll042t1aaaff002_aam.txt").write_text("a b\n" * 66),
        r"ll042t1aaaff002_aam\.txt: expected 66 rows",
    ),
    "rating": (
        lambda r: (r / "Sequence_Labels/VAS/042-ll042/ll042t1aaaff.txt").write_text("much"),
        r"VAS/042-ll042/ll042t1aaaff\.txt: expected one number, found b'much'",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_an_error_or_an_exclusion(make_unbc, kind):
    damage, message = DAMAGE[kind]
    root = make_unbc()
    damage(root)
    with pytest.raises(DataError, match=message):
        open_dataset("unbc", root)
    data = open_dataset("unbc", root, strict=False)
    assert [record.video for record in data.records][0] == "042-ll042/ll042t2aeaff" and len(data.records) == 3
    (row,) = data.excluded
    assert (row.what, row.file) == ("sequence", FIRST)
    assert re.search(message, row.reason)


def corrupt_pixels(path: Path) -> None:
    """Damage the inside of a PNG: both ends stay sound, so that only decoding can find it."""
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 12] ^= 0xFF
    path.write_bytes(bytes(data))


def test_png_damaged_inside_is_found_when_decoding(make_unbc):
    root = make_unbc()
    corrupt_pixels(image_file(root, 4))
    record = open_dataset("unbc", root).records[0]
    with pytest.raises(DataError, match=r"ll042t1aaaff004\.png: frame is missing, damaged.*copy it again"):
        record.frames()
    lenient = open_dataset("unbc", root, strict=False).records[0]
    with pytest.warns(VideoWarning, match=r"ll042t1aaaff004\.png.*3 of 5 frames are returned"):
        frames = lenient.frames()
    assert frames[:, 0, 5, 5].tolist() == [10, 11, 12]


def test_frame_removed_after_opening(make_unbc):
    root = make_unbc()
    record = open_dataset("unbc", root).records[0]
    image_file(root, 1).unlink()
    with pytest.raises(DataError, match=r"ll042t1aaaff001\.png: frame is missing"):
        record.frames()


def test_verify_leaves_out_what_cannot_be_decoded(make_unbc):
    root = make_unbc()
    sound = open_dataset("unbc", root)
    assert sound.verify() == [] and len(sound.records) == 4
    corrupt_pixels(image_file(root, 4))
    data = open_dataset("unbc", root, strict=False)
    assert data.fingerprint == sound.fingerprint  # sizes and labels are the same: only decoding tells
    steps: list[tuple[int, int]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (row,) = data.verify(lambda done, total: steps.append((done, total)))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (row.what, row.file) == ("video", FIRST) and "3 frames decoded, 5 declared" in row.reason
    assert data.excluded == [row] and len(data.records) == 3
    assert data.fingerprint != sound.fingerprint
    strict = open_dataset("unbc", root)
    with pytest.raises(DataError, match=rf"1 of 4 videos are damaged(.|\n)*{FIRST}: .*ll042t1aaaff004\.png"):
        strict.verify()
    assert len(strict.records) == 4


def test_records_pickle_small_and_work_elsewhere(make_unbc):
    record = open_dataset("unbc", make_unbc()).records[0]
    data = pickle.dumps(record)
    assert len(data) < 2000
    copy = pickle.loads(data)
    assert copy == record and copy.levels.tolist() == LEVELS
    torch.testing.assert_close(copy.frames(), record.frames(), rtol=0, atol=0)


def test_simulated_data_are_told(make_unbc):
    root = make_unbc()
    (root / "SIMULATED.json").write_text("{}")
    data = open_dataset("unbc", root)
    assert data.simulated and "simulated" in repr(data)
    (root / "SIMULATED.json").write_text('{"complete": true}')
    assert open_dataset("unbc", root).simulated
    (root / "SIMULATED.json").write_text('{"complete": false}')
    with pytest.raises(DatasetUnavailable, match="was interrupted. Simulate again"):
        open_dataset("unbc", root)
