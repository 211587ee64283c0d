"""The VGGFace2 reader: stills, boxes with negative coordinates, damage."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from repro.data import DataError, DatasetUnavailable, VideoWarning, open_dataset
from repro.data.schema import UNLABELLED

BOXES = {
    "train": {
        "n000002/0001_01": (4, 2, 10, 20),
        "n000002/0002_01": (-5, -3, 15, 13),
        "n000003/0001_02": (20, 20, 99, 99),
    },
    "test": {"n000001/0001_01": (0, 0, 8, 8)},
}


@pytest.fixture
def root(tmp_path) -> Path:
    root = tmp_path / "vggface2"
    (root / "bb_landmark").mkdir(parents=True)
    for split, boxes in BOXES.items():
        rows = ["NAME_ID,X,Y,W,H"] + [f'"{name}",{x},{y},{w},{h}' for name, (x, y, w, h) in boxes.items()]
        (root / "bb_landmark" / f"loose_bb_{split}.csv").write_text("\n".join(rows) + "\n")
        for index, name in enumerate(boxes):
            path = root / split / f"{name}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((40, 30 + index, 3), (0, 0, 200), np.uint8))
    return root


def test_identities(root):
    data = open_dataset("vggface2", root)
    assert (data.name, data.n_levels, data.excluded, data.notes) == ("vggface2", 0, [], [])
    assert [(r.subject, r.video, r.n_frames) for r in data.records] == [
        ("n000002", "train/n000002", 2),
        ("n000003", "train/n000003", 1),
        ("n000001", "test/n000001", 1),
    ]
    assert data.records[0].levels.tolist() == [UNLABELLED] * 2
    assert [r.subject for r in open_dataset("vggface2", root, splits=("test",)).records] == ["n000001"]
    assert data.verify() == []


def test_stills_are_cropped_to_the_clamped_box(root):
    first, second, *_ = open_dataset("vggface2", root).records
    stills = list(first.stills())
    assert [tuple(s.shape) for s in stills] == [(3, 20, 10), (3, 10, 10)]  # -5..10 and -3..10, clamped at 0
    assert stills[0].dtype == torch.uint8
    assert stills[0][0].float().mean() > 190 and stills[0][2].float().mean() < 10  # red, RGB
    assert next(second.stills()).shape == (3, 20, 12)  # 40 x 32, from (20, 20)
    assert first.boxes()["0002_01"] == (-5, -3, 15, 13)


NAMES = """Class_ID, Name, Sample_Num, Flag, Gender
n000001, "A_Person,_Jr.,_the_Third",1,0, m,
n000002, Another,_Person,2,1, f
n000003,"Plain",1,1,m

"""


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "bom"])
def test_names_may_hold_commas(root, mark):
    """Within quotation marks or without, with blanks after commas and a comma at the end, or not."""
    assert {r.name for r in open_dataset("vggface2", root).records} == {""}
    before = open_dataset("vggface2", root).fingerprint
    (root / "meta").mkdir()
    (root / "meta/identity_meta.csv").write_text(mark + NAMES, encoding="utf-8")
    data = open_dataset("vggface2", root)
    assert [r.name for r in data.records] == ["Another,_Person", "Plain", "A_Person,_Jr.,_the_Third"]
    assert data.fingerprint == before  # no result depends on a name


def test_an_identity_is_in_one_split(root):
    shutil.copytree(root / "train/n000003", root / "test/n000003")
    with pytest.raises(DataError, match="test/n000003: the identity is in train too; remove one of the folders"):
        open_dataset("vggface2", root)
    data = open_dataset("vggface2", root, strict=False)
    assert [r.file for r in data.excluded] == ["test/n000003"] and len(data.records) == 3
    assert open_dataset("vggface2", root, splits=("train",)).excluded == []


def test_rows_of_an_identity_need_not_be_together(root):
    path = root / "bb_landmark" / "loose_bb_train.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, rows[1], rows[2], rows[0]]))
    assert len(list(open_dataset("vggface2", root).records[0].stills())) == 2


def test_stills_are_no_video(root):
    with pytest.raises(DataError, match=r"n000002: stills of an identity differ in size.*use stills\(\)"):
        open_dataset("vggface2", root).records[0].frames()


def test_without_boxes_stills_are_whole(root):
    shutil.rmtree(root / "bb_landmark")
    data = open_dataset("vggface2", root)
    assert [note.file for note in data.notes] == [f"bb_landmark/loose_bb_{s}.csv" for s in ("train", "test")]
    assert next(data.records[0].stills()).shape == (3, 40, 30)


def test_fingerprint(root, tmp_path):
    before = open_dataset("vggface2", root).fingerprint
    moved = Path(shutil.move(root, tmp_path / "elsewhere"))
    (moved / "train" / ".DS_Store").write_text("")
    assert open_dataset("vggface2", moved).fingerprint == before
    shutil.copy(moved / "test/n000001/0001_01.jpg", moved / "test/n000001/0002_01.jpg")
    assert open_dataset("vggface2", moved).fingerprint != before


def test_damaged_stills(root):
    path = root / "train/n000002/0001_01.jpg"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"0001_01\.jpg: is not a whole JPEG image"):
        list(open_dataset("vggface2", root).records[0].stills())
    data = open_dataset("vggface2", root, strict=False)
    with pytest.warns(VideoWarning, match=r"0001_01\.jpg"):
        assert len(list(data.records[0].stills())) == 1
    (row,) = data.verify()
    assert row.file == "train/n000002" and "1 frames decoded, 2 declared" in row.reason
    # one damaged still does not cost the identity
    assert (row.what, data.records[0].n_frames, data.records[0].subject) == ("still", 1, "n000002")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("train", "NAME_ID,X", "NAME,X", "expected columns NAME_ID,X,Y,W,H, found b'NAME,X"),
        ("train", '"n000003/0001_02"', '"n000009/0001_02"', "no boxes for n000003"),
    ],
)
def test_damaged_box_file(root, file, old, new, message):
    path = root / "bb_landmark" / f"loose_bb_{file}.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=message):
        open_dataset("vggface2", root)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",4,2,10,20", ",4,2,10", "expected NAME_ID,X,Y,W,H, found"),
        (",4,2,10,20", ",a,2,10,20", "expected NAME_ID,X,Y,W,H, found"),
        (",4,2,10,20", ",90,2,10,20", r"0001_01\.jpg: the face's box \(90, 2, 10, 20\).*outside the still"),
        ('"n000002/0001_01"', '"n000002/0009_01"', "no box for n000002/0001_01"),
    ],
)
def test_damaged_box(root, old, new, message):
    path = root / "bb_landmark" / "loose_bb_train.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=message):
        list(open_dataset("vggface2", root).records[0].stills())


def test_empty_identity(root):
    (root / "test" / "n000004").mkdir()
    with pytest.raises(DataError, match="n000004: no stills"):
        open_dataset("vggface2", root)
    data = open_dataset("vggface2", root, strict=False)
    assert [(r.what, r.file) for r in data.excluded] == [("identity", "test/n000004")] and len(data.records) == 3


def test_roots_that_are_none(tmp_path, root, make_unbc):
    with pytest.raises(DatasetUnavailable, match="does not exist"):
        open_dataset("vggface2", tmp_path / "none")
    with pytest.raises(DatasetUnavailable, match="looks like the UNBC"):
        open_dataset("vggface2", make_unbc())
    with pytest.raises(DatasetUnavailable, match="looks like VGGFace2"):
        open_dataset("unbc", root)
    with pytest.raises(ValueError, match="splits .* are not of"):
        open_dataset("vggface2", root, splits=("training",))


def test_records_pickle_small(root):
    record = open_dataset("vggface2", root).records[0]
    data = pickle.dumps(record)
    assert len(data) < 1500 and len(list(pickle.loads(data).stills())) == 2
