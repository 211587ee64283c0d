"""What every registered method promises, whichever it is; a new one is tested by being registered."""

import dataclasses
import pickle
import re

import numpy as np
import pytest
import torch

from baselines import METHODS
from repro.learning.augmentation import Augmentation
from repro.learning.finetune import FineTuning, fine_tune, predict
from repro.learning.pretext import BackboneSpec, PretextPool, train_pretext
from repro.learning.schedule import Schedule

BACKBONE = BackboneSpec("resnet18", width=0.125)
SELF_SUPERVISED = [name for name, method in METHODS.items() if method.kind == "self-supervised"]
ESTIMATORS = [name for name, method in METHODS.items() if method.kind != "self-supervised"]


def pool(n_subjects=4, sources=3, clips=8, size=32):
    generator = torch.Generator().manual_seed(0)
    names = np.array([f"s{i}/v{j}#0" for i in range(n_subjects) for j in range(sources) for _ in range(clips)])
    base = torch.randint(0, 200, (n_subjects * sources, 1, 3, size, size), generator=generator)
    noise = torch.randint(0, 56, (n_subjects * sources, clips, 3, size, size), generator=generator)
    images = (base + noise).flatten(0, 1).to(torch.uint8)
    videos = np.array([name.split("#")[0] for name in names])
    return PretextPool(images, names, videos, np.array([name.split("/")[0] for name in names]))


def train(name, given, epochs=2, steps=3, seed=1, **more):
    schedule = Schedule(epochs, 32, 0.02, "cosine", clip_norm=1.0)
    task = METHODS[name].load()()
    return train_pretext(task, given, BACKBONE, schedule, steps_per_epoch=steps, held_out_subjects=2, seed=seed, **more)


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
        first, second = train(name, pool()), train(name, pool())
        assert first.history == second.history
        assert all(torch.equal(first.state[key], second.state[key]) for key in first.state)

    def test_inputs_are_not_modified(self, name):
        given = pool()
        kept = given.images.clone()
        train(name, given)
        assert torch.equal(given.images, kept)

    def test_fifty_steps_stay_finite(self, name):
        history = train(name, pool(), epochs=1, steps=50).history
        assert all(np.isfinite(list(row.values())).all() for row in history)

    def test_training_resumes_to_the_same_weights(self, name, tmp_path):
        class Stop(Exception):
            pass

        def stop(fraction, message):
            if fraction > 0.6:
                raise Stop

        whole = train(name, pool())
        with pytest.raises(Stop):
            train(name, pool(), checkpoint=tmp_path, report=stop)
        resumed = train(name, pool(), checkpoint=tmp_path)
        assert all(torch.equal(whole.state[key], resumed.state[key]) for key in whole.state)

    def test_the_backbone_is_taken_by_fine_tuning(self, name):
        state = train(name, pool()).state
        images, levels = pool().images[:24], np.arange(24) % 3
        settings = FineTuning(BACKBONE, Schedule(1, 12, 0.01, "cosine"), Augmentation())
        scores = predict(fine_tune(images, levels, 3, settings, seed=0, state=state), images)
        assert scores.shape == (24, 3) and np.isfinite(scores).all()

    def test_the_description_tells_hyper_parameters_apart(self, name):
        task = METHODS[name].load()
        described = task().description()
        assert described["task"] == name and isinstance(described["version"], int)
        assert {field.name for field in dataclasses.fields(task)} <= set(described)


@pytest.mark.parametrize("name", ESTIMATORS)
class TestEstimator:
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
