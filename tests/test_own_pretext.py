"""The README's example of an own pretext task, written down and registered as shown, keeps the contract."""

import importlib.util
import inspect
import re
import sys
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch

import baselines
from baselines import selfsup
from repro import pretext
from repro.data.simulator import DOMAINS, simulate
from repro.learning.exported import read_record
from repro.learning.pretext import BackboneSpec, PretextPool, train_pretext
from repro.learning.schedule import Schedule
from repro.suite import histories

ROOT = Path(__file__).resolve().parents[1]
SECTION = (ROOT / "README.md").read_text().partition("### A pretext task\n")[2].partition("\n## ")[0]
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", SECTION, re.S)
(LINE,) = re.findall(r"```text\n(.*?)```", SECTION, re.S)


def _contracts():
    """Return the module of the contract tests, which is in no package."""
    spec = importlib.util.spec_from_file_location("contracts", ROOT / "tests/contracts/test_methods.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CONTRACTS = _contracts()
CHECKS = [
    (name, dict(zip((mark.args[0] for mark in marks), values, strict=True)))
    for name, check in inspect.getmembers(CONTRACTS.TestPretextTask, inspect.isfunction)
    for marks in [getattr(check, "pytestmark", [])]
    for values in ([(value,) for value in marks[0].args[1]] if marks else [()])
]


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """Write the example into the package of its registry line, add the line, and return the method's name."""
    (method,) = eval(f"[{LINE}]", {"Method": baselines.Method})
    module = method.location.partition(":")[0]
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / f"{module.rpartition('.')[2]}.py").write_text(EXAMPLE)
    monkeypatch.setattr(selfsup, "__path__", [*selfsup.__path__, str(tmp_path / "package")])
    methods = MappingProxyType({**baselines.METHODS, method.name: method})
    for place in (baselines, CONTRACTS, pretext, histories):
        monkeypatch.setattr(place, "METHODS", methods)
    yield method.name
    sys.modules.pop(module, None)


def test_the_example_is_short():
    assert len(EXAMPLE.splitlines()) <= 60 and len(CHECKS) >= 8


@pytest.mark.parametrize(("check", "values"), CHECKS, ids=lambda value: value if isinstance(value, str) else "")
def test_it_keeps_the_contract(registered, check, values, tmp_path):
    bound = getattr(CONTRACTS.TestPretextTask(), check)
    own = {"tmp_path": tmp_path} if "tmp_path" in inspect.signature(bound).parameters else {}
    bound(registered, **values, **own)


def test_it_is_learned_from_images_with_an_up_and_a_down(registered):
    generator = torch.Generator().manual_seed(0)
    n = 120
    light = torch.linspace(220, 30, 32)[:, None].expand(32, 32)
    images = (light + 20 * torch.randn(n, 3, 32, 32, generator=generator)).clamp(0, 255).to(torch.uint8)
    names = np.array([f"s{i % 6}" for i in range(n)])
    task = CONTRACTS.METHODS[registered].load()()
    history = train_pretext(
        task,
        PretextPool(images, names, names, names),
        BackboneSpec("resnet18", width=0.125),
        Schedule(2, 32, 0.03, "cosine", clip_norm=1.0),
        steps_per_epoch=25,
        held_out_subjects=2,
        seed=0,
    ).history
    # 40 held-out images in four turns: chance scatters by 0.034, and an untrained network tells one turn for all
    assert abs(history[0]["held_out_accuracy"] - 0.25) < 0.15
    assert history[-1]["held_out_accuracy"] > 0.9


def test_the_command_trains_it(registered, tmp_path, capsys):
    root = simulate(DOMAINS["biovid"], tmp_path / "biovid", n_subjects=4, videos_per_subject=2, size=48, frames=40)
    options = ["--scale", "smoke", "--jobs", "1", "--quiet", "--device", "cpu", "--store", str(tmp_path / "store")]
    command = re.search(r"`python -m repro\.pretext (.*?) -o FOLDER`", SECTION)[1].split()
    changed = re.search(r"`(--set [\w.]+=\w+)`", SECTION)[1].split()
    out = tmp_path / "out"
    assert pretext.main([*command, *changed, *options, "--biovid", str(root), "-o", str(out)]) == 0
    assert "Rotation on SSD(RGB) images of simulated BioVid data" in capsys.readouterr().out
    record = read_record(out)
    assert record["method"] == registered and record["task"]["augmentation"]["flip"] is False
    assert pretext.main(["--list"]) == 0
    assert "rotation  Rotation (Gidaris, Singh and Komodakis 2018)" in capsys.readouterr().out
