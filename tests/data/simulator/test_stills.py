"""Stills in VGGFace2's layout: files, boxes, determinism, resumption, variation."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from repro.data import DatasetUnavailable, open_dataset
from repro.data.simulator.__main__ import main
from repro.data.simulator.session import Session
from repro.data.simulator.still_files import invented_name, read_known
from repro.data.simulator.stills import finish_stills, plan_stills, prepare_stills, simulate_stills, stills_of_identity
from repro.data.simulator.wild import EXPRESSIONS, WILD, wild_identity

SMALL = {"n_identities": 2, "stills_per_identity": 10, "seed": 3, "size": 48}


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return simulate_stills(tmp_path_factory.mktemp("stills") / "vggface2", **SMALL)


@pytest.fixture(scope="module")
def sessions() -> list[Session]:
    return [Session(wild_identity(5, index), number, 64) for index, number in ((0, 0), (1, 3), (2, 1))]


def table(path: Path) -> list[list[str]]:
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


def test_layout(root):
    specs = plan_stills(2, 10, 3)
    for spec in specs:
        assert re.fullmatch(r"n\d{6}", spec.identity) and re.fullmatch(r"\d{4}_\d{2}", spec.name)
        assert (root / spec.split / spec.identity / f"{spec.name}.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert len(list(root.glob("t*/*/*.jpg"))) == 20
    assert sorted(path.name for path in root.iterdir()) == ["SIMULATED.json", "bb_landmark", "meta", "test", "train"]
    for split in ("train", "test"):
        names = [f"{spec.identity}/{spec.name}" for spec in specs if spec.split == split]
        boxes = table(root / f"bb_landmark/loose_bb_{split}.csv")
        points = table(root / f"bb_landmark/loose_landmark_{split}.csv")
        assert boxes[0] == ["NAME_ID", "X", "Y", "W", "H"]
        assert points[0] == ["NAME_ID", *(f"P{i}{axis}" for i in range(1, 6) for axis in "XY")]
        assert [row[0] for row in boxes[1:]] == [row[0] for row in points[1:]] == names
        assert (root / f"bb_landmark/loose_bb_{split}.csv").read_text().splitlines()[1].startswith(f'"{names[0]}",')


def test_the_reader_gives_back_the_boxes_that_were_written(root):
    data = open_dataset("vggface2", root)
    assert data.simulated and data.excluded == [] and data.notes == []
    assert [record.video for record in data.records] == ["train/n010001", "test/n010002"]
    assert data.verify() == []
    for record in data.records:
        known = {name: read_known(root / record.video / f"{name}.jpg")[0] for name in record.names()}
        assert {name: list(box) for name, box in record.boxes().items()} == known
        for still in record.stills():
            assert still.shape[0] == 3 and min(still.shape[1:]) >= 16


def test_identities_are_disjoint_and_invented():
    specs = plan_stills(2 * 18, 1)
    split = {spec.identity: spec.split for spec in specs}
    assert len(split) == 36 and list(split.values()).count("test") == 2
    assert {spec.split for spec in plan_stills(2, 1)} == {"train", "test"}
    assert min(int(name[1:]) for name in split) > 9294  # the real dataset's last
    names = [invented_name(index) for index in range(100)]
    assert len(set(names)) == 100 and all(name.startswith("Simulated_") for name in names)
    assert sum("," in name for name in names) == 25


def test_names_are_quoted_as_in_the_real_file(tmp_path):
    root = simulate_stills(tmp_path, n_identities=4, stills_per_identity=1, size=48)
    header, *rows = (root / "meta/identity_meta.csv").read_text().splitlines()
    assert header == "Class_ID, Name, Sample_Num, Flag, Gender"
    assert re.fullmatch(r'n010004, "Simulated_Glazier,_No._4",1,1, [mf],', rows[3])
    assert [row.split(",")[-3] for row in rows] == ["1", "0", "1", "1"]  # 1 marks the training split
    names = [record.name for record in open_dataset("vggface2", root).records]
    assert names == [invented_name(index) for index in (0, 2, 3, 1)]


def test_bytes_do_not_depend_on_order_or_interruption(root, tmp_path):
    again = tmp_path / "again"
    specs = prepare_stills(again, **SMALL)
    assert json.loads((again / "SIMULATED.json").read_text())["complete"] is False
    with pytest.raises(DatasetUnavailable, match="was interrupted. Simulate again"):
        open_dataset("vggface2", again)
    with pytest.raises(ValueError, match="20 of 20 stills are missing, such as n010001/0001_0"):
        finish_stills(again, **SMALL)
    stills_of_identity(again, 1, stills=(9, 8), **SMALL)
    stills_of_identity(again, 1, stills=range(8), **SMALL)
    # What a killed process leaves: half a file, and a still less.
    (again / f".partial-{specs[0].identity}-{specs[0].name}-1").write_bytes(b"\xff\xd8")
    (again / specs[13].path).unlink()
    kept = {path: path.stat().st_mtime_ns for path in again.rglob("*.jpg")}
    told: list[tuple[int, int]] = []
    simulate_stills(again, **SMALL, progress=lambda *step: told.append(step))
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert told == [(done, 20) for done in range(10, 21)]
    assert contents(again) == contents(root)


def test_bytes_do_not_depend_on_the_number_of_processes(root, tmp_path):
    assert contents(simulate_stills(tmp_path / "parallel", jobs=2, **SMALL)) == contents(root)


def test_a_dataset_can_grow_but_not_change(root, tmp_path):
    small = simulate_stills(tmp_path / "small", **{**SMALL, "n_identities": 1, "stills_per_identity": 3})
    assert contents(simulate_stills(small, **SMALL)) == contents(root)
    with pytest.raises(ValueError, match="more than the 1 x 10"):
        simulate_stills(small, **{**SMALL, "n_identities": 1})
    with pytest.raises(ValueError, match="another seed"):
        simulate_stills(small, **{**SMALL, "seed": 4})
    with pytest.raises(ValueError, match="another size"):
        simulate_stills(small, **{**SMALL, "size": 50})


def test_real_data_are_never_mixed_with_simulated(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(ValueError, match=r"without SIMULATED\.json"):
        simulate_stills(tmp_path, **SMALL)


def test_a_foreign_still_is_named(root, tmp_path):
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match=r"a\.jpg: is not a simulated still.*remove it"):
        read_known(path)


@pytest.mark.parametrize(
    "change",
    [
        {"n_identities": 0},
        {"stills_per_identity": 0},
        {"stills_per_identity": 10_000},
        {"size": 47},
        {"seed": -1},
        {"jobs": 0},
    ],
)
def test_numbers_out_of_range_are_named(tmp_path, change):
    with pytest.raises(ValueError, match=r"\d"):
        simulate_stills(tmp_path / "x", **{**SMALL, **change})
    assert not (tmp_path / "x").exists()


def test_identity_out_of_range(tmp_path):
    with pytest.raises(ValueError, match=r"identity_index must be in 0\.\.1, got 2"):
        stills_of_identity(tmp_path, 2, **SMALL)
    with pytest.raises(ValueError, match=r"stills must be in 0\.\.9, got \[10\]"):
        stills_of_identity(tmp_path, 0, stills=[10], **SMALL)


def test_stills_vary(root):
    """Sizes, poses and pictures of one person differ; two stills of a session share its light and clothes only."""
    pictures = [cv2.imread(str(path)) for path in sorted((root / "train/n010001").glob("*.jpg"))]
    assert len({picture.shape for picture in pictures}) >= 6
    small = [cv2.resize(picture, (16, 16), interpolation=cv2.INTER_AREA).astype(float) for picture in pictures]
    distances = [np.abs(a - b).mean() for i, a in enumerate(small) for b in small[:i]]
    assert min(distances) > 3  # grey levels of 255; the same picture saved twice differs by less than 2


def test_angles_stay_within_what_the_head_is_drawn_for(sessions):
    angles = np.abs([pose.angles for session in sessions for pose in session.poses])
    assert (angles <= [WILD.pitch, WILD.yaw, WILD.roll]).all()
    assert angles[:, 1].max() > 0.2  # some are turned
    for session in sessions:
        if session.identity.style in ("long", "bob"):
            assert max(abs(pose.angles[1]) for pose in session.poses) <= WILD.yaw_long_hair


def test_boxes_hold_the_five_points_and_may_leave_the_still(sessions):
    inside = []
    for session in sessions:
        for i in range(WILD.stills_per_session):
            still = session.take(i)
            height, width = cv2.imdecode(np.frombuffer(still.jpeg, np.uint8), cv2.IMREAD_COLOR).shape[:2]
            x, y, w, h = still.box
            # A turned nose may stand out of the box by the box's own error, 2 % of its width, three times.
            assert (still.points >= [x - 0.06 * w, y]).all() and (still.points <= [x + 1.06 * w, y + h]).all()
            assert still.points[0, 0] < still.points[1, 0] and still.points[3, 0] < still.points[4, 0]
            assert (still.points[:2, 1] < still.points[2, 1]).all() and (still.points[3:, 1] > still.points[2, 1]).all()
            inside.append(x >= 0 and y >= 0 and x + w <= width and y + h <= height)
    assert 0.4 < np.mean(inside) < 1


def test_a_still_does_not_depend_on_those_before_it(sessions):
    again = Session(wild_identity(5, 1), 3, 64)
    assert [again.take(i).jpeg for i in (5, 2)] == [sessions[1].take(i).jpeg for i in (5, 2)]


def test_nobody_is_in_pain():
    assert sum(share for share, _ in EXPRESSIONS.values()) == pytest.approx(1)
    for _, actions in EXPRESSIONS.values():
        # The PSPI counts AU4, AU6 or AU7, AU9 or AU10, and AU43: no expression joins two of these groups.
        groups = ({"AU4"}, {"AU6", "AU7"}, {"AU9", "AU10"}, {"AU43"})
        assert sum(bool(group & set(actions)) for group in groups) <= 1


def test_command_line(tmp_path, capsys):
    common = ["vggface2", str(tmp_path / "v"), "--subjects", "1", "--videos", "2"]
    assert main([*common, "--size", "48"]) == 0
    assert "2/2 stills" in capsys.readouterr().err
    assert main([*common, "--size", "64"]) == 2
    assert "another size" in capsys.readouterr().err


def test_planning_is_light():
    code = (
        "import sys; from repro.data.simulator.stills import plan_stills; plan_stills(2, 2); "
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
