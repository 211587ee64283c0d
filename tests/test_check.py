"""``python -m repro check`` looks at datasets that are given, and else at the store and the simulated data."""

import csv
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from repro.__main__ import main
from repro.data.schema import VideoRecord
from repro.data.simulator import BIOVID, UNBC, plan, prepare
from repro.suite import accounts, checking
from repro.suite.accounts import simulated_account
from repro.suite.engine import Engine
from repro.suite.ledgers import COUNT_COLUMNS, describe_scales
from repro.suite.progress import Progress
from repro.suite.scales import SCALES
from repro.suite.simulation import simulated_root, simulation_tasks
from repro.suite.spec import Simulated
from repro.suite.store import Store

SMALL = replace(SCALES["smoke"], simulated={"unbc": Simulated(2, 4, 32, 48), "biovid": Simulated(2, 5, 32, 4)})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A store that holds the simulated data of `SMALL`, written as tables have them written."""
    store = Store(tmp_path_factory.mktemp("store"))
    progress = Progress("simulate", visible=False)
    for name, size in SMALL.simulated.items():
        tasks = simulation_tasks(simulated_root(store, name, size), name, size)
        progress.add(tasks)
        with Engine(1) as engine:
            assert engine.run(tasks, progress) == []
    return store


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to run in, where nothing is named by the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("STORE", "UNBC", "BIOVID"):
        monkeypatch.delenv(f"REPRO_{name}", raising=False)
    return tmp_path


def counts(out, name, data="simulated"):
    with (out / "tables" / data / f"accounting_{name}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COUNT_COLUMNS
    return rows


@pytest.mark.parametrize("name", ["unbc", "biovid"])
def test_what_is_planned_is_what_is_written(written, tmp_path, name):
    on_disk, planned = (simulated_account(store, name, SMALL) for store in (written, Store(tmp_path / "none")))
    assert planned.planned and not on_disk.planned and not (tmp_path / "none").exists()
    assert on_disk.simulated and planned.simulated and not on_disk.left_out and planned.frames_above_zero > 0
    for field in ("counts", "histogram", "lengths", "subjects", "frames_above_zero", "quantities"):
        assert getattr(planned, field) == getattr(on_disk, field), field
    assert planned.fingerprint is None and planned.covered == () and on_disk.fingerprint and on_disk.covered


def test_an_unfinished_dataset_counts_as_planned(tmp_path):
    store, size = Store(tmp_path), SMALL.simulated["biovid"]
    root = simulated_root(store, "biovid", size)
    prepare(BIOVID, root, n_subjects=2, videos_per_subject=5, size=32, frames=4)
    assert json.loads((root / "SIMULATED.json").read_text())["complete"] is False
    assert simulated_account(store, "biovid", SMALL).planned


@pytest.mark.parametrize(
    ("domain", "expected"),
    [(UNBC, {"subjects": 25, "sequences": 200, "frames": 48398}), (BIOVID, {"subjects": 87, "videos": 8700})],
)
def test_at_paper_scale_the_totals_are_the_published_ones(tmp_path, domain, expected):
    size = Simulated(expected["subjects"], None, 240)
    scale = replace(SCALES["paper"], simulated=dict(SCALES["paper"].simulated) | {domain.name: size})
    result = simulated_account(Store(tmp_path), domain.name, scale)
    assert result.full_size and expected.items() <= result.counts.items()
    assert len(plan(domain, size.n_subjects, None)) == len(result.lengths)
    lines = describe_scales(domain.name, {"paper": result})
    assert "  paper: planned, not on disk; all totals agree with the published ones" in lines
    short = replace(result, counts=result.counts | {"subjects": 24})
    assert f"subjects 24 against {size.n_subjects}" in describe_scales(domain.name, {"paper": short})[-1]


def test_without_a_store_all_scales_are_planned(place, capsys):
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert "store: there is no store yet" in out and not (place / "store").exists()
    assert out.count("planned, not on disk") == 6
    for name, videos in (("unbc", "sequences"), ("biovid", "videos")):
        assert f"{name}: SIMULATED data of each scale; only the last column counts the real dataset" in out
        rows = counts(place, name)
        assert {row["scale"] for row in rows} == set(SCALES) and {row["data"] for row in rows} == {"simulated"}
        assert {row["held"] for row in rows} == {"planned"} and not any(row["subject"] for row in rows)
        assert {row["agrees"] for row in rows if row["scale"] != "paper" or row["level"]} == {""}
        total = {row["scale"]: row for row in rows if row["quantity"] == videos and not row["level"]}
        assert total["smoke"]["published"] == ("200" if name == "unbc" else "8700")
        assert total["paper"]["agrees"] == "True"


def test_columns_of_simulated_counts_are_called_so(place, capsys):
    assert main(["check", "--scale", "smoke"]) == 0
    lines = capsys.readouterr().out.splitlines()
    heading = lines.index("biovid: SIMULATED data of each scale; only the last column counts the real dataset")
    assert [line.split() for line in lines[heading + 1 : heading + 4]] == [
        ["simulated", "real"],
        ["smoke", "published"],
        ["subjects", "8", "87"],
    ]
    assert ["PA4", "20.000", "%", "20.000", "%"] in [line.split() for line in lines], "levels are shares"
    assert {row["scale"] for row in counts(place, "biovid")} == {"smoke"}


def test_data_in_the_store_is_read(written, place, monkeypatch, capsys):
    monkeypatch.setattr(checking, "SCALES", {"smoke": SMALL})
    assert main(["check", "--store", str(written.root), "--scale", "smoke"]) == 0
    out = capsys.readouterr().out
    assert f"{written.root}: 0 cells, 0 pretext networks" in out and out.count("smoke: on disk") == 2
    rows = counts(place, "unbc")
    assert {row["held"] for row in rows} == {"on disk"}
    (marked,) = [row for row in rows if row["quantity"] == "frames with landmarks (AAM)"]
    assert marked["found"] == str(sum(spec.n_frames for spec in plan(UNBC, 2, 4, frames=48)))


def test_damage_to_simulated_data_is_told(written, place, monkeypatch, capsys):
    monkeypatch.setattr(checking, "SCALES", {"smoke": SMALL})
    root = simulated_root(written, "unbc", SMALL.simulated["unbc"])
    label = next((root / "Frame_Labels" / "PSPI").rglob("*_facs.txt"))
    content = label.read_bytes()
    arguments = ["check", "--store", str(written.root), "--scale", "smoke"]
    try:
        label.write_text("pain\n")
        assert main(arguments) == 1
        assert "  left out (smoke): sequence " in capsys.readouterr().out
        assert main([*arguments, "--strict"]) == 1
        printed = capsys.readouterr()
        assert label.name in printed.err and "unbc: SIMULATED" not in printed.out and "biovid: SIMULATED" in printed.out
    finally:
        label.write_bytes(content)


def test_a_store_that_is_named_must_be_there(place, capsys):
    assert main(["check", "--store", "nowhere", "--scale", "smoke"]) == 2
    printed = capsys.readouterr()
    assert "there is no store at nowhere" in printed.err and printed.out.count("planned, not on disk") == 2


def test_a_folder_that_cannot_be_written_to(place, capsys):
    (place / "file").touch()
    assert main(["check", "--scale", "smoke", "--out", "file"]) == 2
    assert "file" in capsys.readouterr().err


def test_an_interruption(place, monkeypatch, capsys):
    def interrupt(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(accounts, "simulated_account", interrupt)
    assert main(["check", "--scale", "smoke"]) == 130
    assert "interrupted" in capsys.readouterr().err


def write_vggface2(root):
    """Write two identities, of two stills and of one, without boxes."""
    for name in ("train/n000002/0001_01", "train/n000002/0002_01", "test/n000001/0001_01"):
        path = root / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((16, 16, 3), 90, np.uint8))
    return root


def test_vggface2_is_counted_without_decoding(place, monkeypatch, capsys):
    root = write_vggface2(place / "vgg")
    monkeypatch.setattr(VideoRecord, "check", lambda record: pytest.fail("decoded"))
    monkeypatch.setattr(cv2, "imread", lambda *arguments: pytest.fail("decoded"))
    assert main(["check", "--vggface2", str(root)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["stills", "3", "3,310,000", "differs"] in lines and ["stills", "in", "test", "1"] in lines
    assert ["identities", "in", "train", "1", "8,631", "differs"] in lines
    assert {row["scale"] for row in counts(place, "vggface2", "licensed")} == {""}


def test_verify_decodes_stills(place, capsys):
    root = write_vggface2(place / "vgg")
    still = root / "train/n000002/0002_01.jpg"
    still.write_bytes(still.read_bytes()[:-20])
    assert main(["check", "--vggface2", str(root)]) == 0
    assert main(["check", "--vggface2", str(root), "--verify"]) == 1
    printed = capsys.readouterr()
    assert "left out: still train/n000002: 1 frames decoded, 2 declared" in printed.out
    assert "vggface2: decoding: 100%" in printed.err and str(place) not in printed.out


def test_a_manifest_prints_its_own_counts(place, capsys):
    writer = cv2.VideoWriter(str(place / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (16, 16))
    for _ in range(4):
        writer.write(np.zeros((16, 16, 3), np.uint8))
    writer.release()
    (place / "videos.csv").write_text("video,subject,label\na.avi,anna,2\ngone.avi,anna,1\n")
    assert main(["check", "--manifest", "videos.csv", "--verify"]) == 1
    out = capsys.readouterr().out
    assert "manifest: your own data, of which nothing is published" in out
    lines = [line.split() for line in out.splitlines()]
    assert ["frames", "4"] in lines and ["label", "2", "1", "100.000", "%"] in lines
    assert "left out: video gone.avi: " in out
    assert {row["published"] for row in counts(place, "manifest", "licensed")} == {""}
    assert main(["check", "--manifest", "nothing.csv"]) == 2


def test_strict_stops_at_damage(place, capsys):
    (place / "train" / "n000002").mkdir(parents=True)
    assert main(["check", "--vggface2", "."]) == 1
    assert main(["check", "--vggface2", ".", "--strict"]) == 2
    assert "no stills" in capsys.readouterr().err


def test_the_environment_names_no_dataset_here(place, monkeypatch, capsys):
    monkeypatch.setenv("REPRO_UNBC", str(place / "unbc"))
    assert main(["check", "--scale", "smoke"]) == 0
    assert "unbc: SIMULATED data" in capsys.readouterr().out
