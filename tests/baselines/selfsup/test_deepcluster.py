"""Deep clustering: what is clustered and drawn, what is forgotten and kept, and that the clusters are learned."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from baselines.selfsup.clustering import normalized_mutual_information
from baselines.selfsup.deepcluster import DeepCluster
from repro.data.stored_images import StoredImages, encode_png
from repro.learning.augmentation import to_network
from repro.learning.backbones import NAMES
from repro.learning.pretext import BackboneSpec, PretextPool, train_pretext
from repro.learning.schedule import Schedule

BACKBONE = BackboneSpec("resnet18", width=0.125)
TASK = DeepCluster(clusters=6, dimensions=8)
KINDS = 6


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def gratings(n_subjects=6, per_subject=36, size=32, seed=0):
    """Gratings of three directions and two frequencies, of any phase, on a light that tells the subject."""
    generator = seeded(seed)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    images, subjects = [], []
    for i in range(n_subjects * per_subject):
        subject, kind = i // per_subject, i % KINDS
        angle, frequency = torch.pi * (kind % 3) / 3, (0.5, 1.5)[kind // 3]
        along = x * np.cos(angle) + y * np.sin(angle)
        wave = torch.sin(frequency * along + 6.28 * float(torch.rand((), generator=generator)))
        noise = 15 * torch.randn(3, size, size, generator=generator)
        images.append((100 + 8 * subject + 60 * wave + noise).clamp(0, 255).to(torch.uint8))
        subjects.append(f"s{subject}")
    subjects = np.array(subjects)
    videos = np.array([f"{s}/v{i % per_subject // 6}" for i, s in enumerate(subjects)])
    return PretextPool(torch.stack(images), videos, videos, subjects)


def begun(task=TASK, pool=None, backbone=BACKBONE, seed=0):
    """Return a network whose first epoch has begun, its optimiser, its generator and what was logged."""
    generator = seeded(seed)
    network = task.network(backbone.build(generator), generator).eval()
    optimiser = Schedule(1, 16, 0.05).optimiser(network.parameters())
    measures = task.start_epoch(network, pool or gratings(), generator, optimiser)
    return network, optimiser, generator, measures


def update(task, network, pool, generator, optimiser):
    network.train()
    loss, log = task.loss(network, pool, generator, 16)
    Schedule(1, 16, 0.05).update(optimiser, loss, 0, 1)
    network.eval()
    return log


def train(pool, task=TASK, epochs=2, steps=3, seed=1, **more):
    schedule = Schedule(epochs, 32, 0.1, "cosine", clip_norm=1.0)
    return train_pretext(task, pool, BACKBONE, schedule, steps_per_epoch=steps, held_out_subjects=2, seed=seed, **more)


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


class TestLearning:
    def test_it_is_learned_on_held_out_subjects(self):
        history = train(gratings(8), replace(TASK, reassign=3), epochs=6, steps=20).history
        assert history[0]["held_out_accuracy"] == history[0]["held_out_chance"] == 1 / 6
        last = history[-1]
        # 72 held-out images in 6 clusters: three times chance is beyond six standard errors
        assert last["held_out_accuracy"] > 3 * last["held_out_chance"]
        assert last["held_out_nmi"] > last["held_out_nmi_chance"] + 0.2
        assert last["loss"] < 0.5 * np.log(6)
        assert all(np.isfinite(list(row.values())).all() for row in history)

    def test_a_constant_answer_is_at_chance_whichever_it_is(self):
        pool = gratings()
        network, *_ = begun(pool=pool)
        with torch.no_grad():
            network.weight.zero_()
            scores = []
            for answer in range(TASK.clusters):
                network.bias.copy_(torch.arange(TASK.clusters) == answer)
                measures = TASK.evaluate(network, pool, seeded())
                scores.append(measures["accuracy"])
        assert max(scores) == pytest.approx(measures["chance"])
        assert sum(scores) == pytest.approx(1)  # each cluster is recognised by one of the constants
        assert measures["nmi"] == 0

    def test_a_classifier_that_was_not_trained_is_at_chance_though_it_knows_something(self):
        pool = gratings()
        network, optimiser, generator, _ = begun(pool=pool)
        measures = []
        for _ in range(12):
            network.restart_head(TASK.clusters, generator, optimiser)
            measures.append(TASK.evaluate(network, pool, seeded()))
        mean = {name: np.mean([row[name] for row in measures]) for name in measures[0]}
        # Random answers to 6 clusters are right by a sixth on average; over 12 trials the error is about 0.03
        assert mean["accuracy"] == pytest.approx(mean["chance"], abs=0.1)
        assert mean["nmi"] > 1.5 * mean["nmi_chance"]

    def test_features_that_are_all_the_same_gain_nothing(self):
        pool = gratings(4, 12)
        task = replace(TASK, clusters=5)
        generator = seeded()
        network = task.network(BACKBONE.build(generator), generator).eval()
        with torch.no_grad():
            for parameter in network.backbone.parameters():
                parameter.zero_()
        optimiser = Schedule(1, 16, 0.05).optimiser(network.parameters())
        measures = task.start_epoch(network, pool, generator, optimiser)
        assert measures["empty_clusters"] == 4 and measures["largest_cluster"] == 1
        assert torch.isfinite(task.loss(network, pool, generator, 16)[0])
        held_out = task.evaluate(network, pool, generator)
        assert held_out["accuracy"] <= held_out["chance"] == 1


class TestClustering:
    def test_clusters_are_those_of_plain_images_by_the_network_as_it_was(self):
        pool = gratings()
        network, optimiser, generator, measures = begun(pool=pool)
        images = to_network(pool.images)
        assert torch.equal(network.pseudo_labels(images), network.assignment)
        for _ in range(3):
            update(TASK, network, pool, generator, optimiser)
        assert torch.equal(network.pseudo_labels(images), network.assignment)
        assert not same(network.backbone.state_dict(), network.teacher.state_dict())
        assert measures["nmi_previous"] == 0 and measures["dimensions"] == 8
        assert measures["largest_cluster"] == np.bincount(network.assignment).max() / len(pool)
        assert measures["nmi_subjects"] == normalized_mutual_information(pool.subjects, network.assignment.numpy())

    def test_epochs_are_compared_with_the_one_before(self):
        pool = gratings()
        network, optimiser, generator, _ = begun(pool=pool)
        before = network.assignment.numpy().copy()
        for _ in range(5):
            update(TASK, network, pool, generator, optimiser)
        measures = TASK.start_epoch(network, pool, generator, optimiser)
        after = network.assignment.numpy()
        assert 0 < measures["nmi_previous"] == normalized_mutual_information(before, after) < 1

    def test_clusters_are_drawn_equally_often_and_then_their_images(self):
        assignment = torch.cat([torch.zeros(1), torch.ones(9), torch.full((990,), 2.0)]).long()
        drawn = TASK.draw(assignment, 6000, seeded())
        # four standard errors of a share of 1/3 in 6000 draws are 0.024, of 1/9 in 2000 draws 0.028
        shares = torch.bincount(assignment[drawn]) / 6000
        torch.testing.assert_close(shares, torch.full((3,), 1 / 3), atol=0.024, rtol=0)
        within = torch.bincount(drawn, minlength=1000)[1:10] / (assignment[drawn] == 1).sum()
        torch.testing.assert_close(within, torch.full((9,), 1 / 9), atol=0.028, rtol=0)
        assert len(drawn[assignment[drawn] == 2].unique()) > 800

    def test_images_without_a_cluster_of_their_own_are_left_with_none_that_is_empty(self):
        pool = gratings(4, 12)
        doubled = replace(pool, images=pool.images[torch.zeros(48, dtype=torch.int64)])
        network, _, _, measures = begun(pool=doubled)
        assert measures["empty_clusters"] == 5 and len(network.centroids) == 1
        assert network.assignment.eq(0).all()

    @pytest.mark.parametrize(("images", "clusters"), [(60, 50), (5000, 50), (5200, 52), (130_000, 1300)])
    def test_the_number_of_clusters_follows_the_images(self, images, clusters):
        assert DeepCluster().count(images) == clusters
        assert DeepCluster(clusters=7).count(images) == 7


class TestClassifier:
    def test_it_begins_anew_in_place_and_without_momentum(self):
        task, pool = replace(TASK, clusters=40), gratings()
        network, optimiser, generator, _ = begun(task, pool)
        weight, bias = network.weight, network.bias
        for _ in range(2):
            update(task, network, pool, generator, optimiser)
        assert {"momentum_buffer"} <= optimiser.state[weight].keys() and bias.abs().max() > 0
        task.start_epoch(network, pool, generator, optimiser)
        assert network.weight is weight and network.bias is bias
        assert weight not in optimiser.state and bias not in optimiser.state
        trunk = next(network.backbone.parameters())
        assert optimiser.state[trunk]["momentum_buffer"].abs().max() > 0
        assert bias.eq(0).all()
        # 40 x 64 weights: their deviation has a standard error of 1.4 %
        assert float(weight.detach().std()) == pytest.approx(0.01, rel=0.06)
        before = weight.detach().clone()
        update(task, network, pool, generator, optimiser)
        assert not torch.equal(before, weight)

    def test_it_stays_for_as_many_epochs_as_it_is_told(self):
        task, pool = replace(TASK, reassign=3), gratings()
        network, optimiser, generator, first = begun(task, pool)
        assignment = network.assignment
        for _ in range(2):
            update(task, network, pool, generator, optimiser)
            state, weight = generator.get_state(), network.weight.detach().clone()
            assert task.start_epoch(network, pool, generator, optimiser) == first
            assert network.assignment is assignment and torch.equal(weight, network.weight)
            assert torch.equal(state, generator.get_state()) and network.weight in optimiser.state
        assert task.start_epoch(network, pool, generator, optimiser)["nmi_previous"] > 0
        assert not torch.equal(weight, network.weight)

    def test_the_teacher_is_frozen_in_evaluation_mode(self):
        network, *_ = begun(pool=gratings(4, 12))
        network.train()
        assert network.backbone.training and not any(module.training for module in network.teacher.modules())
        assert not any(parameter.requires_grad for parameter in network.teacher.parameters())

    def test_another_pool_may_follow(self):
        task = replace(TASK, clusters=None)
        pools = gratings(4, 15), gratings(4, 20)
        network, optimiser, generator, _ = begun(task, pools[0])
        update(task, network, pools[0], generator, optimiser)
        with pytest.raises(ValueError, match="60 images are clustered, but the pool has 80; call start_epoch"):
            task.loss(network, pools[1], generator, 16)
        small = replace(task, clusters=12)
        small.start_epoch(network, pools[1], generator, optimiser)
        update(small, network, pools[1], generator, optimiser)
        assert network.weight.shape == network.weight.grad.shape == (12, 64)


class TestState:
    def test_it_is_taken_over_by_a_network_that_has_not_clustered(self):
        pool = gratings()
        network, optimiser, generator, _ = begun(pool=pool)
        update(TASK, network, pool, generator, optimiser)
        other = TASK.network(BACKBONE.build(seeded(9)), seeded(9)).eval()
        weight = other.weight
        assert not other.is_clustered
        other.load_state_dict(load(save({k: v.contiguous() for k, v in network.state_dict().items()})))
        assert other.weight is weight and other.is_clustered
        assert same(network.state_dict(), other.state_dict())
        assert TASK.evaluate(other, pool, seeded()) == TASK.evaluate(network, pool, seeded())
        assert TASK.start_epoch(other, pool, seeded(), optimiser)["nmi_previous"] > 0

    def test_one_of_before_the_first_clustering_is_too(self):
        fresh = TASK.network(BACKBONE.build(seeded()), seeded())
        state = load(save({k: v.contiguous() for k, v in fresh.state_dict().items()}))
        network, *_ = begun(pool=gratings(4, 12))
        network.load_state_dict(state)
        assert not network.is_clustered and len(network.weight) == 0

    def test_one_of_another_backbone_is_refused(self):
        network, *_ = begun(pool=gratings(4, 12))
        wider = TASK.network(BackboneSpec("resnet18", width=0.25).build(seeded()), seeded())
        with pytest.raises(RuntimeError, match="size mismatch"):
            network.load_state_dict(wider.state_dict())

    @pytest.mark.parametrize("reassign", [1, 2])
    def test_training_resumes_to_the_same_weights(self, tmp_path, reassign):
        class Stop(Exception):
            pass

        def stop(fraction, message):
            if fraction > 0.4:  # in the second epoch of three, before the second clustering if there are two to one
                raise Stop

        pool, task = gratings(), replace(TASK, reassign=reassign)
        whole = train(pool, task, epochs=3)
        with pytest.raises(Stop):
            train(pool, task, epochs=3, checkpoint=tmp_path, report=stop)
        resumed = train(pool, task, epochs=3, checkpoint=tmp_path)
        assert same(whole.state, resumed.state) and whole.history == resumed.history

    def test_seeds_decide_and_images_stay_as_they_are(self):
        pool = gratings()
        kept = pool.images.clone()
        first, second = train(pool), train(pool)
        assert same(first.state, second.state) and first.history == second.history
        assert not same(first.state, train(pool, seed=2).state)
        assert torch.equal(pool.images, kept)

    def test_images_that_stay_on_disk_train_the_same_network(self, tmp_path):
        pyarrow = pytest.importorskip("pyarrow")
        pool = gratings(4, 12)
        column = pyarrow.array([{"bytes": encode_png(image)} for image in pool.images])
        stored = replace(pool, images=StoredImages([(tmp_path, column)], 32))
        kept, decoded = train(stored, steps=1), train(pool, steps=1)
        assert same(kept.state, decoded.state) and kept.history == decoded.history


@pytest.mark.parametrize("name", NAMES)
def test_every_backbone_is_clustered_and_trained(name):
    pool = gratings(4, 12)
    network, optimiser, generator, measures = begun(pool=pool, backbone=BackboneSpec(name, width=0.125))
    assert measures["dimensions"] == 8
    update(TASK, network, pool, generator, optimiser)
    unmoved = [name for name, p in network.backbone.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not unmoved and all(p.grad is None for p in network.teacher.parameters())
    assert set(TASK.evaluate(network, pool, seeded())) == {"accuracy", "chance", "nmi", "nmi_chance", "clusters"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_it_runs_on_a_gpu():
    history = train(gratings(), device="cuda").history
    assert all(np.isfinite(list(row.values())).all() for row in history)


def test_few_features_give_few_dimensions():
    _, _, _, measures = begun(replace(TASK, dimensions=256), gratings(4, 12))
    assert 1 <= measures["dimensions"] <= 47  # 48 images less their mean


def test_the_description_is_json():
    described = json.loads(json.dumps(TASK.description()))
    assert described["task"] == "deepcluster" and described["clusters"] == 6 and described["reassign"] == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clusters": 1}, "clusters 1 must be at least 2"),
        ({"dimensions": 0}, "dimensions 0 must"),
        ({"iterations": 0}, "iterations 0 must"),
        ({"reassign": 0}, "reassign 0 must"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        DeepCluster(**settings)


def test_more_clusters_than_images_are_refused():
    with pytest.raises(ValueError, match="48 training images cannot form 50 clusters; set clusters"):
        begun(DeepCluster(), gratings(4, 12))
