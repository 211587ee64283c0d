"""``python -m repro.inputs``: a dataset as one Hugging Face dataset."""

import json
import re
import shutil

import numpy as np
import pytest

from repro import inputs
from repro.data import open_dataset
from repro.data.clips import Clip
from repro.data.encoding import InputSpec, encode
from repro.data.inputs import write_shard
from repro.data.simulator import DOMAINS, simulate

COLUMNS = {"image", "id", "subject", "video", "start", "stop", "level", "face"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Return a simulation of two subjects with two videos of 40 frames each."""
    folder = tmp_path_factory.mktemp("simulated") / "biovid"
    return simulate(DOMAINS["biovid"], folder, n_subjects=2, videos_per_subject=2, size=48, frames=40)


def arguments(root, tmp_path, *more, out="out"):
    fixed = ["--data", "biovid", "--size", "32", "--flow", "dis", "--quiet", "--store", str(tmp_path / "store")]
    return [str(root), *fixed, "-o", str(tmp_path / out), *more]


def test_a_dataset_is_encoded_and_loads_with_all_that_is_promised(root, tmp_path, capsys):
    import datasets

    assert inputs.main(arguments(root, tmp_path, "--kind", "SSD(OF)", "--jobs", "1")) == 0
    table = datasets.load_from_disk(str(tmp_path / "out"))
    assert set(table.column_names) == COLUMNS and len(table) == 4
    data = open_dataset("biovid", root)
    spec = InputSpec("SSD(OF)", size=32, flow="dis")
    for row, record in zip(table, data.records, strict=True):
        assert (row["subject"], row["video"], row["start"], row["stop"]) == (record.subject, record.video, 0, 40)
        assert row["level"] == record.levels[0]
        encoded = encode(record, [Clip(record.subject, record.video, 0, 40, 0)], spec)
        assert row["face"] == encoded.face
        np.testing.assert_array_equal(np.asarray(row["image"]).transpose(2, 0, 1), encoded.images[0].numpy())
    notes = json.loads((tmp_path / "out/notes.json").read_text())
    assert notes["simulated"] and notes["data"] == data.fingerprint and notes["input"] == spec.describe()
    assert set(notes["faces"]) == {record.video for record in data.records}
    told = capsys.readouterr().out
    assert table.info.description.startswith("Simulated faces") and table.info.description in told
    assert "4 images of 4 videos, 2 subjects" in told and "faces: 4 videos" in told and "left out: 0" in told


@pytest.mark.slow  # starting two worker processes
def test_processes_change_nothing_and_the_store_is_used_again(root, tmp_path, monkeypatch):
    import datasets

    cut = ["--kind", "RGB", "--length", "20", "--stride", "10"]
    assert inputs.main(arguments(root, tmp_path, *cut, "--jobs", "2")) == 0
    monkeypatch.setattr("repro.suite.tasks.write_shard", None)  # nothing is left to encode
    assert inputs.main(arguments(root, tmp_path, *cut, "--jobs", "1", out="again")) == 0
    monkeypatch.undo()
    shutil.rmtree(tmp_path / "store")
    assert inputs.main(arguments(root, tmp_path, *cut, "--jobs", "1", out="alone")) == 0
    tables = [datasets.load_from_disk(str(tmp_path / name)) for name in ("out", "again", "alone")]
    assert len(tables[0]) == 4 * 3 and len({table._fingerprint for table in tables}) == 1
    for rows in zip(*tables, strict=True):
        assert len({np.asarray(row.pop("image")).tobytes() for row in rows}) == 1
        assert rows[0] == rows[1] == rows[2]


def test_what_is_too_short_is_told(root, tmp_path, capsys):
    short = tmp_path / "biovid"
    shutil.copytree(root, short)
    assert inputs.main(arguments(short, tmp_path, "--segment-length", "21", "--jobs", "1")) == 2
    told = capsys.readouterr().err
    assert "42" in told and "40 frames" in told and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--length", "30"], "--length 30: SSD.RGB. needs clips of at least 40 frames"),
        (["--kind", "OF", "--size", "8"], "size 8 is too small"),
        (["--kind", "OF", "--flow-limit", "0"], "flow_limit must be positive.* 0.0"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(root, tmp_path, capsys, change, message):
    assert inputs.main(arguments(root, tmp_path, "--jobs", "1", *change)) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "out").exists() and not (tmp_path / "store").exists()


def test_a_root_that_is_not_the_dataset_is_refused(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert inputs.main(arguments(tmp_path / "empty", tmp_path)) == 2
    told = capsys.readouterr().err
    assert str(tmp_path / "empty") in told and "biovid" in told


def test_a_folder_that_holds_something_is_left_alone(root, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("mine")
    assert inputs.main(arguments(root, tmp_path)) == 2
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "out/thesis.txt").read_text() == "mine" and not (tmp_path / "store").exists()


def test_a_damaged_video_is_left_out_or_with_strict_an_error(root, tmp_path, capsys):
    broken = tmp_path / "biovid"
    shutil.copytree(root, broken)
    video = sorted(broken.rglob("*.mp4"))[-1]
    video.write_bytes(video.read_bytes()[:100])
    assert inputs.main(arguments(broken, tmp_path, "--kind", "RGB", "--strict")) == 2
    assert video.name in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert inputs.main(arguments(broken, tmp_path, "--kind", "RGB", "--jobs", "1")) == 0
    told = capsys.readouterr().out
    assert "3 images of 3 videos" in told and "left out: 1" in told and video.name in told
    assert len(json.loads((tmp_path / "out/notes.json").read_text())["excluded"]) == 1


def test_a_failed_subject_leaves_no_half_dataset(root, tmp_path, capsys, monkeypatch):
    written = []

    def fail_second(folder, *more):
        if written:
            raise ValueError("disk 7 is full; free some space")
        written.append(write_shard(folder, *more))

    monkeypatch.setattr("repro.suite.tasks.write_shard", fail_second)
    assert inputs.main(arguments(root, tmp_path, "--kind", "RGB", "--jobs", "1")) == 1
    assert "disk 7" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]
