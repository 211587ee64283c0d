"""Manifests: whole videos and parts, every malformed row."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from repro.data import DataError, DatasetUnavailable, VideoWarning, open_dataset

ROWS = [
    "video,subject,label,start,end",
    "clips/a.avi,anna,0,,",
    "clips/b.avi,ben,3,2,5",
    "clips/b.avi,ben,1,5,",
]


@pytest.fixture
def folder(tmp_path, make_video) -> Path:
    for name, n_frames in (("a", 6), ("b", 8)):
        make_video(tmp_path / "my" / "clips" / f"{name}.avi", n_frames, "MJPG")
    (tmp_path / "my" / "list.csv").write_text("\n".join(ROWS) + "\n")
    return tmp_path / "my"


def test_reads_videos_and_parts(folder):
    data = open_dataset("manifest", folder / "list.csv")
    assert (data.name, data.n_levels, data.subjects, data.excluded) == ("manifest", 4, ["anna", "ben"], [])
    assert [r.video for r in data.records] == ["clips/a", "clips/b@2-5", "clips/b@5-8"]
    assert [r.n_frames for r in data.records] == [6, 3, 3]
    assert [r.levels.tolist() for r in data.records] == [[0] * 6, [3] * 3, [1] * 3]
    whole, first, second = (r.frames() for r in data.records)
    assert len(whole) == 6 and whole.dtype == torch.uint8
    # Frame k is grey of 20 k; MJPG is lossy, by less than 3 grey levels on flat frames.
    np.testing.assert_allclose(first.float().mean((1, 2, 3)), [40, 60, 80], atol=3)
    np.testing.assert_allclose(second.float().mean((1, 2, 3)), [100, 120, 140], atol=3)
    assert data.records[0].landmarks() is None
    assert data.verify() == []


def test_start_and_end_are_optional(folder):
    (folder / "list.csv").write_text("subject,video,label,comment\n anna , clips/a.avi , 2 ,x\n")
    (record,) = open_dataset("manifest", folder).records  # a folder with one CSV file will do
    assert (record.subject, record.video, record.levels[0]) == ("anna", "clips/a", 2)


def test_fingerprint_survives_moving_and_follows_labels(folder, tmp_path):
    before = open_dataset("manifest", folder / "list.csv").fingerprint
    moved = Path(shutil.move(folder, tmp_path / "elsewhere"))
    assert open_dataset("manifest", moved / "list.csv").fingerprint == before
    (moved / "list.csv").write_text("\n".join(ROWS).replace("anna,0", "anna,1") + "\n")
    assert open_dataset("manifest", moved / "list.csv").fingerprint != before


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("clips/a.avi,anna,high", "line 5: label 'high' is not a whole number from 0; correct the row"),
        ("clips/a.avi,anna,", "label '' is not a whole number"),
        ("clips/a.avi,anna,-1", "label '-1' is not"),
        ("clips/a.avi,anna,1.5", "label '1.5' is not"),
        ("clips/a.avi,anna,nan", "label 'nan' is not"),
        ("clips/a.avi,anna,inf", "label 'inf' is not"),
        ("clips/a.avi,,1", "line 5: no subject; fill it in"),
        (",anna,1", "line 5: no video"),
        ("clips/a.avi,anna,1,3,2", r"frames 3 to 2 of clips/a\.avi, which has 6"),
        ("clips/a.avi,anna,1,0,7", r"frames 0 to 7 of clips/a\.avi, which has 6"),
        ("clips/a.avi,anna,1,0.5s,", r"start '0\.5s' is not a whole number of frames"),
        ("clips/a.avi,anna,0", "line 5: clips/a is listed before"),
        ("clips/none.avi,anna,0", r"none\.avi: no such file"),
    ],
)
def test_malformed_rows(folder, row, message):
    (folder / "list.csv").write_text("\n".join([*ROWS, row]) + "\n")
    with pytest.raises(DataError, match=message):
        open_dataset("manifest", folder / "list.csv")
    data = open_dataset("manifest", folder / "list.csv", strict=False)
    assert len(data.records) == 3 and len(data.excluded) == 1
    assert data.excluded[0].file == (row.split(",")[0] or "line 5")


def test_parts_of_a_truncated_video(folder, make_video):
    path = make_video(folder / "clips/b.avi", 40, "MJPG", noisy=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    rows = [f"clips/b.avi,ben,0,{start},{end}" for start, end in ((0, 5), (5, 38), (38, ""))]
    (folder / "list.csv").write_text("\n".join([ROWS[0], *rows]))
    with pytest.raises(DataError, match=r"b\.avi: \d+ frames decoded, 40 declared"):
        open_dataset("manifest", folder / "list.csv").records[0].frames()
    data = open_dataset("manifest", folder / "list.csv", strict=False)
    with pytest.warns(VideoWarning):
        assert len(data.records[0].frames()) == 5
    with pytest.warns(VideoWarning):
        assert 0 < len(data.records[1].frames()) < 33
    with pytest.warns(VideoWarning), pytest.raises(DataError, match=r"ends at frame \d+, before frame 38"):
        data.records[2].frames()
    assert [row.file for row in data.verify()] == ["clips/b@5-38", "clips/b@38-40"]
    assert [record.video for record in data.records] == ["clips/b@0-5"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda f: f / "none.csv",
            r"expected a CSV file with columns video,subject,label.*none\.csv does not exist",
        ),
        (lambda f: f / "clips", "clips is a folder with 0 CSV files"),
        (lambda f: (f / "list.csv").write_text("") and None or f / "list.csv", "found none"),
        (
            lambda f: (f / "list.csv").write_text("video,label\n") and f / "list.csv",
            "Add subject to its first line",
        ),
        (lambda f: (f / "list.csv").write_text(ROWS[0]) and f / "list.csv", "lists no video"),
        (
            lambda f: (f / "list.csv").write_bytes(b"\xff\xfe\x00") and f / "list.csv",
            "is not a readable CSV file",
        ),
    ],
    ids=["missing", "folder", "empty", "columns", "no rows", "binary"],
)
def test_unusable_files(folder, make, message):
    with pytest.raises(DatasetUnavailable, match=message):
        open_dataset("manifest", make(folder))


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "bom"])
def test_quirks_of_spreadsheets(folder, mark):
    """A byte order mark, blanks, quotation marks around commas, carriage returns, numbers written as floats."""
    text = f'{mark}video, subject ,label,start,end\r\n"clips/a.avi","Meier, Anna",2.0, 1.0 ,4\r\n\r\n'
    (folder / "list.csv").write_text(text, encoding="utf-8", newline="")
    (record,) = open_dataset("manifest", folder / "list.csv").records
    assert (record.subject, record.video, record.levels.tolist()) == ("Meier, Anna", "clips/a@1-4", [2, 2, 2])


def test_paths_are_relative_to_the_manifest(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert len(open_dataset("manifest", "my/list.csv").records[0].frames()) == 6
    for path in ("../my/clips/a.avi", str(folder / "clips/a.avi")):
        (folder / "list.csv").write_text(f"video,subject,label\n{path},anna,0\n")
        with pytest.raises(DataError, match="leads out of the manifest's folder"):
            open_dataset("manifest", "my/list.csv")
