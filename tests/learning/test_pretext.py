"""The pretext loop: determinism, resumption, held-out subjects."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from repro.data.stored_images import StoredImages, encode_png
from repro.learning.pretext import BackboneSpec, PretextPool, PretextTask, train_pretext
from repro.learning.schedule import Schedule
from repro.stopping import Stopped

BACKBONE = BackboneSpec("resnet18", width=0.125)


def pool(n_subjects=5, per_subject=12, size=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    n = n_subjects * per_subject
    subjects = np.repeat([f"s{i}" for i in range(n_subjects)], per_subject)
    videos = np.array([f"{s}/v{i % per_subject // 4}" for i, s in enumerate(subjects)])
    images = torch.randint(0, 256, (n, 3, size, size), generator=generator, dtype=torch.uint8)
    return PretextPool(images, videos, videos, subjects)


@dataclass(frozen=True)
class Brightness(PretextTask):
    """Regress an image's mean: simple enough to be learned in a few steps."""

    name: ClassVar[str] = "brightness"
    version: ClassVar[int] = 1
    seen: tuple = ()

    def network(self, backbone, generator):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.backbone = backbone
                self.head = nn.Linear(backbone.n_features, 1)
                nn.init.zeros_(self.head.weight)
                nn.init.zeros_(self.head.bias)

            def forward(self, x):
                return self.head(self.backbone(x))[:, 0]

        return Net()

    def loss(self, network, pool, generator, batch_size):
        index = torch.randint(len(pool), (batch_size,), generator=generator)
        images = pool.images[index].float() / 255
        return ((network(images) - images.mean((1, 2, 3))) ** 2).mean(), {"samples": float(len(index))}

    def evaluate(self, network, pool, generator):
        images = pool.images[:].float() / 255
        return {"error": float(((network(images) - images.mean((1, 2, 3))) ** 2).mean()), "n": float(len(pool))}


def train(given, **changes):
    settings = {"steps_per_epoch": 2, "held_out_subjects": 2, "seed": 3, **changes}
    return train_pretext(Brightness(), given, BACKBONE, Schedule(3, 8, 0.05, "cosine"), **settings)


def test_images_that_stay_on_disk_train_the_same_network(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    given = pool()
    column = pyarrow.array([{"bytes": encode_png(image)} for image in given.images])
    stored = replace(given, images=StoredImages([(tmp_path, column)], 32))
    kept, decoded = train(stored), train(given)
    assert same(kept.state, decoded.state) and kept.history == decoded.history
    part, _ = stored.split(2, seed=1)
    assert isinstance(part.images, StoredImages) and len(part) == 36


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_same_seed_same_weights_and_history():
    given = pool()
    kept = given.images.clone()
    first, second = train(given), train(given)
    assert same(first.state, second.state) and first.history == second.history
    assert torch.equal(given.images, kept)
    assert not same(first.state, train(given, seed=4).state)


def test_history_begins_before_training_and_counts_steps():
    history = train(pool()).history
    assert [row["epoch"] for row in history] == [0, 1, 2, 3]
    assert [row["step"] for row in history] == [0, 2, 4, 6]
    assert "loss" not in history[0] and "loss" in history[1]
    assert all(row["held_out_n"] == 24 for row in history)
    # images of independent noise have mean 0.5, and the head starts at 0
    assert history[0]["held_out_error"] == pytest.approx(0.25, abs=0.01)


def test_the_task_is_learned_by_held_out_measure():
    # 90 updates let batch normalisation's running averages (momentum 0.1) forget where they began
    history = train(pool(), steps_per_epoch=30).history
    assert history[-1]["held_out_error"] < 0.2 * history[0]["held_out_error"]


def test_the_global_random_state_does_not_matter_and_is_left_alone():
    torch.manual_seed(0)
    first = train(pool())
    state = torch.get_rng_state()
    torch.manual_seed(99)
    second = train(pool())
    assert same(first.state, second.state)
    torch.manual_seed(0)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("update", range(1, 7))
def test_a_run_that_is_stopped_ends_with_the_same_weights(tmp_path, update):
    steps = []

    def stop(fraction, message):
        steps.append(fraction)
        if len(steps) == update:
            raise Stopped

    undisturbed = train(pool())
    with pytest.raises(Stopped):
        train(pool(), checkpoint=tmp_path, report=stop)
    resumed = train(pool(), checkpoint=tmp_path, report=lambda fraction, message: steps.append(fraction))
    assert steps == [step / 6 for step in range(1, 7)], "each update is made once"
    assert same(undisturbed.state, resumed.state)
    assert undisturbed.history == resumed.history


def test_a_run_that_is_killed_goes_on_from_its_last_epoch(tmp_path):
    class Killed(Exception):
        pass

    def kill(fraction, message):
        if fraction > 0.6:  # after the third update, in the second epoch of three
            raise Killed

    undisturbed, steps = train(pool()), []
    with pytest.raises(Killed):
        train(pool(), checkpoint=tmp_path, report=kill)
    resumed = train(pool(), checkpoint=tmp_path, report=lambda fraction, message: steps.append(fraction))
    assert steps == [step / 6 for step in range(3, 7)]
    assert same(undisturbed.state, resumed.state) and undisturbed.history == resumed.history


def test_held_out_subjects_do_not_train():
    given = pool()
    trained, held_out = given.split(2, seed=5)
    assert set(trained.subjects).isdisjoint(held_out.subjects)
    assert len(trained) + len(held_out) == len(given)
    with pytest.raises(ValueError, match="hold out fewer"):
        given.split(4, seed=5)
    with pytest.raises(ValueError, match="held-out"):
        given.split(1, seed=5)


def test_a_pool_needs_matching_columns():
    given = pool()
    with pytest.raises(ValueError, match="equally many"):
        PretextPool(given.images, given.sources[:-1], given.videos, given.subjects)
