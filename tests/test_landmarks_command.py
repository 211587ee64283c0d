"""``python -m repro.landmarks``: a CSV file in OpenFace's layout for every video."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from repro import landmarks as command
from repro.data import landmark_detection, open_dataset
from repro.data.landmark_detection import Face, available
from repro.data.openface import read_openface

SHARE = np.stack([np.linspace(0.1, 0.9, 68), np.linspace(0.2, 0.7, 68)], axis=1)
"""Where the 68 points of a drawn face are in its square."""


def write_video(path, frames=12, hidden=(4, 5)):
    """Write a video of a white square of 16 pixels that moves by 2 pixels a frame and is hidden in some."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 48))
    assert writer.isOpened()
    for t in range(frames):
        picture = np.full((48, 64, 3), 20, np.uint8)
        if t not in hidden:
            picture[16:32, 8 + 2 * t : 24 + 2 * t] = 230
        writer.write(picture)
    writer.release()
    return path


def find_squares(picture):
    """Find the white square, as a detector would a face."""
    rows, columns = np.nonzero(picture > 128)
    if not len(rows):
        return []
    left, top, side = float(columns.min()), float(rows.min()), float(np.ptp(columns) + 1)
    return [Face((left, top, side), 1.0, SHARE * side + (left, top))]


@pytest.fixture
def detector(tmp_path, monkeypatch):
    """Put a detector of squares in the place of dlib's; return the file that stands for its model."""
    model = tmp_path / "model.dat"
    model.write_bytes(b"squares")
    monkeypatch.setattr(landmark_detection, "dlib_finder", lambda: find_squares)
    monkeypatch.setattr("repro.data.landmark_files.require_detector", lambda: ("squares 1.0", model))
    return model


def run(*arguments):
    return command.main([*map(str, arguments), "--jobs", "1", "--quiet"])


def test_a_video_gets_a_file_that_the_reader_takes(detector, tmp_path, capsys):
    video, folder = write_video(tmp_path / "clip.mp4"), tmp_path / "new" / "out"
    assert run(video, "-o", folder) == 0
    found = read_openface(folder / "clip.csv", n_frames=12)
    assert np.flatnonzero(~found.success).tolist() == [4, 5]
    assert np.isnan(found.landmarks[4:6]).all()
    lefts = 8 + 2 * np.delete(np.arange(12), [4, 5])
    expected = SHARE * 16 + np.stack([lefts, np.full(10, 16)], axis=1)[:, None]
    # The square's edges are a pixel off at most, by compression.
    np.testing.assert_allclose(found.landmarks[found.success], expected, atol=2)
    assert capsys.readouterr().out == f"1 files, 1 of them new; a face in 10 of 12 frames -> {folder}\n"
    record = json.loads((folder / "landmarks.json").read_text())
    assert record["program"] == "squares 1.0" and record["model"] == "model.dat" and "300-W" in record["licence"]
    assert sorted(file.name for file in folder.iterdir()) == ["clip.csv", "landmarks.json"]


def test_files_that_are_there_are_kept(detector, tmp_path, capsys):
    videos = [write_video(tmp_path / name) for name in ("a.mp4", "b.mp4")]
    folder = tmp_path / "out"
    assert run(*videos, "-o", folder) == 0
    (folder / "b.csv").unlink()
    before = (folder / "a.csv").stat().st_mtime_ns
    capsys.readouterr()
    assert run(*videos, videos[0], "-o", folder) == 0
    assert (folder / "a.csv").stat().st_mtime_ns == before and (folder / "b.csv").is_file()
    assert capsys.readouterr().out.startswith("2 files, 1 of them new; a face in 20 of 24 frames")


def test_files_of_another_detector_are_not_mixed_in(detector, tmp_path, capsys):
    video, folder = write_video(tmp_path / "clip.mp4"), tmp_path / "out"
    assert run(video, "-o", folder) == 0
    detector.write_bytes(b"other squares")
    assert run(video, "-o", folder) == 2
    assert "another folder" in capsys.readouterr().err
    (folder / "landmarks.json").unlink()
    assert run(video, "-o", folder) == 2
    assert "clip.csv: was not written by this command" in capsys.readouterr().err


def test_biovid_has_landmarks_afterwards(detector, tmp_path):
    root = tmp_path / "biovid"
    names = ["071309_w_21-BL1-081", "071309_w_21-PA4-002", "082315_w_60-PA1-001"]
    for name in names:
        write_video(root / "PartA/video" / name.split("-")[0] / f"{name}.mp4")
    assert open_dataset("biovid", root).records[0].landmarks() is None
    assert run("--biovid", root, "-o", root / "OpenFace") == 0
    assert {file.stem for file in (root / "OpenFace").glob("*.csv")} == set(names)
    data = open_dataset("biovid", root)
    assert len(data.records) == 3 and not data.notes
    for record in data.records:
        assert np.isfinite(record.landmarks()).all(axis=(1, 2)).sum() == 10
    elsewhere = tmp_path / "elsewhere"
    assert run("--biovid", root / "PartA", "-o", elsewhere) == 0
    shutil.rmtree(root / "OpenFace")
    assert open_dataset("biovid", root, openface=elsewhere).records[0].landmarks().shape == (12, 68, 2)


def test_a_damaged_video_fails_and_the_others_are_written(detector, tmp_path, capsys):
    good, bad = write_video(tmp_path / "good.mp4"), tmp_path / "bad.mp4"
    bad.write_bytes(good.read_bytes()[:200])
    assert run(good, bad, "-o", tmp_path / "out") == 1
    told = capsys.readouterr()
    assert "bad.mp4" in told.err and "1 of 2 videos have no file" in told.err
    assert told.out.startswith("1 files, 1 of them new")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["good.csv", "landmarks.json"]


def test_videos_with_few_faces_are_named(detector, tmp_path, capsys):
    write_video(tmp_path / "hidden.mp4", hidden=range(1, 12))
    assert run(tmp_path / "hidden.mp4", "-o", tmp_path / "out") == 0
    assert "hidden: a face in 1 of 12 frames" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "either a VIDEO"),
        (("a.mp4", "--biovid", "."), "either a VIDEO"),
        (("one/a.mp4", "two/A.avi"), "would share a CSV file"),
        (("--biovid", "empty"), "no videos such as PartA/video"),
    ],
)
def test_what_cannot_be_meant_is_refused(detector, tmp_path, monkeypatch, capsys, arguments, told):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments, "-o", "out") == 2
    assert told in capsys.readouterr().err and not Path("out").exists()


def test_an_interrupted_run_says_so(detector, tmp_path, monkeypatch, capsys):
    def interrupt(picture):
        raise KeyboardInterrupt

    monkeypatch.setattr(landmark_detection, "dlib_finder", lambda: interrupt)
    assert run(write_video(tmp_path / "clip.mp4"), "-o", tmp_path / "out") == 130
    assert "interrupted" in capsys.readouterr().err and not list((tmp_path / "out").glob("*.csv"))


def test_without_the_extra_nothing_is_begun(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(landmark_detection.importlib.util, "find_spec", lambda name: None)
    assert run(write_video(tmp_path / "clip.mp4"), "-o", tmp_path / "out") == 2
    assert "pip install 'repro-ssd[landmarks]'" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.skipif(not available(), reason="needs the extra 'landmarks'")
@pytest.mark.slow  # starting two worker processes
def test_processes_change_nothing(tmp_path):
    videos = [write_video(tmp_path / name) for name in ("a.mp4", "b.mp4")]
    arguments = [*map(str, videos), "--quiet", "-o"]
    assert command.main([*arguments, str(tmp_path / "one"), "--jobs", "1"]) == 0
    assert command.main([*arguments, str(tmp_path / "two"), "--jobs", "2"]) == 0
    for file in (tmp_path / "one").iterdir():
        assert (tmp_path / "two" / file.name).read_bytes() == file.read_bytes()
