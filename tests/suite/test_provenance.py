"""Provenance: what is told of code, packages, hardware and command, and what must not be."""

import argparse
import getpass
import json
import platform
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from repro.suite import provenance
from repro.suite.command import add_options, parsed
from repro.suite.provenance import circumstances, commit_of, environment

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path):
    """A repository with two packages and an emitted table, all committed."""
    for name in ("repro/a.py", "baselines/b.py", "tables/simulated/t.csv", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1\n")
    identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


def test_a_commit_is_told_with_the_files_that_differ_from_it(checkout):
    told = commit_of(checkout)
    assert len(told["hash"]) == 40 and told["dirty"] is False and told["changed"] == []
    (checkout / "tables/simulated/t.csv").write_text("2\n")
    (checkout / "tables/simulated/new.csv").write_text("2\n")
    (checkout / "notes.txt").write_text("not imported by anything\n")
    assert commit_of(checkout) == told, "what runs write, and what Python does not import, is not the code"
    (checkout / "repro/a.py").write_text("2\n")
    (checkout / "repro/ü new.py").write_text("3\n")
    (checkout / "README.md").unlink()
    again = commit_of(checkout)
    assert again == {**told, "dirty": True, "changed": ["README.md", "repro/a.py", "repro/ü new.py"]}
    assert str(checkout) not in json.dumps(again)


def test_a_checkout_of_which_git_cannot_tell_is_not_taken_for_clean(checkout, monkeypatch):
    monkeypatch.setenv("PATH", str(checkout))
    assert commit_of(checkout) == {"hash": None, "dirty": None, "changed": []}


@pytest.mark.parametrize(
    ("noted", "expected"),
    [
        (None, None),
        ('{"url": "file:///somewhere", "dir_info": {"editable": true}}', None),
        (
            '{"url": "https://example.org/r.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}',
            {"hash": "abc", "dirty": False, "changed": []},
        ),
    ],
)
def test_an_installed_package_tells_its_version_and_the_commit_that_pip_noted(tmp_path, monkeypatch, noted, expected):
    class Installed:
        def read_text(self, name):
            return noted if name == "direct_url.json" else None

    monkeypatch.setattr(metadata, "distribution", lambda name: Installed())
    assert commit_of(tmp_path) == expected

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    assert commit_of(tmp_path) is None
    assert environment()["suite"] == "0.1.0"


def test_the_hash_of_the_code_changes_with_any_file_of_it(checkout, monkeypatch):
    monkeypatch.setattr(provenance, "_ROOT", checkout)
    hashes = [provenance.hash_of_code()]
    (checkout / "README.md").write_text("not code\n")
    assert provenance.hash_of_code() == hashes[0]
    for change in (
        lambda: (checkout / "baselines/b.py").write_text("2\n"),
        lambda: (checkout / "repro/c.py").write_text(""),
        lambda: (checkout / "repro/c.py").rename(checkout / "repro/d.py"),
    ):
        change()
        hashes.append(provenance.hash_of_code())
    assert len(set(hashes)) == 4


def test_versions_of_all_packages_that_are_asked_for(monkeypatch):
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = [line.partition(">")[0] for line in wanted]
    versions = environment()["versions"]
    assert set(names) <= set(versions) and versions["python"] == platform.python_version()
    assert all(versions[name] == metadata.version(name) for name in names)
    assert not any("pytest" in name or "ruff" in name for name in versions)

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    assert set(environment()["versions"]) == set(versions), "a checkout that was never installed tells the same"


def test_hardware_is_told_by_its_features_and_not_by_its_name(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda number: f"GPU {number}")
    told = environment()
    hardware = told["hardware"]
    assert hardware["gpus"] == ["GPU 0", "GPU 1"] and hardware["cores"] >= 1
    assert hardware["processor"] and hardware["instructions"] and hardware["system"]
    text = json.dumps(told)
    assert str(ROOT) not in text and str(Path.home()) + "/" not in text
    assert platform.node() not in text or len(platform.node()) < 4
    assert f'"{getpass.getuser()}"' not in text


def options(*typed):
    parser = argparse.ArgumentParser(prog="python -m repro.table4")
    add_options(parser)
    return parsed(parser, typed)


def test_the_command_is_told_as_typed_and_with_the_values_in_force(monkeypatch):
    monkeypatch.setenv("REPRO_UNBC", "/data/of/somebody/unbc")
    monkeypatch.setenv("REPRO_STORE", "/home/somebody/store")
    told = circumstances("table4", options("--scale", "smoke", "--out", "my results", "--jobs", "2", "--deterministic"))
    assert told["command line"] == "python -m repro.table4 --scale smoke --out 'my results' --jobs 2 --deterministic"
    command = told["command"]
    assert command["scale"] == "smoke" and command["seeds"] == 1 and command["jobs"] == 2
    assert command["mode"] == "only-missing" and command["device"] == "auto" and command["deterministic"] is True
    assert "somebody" not in json.dumps(told), "folders that were not typed are not told"
    assert circumstances("t", argparse.Namespace(scale="smoke"))["command line"] is None
