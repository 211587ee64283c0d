"""Geometry: pairs and their flow under augmentation, both stages learned, the first kept, resuming."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from baselines.selfsup.frame_pairs import FramePairs
from baselines.selfsup.geometry import Geometry
from baselines.selfsup.warps import WarpedPair, Warps, inside, pixel_points, sample
from repro.learning.augmentation import Augmentation
from repro.learning.finetune import FineTuning, fine_tune, predict
from repro.learning.pretext import BackboneSpec, PretextPool, train_pretext
from repro.learning.schedule import Schedule

SMALL = BackboneSpec("resnet18", width=0.125)
CPU = torch.device("cpu")
TASK = Geometry(width=16, reach=2, first_stage_epochs=2, augmentation=Augmentation(area=(0.85, 1.0)))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def textures(n=160, size=32, n_subjects=8, largest=1.5, seed=0):
    """Smooth random images; the partner is moved sideways by up to so many pixels, each by its own."""
    generator = seeded(seed)
    wide = torch.nn.functional.interpolate(
        255 * torch.rand(n, 3, size // 4 + 2, size // 4 + 2, generator=generator), (size + 8,) * 2, mode="bicubic"
    ).clamp(0, 255)
    u = largest * (2 * torch.rand(n, generator=generator) - 1)
    points = pixel_points(size, size)
    scale, step = size / (size + 8), 2 / (size + 8)
    still = (scale * points).expand(n, -1, -1, -1)
    # the partner at p + u shows what the image shows at p
    moved = still - torch.stack([u * step, torch.zeros(n)], dim=-1)[:, None, None]
    images, partners = (sample(wide, grid).round().to(torch.uint8) for grid in (still, moved))
    flow = torch.zeros(n, 3, size // 4, size // 4)
    flow[:, 0], flow[:, 2] = u[:, None, None], 1
    videos = np.array([f"s{i * n_subjects // n}/v{i}" for i in range(n)])
    subjects = np.array([video.split("/")[0] for video in videos])
    return PretextPool(images, videos, videos, subjects, {"partner": partners}, {"flow": flow.numpy().astype("f2")})


def train(task, pool, epochs=4, steps=12, seed=1, rate=0.1, **more):
    schedule = Schedule(epochs, 48, rate, "cosine", clip_norm=1.0)
    return train_pretext(task, pool, SMALL, schedule, steps_per_epoch=steps, held_out_subjects=2, seed=seed, **more)


@pytest.fixture(scope="module")
def trained():
    return train(TASK, textures(), epochs=5, steps=20)


def test_both_stages_are_learned_on_held_out_subjects(trained):
    history = trained.history
    assert history[0]["held_out_accuracy"] == pytest.approx(history[0]["held_out_chance"])
    assert history[0]["held_out_frames"] == pytest.approx(history[0]["held_out_frames_chance"])
    assert [row["stage"] for row in history[1:]] == [1, 1, 2, 2, 2]
    assert history[2]["held_out_frames"] == pytest.approx(history[0]["held_out_frames"]), "not before its stage"
    last = history[-1]
    assert last["held_out_accuracy"] < 0.75 * last["held_out_chance"]
    assert last["held_out_frames"] < 0.75 * last["held_out_frames_chance"]
    assert all(np.isfinite(list(row.values())).all() for row in history)


def test_distillation_keeps_the_first_stage(trained):
    without = train(dataclasses.replace(TASK, distillation=0.0), textures(), epochs=5, steps=20).history
    before, kept = trained.history[2]["held_out_accuracy"], trained.history[-1]["held_out_accuracy"]
    assert without[2]["held_out_accuracy"] == before, "they part at the second stage"
    assert kept < without[-1]["held_out_accuracy"] - 0.1 * before
    assert kept < 1.1 * before


@dataclasses.dataclass(frozen=True)
class Unpaired(Warps):
    """Give each image the second view of another, so that only single images can tell."""

    def pair(self, images, crops, generator):
        first, second, field = super().pair(images, crops, generator)
        return WarpedPair(first, second.roll(1, 0), field)


def test_a_single_view_does_not_tell_how_it_was_warped():
    # one view of a texture shows neither where it was cut nor, by sharpness or repeated edges, how it was moved
    task = dataclasses.replace(TASK, warps=Unpaired(), first_stage_epochs=9)
    last = train(task, textures(), epochs=1, steps=50).history[-1]
    assert last["held_out_accuracy"] > 0.97 * last["held_out_chance"]


@pytest.mark.parametrize("augmentation", [Augmentation(), Augmentation((0.5, 0.9), 1.3)])
def test_flow_is_augmented_with_the_images(augmentation):
    pool = textures(32)
    task = dataclasses.replace(TASK, augmentation=augmentation)
    batch = task.frames(pool, torch.arange(32), seeded(3), CPU)
    assert batch.horizontal.all() and not batch.flow[:, 1].any()
    flow = torch.nn.functional.interpolate(batch.flow, 32, mode="bilinear").permute(0, 2, 3, 1) / 50
    target = pixel_points(32, 32) + flow
    shown = inside(target)
    brought = (sample(batch.second, target) - batch.first).abs().mean(1)[shown]
    wrong = (sample(batch.second, pixel_points(32, 32) - flow) - batch.first).abs().mean(1)[shown]
    # images of range 2; three interpolations and rounding to grey values
    assert float(brought.mean()) < 0.03 < 0.2 * float(wrong.mean())


def test_a_mirror_turns_the_flow_around_and_a_crop_stretches_it():
    pool = textures(8)
    given = torch.from_numpy(pool.numbers["flow"][:, 0].astype(np.float32)).mean((1, 2)) * 100 / 32

    @dataclasses.dataclass(frozen=True)
    class Fixed(Augmentation):
        matrix: tuple = ()

        def draw(self, n, generator):
            return torch.tensor(self.matrix).expand(n, -1, -1)

    for width, height in ((1.0, 1.0), (-1.0, 1.0), (0.8, 0.5), (-0.5, 0.9)):
        fixed = Fixed(matrix=((width, 0.0, 0.0), (0.0, height, 0.0)))
        batch = dataclasses.replace(TASK, augmentation=fixed).frames(pool, torch.arange(8), seeded(), CPU)
        torch.testing.assert_close(batch.flow[:, 0].mean((1, 2)), given / width, rtol=1e-3, atol=1e-3)


def test_points_of_unknown_flow_do_not_count():
    pool = textures(16)
    flow = pool.numbers["flow"].copy()
    flow[:, :2, :, :4], flow[:, 2, :, :4] = 0, 0
    hidden = dataclasses.replace(pool, numbers={"flow": flow})
    plain = dataclasses.replace(TASK, augmentation=Augmentation((1.0, 1.0), 1.0, flip=False))
    batch = plain.frames(hidden, torch.arange(16), seeded(), CPU)
    assert not batch.valid[..., :4].any() and batch.valid[..., 5:7].all()
    torch.testing.assert_close(batch.flow[..., 5:7], plain.frames(pool, torch.arange(16), seeded(), CPU).flow[..., 5:7])


def test_an_update_costs_as_many_images_as_it_is_told():
    network = TASK.network(SMALL.build(seeded()), seeded())
    seen = []
    network.student.register_forward_pre_hook(lambda _, inputs: seen.append(2 * len(inputs[0])))
    for _ in range(3):
        TASK.start_epoch(network, textures(40), seeded(), None)
        TASK.loss(network, textures(40), seeded(), 32)
    assert seen == [32, 32, 32]


def test_the_copy_is_frozen_and_is_the_network_after_the_first_stage():
    pool = textures(40)
    network = TASK.network(SMALL.build(seeded()), seeded())
    optimiser = Schedule(1, 32, 0.1, "cosine").optimiser(network.parameters())
    for epoch in range(4):
        network.eval()
        TASK.start_epoch(network, pool, seeded(epoch), optimiser)
        if epoch == 2:
            kept = copy.deepcopy(network.student.state_dict())
        network.train()
        loss, _ = TASK.loss(network, pool, seeded(epoch), 32)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    now = network.teacher.state_dict()
    assert now.keys() == kept.keys() and all(torch.equal(now[key], kept[key]) for key in kept)
    assert not torch.equal(network.student.state_dict()["context.weight"], kept["context.weight"])
    usual = np.abs(pool.numbers["flow"][:, 0].astype(np.float64)).mean() * 100 / 32
    assert float(network.student.scale[1]) == pytest.approx(usual, rel=1e-4)


def test_training_resumes_to_the_same_weights_in_either_stage(tmp_path):
    class Stop(Exception):
        pass

    whole = train(TASK, textures(64), steps=2)
    again = train(TASK, textures(64), steps=2)
    assert whole.history == again.history
    for number, share in enumerate((0.3, 0.6, 0.85)):

        def stop(fraction, message, share=share):
            if fraction > share:
                raise Stop

        with pytest.raises(Stop):
            train(TASK, textures(64), steps=2, checkpoint=tmp_path / str(number), report=stop)
        resumed = train(TASK, textures(64), steps=2, checkpoint=tmp_path / str(number))
        assert resumed.history == whole.history
        assert all(torch.equal(whole.state[key], resumed.state[key]) for key in whole.state)


@pytest.mark.parametrize("name", ["vgg16", "inception_v1", "resnet50"])
def test_other_backbones_learn_in_both_stages_and_are_taken_by_fine_tuning(name):
    backbone, pool = BackboneSpec(name, width=0.125), textures(48)
    kept = {key: view.clone() for key, view in (("images", pool.images), ("partner", pool.views["partner"]))}
    task = dataclasses.replace(TASK, first_stage_epochs=1)
    schedule = Schedule(2, 16, 0.02, "cosine", clip_norm=1.0)
    result = train_pretext(task, pool, backbone, schedule, steps_per_epoch=2, held_out_subjects=2, seed=0)
    fresh = backbone.build(seeded()).state_dict()
    assert result.state.keys() == fresh.keys()
    assert torch.equal(pool.images, kept["images"]) and torch.equal(pool.views["partner"], kept["partner"])
    settings = FineTuning(backbone, Schedule(1, 12, 0.01, "cosine"), Augmentation())
    network = fine_tune(pool.images[:24], np.arange(24) % 3, 3, settings, seed=0, state=result.state)
    assert np.isfinite(predict(network, pool.images[:8])).all()


def test_a_pool_without_pairs_is_refused():
    pool = textures(40)
    bare = PretextPool(pool.images, pool.sources, pool.videos, pool.subjects)
    network = TASK.network(SMALL.build(seeded()), seeded())
    with pytest.raises(ValueError, match="material"):
        TASK.evaluate(network, bare, seeded())


def test_its_material_and_description():
    assert Geometry(nearest=3, farthest=7, flow="dis").material() == FramePairs(3, 7, "dis")
    described = Geometry().description()
    assert described["task"] == "geometry" and described["warps"]["bend"] == Warps().bend


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"first_stage_epochs": 0}, "first_stage_epochs 0"),
        ({"distillation": -1.0}, "distillation -1"),
        ({"nearest": 20}, "nearest 20"),
        ({"flow": "farneback"}, "farneback"),
        ({"width": 10}, "width 10"),
        ({"reach": 0}, "reach 0"),
    ],
)
def test_bad_settings_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        Geometry(**bad)
