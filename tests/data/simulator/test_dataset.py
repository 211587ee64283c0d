"""Layouts on disk, determinism, resumption, markers."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from repro.data import open_dataset
from repro.data.simulator import BIOVID, UNBC, finish, plan, prepare, simulate, simulate_subject
from repro.data.simulator.__main__ import main
from repro.data.simulator.coding import CODED

SMALL = {"n_subjects": 2, "videos_per_subject": 2, "seed": 5, "size": 40, "frames": 48}
SHORT = {**SMALL, "videos_per_subject": 5, "frames": 20}


def digests(root: Path) -> dict[str, str]:
    """Return the hash of every file but videos, whose container is compared by its decoded frames."""
    out = {}
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        content = path.read_bytes()
        if path.suffix == ".mp4":
            capture = cv2.VideoCapture(str(path))
            content = b"".join(frame.tobytes() for ok, frame in iter(capture.read, (False, None)) if ok)
        out[str(path.relative_to(root))] = hashlib.sha256(content).hexdigest()
    return out


@pytest.fixture(scope="module")
def unbc(tmp_path_factory):
    return simulate(UNBC, tmp_path_factory.mktemp("simulated") / "unbc", **SMALL)


@pytest.fixture(scope="module")
def biovid(tmp_path_factory):
    return simulate(BIOVID, tmp_path_factory.mktemp("simulated") / "biovid", **SHORT)


def test_unbc_layout(unbc):
    specs = plan(UNBC, 2, 2, 5, frames=48)
    for spec in specs:
        assert re.fullmatch(r"\d{3}-([a-z]{2})\d{3}", spec.subject)
        assert re.fullmatch(r"[a-z]{2}\d{3}t\d+a[a-z](aff|unaff)", spec.name) and spec.name.startswith(spec.subject[4:])
        assert spec.n_frames >= 48
        folders = {
            "Images": "{}.png",
            "AAM_landmarks": "{}_aam.txt",
            "Frame_Labels/FACS": "{}_facs.txt",
            "Frame_Labels/PSPI": "{}_facs.txt",
        }
        for folder, pattern in folders.items():
            names = sorted(p.name for p in (unbc / folder / spec.subject / spec.name).iterdir())
            assert names == [pattern.format(f"{spec.name}{f + 1:03d}") for f in range(spec.n_frames)]
        for rating, top in (("AFF", 15), ("OPR", 5), ("SEN", 15), ("VAS", 10)):
            value = float((unbc / "Sequence_Labels" / rating / spec.subject / f"{spec.name}.txt").read_text())
            assert 0 <= value <= top and value == round(value)


def test_unbc_files_agree(unbc):
    number = r" +\d\.\d{7}e[+-]\d\d"
    for path in sorted((unbc / "Frame_Labels" / "PSPI").rglob("*.txt")):
        text = path.read_text()
        rows = Path(str(path).replace("/PSPI/", "/FACS/")).read_text().splitlines()
        # As in the archive: exponents after blanks, one number, or four of an action unit in a row.
        assert re.fullmatch(f"{number}\n", text) and all(re.fullmatch(number * 4, row) for row in rows)
        value, facs = float(text), np.loadtxt(rows or ["0 0 0 0"], ndmin=2)
        assert not rows or (facs[:, 1] >= 1).all() and (facs[:, 1] <= 5).all()
        au = dict.fromkeys((0, *CODED), 0.0) | {int(row[0]): row[1] for row in facs}
        assert value == au[4] + max(au[6], au[7]) + max(au[9], au[10]) + au[43]
        assert set(au) == {0, *CODED} and au[43] in (0, 1)
    for path in sorted((unbc / "AAM_landmarks").rglob("*.txt")):
        points = np.loadtxt(path)
        assert points.shape == (66, 2) and (points >= 0).all() and (points < [54, 40]).all()
        # iBUG's order: the inner corners of the eyes are next to each other, above the tip of the nose.
        assert points[39, 0] < points[30, 0] < points[42, 0] and points[30, 1] > points[[39, 42], 1].max()


def test_readers_accept_both(unbc, biovid):
    data = open_dataset("unbc", unbc)
    assert data.simulated and len(data.records) == 4
    frames = data.records[0].frames()
    assert frames.shape == (data.records[0].n_frames, 3, 40, 54)
    data = open_dataset("biovid", biovid)
    assert data.simulated and len(data.records) == 10
    record = data.records[0]
    assert record.frames().shape == (20, 3, 40, 54)
    assert record.landmarks().shape == (20, 68, 2)
    assert sorted(int(r.levels[0]) for r in data.records) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_biovid_layout(biovid):
    with (biovid / "PartA" / "starting_point" / "samples.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert list(rows[0]) == ["subject_id", "subject_name", "class_id", "class_name", "sample_id", "sample_name"]
    for row in rows:
        assert re.fullmatch(r"\d{6}_[mw]_\d{2}", row["subject_name"])
        assert row["sample_name"].startswith(f"{row['subject_name']}-{row['class_name']}-")
        number = int(row["sample_name"][-3:])
        assert (81 <= number <= 100) == (row["class_name"] == "BL1")
        assert (biovid / "PartA" / "video" / row["subject_name"] / f"{row['sample_name']}.mp4").is_file()
        header, *lines = (biovid / "OpenFace" / f"{row['sample_name']}.csv").read_text().splitlines()
        assert header.startswith("frame, face_id, timestamp, confidence, success, pose_Tx") and ", x_67, y_0" in header
        names = header.split(", ")
        assert "AU45_c" in names and "AU43_r" not in names and len(lines) == 20
        # OpenFace estimates 17 intensities and 18 presences.
        assert sum(n.endswith("_r") for n in names) == 17 and sum(n.endswith("_c") for n in names) == 18
        table = np.loadtxt(lines, delimiter=",")
        assert table.shape == (20, len(names)) and (table[:, 0] == np.arange(1, 21)).all()


def test_bytes_do_not_depend_on_order_or_interruption(unbc, tmp_path):
    root = tmp_path / "again"
    prepare(UNBC, root, **SMALL)
    assert json.loads((root / "SIMULATED.json").read_text())["complete"] is False
    with pytest.raises(ValueError, match="4 of 4 sequences are missing"):
        finish(UNBC, root, **SMALL)
    # The last subject first; then what a killed process leaves: a temporary folder and labels without pictures.
    simulate_subject(UNBC, root, 1, **SMALL)
    spec = plan(UNBC, 2, 2, 5, frames=48)[0]
    (root / f".partial-{spec.subject}-{spec.name}-1" / "images").mkdir(parents=True)
    stale = root / "Frame_Labels" / "PSPI" / spec.subject / spec.name
    stale.mkdir(parents=True)
    (stale / "leftover_facs.txt").write_text("9")
    kept = root / "Images" / plan(UNBC, 2, 2, 5, frames=48)[-1].subject
    before = {p: p.stat().st_mtime_ns for p in kept.rglob("*.png")}
    simulate(UNBC, root, **SMALL)
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert not list(root.glob(".partial-*"))
    assert digests(root) == digests(unbc)


def test_bytes_do_not_depend_on_the_number_of_processes(biovid, tmp_path, monkeypatch):
    # Blocks of one or two videos, so that both processes work on the same people.
    monkeypatch.setattr("repro.data.simulator.blocks._LEAST_FRAMES", 20)
    told = []
    root = simulate(BIOVID, tmp_path / "parallel", jobs=2, progress=lambda *now: told.append(now), **SHORT)
    assert digests(root) == digests(biovid)
    assert told[0] == (0, 200) and told[-1] == (200, 200) and told == sorted(set(told))


@pytest.mark.parametrize("seed", [0, 1])
def test_bytes_do_not_depend_on_the_order_of_blocks(unbc, biovid, tmp_path, seed):
    for domain, options, whole in ((UNBC, SMALL, unbc), (BIOVID, SHORT, biovid)):
        root = tmp_path / domain.name
        order = np.random.default_rng(seed).permutation(len(prepare(domain, root, **options)))
        for subject, sequence in (divmod(int(k), options["videos_per_subject"]) for k in order):
            simulate_subject(domain, root, subject, sequences=[sequence], **options)
        assert digests(finish(domain, root, **options)) == digests(whole)


def test_progress_counts_frames_and_what_was_there(unbc, tmp_path):
    lengths = [s.n_frames for s in plan(UNBC, 2, 2, 5, frames=48)]
    root, told = tmp_path / "counted", []
    prepare(UNBC, root, **SMALL)
    simulate_subject(UNBC, root, 0, progress=lambda *now: told.append(now), **SMALL)
    assert told == [(lengths[0], sum(lengths[:2])), (sum(lengths[:2]), sum(lengths[:2]))]
    told.clear()
    simulate(UNBC, root, progress=lambda *now: told.append(now), **SMALL)
    assert told == [(sum(lengths[:k]), sum(lengths)) for k in (2, 3, 4)]
    with pytest.raises(ValueError, match=r"sequences must be in 0\.\.1, got \[0, 2\]"):
        simulate_subject(UNBC, root, 0, sequences=[0, 2], **SMALL)


def test_real_counts(tmp_path):
    real = {"n_subjects": 4, "size": 32}
    specs = prepare(UNBC, tmp_path, **real)
    assert [sum(s.n_frames for s in specs if s.subject_index == i) for i in range(4)] == [2134, 1120, 1608, 894]
    note = json.loads((tmp_path / "SIMULATED.json").read_text())
    assert note["videos_per_subject"] is None and note["frames"] is None and note["n_frames"] == 5756
    # The archive's shortest sequence.
    simulate_subject(UNBC, tmp_path, 3, sequences=[0], **real)
    shortest = next(s for s in specs if (s.subject_index, s.index) == (3, 0))
    assert len(list((tmp_path / "Images" / shortest.subject / shortest.name).iterdir())) == 48
    with pytest.raises(ValueError, match="30 of 31 sequences are missing"):
        finish(UNBC, tmp_path, **real)
    with pytest.raises(ValueError, match="another frames, videos_per_subject"):
        prepare(UNBC, tmp_path, videos_per_subject=8, **real)
    with pytest.raises(ValueError, match="4 subjects x the real number of videos, more than the 3 x the real"):
        prepare(UNBC, tmp_path, **{**real, "n_subjects": 3})
    assert len(prepare(UNBC, tmp_path, **{**real, "n_subjects": 5})) == 39


def test_a_dataset_can_grow_but_not_change(unbc, tmp_path):
    root = simulate(UNBC, tmp_path / "small", **{**SMALL, "n_subjects": 1, "videos_per_subject": 1})
    grown = simulate(UNBC, root, **SMALL)
    assert digests(grown) == digests(unbc)
    with pytest.raises(ValueError, match="more than the 1 x 1"):
        simulate(UNBC, root, **{**SMALL, "n_subjects": 1, "videos_per_subject": 1})
    with pytest.raises(ValueError, match="another seed"):
        simulate(UNBC, root, **{**SMALL, "seed": 6})
    with pytest.raises(ValueError, match="another parameters"):
        simulate(dataclasses.replace(UNBC, head_motion=2.0), root, **SMALL)


@pytest.mark.parametrize("name", ["Images", "PartA", "my clips"])
def test_other_data_are_never_mixed_with_simulated(tmp_path, name):
    (tmp_path / name).mkdir()
    for domain in (UNBC, BIOVID):
        with pytest.raises(ValueError, match=r"without SIMULATED\.json"):
            simulate(domain, tmp_path, **SMALL)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_refused_simulation_leaves_its_folder_as_it_was(tmp_path, capsys):
    arguments = ["unbc", str(tmp_path / "new"), "--subjects", "1", "--videos", "1"]
    assert main([*arguments, "--size", "8"]) == 2
    assert "at least 32" in capsys.readouterr().err and not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("mine")
    assert main(["biovid", str(tmp_path / "file")]) == 2
    assert "is a file" in capsys.readouterr().err and (tmp_path / "file").read_text() == "mine"
    assert main(["sheet", str(tmp_path / "sheet.png"), "--subjects", "0"]) == 2
    assert main(["sheet", str(tmp_path / "sheet.tiff2")]) == 2
    assert "at least 1 person" in (told := capsys.readouterr().err) and ".png or .jpg" in told


@pytest.mark.parametrize(
    "change", [{"n_subjects": 0}, {"videos_per_subject": 0}, {"size": 16}, {"frames": 10}, {"seed": -1}, {"jobs": 0}]
)
def test_numbers_out_of_range_are_named(tmp_path, change):
    with pytest.raises(ValueError, match=r"\d"):
        simulate(UNBC, tmp_path / "x", **{**SMALL, **change})


def test_command_line(tmp_path, capsys):
    common = ["biovid", str(tmp_path / "b"), "--subjects", "1", "--videos", "1", "--frames", "4"]
    assert main([*common, "--size", "40"]) == 0
    assert "4/4 frames" in capsys.readouterr().err
    assert main([*common, "--size", "64"]) == 2
    assert "another size" in capsys.readouterr().err
    assert main(["unbc", str(tmp_path / "u"), "--real-counts", "--frames", "99"]) == 2
    assert "frames=99 was given without videos_per_subject" in capsys.readouterr().err
    assert main(["unbc", str(tmp_path / "u"), "--real-counts", "--subjects", "26"]) == 2
    with pytest.raises(SystemExit):
        main(["biovid", str(tmp_path / "b"), "--real-counts", "--videos", "5"])
    assert "not allowed with" in capsys.readouterr().err


def test_import_is_light_and_leaves_opencv_alone():
    code = (
        "import cv2, sys; n = cv2.getNumThreads(); import repro.data.simulator as s; s.plan(s.UNBC, 2, 2); "
        "assert cv2.getNumThreads() == n; assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
