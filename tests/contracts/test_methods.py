"""What every registered method promises, whichever it is; a new one is tested by being registered."""

import dataclasses
import json
import pickle
import re
from copy import deepcopy
from functools import cache

import numpy as np
import pytest
import torch

from baselines import METHODS
from repro.data.encoding import InputSpec, encode
from repro.data.schema import Dataset, VideoRecord
from repro.learning.augmentation import Augmentation
from repro.learning.backbones import NAMES
from repro.learning.finetune import FineTuning, fine_tune, predict
from repro.learning.pretext import BackboneSpec, PretextPool, train_pretext
from repro.learning.schedule import Schedule
from repro.stopping import Stopped
from repro.suite.scales import SCALES

BACKBONE = BackboneSpec("resnet18", width=0.125)
OPTIONS = {name: tuning.options for name, tuning in SCALES["smoke"].pretext.methods.items()}
"""Hyper-parameters for small networks and few images."""

SELF_SUPERVISED = [name for name, method in METHODS.items() if method.kind == "self-supervised"]
REFERENCES = [name for name, method in METHODS.items() if method.kind == "reference"]


class Moving(VideoRecord):
    """A textured square that wanders over a textured ground, each in its own way."""

    def frames(self):
        generator = torch.Generator().manual_seed(int(self.video.encode().hex(), 16) % 2**31)
        picture = torch.randint(0, 120, (3, 32, 32), generator=generator, dtype=torch.uint8)
        square = torch.randint(100, 256, (3, 9, 9), generator=generator, dtype=torch.uint8)
        phase, speed = torch.rand(2, 2, generator=generator)
        frames = picture.repeat(self.n_frames, 1, 1, 1)
        for t, frame in enumerate(frames):
            row, column = (11 + 10 * torch.sin(6.28 * (phase + 0.02 * (1 + speed) * t))).long().tolist()
            frame[:, row : row + 9, column : column + 9] = square
        return frames


@cache
def encoded(material, kind):
    """Return a pool of four subjects, each with three videos, as `material` wants it."""
    names = [(f"s{i}", f"s{i}/v{j}") for i in range(4) for j in range(3)]
    data = Dataset(
        "unbc", "nowhere", [Moving(s, v, 48, np.zeros(48, np.int64)) for s, v in names], content="0", n_levels=17
    )
    spec = material.input(InputSpec(kind, size=32, alignment="none", segment_length=6, flow="dis"))
    sources = material.cut(data, spec, clip_length=20, stride=4, clips_per_source=8)
    sets = []
    for record in data.records:
        clips = [clip for source in sources if source.video == record.video for clip in source.clips]
        sets.append(encode(record, clips, spec, material))
    return PretextPool(
        torch.cat([part.images for part in sets]),
        *(np.array([getattr(x, what) for x in sources for _ in x.clips]) for what in ("id", "video", "subject")),
        {name: torch.cat([part.extra.views[name] for part in sets]) for name in sets[0].extra.views},
        {name: np.concatenate([part.extra.numbers[name] for part in sets]) for name in sets[0].extra.numbers},
    )


def pool(name="siamese", kind="SSD(RGB)"):
    return encoded(METHODS[name].load()(**OPTIONS.get(name, {})).material(), kind)


def train(name, given, epochs=2, steps=3, seed=1, **more):
    schedule = Schedule(epochs, 16, 0.02, "cosine", clip_norm=1.0)
    task = METHODS[name].load()(**OPTIONS.get(name, {}))
    return train_pretext(task, given, BACKBONE, schedule, steps_per_epoch=steps, held_out_subjects=2, seed=seed, **more)


@cache
def trained(name):
    """Return what `train` gives by default; it is computed once, and not to be changed."""
    return train(name, pool(name))


def test_the_registry_is_ordered_by_name_and_says_where_things_come_from():
    for name, method in METHODS.items():
        assert method.name == name and re.fullmatch(r"[a-z][a-z0-9_]*", name)
        assert method.kind in ("self-supervised", "supervised", "reference")
        assert method.citation and method.label
        assert method.load().__doc__
    with pytest.raises(TypeError):
        METHODS["new"] = None


@pytest.mark.parametrize("name", SELF_SUPERVISED)
class TestPretextTask:
    def test_same_seed_gives_the_same_curve_and_weights(self, name):
        first, second = trained(name), train(name, pool(name))
        assert first.history == second.history
        assert all(torch.equal(first.state[key], second.state[key]) for key in first.state)

    def test_inputs_are_not_modified(self, name):
        given = pool(name)
        kept = given.images.clone(), {n: v.clone() for n, v in given.views.items()}, deepcopy(dict(given.numbers))
        train(name, given)
        assert torch.equal(given.images, kept[0])
        assert all(torch.equal(given.views[n], view) for n, view in kept[1].items())
        assert all(np.array_equal(given.numbers[n], values) for n, values in kept[2].items())

    @pytest.mark.parametrize("kind", ["RGB", "SSD(RGB)"])
    def test_fifty_steps_stay_finite(self, name, kind):
        history = train(name, pool(name, kind), epochs=2, steps=25).history
        assert all(np.isfinite(list(row.values())).all() for row in history)

    def test_it_measures_itself_against_chance(self, name):
        history = trained(name).history
        assert [row["epoch"] for row in history] == [0, 1, 2]
        assert all({"loss", "held_out_accuracy", "held_out_chance"} <= set(row) for row in history[1:])
        assert METHODS[name].load().accuracy.label

    def test_training_resumes_to_the_same_weights(self, name, tmp_path):
        def stop(fraction, message):
            if fraction > 0.8:  # after the second of three updates in the third epoch
                raise Stopped

        whole = train(name, pool(name), epochs=3)
        with pytest.raises(Stopped):
            train(name, pool(name), epochs=3, checkpoint=tmp_path, report=stop)
        steps = []
        resumed = train(name, pool(name), epochs=3, checkpoint=tmp_path, report=lambda *told: steps.append(told))
        assert len(steps) == 1, "it goes on in mid-epoch"
        assert all(torch.equal(whole.state[key], resumed.state[key]) for key in whole.state)
        assert whole.history == resumed.history

    def test_the_backbone_is_taken_by_fine_tuning(self, name):
        state = trained(name).state
        images, levels = pool().images[:24], np.arange(24) % 3
        settings = FineTuning(BACKBONE, Schedule(1, 12, 0.01, "cosine"), Augmentation())
        scores = predict(fine_tune(images, levels, 3, settings, seed=0, state=state), images)
        assert scores.shape == (24, 3) and np.isfinite(scores).all()

    def test_every_weight_of_the_backbone_is_trained(self, name):
        start = BACKBONE.build(torch.Generator().manual_seed(0)).state_dict()
        first, second = train(name, pool(name), epochs=1).state, trained(name).state
        assert first.keys() == start.keys()
        assert not [key for key in first if "num_batches" not in key and torch.equal(first[key], second[key])]

    @pytest.mark.parametrize("backbone", NAMES)
    def test_every_backbone_takes_the_task(self, name, backbone):
        task = METHODS[name].load()(**OPTIONS.get(name, {}))
        spec, schedule = BackboneSpec(backbone, width=0.125), Schedule(1, 8, 0.01, clip_norm=1.0)
        result = train_pretext(task, pool(name), spec, schedule, steps_per_epoch=1, held_out_subjects=2, seed=0)
        assert np.isfinite(result.history[1]["loss"])
        spec.build(torch.Generator()).load_state_dict(result.state)

    def test_the_description_tells_hyper_parameters_apart(self, name):
        task = METHODS[name].load()
        described = task().description()
        assert described["task"] == name and isinstance(described["version"], int)
        assert {field.name for field in dataclasses.fields(task)} <= set(described)
        json.dumps(described)


@pytest.mark.parametrize("name", REFERENCES)
class TestReference:
    def fitted(self, name):
        images, levels = pool().images[:30], np.arange(30) % 4
        return METHODS[name].load()().fit(images, levels, np.repeat(["a", "b"], 15)), pool().images[30:40]

    def test_probabilities_and_intensities(self, name):
        model, images = self.fitted(name)
        scores = model.predict_proba(images)
        assert scores.shape == (10, 4) and (scores >= 0).all()
        np.testing.assert_allclose(scores.sum(1), 1, atol=1e-6)
        intensity = model.predict(images)
        assert intensity.shape == (10,) and ((intensity >= 0) & (intensity <= 3)).all()

    def test_deterministic_and_picklable(self, name):
        model, images = self.fitted(name)
        again, _ = self.fitted(name)
        copy = pickle.loads(pickle.dumps(model))
        for other in (again, copy):
            np.testing.assert_array_equal(model.predict_proba(images), other.predict_proba(images))

    def test_inputs_are_not_modified(self, name):
        images, levels, groups = pool().images[:30], np.arange(30) % 4, np.repeat(["a", "b"], 15)
        kept = images.clone(), levels.copy(), groups.copy()
        METHODS[name].load()().fit(images, levels, groups).predict_proba(images)
        assert torch.equal(images, kept[0])
        assert (levels == kept[1]).all() and (groups == kept[2]).all()
