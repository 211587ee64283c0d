"""The inventory of a store: what is damaged, stale or left over is named, and nothing that is sound is."""

import argparse
import json
import os
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from baselines.selfsup.jigsaw import Jigsaw
from repro.data import feature_files
from repro.data.clips import Clip
from repro.data.encoding import InputSpec
from repro.data.inputs import write_shard
from repro.data.schema import VideoRecord
from repro.learning.checkpoints import FILE, Checkpoint, Standing
from repro.suite import checking, inventory, staleness
from repro.suite.command import add_options
from repro.suite.inventory import take_inventory
from repro.suite.requests import Requests
from repro.suite.scales import SCALES
from repro.suite.spec import Clips
from repro.suite.store import CellPredictions, Store, hash_of

SPEC = InputSpec("RGB", size=32, alignment="none")
DATA = {"fingerprint": "f", "length": 8, "stride": 8, "shortest": 8, "level": "max"}
UNLABELLED = {"fingerprint": "f", "length": 8, "stride": 4, "clips_per_source": 2}
OLD = 2 * inventory.YOUNG


class Grey(VideoRecord):
    """A video without faces."""

    def frames(self):
        import torch

        return (torch.arange(8 * 3 * 32 * 32) % 251).to(torch.uint8).view(8, 3, 32, 32)


def describe_cell(**changes):
    described = {"version": 1, "method": "rvr", "data": DATA, "input": SPEC.describe(), "fold": 0, "seed": 0}
    described["protocol"] = {"name": "grouped_k_fold", "train_subjects": ["b"]}
    described["system"] = {"version": 2}
    described["features"] = [{"features": "lbp", "version": 1}]
    return {**described, **changes}


def describe_network(**changes):
    task = {"task": "jigsaw", "version": Jigsaw.version}
    return {"version": 1, "task": task, "data": {"unbc": UNLABELLED}, "input": SPEC.describe(), **changes}


def write_cell(store, **changes):
    described = describe_cell(**changes)
    scores = np.full((2, 2), 0.5, np.float32)
    predictions = CellPredictions(np.array(["a:0-8", "a:8-16"]), np.array(["a", "a"]), np.array([0, 1]), scores, 0, 0)
    store.write(hash_of(described), predictions, {"description": described, "run": {"seconds": 1.0}})
    return store.result_folder(hash_of(described))


def write_network(store, **changes):
    from safetensors.numpy import save

    described = describe_network(**changes)
    store.write_artifact(hash_of(described), save({"w": np.zeros(3)}), {"description": described, "history": []})
    return store.artifact_folder(hash_of(described))


def write_measurement(store, **changes):
    described = {"version": 1, "measure": "seconds per frame", "data": "f", "input": SPEC.describe(), **changes}
    series = {"SSD": {"values": [1.0], "units": ["a"]}}
    store.write_measurement(hash_of(described), series, {"description": described, "run": {}})
    return store.measurement_folder(hash_of(described))


def write_input(store, subject="a", data=DATA, spec=SPEC):
    key = hash_of({"data": data, "subject": subject, "input": spec.describe()})
    record = Grey(subject, f"{subject}/v", 8, np.zeros(8, np.int64))
    write_shard(store.input_folder(key), [(record, [(Clip(subject, f"{subject}/v", 0, 8, 0), "")])], spec)
    return store.input_folder(key)


def write_features(store, version=1):
    from safetensors.numpy import save

    notes = {"ids": ["a:0-8"], "excluded": [], "faces": {}, "seconds": 0.0}
    notes["extractor"] = {"features": "lbp", "version": version}
    arrays = {
        "values": np.ones((1, 4), np.float32),
        "counts": np.ones(1, np.int64),
        "spans": np.zeros((1, 2), np.int64),
    }
    path = store.feature_file(hash_of(notes))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(save(arrays, metadata={feature_files._NOTES: json.dumps(notes)}))
    return path


def age(path, seconds=OLD):
    for one in (path, *path.rglob("*")) if path.is_dir() else (path,):
        status = one.stat()
        os.utime(one, (status.st_atime, status.st_mtime - seconds))


@pytest.fixture
def store(tmp_path):
    """A store with one sound entry of each kind."""
    made = Store(tmp_path / "store")
    write_cell(made)
    write_network(made)
    write_measurement(made)
    write_input(made)
    write_features(made)
    return made


def findings(store, requests=None):
    return [(one.state, one.kind, one.path) for one in take_inventory(store, requests or Requests()).findings]


def content(root):
    return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_a_sound_store_has_no_findings(store):
    for path in store.root.rglob("*"):
        age(path)
    before = content(store.root)
    found = take_inventory(store, Requests())
    assert found.findings == [] and content(store.root) == before
    kinds = ("cells", "networks", "measurements", "inputs", "features")
    assert {kind: found.counts[kind] for kind in kinds} == dict.fromkeys(kinds, 1)
    assert sum(found.sizes.values()) == sum(map(len, before.values()))
    assert found.remarks == ["1 networks, 1 cells are of data that is not in this store; their data may be stale, "
                             "which is not told"]  # fmt: skip


FILES = {
    "cells": ("??/*/result.json", "??/*/predictions.npz"),
    "networks": ("artifacts/*/*/history.json", "artifacts/*/*/network.safetensors"),
    "measurements": ("measurements/*/*/measurement.json", "measurements/*/*/series.json"),
    "inputs": ("inputs/*/*/notes.json", "inputs/*/*/data-00000-of-00001.arrow", "inputs/*/*/dataset_info.json"),
    "features": ("features/*/*.safetensors",),
}


@pytest.mark.parametrize(("kind", "file"), [(kind, file) for kind, files in FILES.items() for file in files])
@pytest.mark.parametrize("damage", ["truncated", "empty", "missing"])
def test_damage_is_found_and_nothing_else(store, kind, file, damage):
    (path,) = store.root.glob(file)
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(whole[: len(whole) // 2] if damage == "truncated" else b"")
    if damage == "missing" and path.name in ("result.json", "history.json", "measurement.json"):
        assert findings(store) == [], "an entry without its record is unfinished, and young"
        age(path.parent)
        assert findings(store) == [("left over", f"unfinished {kind}", path.parent)]
    elif damage == "missing" and kind == "features":
        assert findings(store) == []
    else:
        entry = path if kind == "features" else path.parent
        assert findings(store) == [("damaged", kind, entry)]


def test_a_flipped_byte_of_an_image_is_found(store):
    (path,) = store.root.glob("inputs/*/*/*.arrow")
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 20] ^= 1
    path.write_bytes(data)
    assert findings(store) == [("damaged", "inputs", path.parent)]


def test_an_entry_under_another_key_and_another_description_are_damage(store):
    (folder,) = store.root.glob("??/*")
    record = folder / "result.json"
    changed = json.loads(record.read_text())
    changed["description"]["seed"] = 1
    record.write_text(json.dumps(changed))
    assert findings(store) == [("damaged", "cells", folder)]
    (network,) = store.root.glob("artifacts/*/*")
    other = network.with_name("0" * 40)
    network.rename(other)
    assert ("damaged", "networks", other) in findings(store)


STALE_CELLS = {
    "code": {"version": 0},
    "method": {"method": "gone"},
    "system": {"system": {"version": 1}},
    "features": {"features": [{"features": "lbp", "version": 0}]},
    "no such features": {"features": [{"features": "gone", "version": 1}]},
    "input": {"input": {**SPEC.describe(), "version": 1}},
    "levels": {"labelled": {"data": {"unbc": DATA}, "levels": 0}},
}


@pytest.mark.parametrize("change", STALE_CELLS.values(), ids=STALE_CELLS)
def test_cells_of_earlier_versions_are_stale(store, change):
    path = write_cell(store, **change)
    assert findings(store) == [("stale", "cells", path)]


def test_networks_measurements_features_and_images_of_earlier_versions_are_stale(store):
    changes = ({"version": 0}, {"task": {"task": "jigsaw", "version": 0}}, {"task": {"task": "gone"}})
    networks = [write_network(store, **change) for change in changes]
    expected = [("stale", "networks", path) for path in networks]
    cell = write_cell(store, method="jigsaw", system=None, pretext=networks[0].name)
    expected.append(("stale", "cells", cell))
    write_cell(store, method="jigsaw", system=None, pretext="0" * 40)  # of a network that is not there
    expected.append(("stale", "measurements", write_measurement(store, version=0)))
    expected.append(("stale", "features", write_features(store, version=0)))
    (notes,) = store.root.glob("inputs/*/*/notes.json")
    noted = json.loads(notes.read_text())
    notes.write_text(json.dumps({**noted, "input": {**noted["input"], "version": 1}}))
    expected.append(("stale", "inputs", notes.parent))
    assert sorted(findings(store)) == sorted(expected)


def test_results_of_data_of_an_earlier_simulator_are_stale(store, monkeypatch):
    monkeypatch.setattr(staleness.Present, "datasets", {"f": "3"})
    assert {kind for state, kind, _ in findings(store) if state == "stale"} == {"cells", "networks"}
    monkeypatch.setattr(staleness.Present, "datasets", {"f": staleness.GENERATOR_VERSION})
    assert findings(store) == [] and take_inventory(store, Requests()).remarks == []


def test_what_killed_writers_leave_is_told_once_it_is_old(store):
    cell, network = next(store.keys()), next(store.artifact_keys())
    left = [
        ("temporary files", store.result_folder(cell) / ".result.json.abcd1234"),
        ("temporary files", store.root / "inputs" / "ab" / ".abcdef.abcd1234" / "shard"),
        ("unfinished cells", store.result_folder("c" * 40) / "predictions.npz"),
        ("checkpoints", store.root / "checkpoints" / network / "state.safetensors"),
    ]
    for _, path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"some")
    (store.root / ".cluster-0123456789abcdef").touch()
    age(store.root / ".cluster-0123456789abcdef")
    found = take_inventory(store, Requests())
    assert found.findings == [] and "4 unfinished entries are younger" in found.remarks[-1]
    entries = [left[0][1], left[1][1].parent, left[2][1].parent, left[3][1].parent]
    for path in entries:
        age(path)
    expected = [("left over", kind, path) for (kind, _), path in zip(left, entries, strict=True)]
    assert sorted(findings(store)) == sorted(expected)


def test_a_damaged_state_of_a_stage_is_told(store):
    network = torch.nn.Linear(3, 2)
    folder = store.root / "checkpoints" / ("c" * 40) / "teacher"
    Checkpoint(folder, network, torch.optim.SGD(network.parameters(), 0.1), torch.Generator()).save(Standing({}))
    assert findings(store) == []
    data = bytearray((folder / FILE).read_bytes())
    data[-100] ^= 1  # within the tensors: it parses
    (folder / FILE).write_bytes(data)
    assert findings(store) == [("damaged", "checkpoints", folder.parent)]


def test_the_age_is_by_the_clock_of_the_disk(store, monkeypatch):
    path = store.root / ".file.abcd1234"
    path.touch()
    monkeypatch.setattr("time.time", lambda: 4e9)
    assert findings(store) == []
    monkeypatch.setattr(inventory, "_clock", lambda root: path.stat().st_mtime + inventory.YOUNG)
    assert findings(store) == [("left over", "temporary files", path)]
    monkeypatch.setattr(inventory, "_clock", lambda root: None)
    found = take_inventory(store, Requests())
    assert found.findings == [] and "cannot be written to" in found.remarks[-1]


def test_images_that_nothing_asks_for_are_left_over(store):
    asked = write_input(store, "b", UNLABELLED)
    assert findings(store) == [], "a network was trained on them"
    other = write_input(store, "a", {**DATA, "length": 4})
    foreign = write_input(store, "c", {**DATA, "fingerprint": "g"})
    for path in (asked, other, foreign):
        age(path)
    assert findings(store) == [("left over", "inputs", other)], "of a subject of whom other images are asked for"
    assert "1 inputs are of data that is not in this store" in take_inventory(store, Requests()).remarks[0] or (
        "1 inputs" in take_inventory(store, Requests()).remarks[0]
    )


def test_what_tables_ask_for_is_not_left_over(store):
    from repro.table4 import TABLE

    clips = Clips(8, 8, 20, 10)
    spec = replace(SPEC, kind="SSD(RGB)", segment_length=2)
    scale = replace(SCALES["smoke"], clips={**SCALES["smoke"].clips, "unbc": clips}, input=spec)
    requests = Requests(lambda: [(TABLE, scale)])
    cut = {"fingerprint": "f", **{k: v for k, v in asdict(clips).items() if k in ("length", "stride", "level")}}
    path = write_input(store, "a", {**cut, "shortest": 4}, spec)
    age(path)
    assert findings(store) == [("left over", "inputs", path)]
    assert findings(store, requests) == []


def run(store, tmp_path, *more):
    """Check a store, but not the simulated data, which is another matter."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    checking.add_check_options(parser)
    options = parser.parse_args(["--store", str(store.root), "--out", str(tmp_path), *more])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checking, "_check_simulated", lambda options: 0)
        return checking.check(options)


def spoil(store):
    """Damage the cell, make another one stale, leave a temporary file; return the three paths."""
    (damaged,) = store.root.glob("??/*")
    (damaged / "predictions.npz").write_bytes(b"damage")
    stale = write_cell(store, version=0)
    left = store.root / ".file.abcd1234"
    left.touch()
    age(left)
    return damaged, stale, left


def test_check_tells_and_fix_sets_aside(store, tmp_path, capsys):
    assert run(store, tmp_path) == 0
    damaged, stale, left = spoil(store)
    before = content(store.root)
    assert run(store, tmp_path) == 1
    out = capsys.readouterr().out
    for line in ("1 cells", "1 temporary files", f"  damaged: {damaged}", f"  stale: {stale}", f"  left over: {left}"):
        assert line in out, line
    assert content(store.root) == before, "nothing is touched unless that is asked for"
    assert run(store, tmp_path, "--fix") == 0
    assert not damaged.exists() and not stale.exists() and not left.exists()
    moved = content(store.root)
    assert sorted(moved.values()) == sorted(before.values()), "nothing is deleted"
    assert {path.parts[0] for path in moved.keys() - before.keys()} == {"damaged", "set_aside"}
    assert (store.root / "set_aside" / stale.relative_to(store.root).parent / f"{stale.name}-0").is_dir()
    assert run(store, tmp_path) == 0


def test_delete_must_be_asked_for_together_with_fix(store, tmp_path, capsys):
    paths = spoil(store)
    assert run(store, tmp_path, "--delete") == 2
    assert "give both, or neither" in capsys.readouterr().err and all(path.exists() for path in paths)
    assert run(store, tmp_path, "--fix", "--delete") == 0
    assert not any(path.exists() for path in paths)
    assert not (store.root / "damaged").exists() and not (store.root / "set_aside").exists()
    assert run(store, tmp_path, "--fix", "--unbc", str(tmp_path)) == 2


def test_many_names_are_cut_short(store, tmp_path, capsys):
    for seed in range(25):
        write_cell(store, version=0, seed=seed)
    assert run(store, tmp_path) == 0, "what is stale is sound"
    out = capsys.readouterr().out
    assert out.count("  stale: ") == 20 and "and 5 more; --verbose names them" in out
    assert run(store, tmp_path, "--verbose") == 0
    assert capsys.readouterr().out.count("  stale: ") == 25
