"""Table 3's protocol: what is inside the clock, what the networks see, and that whole videos fit every network."""

import functools

import numpy as np
import pytest
import torch

from repro.data.schema import VideoRecord
from repro.learning import timing
from repro.learning.augmentation import to_network
from repro.learning.backbones import NAMES, build
from repro.learning.timing import draw_videos, time_per_frame
from repro.ssd import distill

SHORT = functools.partial(distill, segment_length=4)


def network(dims, name="resnet18"):
    return build(name, dims=dims, width=0.125, generator=torch.Generator().manual_seed(0))


def video(frames, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (frames, 3, 32, 32), generator=generator, dtype=torch.uint8)


def seen_by(backbone):
    """Return a list that will hold what the network is given."""
    given = []
    backbone.register_forward_pre_hook(lambda _, arguments: given.append(arguments[0].clone()))
    return given


@pytest.fixture
def clock(monkeypatch):
    """Replace the clock by one that only `pass_by` moves."""

    class Clock:
        now = 100.0

        def pass_by(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock.now)
    return clock


def test_seconds_a_frame_are_distillation_and_forward_over_all_frames(clock):
    flat = network(2)
    flat.register_forward_pre_hook(lambda *_: clock.pass_by(3.0))
    pauses = iter([1.0, 9.0, 2.0, 4.0, 6.0, 5.0, 5.0, 5.0])  # two to warm up, three for each video

    def slow(frames):
        clock.pass_by(next(pauses))
        return SHORT(frames)

    measured = time_per_frame(flat, [video(10), video(20)], distillation=slow, repeats=3, warmup=2)
    np.testing.assert_array_equal(measured.distillation, [[2, 4, 6], [5, 5, 5]])
    np.testing.assert_array_equal(measured.forward, np.full((2, 3), 3.0))
    np.testing.assert_allclose(measured.per_frame, [7 / 10, 8 / 20])
    assert measured.mean == pytest.approx(0.55)
    assert measured.quartiles == pytest.approx((0.475, 0.55, 0.625))
    assert measured.distillation_share == pytest.approx(27 / 45)
    assert measured.input == "SSD" and measured.frames.tolist() == [10, 20]


def test_a_3d_network_is_charged_with_every_clip(clock):
    deep = network(3)
    deep.register_forward_pre_hook(lambda *_: clock.pass_by(3.0))
    measured = time_per_frame(deep, [video(10)], clip_length=4, repeats=2, warmup=0)
    np.testing.assert_array_equal(measured.forward, [[9.0, 9.0]])
    np.testing.assert_array_equal(measured.distillation, [[0.0, 0.0]])
    assert measured.input == "3D" and measured.distillation_share == 0
    np.testing.assert_allclose(measured.per_frame, [0.9])


def test_reading_videos_is_outside_the_clock(clock):
    def decoded():
        for seed in range(3):
            clock.pass_by(60.0)
            yield video(9, seed)

    measured = time_per_frame(network(2), decoded(), distillation=SHORT, repeats=1)
    assert measured.mean == 0 and len(measured.frames) == 3


def test_a_2d_network_sees_one_distilled_image_a_video():
    flat, frames = network(2), video(23)
    given = seen_by(flat)
    time_per_frame(flat, [frames], distillation=SHORT, repeats=1, warmup=0)
    assert len(given) == 1 and torch.equal(given[0], to_network(SHORT(frames)[None]))


def test_a_3d_network_sees_every_frame_in_order():
    deep, frames = network(3), video(23)
    given = seen_by(deep)
    time_per_frame(deep, [frames], repeats=1, warmup=0)
    assert len(given) == 1 and torch.equal(given[0], to_network(frames).transpose(0, 1)[None])


def test_clips_are_equal_and_hold_every_frame():
    frames, deep = video(23), network(3)
    given = seen_by(deep)
    time_per_frame(deep, [frames], clip_length=9, repeats=1, warmup=0)
    assert [clip.shape[2] for clip in given] == [8, 8, 7]
    assert torch.equal(torch.cat(given, dim=2), to_network(frames).transpose(0, 1)[None])


def test_a_2d_network_gets_the_images_of_all_clips_in_one_batch():
    frames, flat = video(25), network(2)
    given = seen_by(flat)
    time_per_frame(flat, [frames], distillation=SHORT, clip_length=9, repeats=1, warmup=0)
    images = torch.stack([SHORT(part) for part in (frames[:9], frames[9:17], frames[17:])])
    assert len(given) == 1 and torch.equal(given[0], to_network(images))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_every_network_takes_the_protocols_videos_whole(name, dims):
    videos = [video(150), video(200)]
    measured = time_per_frame(network(dims, name), videos, repeats=1)
    assert measured.backbone == name and measured.frames.tolist() == [150, 200]
    assert (measured.per_frame > 0).all() and np.isfinite(measured.per_frame).all()
    assert (measured.distillation > 0).all() == (dims == 2)
    assert measured.threads == torch.get_num_threads() and measured.device == "cpu"


@pytest.mark.parametrize("name", NAMES)
def test_every_3d_network_trains_on_a_whole_video(name):
    deep = network(3, name).train()
    clips = to_network(torch.stack([video(150, seed) for seed in (0, 1)]).transpose(1, 2))
    deep(clips).square().mean().backward()
    # the first filter learns only if the gradient passes through every stage
    first = next(deep.parameters()).grad
    assert torch.isfinite(first).all() and (first != 0).any()
    assert all(parameter.grad is not None for parameter in deep.parameters())


def test_memory_of_the_network_in_3d_is_recorded():
    measured = time_per_frame(network(3), [video(150)], repeats=1)
    assert measured.peak_source != "unknown" or measured.peak_bytes is None
    if measured.peak_source == "resident set":
        # the frames as float32 alone
        assert measured.peak_bytes > 150 * 3 * 32 * 32 * 4


def test_the_mode_is_restored_and_inference_is_in_evaluation_mode():
    flat = network(2).train()
    modes = []
    flat.register_forward_pre_hook(lambda module, _: modes.append((module.training, torch.is_inference_mode_enabled())))
    time_per_frame(flat, [video(8)], distillation=SHORT, repeats=1, warmup=1)
    assert modes == [(False, True)] * 2 and flat.training
    with pytest.raises(ValueError, match="segments"):
        time_per_frame(flat, [video(3)], distillation=SHORT)
    assert flat.training


def test_on_a_cpu_weights_lie_channels_last():
    deep = network(3)
    time_per_frame(deep, [video(8)], repeats=1, warmup=0)
    assert next(deep.parameters()).is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeats": 0}, "repeats must be at least 1, got 0"),
        ({"warmup": -1}, "warmup must be at least 0, got -1"),
        ({"clip_length": 0}, "clip_length must be at least 1, got 0"),
    ],
)
def test_bad_counts(options, message):
    with pytest.raises(ValueError, match=message):
        time_per_frame(network(2), [video(8)], **options)


@pytest.mark.parametrize(
    ("videos", "message"),
    [
        ([], "no videos"),
        ([video(8), video(8).float()], r"video 1 is torch.float32 \(8, 3, 32, 32\)"),
        ([video(8)[0]], r"video 0 is torch.uint8 \(3, 32, 32\)"),
        ([video(8)[:0]], r"video 0 is torch.uint8 \(0, 3, 32, 32\)"),
    ],
)
def test_bad_videos(videos, message):
    with pytest.raises(ValueError, match=message):
        time_per_frame(network(2), videos, distillation=SHORT, repeats=1)


def records(*lengths):
    return [VideoRecord("s", f"s/{i:03d}", n, np.zeros(n, np.int64)) for i, n in enumerate(lengths)]


def test_videos_are_drawn_from_those_of_fitting_length():
    all_of_them = records(149, 150, 175, 200, 201, 180)
    assert [r.n_frames for r in draw_videos(all_of_them, count=4)] == [150, 175, 200, 180]
    drawn = draw_videos(all_of_them, count=2, seed=3)
    assert drawn == draw_videos(all_of_them[::-1], count=2, seed=3)
    others = {tuple(r.video for r in draw_videos(all_of_them, count=2, seed=seed)) for seed in range(20)}
    assert len(others) > 1 and all(len(set(pair)) == 2 for pair in others)


def test_the_default_is_the_papers():
    assert len(draw_videos(records(*[160] * 60))) == 50


@pytest.mark.parametrize("count", [0, 3])
def test_too_few_videos(count):
    with pytest.raises(ValueError, match=f"cannot draw {count} videos: 2 of 3 have 150 to 200 frames"):
        draw_videos(records(150, 160, 90), count=count)
