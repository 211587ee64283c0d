"""OpenFace's CSV files: values, blanks in names, several faces, frames that are missing, every damage."""

from __future__ import annotations

import numpy as np
import pytest

from repro.data import DataError
from repro.data.openface import read_openface


@pytest.mark.parametrize("blank", [" ", ""], ids=["leading blanks", "no blanks"])
def test_values(tmp_path, make_openface, blank):
    face = read_openface(make_openface(tmp_path / "a.csv", blank=blank))
    assert face.landmarks.shape == (6, 68, 2) and face.landmarks.dtype == np.float32
    np.testing.assert_array_equal(face.landmarks[1, 30], [31, 60])
    assert face.pose.shape == (6, 6)
    np.testing.assert_array_equal(face.pose[0], [1, 2, 3, 4, 5, 6])
    assert sorted(face.intensities) == sorted(face.presences) == [4, 45]
    np.testing.assert_allclose(face.intensities[4][[0, 1, 3]], 1.5)
    np.testing.assert_array_equal(face.presences[45][[0, 1, 3]], 0)
    np.testing.assert_array_equal(face.success, [True, True, False, True, True, True])
    np.testing.assert_allclose(face.confidence, [0.98, 0.98, 0, 0.98, 0.98, 0.98])


def test_a_failed_frame_is_nan_everywhere(tmp_path, make_openface):
    face = read_openface(make_openface(tmp_path / "a.csv"))
    for values in (face.landmarks, face.pose, face.intensities[4], face.presences[4]):
        assert np.isnan(values[2]).all() and np.isfinite(values[[0, 1, 3, 4, 5]]).all()


def test_frames_without_a_row(tmp_path, make_openface):
    path = make_openface(tmp_path / "a.csv")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:2] + lines[5:]))
    face = read_openface(path, n_frames=8)
    assert np.isfinite(face.landmarks).all(axis=(1, 2)).tolist() == [
        True,
        *[False] * 3,
        True,
        True,
        False,
        False,
    ]
    assert len(read_openface(path).landmarks) == 6


def test_of_several_faces_the_surest_counts(tmp_path, make_openface):
    path = make_openface(tmp_path / "a.csv")
    header, *rows = path.read_text().splitlines()
    better, worse = rows[4].split(", "), rows[5].split(", ")
    better[0] = worse[0] = "1"
    better[1], worse[1] = "1", "2"
    better[3], worse[3] = "0.99", "0.5"
    path.write_text("\n".join([header, ", ".join(better), rows[0], ", ".join(worse), *rows[1:]]))
    face = read_openface(path)
    np.testing.assert_array_equal(face.landmarks[0, 0], [4, 0])
    np.testing.assert_allclose(face.confidence[0], 0.99)


def test_units_are_optional_and_closed_eyes_are_45(tmp_path, make_openface):
    path = make_openface(tmp_path / "a.csv")
    assert 43 not in read_openface(path).intensities
    for kind in ("AU04", "AU45"):
        path.write_text(path.read_text().replace(kind, "other" + kind))
    face = read_openface(path)
    assert face.intensities == {} and face.presences == {} and np.isfinite(face.landmarks[0]).all()


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([1, 2, 4, 3, 5, 6], r"frame 3 comes after frame 4; .*run OpenFace"),
        ([1, 2, 3, 3, 5, 6], "face 0 is in frame 3 more than once"),
    ],
)
def test_frames_that_go_back_or_repeat(tmp_path, make_openface, frames, message):
    path = make_openface(tmp_path / "a.csv")
    header, *rows = path.read_text().splitlines()
    rows = [f"{number}, {row.partition(', ')[2]}" for number, row in zip(frames, rows, strict=True)]
    path.write_text("\n".join([header, *rows]))
    with pytest.raises(DataError, match=rf"a\.csv: {message}"):
        read_openface(path, n_frames=6)


def test_without_pose(tmp_path, make_openface):
    path = make_openface(tmp_path / "a.csv")
    path.write_text(path.read_text().replace("pose_Tx", "other"))
    assert read_openface(path).pose is None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: "", "no rows"),
        (lambda text: text.splitlines()[0], "no rows"),
        (
            lambda text: text[: int(len(text) * 0.7)].rpartition(",")[0],
            r"values in row 5, 152 columns.*truncated",
        ),
        (lambda text: text.replace("x_7,", "z_7,"), "no column x_7; run OpenFace's FeatureExtraction"),
        (lambda text: text.replace("0.98", "high", 1), "could not convert string.*high"),
        (lambda text: text.replace("\n2, ", "\n99, "), r"frame numbers 1\.\.99 are not in 1\.\.6"),
        (lambda text: text.replace("\n2, ", "\n0, "), r"frame numbers 0\.\.6 are not in"),
        (lambda text: text.replace("\n2, ", "\nnan, "), "frame numbers"),
    ],
    ids=["empty", "header only", "truncated", "column", "text", "beyond", "zero", "nan"],
)
def test_damage(tmp_path, make_openface, damage, message):
    path = make_openface(tmp_path / "a.csv")
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataError, match=rf"a\.csv: .*{message}"):
        read_openface(path, n_frames=6)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"b\.csv: cannot be read"):
        read_openface(tmp_path / "b.csv")
