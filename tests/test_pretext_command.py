"""``python -m repro.pretext``: one task alone, from the data to a folder to take away; interrupted, shared, refused."""

import csv
import json
import re
import shlex
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from baselines import METHODS
from repro import curves, pretext
from repro.data.inputs import encode
from repro.data.simulator import DOMAINS, simulate
from repro.learning.augmentation import to_network
from repro.learning.checkpoints import FILE, Checkpoint
from repro.learning.exported import load_backbone
from repro.suite import tasks
from repro.suite.exporting import FILES
from repro.suite.scales import SCALES
from repro.suite.spec import Simulated
from repro.suite.store import Store

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()
SECTION = README.partition("## A pretext network alone\n")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Return a simulation of four subjects with two videos of 60 frames each."""
    folder = tmp_path_factory.mktemp("simulated") / "biovid"
    return simulate(DOMAINS["biovid"], folder, n_subjects=4, videos_per_subject=2, size=48, frames=60)


def run(place, root, *more, out="out"):
    """Run the command in a folder that will hold its store and its output."""
    fixed = ["--method", "siamese", "--scale", "smoke", "--quiet", "--device", "cpu", "--jobs", "1", "--epochs", "3"]
    given = [] if root is None else ["--biovid", str(root)]
    return pretext.main([*fixed, *given, "--store", str(place / "store"), "-o", str(place / out), *more])


@pytest.fixture(scope="module")
def finished(root, tmp_path_factory):
    """Return a folder with a finished run."""
    place = tmp_path_factory.mktemp("finished")
    assert run(place, root) == 0
    return place


@pytest.fixture
def place(finished, tmp_path):
    """Return a copy of the finished run, free to be damaged."""
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"


def artifact(place):
    store = Store(place / "store")
    (key,) = store.artifact_keys()
    return store, key


def table(file):
    with file.open() as lines:
        return list(csv.DictReader(lines))


def test_the_folder_holds_what_is_promised(finished, root):
    out = finished / "out"
    assert {path.name for path in out.iterdir()} == set(FILES) and not list(finished.glob(".*"))
    record = json.loads((out / "pretext.json").read_text())
    assert record["method"] == "siamese" and record["citation"].startswith("Tavakolian")
    assert record["simulated"] and record["data"]["biovid"]["simulated"] and record["scale"] == "smoke"
    options = {**asdict(METHODS["siamese"].load()()), **SCALES["smoke"].pretext.options("siamese")}
    assert record["task"] == json.loads(
        json.dumps({"task": "siamese", "version": record["task"]["version"], **options})
    )
    assert record["schedule"]["epochs"] == 3 and record["seed"] == 0 and record["versions"]["torch"]
    assert record["backbone"] == {
        "name": "resnet18",
        "width": SCALES["smoke"].fine_tuning.backbone.width,
        "stem": "imagenet",
    }
    assert record["input"]["kind"] == "SSD(RGB)" and record["run"]["seconds"] > 0
    history = table(out / "history.csv")
    assert [int(row["epoch"]) for row in history] == [0, 1, 2, 3] == [row["epoch"] for row in record["history"]]
    assert list(history[0])[:5] == ["epoch", "step", "loss", "held_out_accuracy", "held_out_chance"]
    assert history[0]["loss"] == "" and float(history[3]["loss"]) == record["history"][3]["loss"]
    assert {row["data"] for row in history} == {"simulated"}
    assert (out / "curve.pdf").read_bytes().startswith(b"%PDF") and (out / "curve.png").stat().st_size > 5000


def test_features_are_those_of_the_exported_network(finished, root):
    out = finished / "out"
    with np.load(out / "features.npz", allow_pickle=False) as stored:
        columns = {name: stored[name] for name in stored.files}
    rows = table(out / "features.csv")
    assert len(rows) == len(columns["features"]) == 8 and columns["features"].dtype == np.float32
    for name in ("id", "subject", "video", "start", "stop", "level"):
        assert [str(value) for value in columns[name]] == [row[name] for row in rows]
    assert {row["data"] for row in rows} == {"simulated"} == {str(columns["data"])}
    from repro.data import open_dataset
    from repro.data.clips import Clip

    network = load_backbone(out)
    assert not network.training
    data = open_dataset("biovid", root)
    for row, features in zip(rows, columns["features"], strict=True):
        (record,) = [record for record in data.records if record.video == row["video"]]
        clip = Clip(record.subject, record.video, int(row["start"]), int(row["stop"]), int(row["level"]))
        images = to_network(encode(record, [clip], replace(SCALES["smoke"].input, kind="SSD(RGB)")).images)
        with torch.no_grad():
            expected = 0.5 * (network(images) + network(images.flip(-1)))[0]
        # single images and batches go through other kernels
        np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


def test_the_weights_are_those_of_the_store(finished):
    store, key = artifact(finished)
    exported, stored = (
        load_file(finished / "out/backbone.safetensors"),
        store.artifact_folder(key) / "network.safetensors",
    )
    assert all(torch.equal(value, exported[name]) for name, value in load_file(stored).items())
    assert json.loads((finished / "out/pretext.json").read_text())["key"] == key


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_training_ends_with_the_same_weights(finished, root, tmp_path, monkeypatch, capsys, stop):
    original, saved = Checkpoint.save, []

    def interrupt(*arguments):
        original(*arguments)
        saved.append(1)
        raise stop

    monkeypatch.setattr(Checkpoint, "save", interrupt)
    if stop is KeyboardInterrupt:
        assert run(tmp_path, root) == 130
        assert "run the same command to go on" in capsys.readouterr().err
    else:  # as a process that is killed: nothing can be said
        with pytest.raises(SystemExit):
            run(tmp_path, root)
    assert len(saved) == 1 and not (tmp_path / "out").exists()
    (kept,) = (tmp_path / "store/checkpoints").glob("*/*.safetensors")
    assert kept.name == FILE
    monkeypatch.setattr(Checkpoint, "save", original)
    assert run(tmp_path, root) == 0
    for name in ("backbone.safetensors", "history.csv", "features.csv", "features.npz", "curve.png"):
        assert (tmp_path / "out" / name).read_bytes() == (finished / "out" / name).read_bytes(), name
    assert not list((tmp_path / "store/checkpoints").iterdir())


def test_a_finished_folder_is_left_as_it_is(place, root, monkeypatch, capsys):
    monkeypatch.setattr(tasks, "pretrain", None)
    before = {path: path.stat().st_mtime_ns for path in (place / "out").iterdir()}
    assert run(place, root) == 0
    assert "holds this network already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (place / "out").iterdir()} == before


def test_a_network_that_is_in_the_store_is_only_exported(place, root, monkeypatch):
    def never(*arguments, **keywords):
        raise AssertionError("trained again")

    monkeypatch.setattr(tasks, "train_pretext", never)
    (place / "again").mkdir()
    assert run(place, root, out="again") == 0
    assert (place / "again/features.npz").read_bytes() == (place / "out/features.npz").read_bytes()


def test_folders_that_hold_something_else_are_refused(place, root, capsys):
    assert run(place, root, "--seed", "1") == 2
    assert "trained otherwise" in capsys.readouterr().err
    (place / "out/features.npz").unlink()
    assert run(place, root) == 2
    assert "lacks features.npz" in capsys.readouterr().err
    (place / "thesis").mkdir()
    (place / "thesis/thesis.txt").write_text("mine")
    (place / "file").write_text("mine")
    for name, words in (("thesis", "not written by this command"), ("file", "not written"), ("file/out", "written to")):
        assert run(place, root, out=name) == 2
        assert words in capsys.readouterr().err, name
    assert [path.name for path in (place / "thesis").iterdir()] == ["thesis.txt"]


def test_options_change_what_is_trained(finished, root, tmp_path, capsys):
    shutil.copytree(finished / "store/inputs", tmp_path / "store/inputs")
    changed = ["--epochs", "1", "--steps", "1", "--batch-size", "8", "--learning-rate", "0.5", "--width", "0.125"]
    changed += ["--seed", "4", "--set", "distance=mean", "augmentation.area=0.5,1", "--set", "energy=0.9"]
    assert run(tmp_path, root, *changed) == 0
    record = json.loads((tmp_path / "out/pretext.json").read_text())
    schedule = record["schedule"]
    assert (schedule["epochs"], schedule["batch_size"], schedule["learning_rate"]) == (1, 8, 0.5)
    assert record["steps_per_epoch"] == 1 and record["seed"] == 4 and record["backbone"]["width"] == 0.125
    assert record["task"]["distance"] == "mean" and record["task"]["energy"] == 0.9
    assert record["task"]["augmentation"]["area"] == [0.5, 1.0]
    assert load_backbone(tmp_path / "out").n_features == 64
    assert "after 1 update, " in capsys.readouterr().out


def test_data_without_the_simulators_mark_is_licensed(place, root, capsys):
    licensed = place / "biovid"
    shutil.copytree(root, licensed, ignore=shutil.ignore_patterns("SIMULATED.json"))
    assert run(place, licensed, out="licensed") == 0
    assert "simulated" not in capsys.readouterr().out
    assert not json.loads((place / "licensed/pretext.json").read_text())["simulated"]
    assert {row["data"] for row in table(place / "licensed/features.csv")} == {"licensed"}


@pytest.mark.slow  # simulates both datasets
def test_without_data_it_is_simulated_and_joined_and_plotted(tmp_path, monkeypatch, capsys):
    sizes = {"unbc": Simulated(3, 1, 48, 90), "biovid": Simulated(3, 2, 48, 60)}
    small = replace(SCALES["smoke"], simulated=sizes)
    monkeypatch.setattr(pretext, "SCALES", {"smoke": small})
    for name in ("UNBC", "BIOVID"):
        monkeypatch.delenv(f"REPRO_{name}", raising=False)
    options = ("--data", "unbc", "biovid", "--epochs", "1", "--input", "RGB", "--deterministic")
    assert run(tmp_path, None, *options) == 0
    store = Store(tmp_path / "store")
    assert [store.read_artifact(key)[0]["run"]["deterministic"] for key in store.artifact_keys()] == [True]
    assert "RGB images of simulated BioVid and UNBC-McMaster data" in capsys.readouterr().out
    rows = table(tmp_path / "out/features.csv")
    assert {row["dataset"] for row in rows} == {"unbc", "biovid"}
    with np.load(tmp_path / "out/features.npz") as stored:
        assert len(stored["features"]) == len(rows)
    data = json.loads((tmp_path / "out/pretext.json").read_text())["data"]
    for name in ("unbc", "biovid"):
        assert sum(row["dataset"] == name for row in rows) == data[name]["labelled_clips"] >= 6
    assert curves.main(["--store", str(tmp_path / "store"), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "figures/simulated/pretext_curves.png").is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--method", "jigsw"], "no pretext task 'jigsw'; choose one of geometry, opn, "),
        (["--method", "mean"], "no pretext task 'mean'"),
        (["--set", "distance=cosine"], "distance=cosine: expected one of hull, mean"),
        (["--set", "clips_per_source=3"], "give an even number"),
        (["--set", "size=3"], "no hyper-parameter 'size'; there are objective, "),
        (["--width", "0.3"], "width"),
        (["--learning-rate", "-1"], "learning_rate -1.0"),
        (["--data", "unbc"], "--biovid is given, but not used; say --data unbc biovid"),
        (["--data", "unbc", "biovid"], "only biovid was given; add --unbc DIR"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(root, tmp_path, monkeypatch, capsys, change, message):
    monkeypatch.delenv("REPRO_UNBC", raising=False)
    assert run(tmp_path, root, *change) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_is_not_the_dataset_is_refused(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run(tmp_path, tmp_path / "empty") == 2
    assert str(tmp_path / "empty") in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_the_environment_names_the_data(finished, root, monkeypatch, capsys):
    monkeypatch.setenv("REPRO_BIOVID", str(root))
    assert run(finished, None) == 0
    assert "already" in capsys.readouterr().out


def test_a_failed_step_is_told_and_leaves_no_folder(place, root, monkeypatch, capsys):
    def diverge(*arguments, **keywords):
        raise FloatingPointError("the loss became nan at update 3; lower learning_rate (9)")

    monkeypatch.setattr(tasks, "train_pretext", diverge)
    assert run(place, root, "--seed", "2", out="other") == 1
    told = capsys.readouterr().err
    assert "failed: siamese on BioVid" in told and "lower learning_rate" in told and "nothing was exported" in told
    assert not (place / "other").exists() and not list(place.glob(".other*"))


def test_a_damaged_network_is_trained_again(place, root, capsys):
    store, key = artifact(place)
    (store.artifact_folder(key) / "network.safetensors").write_bytes(b"damage")
    assert run(place, root, out="again") == 0
    assert "set aside" in capsys.readouterr().err
    first, second = (load_file(place / name / "backbone.safetensors") for name in ("out", "again"))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("arguments", [["--method"], ["--list"]])
def test_methods_are_listed(arguments, capsys):
    assert pretext.main(arguments) == 0
    told = capsys.readouterr().out
    assert "siamese  Our method (Tavakolian, Bordallo Lopez and Liu 2020)" in told and "mean  " not in told
    accuracy = METHODS["siamese"].load().accuracy
    assert accuracy.higher_is_better and f"accuracy: {accuracy.label}, higher is better" in told
    assert "distance=hull" in told and "augmentation.area=" in told
    for scale in ("smoke", "paper"):
        assert pretext.main([*arguments, "--scale", scale]) == 0
        options = {**asdict(METHODS["siamese"].load()()), **SCALES[scale].pretext.options("siamese")}
        assert f" clips_per_source={options['clips_per_source']} " in " ".join(capsys.readouterr().out.split())


def test_a_method_and_a_folder_are_needed(capsys):
    for arguments, lacking in (([], "--method"), (["--method", "siamese"], "-o FOLDER"), (["-o", "out"], "--method")):
        with pytest.raises(SystemExit) as exit_:
            pretext.main(arguments)
        assert exit_.value.code == 2 and f"error: give {lacking}" in capsys.readouterr().err


class TestLoadBackbone:
    def test_a_folder_without_a_network_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match=r"pretext\.json.*python -m repro\.pretext"):
            load_backbone(tmp_path)
        (tmp_path / "pretext.json").write_text("{}")
        with pytest.raises(ValueError, match="is no record"):
            load_backbone(tmp_path)

    def test_other_weights_are_refused(self, place):
        file = place / "out/backbone.safetensors"
        file.write_bytes(file.read_bytes()[:-4] + b"wxyz")
        with pytest.raises(ValueError, match=r"backbone\.safetensors.*is not the file"):
            load_backbone(place / "out")
        file.unlink()
        with pytest.raises(ValueError, match=r"backbone\.safetensors"):
            load_backbone(place / "out")

    @pytest.mark.parametrize("changed", [{"width": 0.5}, {"name": "resnet999"}, {"depth": 3}])
    def test_a_record_that_does_not_fit_is_refused(self, place, changed):
        file = place / "out/pretext.json"
        record = json.loads(file.read_text())
        file.write_text(json.dumps({**record, "backbone": {**record["backbone"], **changed}}))
        with pytest.raises(ValueError, match=r"backbone\.safetensors: does not fit the backbone"):
            load_backbone(place / "out")


def test_the_readmes_commands_parse():
    (block,) = re.findall(r"```sh\n(.*?)```", SECTION, re.S)
    commands = [shlex.split(line, comments=True) for line in block.strip().splitlines()]
    assert [words[2] for words in commands] == ["repro.pretext"] * 4 + ["repro.curves"]
    for words in commands:
        parser = (pretext if words[2] == "repro.pretext" else curves)._parser()
        options = parser.parse_args(words[3:])
        if getattr(options, "set", None) or getattr(options, "output", None):
            pretext._wanted(options)


def test_the_readmes_example_runs(finished, monkeypatch):
    (block,) = re.findall(r"```py\n(.*?)```", SECTION, re.S)
    images = torch.randint(0, 256, (3, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    names = {"images": images}
    exec(block.replace('"FOLDER"', repr(str(finished / "out"))), names)
    assert names["features"].shape == (3, names["backbone"].n_features)
