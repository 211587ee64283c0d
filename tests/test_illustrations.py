"""``python -m repro.figure1``, ``figure2`` and ``figure4``: pictures of data that may be shown, the same every time."""

import argparse
import shutil
from dataclasses import replace

import pandas as pd
import pytest

from repro import figure1, figure2, figure4
from repro.data import open_dataset
from repro.data.simulator import DOMAINS, simulate
from repro.suite.command import COMPLETE, INCOMPLETE, USAGE, add_options
from repro.suite.illustrations import illustration
from repro.suite.illustrations.illustration import main
from repro.suite.scales import SCALES
from repro.suite.session import Session
from repro.suite.spec import Simulated
from repro.suite.store import Store

FIGURES = (figure1, figure2, figure4)
NAMES = ("figure1", "figure2", "figure4")


@pytest.fixture(autouse=True)
def unnamed(monkeypatch):
    for name in ("UNBC", "BIOVID", "VGGFACE2", "STORE"):
        monkeypatch.delenv(f"REPRO_{name}", raising=False)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Return a simulation of four subjects with two videos of 60 frames each."""
    folder = tmp_path_factory.mktemp("simulated") / "biovid"
    return simulate(DOMAINS["biovid"], folder, n_subjects=4, videos_per_subject=2, size=48, frames=60)


@pytest.fixture(scope="module")
def licensed(root, tmp_path_factory):
    """Return the same data without the note that tells where it is from."""
    folder = tmp_path_factory.mktemp("licensed") / "biovid"
    shutil.copytree(root, folder, ignore=shutil.ignore_patterns("SIMULATED.json"))
    return folder


@pytest.fixture(scope="module")
def drawn(root, tmp_path_factory):
    """Return a folder with all three figures, and the store that they were drawn from."""
    place = tmp_path_factory.mktemp("drawn")
    for figure in FIGURES:
        assert run(figure, place, "--biovid", str(root)) == COMPLETE
    return place


def run(figure, place, *more, out="out"):
    fixed = ["--scale", "smoke", "--quiet", "--device", "cpu", "--jobs", "1", "--store", str(place / "store")]
    return main(figure.TABLE, [*fixed, "--out", str(place / out), *more])


def frame(place, name, data="simulated", out="out"):
    return pd.read_csv(place / out / "figures" / data / f"{name}.csv")


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_declared_as_tables_are(name):
    figure = FIGURES[NAMES.index(name)]
    assert figure.TABLE.name == name and figure.TABLE.title.startswith(f"Figure {name[-1]}. ")


def test_files(drawn):
    folder = drawn / "out/figures/simulated"
    assert {path.name for path in folder.iterdir()} == {f"{name}.{suffix}" for name in NAMES for suffix in SUFFIXES}
    assert all(path.read_bytes().startswith(b"%PDF") for path in folder.glob("*.pdf"))
    assert not (drawn / "out/figures/licensed").exists()
    for name in NAMES:
        assert set(frame(drawn, name)["data"]) == {"simulated"}


SUFFIXES = ("pdf", "png", "csv", "json")


@pytest.mark.parametrize("figure", FIGURES, ids=NAMES)
def test_the_same_data_gives_the_same_bytes(figure, drawn, root):
    assert run(figure, drawn, "--biovid", str(root), "--mode", "only-cache", out="again") == COMPLETE
    for suffix in SUFFIXES:
        first, second = (drawn / out / f"figures/simulated/{figure.TABLE.name}.{suffix}" for out in ("out", "again"))
        assert first.read_bytes() == second.read_bytes(), suffix
    written = {suffix: second.with_suffix(f".{suffix}").stat().st_mtime_ns for suffix in SUFFIXES}
    assert run(figure, drawn, "--biovid", str(root), "--mode", "only-cache", out="again") == COMPLETE
    kept = {suffix: second.with_suffix(f".{suffix}").stat().st_mtime_ns for suffix in SUFFIXES}
    assert kept == written, "what is drawn already is not drawn again"


def test_lengths_that_a_video_is_too_short_for_are_told(drawn, root):
    rows = frame(drawn, "figure4").set_index("segment_length")
    assert list(rows.maps) == [11, 5, 2, 1, 0, 0, 0] and rows.reason[60] == "needs 120 frames, has 60"
    assert rows.correlation[20] == pytest.approx(1) and rows.correlation[5] < 1
    data = open_dataset("biovid", root)
    (record,) = [record for record in data.records if record.video == rows.video.iloc[0]]
    assert record.levels.max() == max(other.levels.max() for other in data.records)


def test_a_network_is_trained_once_and_the_figure_says_so(drawn, root, tmp_path, capsys):
    (key,) = Store(drawn / "store").artifact_keys()
    file = Store(drawn / "store").artifact_folder(key) / "network.safetensors"
    before = file.stat().st_mtime_ns
    rows = frame(drawn, "figure2")
    assert rows.network.str.startswith("trained, 2 updates").all()
    shutil.copytree(drawn / "store", tmp_path / "store")
    damaged = Store(tmp_path / "store").artifact_folder(key) / "network.safetensors"
    damaged.write_bytes(b"else")
    capsys.readouterr()
    assert run(figure2, tmp_path, "--biovid", str(root), "--deterministic") == COMPLETE
    assert "set aside" in capsys.readouterr().err and damaged.read_bytes() == file.read_bytes()
    ways = [Store(place / "store").read_artifact(key)[0]["run"]["deterministic"] for place in (drawn, tmp_path)]
    assert ways == [False, True]
    pd.testing.assert_frame_equal(frame(tmp_path, "figure2"), rows)
    assert file.stat().st_mtime_ns == before


def test_a_random_network_is_drawn_on_request_only_and_never_trained(drawn, root, tmp_path):
    shutil.copytree(drawn / "store", tmp_path / "store", ignore=shutil.ignore_patterns("artifacts"))
    assert run(figure2, tmp_path, "--biovid", str(root), "--network", "random") == COMPLETE
    rows = frame(tmp_path, "figure2")
    assert set(rows.network) == {"random weights"} and not list(Store(tmp_path / "store").artifact_keys())
    trained = frame(drawn, "figure2")
    assert list(rows["clip"].dropna()) == list(trained["clip"].dropna()), "the same batch"
    assert rows.value[rows.quantity == "d"].iloc[0] != trained.value[trained.quantity == "d"].iloc[0]


def test_halves_are_of_subjects_that_the_training_never_saw(drawn, root):
    clips = frame(drawn, "figure2").dropna(subset=["clip"])
    positive = clips[clips.pair.str.startswith("a positive")]
    assert positive["clip"].nunique() == 4 and positive["clip"].str.partition(":")[0].nunique() == 1
    negative = clips[clips.pair.str.startswith("a negative")]
    assert set(negative["clip"][negative.half == "i"]) == set(positive["clip"][positive.half == "i"])
    assert not set(negative["clip"][negative.half == "j"]) & set(positive["clip"])
    assert clips["clip"].str.partition("/")[0].nunique() == 1


@pytest.mark.parametrize("figure", FIGURES, ids=NAMES)
def test_modes_that_compute_nothing(figure, tmp_path, capsys):
    assert run(figure, tmp_path, "--mode", "plan") == COMPLETE
    assert "left to do: simulated data" in capsys.readouterr().out
    assert run(figure, tmp_path, "--mode", "only-cache") == INCOMPLETE
    assert not (tmp_path / "out").exists() and not (tmp_path / "store/data").exists()


def test_the_plan_of_a_network(root, tmp_path, drawn, capsys):
    assert run(figure2, tmp_path, "--biovid", str(root), "--mode", "plan") == COMPLETE
    assert "left to do: 4 subjects to encode, 1 pretext networks" in capsys.readouterr().out
    assert run(figure2, drawn, "--biovid", str(root), "--mode", "plan", out="plan") == COMPLETE
    assert "left to do: nothing" in capsys.readouterr().out and not (drawn / "plan").exists()


def test_without_data_one_simulated_video_of_each_dataset_is_shown(monkeypatch, tmp_path):
    sizes = {"unbc": Simulated(1, 1, 48, 48), "biovid": Simulated(1, 1, 48, 40)}
    monkeypatch.setattr(illustration, "SCALES", {"smoke": replace(SCALES["smoke"], simulated=sizes)})
    assert run(figure4, tmp_path) == COMPLETE
    rows = frame(tmp_path, "figure4")
    assert list(dict.fromkeys(rows.label)) == ["UNBC-McMaster, simulated", "BioVid, simulated"]
    assert rows.frames[0] >= 48 and rows.frames.iloc[-1] == 40
    assert set(rows.face) == {"aligned by landmarks"}


@pytest.mark.parametrize("figure", FIGURES, ids=NAMES)
def test_licensed_faces_are_not_shown_unless_somebody_says_whose(figure, licensed, tmp_path, capsys):
    assert run(figure, tmp_path, "--biovid", str(licensed)) == USAGE
    assert "--show-faces SUBJECT" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert run(figure, tmp_path, "--biovid", str(licensed), "--show-faces", "nobody") == USAGE
    assert "nobody: is no subject" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_faces_of_named_subjects_are_shown(licensed, tmp_path):
    name = open_dataset("biovid", licensed).subjects[-1]
    assert run(figure4, tmp_path, "--biovid", str(licensed), "--show-faces", name) == COMPLETE
    rows = frame(tmp_path, "figure4", "licensed")
    assert set(rows.video.str.partition("/")[0]) == {name} and set(rows["data"]) == {"licensed"}


def test_in_a_run_of_everything_licensed_faces_leave_the_figure_undone(licensed, tmp_path, capsys):
    parser = argparse.ArgumentParser()
    add_options(parser)
    fixed = ["--scale", "smoke", "--quiet", "--store", str(tmp_path / "store"), "--out", str(tmp_path / "out")]
    options = parser.parse_args([*fixed, "--biovid", str(licensed)])
    with Session(options) as session:
        assert [figure.run(options, session) for figure in FIGURES] == [INCOMPLETE] * 3
    assert capsys.readouterr().err.count("licence allows only some subjects") == 3


def test_any_video(root, tmp_path, capsys):
    inside = next(root.rglob("*.mp4"))
    outside = tmp_path / "clip.mp4"
    shutil.copy(inside, outside)
    assert run(figure4, tmp_path, "--video", str(outside), str(inside), "--size", "32") == COMPLETE
    rows = frame(tmp_path, "figure4").drop_duplicates("label").set_index("label")
    assert list(rows.index) == ["clip.mp4", f"{inside.name}, simulated"] and set(rows["size"]) == {32}
    assert list(rows["data"]) == ["licensed", "simulated"]
    assert run(figure1, tmp_path, "--video", str(tmp_path / "none.mp4")) == USAGE
    assert "none.mp4" in capsys.readouterr().err
