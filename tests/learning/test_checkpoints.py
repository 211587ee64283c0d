"""Checkpoints: a training that is stopped at any update ends as if nothing had been; damage is never trusted."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from repro.learning import checkpoints
from repro.learning.augmentation import Augmentation
from repro.learning.checkpoints import FILE, Checkpoint, Standing, check_state
from repro.learning.finetune import FineTuning, fine_tune
from repro.learning.pretext import BackboneSpec
from repro.learning.schedule import Schedule
from repro.stopping import Stopped

SETTINGS = FineTuning(
    BackboneSpec("resnet18", width=0.125), Schedule(2, 8, 0.02, "cosine"), Augmentation((0.5, 0.9), 1.2), balance=0.5
)
LEVELS = np.arange(32) % 2
UPDATES = 8


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (32, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def train(images, **more):
    return fine_tune(images, LEVELS, 2, SETTINGS, seed=3, **more).state_dict()


@pytest.fixture(scope="module")
def undisturbed(images):
    return train(images)


def stopping_at(update):
    """Return a report that asks for a stop at an update, counted from 1 over all calls, and what it was told."""
    told = []

    def report(fraction, message):
        told.append(message)
        if len(told) == update:
            raise Stopped

    return report, told


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("update", [1, 4, 6, UPDATES])
def test_fine_tuning_that_is_stopped_ends_with_the_same_weights(images, undisturbed, tmp_path, update):
    report, _ = stopping_at(update)
    with pytest.raises(Stopped):
        train(images, checkpoint=tmp_path, report=report)
    _, told = (again := stopping_at(-1))
    assert equal(train(images, checkpoint=tmp_path, report=again[0]), undisturbed)
    assert [message.split()[1] for message in told] == [f"{i}/{UPDATES}" for i in range(update + 1, UPDATES + 1)]


def test_a_checkpoint_is_written_when_its_time_has_come(images, undisturbed, tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: clock[0])
    written = []
    original = Checkpoint.save
    monkeypatch.setattr(Checkpoint, "save", lambda self, where: (written.append(where.position), original(self, where)))

    def report(fraction, message):
        clock[0] += 0.3 * checkpoints.EVERY
        if message.startswith("step 6/"):
            raise KeyboardInterrupt  # no time to write anything

    with pytest.raises(KeyboardInterrupt):
        train(images, checkpoint=tmp_path, report=report)
    assert written == [{"step": 4}]
    assert equal(train(images, checkpoint=tmp_path), undisturbed)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "position"])
def test_a_damaged_checkpoint_is_put_aside_and_training_begins_anew(images, undisturbed, tmp_path, damage, capsys):
    with pytest.raises(Stopped):
        train(images, checkpoint=tmp_path, report=stopping_at(5)[0])
    file = tmp_path / FILE
    data = bytearray(file.read_bytes())
    if damage == "flipped":
        data[-100] ^= 1
    elif damage == "position":
        data = data.replace(b"step", b"stop", 1)
    file.write_bytes({"cut": data[: len(data) // 2], "empty": b""}.get(damage, data))
    with pytest.raises(ValueError, match=str(file)):
        check_state(file)
    report, told = stopping_at(-1)
    assert equal(train(images, checkpoint=tmp_path, report=report), undisturbed)
    assert len(told) == UPDATES
    (line,) = capsys.readouterr().err.splitlines()
    assert str(file) in line and "begins anew" in line
    assert not file.exists() and (tmp_path / f"damaged-{FILE}").exists()


def test_the_state_of_another_network_is_refused(images, tmp_path):
    with pytest.raises(Stopped):
        train(images, checkpoint=tmp_path, report=stopping_at(1)[0])
    other = replace(SETTINGS, backbone=BackboneSpec("resnet18", width=0.25))
    with pytest.raises(ValueError, match="another training.*remove it"):
        fine_tune(images, LEVELS, 2, other, seed=3, checkpoint=tmp_path)


def test_momentum_keeps_the_layout_of_its_parameter(tmp_path):
    network = nn.Conv2d(4, 8, 3).to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))).sum().backward()
    optimiser.step()
    generator = torch.Generator().manual_seed(5)
    kept = Checkpoint(tmp_path, network, optimiser, generator)
    kept.save(Standing({"step": 1}, {"order": torch.arange(3)}))
    before = optimiser.state[network.weight]["momentum_buffer"]
    drawn = torch.rand(3, generator=generator), torch.rand(3)
    optimiser.state.clear()
    found = kept.restore()
    assert found.position == {"step": 1} and torch.equal(found.tensors["order"], torch.arange(3))
    after = optimiser.state[network.weight]["momentum_buffer"]
    assert torch.equal(before, after) and before.stride() == after.stride() != after.contiguous().stride()
    assert torch.equal(torch.rand(3, generator=generator), drawn[0]) and torch.equal(torch.rand(3), drawn[1])
    assert set(load_file(tmp_path / FILE)) >= {"network.weight", "momentum.0", "generator", "standing.order"}


def test_nothing_is_kept_without_a_folder_or_found_in_an_empty_one(tmp_path):
    network = nn.Linear(2, 2)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    for folder in (None, tmp_path / "none"):
        assert Checkpoint(folder, network, optimiser, torch.Generator()).restore() is None
    Checkpoint(None, network, optimiser, torch.Generator()).save(Standing({}))
    assert not list(tmp_path.iterdir())
