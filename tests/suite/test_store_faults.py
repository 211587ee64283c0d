"""What befalls a store: damage, a full disk, a read-only one, folders that are gone, moved or linked.

After each fault the same command is run again, and then: what is in the store parses, files that were there and sound
are as they were, byte for byte, and the table is that of an undisturbed run, byte for byte. The table is small, but
has a file of every kind: pretext networks, cells, images, features and a measurement.
"""

import errno
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from repro import files
from repro.__main__ import main as suite_main
from repro.suite import command
from repro.suite.command import COMPLETE, INCOMPLETE, USAGE
from repro.suite.engine import Engine
from repro.suite.inventory import take_inventory
from repro.suite.requests import Requests
from repro.suite.spec import OWN, Column, Row, Table
from repro.suite.store import Store

ROWS = (
    Row("jigsaw", ("jigsaw",), "unbc", "jigsaw", pretext=(OWN,), input="RGB", published=False),
    Row("LBP", ("LBP",), "unbc", "lbp_top", input="RGB", published=False),
    Row("window", ("window",), "unbc", "mean", encoding=(("window", 3),), input="SSD(RGB)", published=False),
)
COLUMNS = (Column("MSE", "mse", published=False), Column("alike", "image_correlation", published=False))
TABLE = Table("faults", "A table whose store is disturbed", "-", ("Method",), ROWS, COLUMNS, "grouped_k_fold")

KINDS = {
    "cell": "??/*/predictions.npz",
    "record of a cell": "??/*/result.json",
    "network": "artifacts/*/*/network.safetensors",
    "measurement": "measurements/*/*/series.json",
    "input": "inputs/*/*/*.arrow",
    "features": "features/*/*.safetensors",
}


def small_table():
    """Load the module that writes data within a moment, and knows a scale for it."""
    path = Path(__file__).parents[1] / "faults" / "small_table.py"
    spec = importlib.util.spec_from_file_location("small_table_of_store", path)
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Place:
    """A folder with the data, a store, and what a run emitted."""

    def __init__(self, root, scales):
        self.root, self.scales = root, scales
        self.store = Store(root / "store")

    def run(self, *more, store=None):
        options = ["--scale", "smoke", "--device", "cpu", "--quiet", "--jobs", "1", "--unbc", str(self.root / "data")]
        options += ["--store", str(store or self.store.root), "--out", str(self.root / "out"), *more]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(command, "SCALES", self.scales)
            return command.main(TABLE, options)

    def csv(self):
        return (self.root / "out" / "tables" / "licensed" / "faults.csv").read_bytes()

    def files(self):
        """Contents of all files that count."""
        root = self.store.root
        found = {path.relative_to(root): path for path in root.rglob("*") if path.is_file()}
        return {
            name: path.read_bytes() for name, path in found.items() if name.parts[0] not in ("damaged", "set_aside")
        }

    def lose_cells(self):
        for path in self.store.root.glob("??"):
            shutil.rmtree(path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    module = small_table()
    place = Place(tmp_path_factory.mktemp("undisturbed"), module.scales())
    module.write_data(place.root / "data")
    assert place.run() == COMPLETE
    for pattern in KINDS.values():
        assert list(place.store.root.glob(pattern)), f"the table has no {pattern}"
    return place


@pytest.fixture
def place(undisturbed, tmp_path):
    shutil.copytree(undisturbed.store.root, tmp_path / "store")
    (tmp_path / "data").symlink_to(undisturbed.root / "data")
    return Place(tmp_path, undisturbed.scales)


def check(place, undisturbed, kept):
    """Look at a store after the run that follows a fault."""
    found = take_inventory(place.store, Requests())
    assert [one for one in found.findings if one.state == "damaged"] == []
    now = place.files()
    assert not any(part.startswith(".") for name in now for part in name.parts), "a temporary file is left"
    changed = [str(name) for name, data in kept.items() if now.get(name) != data]
    assert changed == []
    assert place.csv() == undisturbed.csv()


def damage(path, how):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] if how == "truncated" else b"\0" * len(data))


@pytest.mark.parametrize("how", ["truncated", pytest.param("overwritten", marks=pytest.mark.faults)])
@pytest.mark.parametrize("kind", ["cell", "record of a cell", "network", "measurement"])
def test_what_is_damaged_is_set_aside_and_computed_again(place, undisturbed, capsys, kind, how):
    path = sorted(place.store.root.glob(KINDS[kind]))[0]
    kept = {name: data for name, data in place.files().items() if path.parent.name not in name.parts}
    damage(path, how)
    with pytest.MonkeyPatch.context() as patch:
        if kind != "network":
            patch.setattr(Engine, "run", only_of(Engine.run, 1))
        assert place.run() == COMPLETE
    assert "set aside" in capsys.readouterr().err
    if kind == "measurement":  # holds no seconds that are in the table
        kept = {name: data for name, data in kept.items() if name.parts[0] != "measurements"}
    check(place, undisturbed, kept)


def only_of(run, most):
    """Return the engine's method, for so many tasks at most."""

    def counted(self, tasks, *more, **named):
        assert len(tasks) <= most, [task.label for task in tasks]
        return run(self, tasks, *more, **named)

    return counted


@pytest.mark.parametrize("how", ["truncated", pytest.param("overwritten", marks=pytest.mark.faults)])
@pytest.mark.parametrize("kind", ["input", "features"])
def test_damaged_images_and_features_fail_what_needs_them_until_they_are_set_aside(
    place, undisturbed, capsys, kind, how
):
    paths = sorted(place.store.root.glob(KINDS[kind]))
    place.lose_cells()
    kept = place.files()
    for path in paths:
        entry = path.parent if kind == "input" else path
        kept = {name: data for name, data in kept.items() if entry.name not in name.parts}
        damage(path, how)
    assert place.run() == INCOMPLETE
    told = capsys.readouterr()
    assert "run again" in told.err and "INCOMPLETE" in told.out
    assert suite_main(["check", "--store", str(place.store.root), "--out", str(place.root), "--fix"]) == COMPLETE
    assert f"{len(paths)} entries set aside" in capsys.readouterr().out
    assert place.run() == COMPLETE
    check(place, undisturbed, kept)


def test_a_damaged_checkpoint_is_not_trusted(place, undisturbed):
    from repro.learning.checkpoints import FILE

    kept = place.files()
    for network in list(place.store.artifact_keys())[:1]:
        shutil.rmtree(place.store.artifact_folder(network))
        kept = {name: data for name, data in kept.items() if network not in name.parts}
        checkpoint = place.store.root / "checkpoints" / network
        checkpoint.mkdir(parents=True)
        (checkpoint / FILE).write_bytes(b"\x10" + b"\0" * 40)
        inventory = take_inventory(place.store, Requests())
        assert [(one.state, one.kind) for one in inventory.findings] == [("damaged", "checkpoints")]
    (cell,) = (key for key in place.store.keys() if network in json.dumps(place.store.read(key)[0]))
    shutil.rmtree(place.store.result_folder(cell))
    kept = {name: data for name, data in kept.items() if cell not in name.parts}
    assert place.run() == COMPLETE
    check(place, undisturbed, kept)


@pytest.mark.parametrize(
    "written", [0, pytest.param(1, marks=pytest.mark.faults), pytest.param(3, marks=pytest.mark.faults)]
)
def test_a_full_disk_fails_what_is_written_and_no_more(place, undisturbed, monkeypatch, capsys, written):
    place.lose_cells()
    kept = place.files()
    original, count = os.fsync, iter(range(10**6))

    def full(handle):
        if next(count) >= written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(handle)

    monkeypatch.setattr(files.os, "fsync", full)
    assert place.run() in (INCOMPLETE, USAGE)  # USAGE: the table itself could not be written
    monkeypatch.undo()
    assert "free some space" in capsys.readouterr().err
    now = place.files()
    assert {name: now.get(name) for name in kept} == kept
    assert [one for one in take_inventory(place.store, Requests()).findings if one.state == "damaged"] == []
    assert place.run() == COMPLETE
    check(place, undisturbed, kept)


@pytest.mark.faults
def test_a_disk_that_is_really_full(place, undisturbed, tmp_path, capsys):
    size = sum(map(len, place.files().values()))
    place.lose_cells()
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size + (256 << 10)}", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        shutil.copytree(place.store.root, disk / "store")
        with (disk / "filler").open("wb") as filler:
            try:
                while True:
                    filler.write(b"\0" * 4096)
                    filler.flush()
            except OSError:
                pass
        assert place.run(store=disk / "store") == INCOMPLETE
        assert "free some space" in capsys.readouterr().err
        assert [one for one in take_inventory(Store(disk / "store"), Requests()).findings] == []
        (disk / "filler").unlink()
        assert place.run(store=disk / "store") == COMPLETE
        assert place.csv() == undisturbed.csv()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@contextmanager
def read_only(path):
    """Make a folder read-only, also for the superuser."""
    if os.geteuid():
        folders = [path, *(one for one in path.rglob("*") if one.is_dir())]
        for one in folders:
            one.chmod(0o555)
        try:
            yield
        finally:
            for one in folders:
                one.chmod(0o755)
        return
    bound = subprocess.run(["mount", "--bind", str(path), str(path)], capture_output=True).returncode == 0
    if bound and subprocess.run(["mount", "-o", "remount,bind,ro", str(path)], capture_output=True).returncode:
        subprocess.run(["umount", str(path)], check=True)
        bound = False
    if not bound:
        pytest.skip("nothing can be made read-only for the superuser here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


def test_a_read_only_store_can_be_shown_but_not_computed_in(place, undisturbed, capsys):
    kept = place.files()
    with read_only(place.store.root):
        assert place.run("--mode", "only-cache") == COMPLETE
        check(place, undisturbed, kept)
        assert place.run("--mode", "plan") == COMPLETE
        assert place.run() == USAGE
        assert "or show what is there by --mode only-cache" in capsys.readouterr().err
    cell = next(place.store.keys())
    damage(place.store.result_folder(cell) / "predictions.npz", "truncated")
    with read_only(place.store.root):
        assert place.run("--mode", "only-cache") == INCOMPLETE
        assert "counts as missing, and stays where it is" in capsys.readouterr().err
        options = ["check", "--store", str(place.store.root), "--out", str(place.root / "out")]
        assert suite_main(options) == INCOMPLETE
        assert "nothing in it is called left over" in capsys.readouterr().out
        assert suite_main([*options, "--fix"]) == INCOMPLETE
    assert place.store.result_folder(cell).is_dir()


@contextmanager
def idle():
    """Fail if anything is computed."""

    def nothing(self, tasks, *more, **named):
        assert list(tasks) == []
        return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "run", nothing)
        yield


def test_a_store_that_was_moved_or_is_linked_holds_the_same(place, undisturbed, tmp_path):
    kept = place.files()
    place.store.root.rename(tmp_path / "elsewhere")
    (tmp_path / "linked").symlink_to(tmp_path / "elsewhere")
    for root in (tmp_path / "elsewhere", tmp_path / "linked"):
        place.store = Store(root)
        with idle():
            assert place.run() == COMPLETE
        check(place, undisturbed, kept)


def test_part_of_a_store_may_be_a_link_to_another_disk(place, undisturbed, tmp_path, monkeypatch):
    """Moving from one disk to another is copying."""
    from repro.suite import store as module

    cell = next(place.store.keys())
    damage(place.store.result_folder(cell) / "predictions.npz", "truncated")

    def another_disk(self, target):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(module.Path, "rename", another_disk)
    reason = place.store.discard_damaged(cell)
    assert "set aside as" in reason and not place.store.has(cell)
    assert (place.store.root / "damaged" / f"{cell}-0" / "predictions.npz").is_file()


@pytest.mark.parametrize("gone", ["inputs", "features", "artifacts"])
def test_folders_that_are_gone_are_not_missed_until_they_are_needed(place, undisturbed, gone):
    shutil.rmtree(place.store.root / gone)
    kept = place.files()
    with idle():
        assert place.run() == COMPLETE
    check(place, undisturbed, kept)


@pytest.mark.faults
@pytest.mark.parametrize("gone", ["inputs", "features", "artifacts", "measurements", "cells"])
def test_folders_that_are_gone_are_computed_again(place, undisturbed, gone):
    if gone == "cells":
        place.lose_cells()
    else:
        shutil.rmtree(place.store.root / gone)
        place.lose_cells()
    kept = place.files()
    assert place.run() == COMPLETE
    check(place, undisturbed, kept)
    before, after = undisturbed.files(), place.files()
    assert set(before) == set(after)


def test_what_was_remembered_is_forgotten_when_its_files_change(place):
    store, cell = place.store, next(place.store.keys())
    first = store.recall(cell)
    assert store.recall(cell) is first
    path = store.result_folder(cell) / "predictions.npz"
    data = path.read_bytes()
    files.write_atomically(path, data)
    assert store.recall(cell) is not first, "another file, even with the same content"
    damage(path, "overwritten")
    with pytest.raises(ValueError, match="hash"):
        store.recall(cell)
    path.unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        store.recall(cell)
