"""The task on clips whose flow is known, its accuracy against scikit-learn's, and that it is learned by looking."""

from functools import cache

import numpy as np
import pytest
import torch
from torch.nn import functional

from baselines.selfsup import motion_statistics, statistics_material
from baselines.selfsup.clip_statistics import clip_statistics, mirrored
from baselines.selfsup.motion_statistics import MotionStatistics
from baselines.selfsup.statistics_material import ClipStatistics, measured_size, windows
from repro.data.encoding import InputSpec, encode
from repro.data.schema import Dataset, VideoRecord
from repro.learning.augmentation import to_network
from repro.learning.pretext import BackboneSpec, PretextPool, train_pretext
from repro.learning.schedule import Schedule

BACKBONE = BackboneSpec("resnet18", width=0.125)


class Noise(VideoRecord):
    """Coarse noise of few values that keeps changing; ``/m`` in its name mirrors it."""

    def frames(self):
        generator = torch.Generator().manual_seed(len(self.video.removesuffix("/m")))
        small = torch.rand((self.n_frames, 3, 8, 8), generator=generator)
        whole = functional.interpolate(0.5 * small + 0.5 * small[:1], (32, 32), mode="bilinear")
        frames = (whole * 255).to(torch.uint8) // 16 * 16
        return frames.flip(-1) if self.video.endswith("/m") else frames


def known_flow(frames, *, method):
    """A field that mirrors as flow does: u is the grey image's slope to the right, v its change."""
    grey = frames.float().mean(1)
    slope = functional.pad(grey, (1, 1), mode="replicate")
    return torch.stack([slope[:-1, :, 2:] - slope[:-1, :, :-2], grey[1:] - grey[:-1]], dim=1)


def encoded(kind, video="a", material=None, frames=20):
    material = material or ClipStatistics(frames=2, flow="dis")
    spec = material.input(InputSpec(kind, size=32, alignment="none", segment_length=5, flow="dis"))
    record = Noise("s", video, frames, np.zeros(frames, np.int64))
    data = Dataset("unbc", "nowhere", [record], content="0", n_levels=17)
    clips = material.cut(data, spec, clip_length=12, stride=2, clips_per_source=4)[0].clips
    return encode(record, clips, spec, material)


def pool_of(part, subject="s"):
    names = np.array([subject] * len(part.images))
    return PretextPool(part.images, names, names, names, dict(part.extra.views), dict(part.extra.numbers))


class TestMaterial:
    @pytest.mark.parametrize(
        ("kind", "shape"), [("RGB", (4, 2, 3, 32, 32)), ("SSD(RGB)", (4, 3, 32, 32)), ("OF", (4, 2, 3, 32, 32))]
    )
    def test_images_and_numbers_of_each_kind(self, kind, shape):
        part = encoded(kind)
        assert part.images.shape == shape
        assert part.extra.numbers["statistics"].shape == (4, 9, 27)
        assert part.extra.numbers["statistics"].dtype == np.float32
        assert part.extra.numbers["drawn_flow"].tolist() == [float(kind == "OF")] * 4

    def test_numbers_are_those_of_the_clip_in_each_window(self, monkeypatch):
        monkeypatch.setattr(statistics_material, "flow", known_flow)
        part = encoded("RGB")
        frames = Noise("s", "a", 20, np.zeros(20, np.int64)).frames()
        for clip, numbers in zip(part.clips, part.extra.numbers["statistics"], strict=True):
            own = frames[clip.start : clip.stop]
            field = known_flow(own, method="dis").numpy()
            for (row, column, side), expected in zip(windows(32), numbers, strict=True):
                place = ..., slice(row, row + side), slice(column, column + side)
                np.testing.assert_array_equal(clip_statistics(own.numpy()[place], field[place], [(0, 12)])[0], expected)

    def test_flow_is_estimated_once_for_clips_that_overlap(self, monkeypatch):
        seen = []

        def counting(frames, *, method):
            seen.append((len(frames) - 1, method))
            return known_flow(frames, method=method)

        monkeypatch.setattr(statistics_material, "flow", counting)
        encoded("SSD(RGB)", material=ClipStatistics(flow="tvl1"))
        assert seen == [(17, "tvl1")]  # 4 clips of 12 frames, 2 apart, end at frame 18

    def test_flow_over_several_frames(self, monkeypatch):
        monkeypatch.setattr(statistics_material, "flow", known_flow)
        frames = Noise("s", "a", 11, np.zeros(11, np.int64)).frames()
        fields = statistics_material._flow(frames, "dis", 3)
        assert len(fields) == 8
        for t, field in enumerate(fields):
            np.testing.assert_array_equal(field, known_flow(frames[[t, t + 3]], method="dis")[0].numpy())

    def test_large_faces_are_made_smaller(self):
        frames = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
        mean = frames.float().view(2, 3, 112, 2, 112, 2).mean((3, 5))
        assert (statistics_material._reduced(frames) - mean).abs().max() <= 0.5
        assert statistics_material._reduced(frames[..., :70, :70]).shape[-1] == measured_size(70) == 64
        assert statistics_material._reduced(frames[..., :64, :64]).data_ptr() == frames.data_ptr()

    @pytest.mark.parametrize("size", [32, 64, 112])
    def test_windows_are_symmetric_and_cover_the_image(self, size):
        found = windows(size)
        side = found[0][2]
        assert len(found) == 9 and side % 8 == 0 and size / 2 < side <= 3 * size / 4
        assert {(row, size - side - column, side) for row, column, side in found} == set(found)
        assert min(found)[:2] == (0, 0) and max(found)[:2] == (size - side,) * 2

    def test_fields_tell_materials_apart(self):
        task = MotionStatistics(frames=3, flow="dis", apart=2)
        assert task.material().describe() == {
            "material": "clip statistics",
            "version": 1,
            "frames": 3,
            "flow": "dis",
            "apart": 2,
        }
        assert MotionStatistics(mirror=False).material() == MotionStatistics().material()

    def test_clips_that_hold_no_flow_and_small_images(self):
        with pytest.raises(ValueError, match="clips of 12 frames hold no flow over 12 frames"):
            encoded("RGB", material=ClipStatistics(apart=12, flow="dis"))
        with pytest.raises(ValueError, match="images of 31 pixels"):
            ClipStatistics().input(InputSpec(size=31))


class TestShow:
    def shown(self, pool, window, mirror):
        """Show the first clip in a window, by a generator that draws both as wanted."""
        task = MotionStatistics(frames=2)
        for seed in range(500):
            generator = torch.Generator().manual_seed(seed)
            drawn = int(torch.randint(9, (1,), generator=generator))
            if drawn == window and (float(torch.rand(1, generator=generator)) < 0.5) == mirror:
                images, numbers = task.show(pool, torch.tensor([0]), torch.Generator().manual_seed(seed))
                return images[0], numbers[0].numpy()
        raise AssertionError("no seed draws this")

    @pytest.mark.parametrize("kind", ["RGB", "SSD(RGB)", "OF"])
    @pytest.mark.parametrize("window", [0, 4, 5])
    def test_a_mirrored_clip_is_the_mirrored_video(self, kind, window, monkeypatch):
        # Estimated flow is mirrored up to its own errors only, and the SSD image up to rounding; this field is exact.
        monkeypatch.setattr(statistics_material, "flow", known_flow)
        monkeypatch.setattr("repro.data.encoding.flow", known_flow)
        one, other = pool_of(encoded(kind)), pool_of(encoded(kind, "a/m"))
        images, numbers = self.shown(one, window, mirror=True)
        expected_images, expected = self.shown(other, window + 2 * (1 - window % 3), mirror=False)
        np.testing.assert_array_equal(numbers, expected)
        assert (numbers != self.shown(one, window, mirror=False)[1]).any()
        # One grey level of 127.5: the drawn flow and the SSD image are rounded; interpolation mixes no more.
        torch.testing.assert_close(images, expected_images, atol=1.01 / 127.5, rtol=0)

    def test_a_window_is_what_its_numbers_describe(self):
        pool = pool_of(encoded("RGB"))
        images, numbers = self.shown(pool, 7, mirror=False)
        row, column, side = windows(32)[7]
        whole = to_network(pool.images[0])[..., row : row + side, column : column + side]
        expected = functional.interpolate(whole, (32, 32), mode="bilinear")
        torch.testing.assert_close(images[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], atol=1e-5, rtol=0)
        np.testing.assert_array_equal(numbers, pool.numbers["statistics"][0, 7])

    def test_mirror_is_drawn_for_half_of_the_clips_or_none(self):
        pool = pool_of(encoded("SSD(RGB)"))
        index = torch.zeros(400, dtype=torch.int64)
        for mirror, low, high in ((True, 150, 250), (False, 0, 0)):
            numbers = MotionStatistics(mirror=mirror).show(pool, index, torch.Generator().manual_seed(0))[1].numpy()
            plain = {row.tobytes() for row in pool.numbers["statistics"][0]}
            other = {row.tobytes() for row in mirrored(pool.numbers["statistics"][0])} - plain
            assert low <= sum(row.tobytes() in other for row in numbers) <= high
            assert all(row.tobytes() in plain | other for row in numbers)

    def test_a_pool_of_other_material_is_refused(self):
        names = np.array(["s"] * 2)
        pool = PretextPool(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), names, names, names)
        with pytest.raises(ValueError, match="encode it with the material of the task"):
            MotionStatistics().show(pool, torch.tensor([0]), torch.Generator())


class TestAccuracy:
    def test_equals_scikit_learn(self):
        from sklearn.metrics import explained_variance_score, r2_score

        generator = torch.Generator().manual_seed(0)
        target = torch.rand(50, 27, generator=generator, dtype=torch.float64) * torch.linspace(0.1, 1, 27)
        estimate = target + torch.randn(50, 27, generator=generator) * 0.1 + 0.05
        for offsets, score in ((False, explained_variance_score), (True, r2_score)):
            found = motion_statistics._explained(estimate, target, offsets=offsets)
            assert found == pytest.approx(score(target, estimate, multioutput="variance_weighted"), abs=1e-9)

    def test_constants_explain_nothing_and_the_truth_everything(self):
        target = torch.rand(50, 27, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        for constant in (0.0, 0.5, target.mean(0), target[0]):
            estimate = torch.zeros_like(target) + constant
            assert motion_statistics._explained(estimate, target) == pytest.approx(0, abs=1e-12)
            assert motion_statistics._explained(estimate, target, offsets=True) <= 1e-12
        assert (
            motion_statistics._explained(target, target)
            == motion_statistics._explained(target, target, offsets=True)
            == 1
        )

    def test_numbers_that_do_not_vary_are_left_out(self):
        target = torch.rand(50, 3, generator=torch.Generator().manual_seed(0))
        wrong = torch.cat([target, torch.rand(50, 1)], dim=1)
        assert motion_statistics._explained(wrong, torch.cat([target, torch.ones(50, 1)], dim=1), offsets=True) == 1
        assert motion_statistics._explained(target, torch.ones(50, 3)) == 0

    def test_answers_by_the_mean_after_the_first_epoch_began(self):
        task, pool = MotionStatistics(frames=2, mirror=False), pool_of(encoded("SSD(RGB)"))
        network = task.network(BACKBONE.build(torch.Generator().manual_seed(0)), torch.Generator().manual_seed(0))
        assert not network.begun and (network.head.bias == 0.5).all()
        optimiser = torch.optim.SGD(network.parameters(), 0.1)
        task.start_epoch(network, pool, torch.Generator(), optimiser)
        mean = pool.numbers["statistics"].mean((0, 1))
        np.testing.assert_allclose(network.head.bias.detach().numpy(), mean, atol=1e-6)
        with torch.no_grad():
            network.head.bias.zero_()
        task.start_epoch(network, pool, torch.Generator(), optimiser)
        assert (network.head.bias == 0).all()  # only once


class TestNetwork:
    def network(self, frames):
        generator = torch.Generator().manual_seed(0)
        return MotionStatistics(frames=frames).network(BACKBONE.build(generator), generator).eval()

    def test_features_are_joined_in_the_order_of_time(self):
        network, images = self.network(3), torch.rand(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            features = [network.backbone(images[:, t]) for t in range(3)]
            expected = network.head(torch.cat(features, dim=1))
            torch.testing.assert_close(network(images), expected, atol=1e-5, rtol=1e-4)
            assert not torch.allclose(network(images.flip(1)), expected, atol=1e-4)

    def test_one_image_stands_at_all_times(self):
        network, image = self.network(3), torch.rand(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            torch.testing.assert_close(network(image), network(image.repeat(1, 3, 1, 1, 1)), atol=1e-5, rtol=1e-4)

    def test_another_number_of_images_is_an_error(self):
        with pytest.raises(ValueError, match="2 images of a clip"):
            self.network(3)(torch.rand(2, 2, 3, 32, 32))

    @pytest.mark.parametrize(("kind", "clips"), [("RGB", 8), ("SSD(RGB)", 16)])
    def test_a_batch_counts_images(self, kind, clips):
        task, pool = MotionStatistics(frames=2), pool_of(encoded(kind))
        network = self.network(2)
        shapes = []
        network.backbone.register_forward_pre_hook(lambda _, inputs: shapes.append(len(inputs[0])))
        network.register_forward_pre_hook(lambda _, inputs: shapes.append(len(inputs[0])))
        task.loss(network, pool, torch.Generator().manual_seed(0), 16)
        assert shapes == [clips, 16]

    def test_settings(self):
        for wrong in ({"frames": 0}, {"apart": 0}):
            with pytest.raises(ValueError, match=f"{next(iter(wrong))} 0 must be at least 1"):
                MotionStatistics(**wrong)


def moving(seed, size=32):
    """A clip of one image, in which a bright square of some colour lies where a field of some direction is."""
    generator = np.random.default_rng(seed)
    frames = np.repeat(generator.integers(60, 90, (1, 3, size, size)), 3, 0).astype(np.uint8)
    fields = 0.01 * generator.normal(size=(2, 2, size, size))
    row, column = generator.integers(0, size - 8, 2)
    place = ..., slice(row, row + 8), slice(column, column + 8)
    frames[place] = generator.choice([40, 240], (1, 3, 1, 1)) + generator.integers(0, 9, (3, 3, 8, 8))
    fields[place] += np.linspace(0.5, 1, 8) * generator.choice([-1, 1])
    numbers = [
        clip_statistics(*(x[..., r : r + s, c : c + s] for x in (frames, fields)), [(0, 3)])[0]
        for r, c, s in windows(size)
    ]
    return frames[1], np.stack(numbers)


@cache
def synthetic(*, blind=False):
    """Return six subjects with 40 clips; of `blind` ones nothing is shown but the subject's own colour."""
    images, numbers, subjects = [], [], []
    for subject in range(6):
        for clip in range(40):
            image, statistics = moving(100 * subject + clip)
            colour = np.random.default_rng(subject).integers(0, 256, (3, 1, 1))
            images.append(np.broadcast_to(colour, image.shape).astype(np.uint8) if blind else image)
            numbers.append(statistics)
            subjects.append(f"s{subject}")
    names = np.array(subjects)
    drawn = np.zeros(len(names), np.float32)
    return PretextPool(
        torch.from_numpy(np.stack(images)),
        names,
        names,
        names,
        {},
        {"statistics": np.stack(numbers), "drawn_flow": drawn},
    )


def train(pool, *, epochs=1, steps=2, **options):
    schedule = Schedule(epochs, 32, 0.05, "cosine", clip_norm=1.0)
    return train_pretext(
        MotionStatistics(frames=2),
        pool,
        BACKBONE,
        schedule,
        steps_per_epoch=steps,
        held_out_subjects=2,
        seed=0,
        **options,
    )


class TestLearning:
    def test_it_is_learned_by_looking_and_not_by_knowing_the_subject(self):
        history = train(synthetic(), epochs=1, steps=80).history
        assert abs(history[0]["held_out_accuracy"]) < 0.02
        assert history[-1]["held_out_accuracy"] > 0.2
        assert min(history[-1][f"held_out_{part}"] for part in ("motion", "appearance")) > 0.1
        blind = train(synthetic(blind=True), epochs=1, steps=20).history
        assert blind[-1]["held_out_accuracy"] < 0.03

    def test_resumed_training_ends_with_the_same_weights(self, tmp_path):
        class Stop(Exception):
            pass

        def stop(fraction, message):
            if fraction > 0.8:
                raise Stop

        pool = synthetic()
        whole = train(pool, epochs=3)
        with pytest.raises(Stop):
            train(pool, epochs=3, checkpoint=tmp_path, report=stop)
        resumed = train(pool, epochs=3, checkpoint=tmp_path)
        assert whole.history == resumed.history
        assert all(torch.equal(whole.state[key], resumed.state[key]) for key in whole.state)

    @pytest.mark.parametrize("kind", ["RGB", "SSD(RGB)", "OF", "SSD(OF)"])
    def test_encoded_clips_of_each_kind(self, kind):
        parts = [pool_of(encoded(kind, "x" * (subject + 1)), f"s{subject}") for subject in range(4)]
        names = np.concatenate([part.subjects for part in parts])
        numbers = {name: np.concatenate([part.numbers[name] for part in parts]) for name in parts[0].numbers}
        pool = PretextPool(torch.cat([part.images for part in parts]), names, names, names, {}, numbers)
        history = train(pool).history
        assert all(np.isfinite(list(row.values())).all() for row in history)
        assert history[-1]["held_out_chance"] == 0
