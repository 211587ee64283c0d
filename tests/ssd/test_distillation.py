"""The public functions: hand-computed cases, streams, the module, and what they refuse."""

import math
import pickle

import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from repro.ssd import SSD, Distiller, distill, feature_maps, information_weights, transform
from repro.ssd.aggregation import RunningSoftmax

FLOOR = math.log(1e-10)
BACKENDS = ["auto", "equations"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_constant_video_has_no_information(backend):
    video = torch.full((6, 3, 8, 9), 77, dtype=torch.uint8)
    video[3:] = 80  # without information even a change of brightness weighs nothing
    maps = feature_maps(video, segment_length=3, backend=backend)
    torch.testing.assert_close(maps, torch.full((1, 3, 8, 9), FLOOR))
    assert not information_weights(video[:3], video[3:]).any()
    image = distill(video, segment_length=3, normalize=None, backend=backend)
    torch.testing.assert_close(image, torch.full((3, 8, 9), 1e-5))
    assert not distill(video, segment_length=3, backend=backend).any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_repeated_segment_differs_by_nothing(videos, backend):
    segment = videos["noise"][:4]
    maps = feature_maps(torch.cat([segment, segment]), segment_length=4, backend=backend)
    torch.testing.assert_close(maps, torch.full_like(maps, FLOOR))
    # y = x: g = 1 and s_v^2 = 0, but the neighbourhood still informs.
    assert (information_weights(segment, segment) > 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_changed_pixel(backend):
    """A flat reference leaves a^2 = 0; of y, the 25 neighbourhoods that hold the pixel have equal weights."""
    change, row, column = 30.0, 8, 9
    video = torch.full((2, 1, 17, 19), 100.0)
    video[1, 0, row, column] += change
    s_v2 = change**2 * (1 - 1 / 25) / 25
    weights = information_weights(video[:1], video[1:])
    expected = torch.zeros(17, 19)
    expected[row - 2 : row + 3, column - 2 : column + 3] = 25 / 2 * math.log(1 + s_v2 / 0.4)
    torch.testing.assert_close(weights[0, 0], expected)
    # Only one of the (5 - |dy|) (5 - |dx|) weighted points around a point differs.
    m = torch.full((17, 19), 1e-10)
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            m[row + dy, column + dx] = change**2 / ((5 - abs(dy)) * (5 - abs(dx)))
    maps = feature_maps(video, segment_length=1, backend=backend)
    torch.testing.assert_close(maps[0, 0], m.log())


def test_the_aggregation_is_a_softmax_mean():
    # e = 1, 2, 4 at a point: weights exp(1), exp(2), exp(4).
    softmax = RunningSoftmax(20, "rms")
    for e in (2.0, 4.0, 1.0):
        softmax.add(torch.full((1, 1, 1), 2 * math.log(e), dtype=torch.float64))
    expected = sum(e * math.exp(e) for e in (1, 2, 4)) / sum(math.exp(e) for e in (1, 2, 4))
    assert softmax.value().item() == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("domain", ["rms", "log", "product"])
def test_maps_of_a_gpu_are_aggregated_like_those_of_a_cpu(domain, monkeypatch):
    """There PyTorch does it, on a CPU NumPy: exponentials may differ in the last digit."""
    generator = torch.Generator().manual_seed(0)
    maps = 10 * torch.rand(6, 4, 5, 7, generator=generator) - 3
    results = []
    for native in (RunningSoftmax._float64, torch.Tensor.double):
        monkeypatch.setattr(RunningSoftmax, "_float64", staticmethod(native))
        softmax = RunningSoftmax(20, domain)
        for log_map in maps:
            softmax.add(log_map)
        assert isinstance(softmax._top, torch.Tensor) == (native is torch.Tensor.double)
        results.append((softmax.value(), *(softmax.image(normalize, videos=2) for normalize in ("joint", "channel"))))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-13, atol=0)
    assert all(torch.equal(a, b) for a, b in zip(results[0][1:], results[1][1:], strict=True))


@pytest.mark.parametrize("normalize", ["joint", "channel"])
def test_the_product_becomes_an_image_beyond_float64(normalize):
    # e = exp(70 * 11) = 1e334 and half of it at one point; the larger map takes all the weight.
    softmax = RunningSoftmax(70, "product")
    level = torch.full((1, 1, 2), 11.0, dtype=torch.float64)
    softmax.add(level)
    softmax.add(level + torch.tensor([math.log(2.0) / 70, -1.0]))
    assert softmax.value().isinf().all()
    assert softmax.image(normalize).tolist() == [[[255, 0]]]


def test_joint_and_channel_normalisation(videos):
    image = distill(videos["blobs"], segment_length=4)
    assert image.dtype == torch.uint8 and image.min() == 0 and image.max() == 255
    channels = distill(videos["blobs"], segment_length=4, normalize="channel")
    assert channels.amin((1, 2)).tolist() == [0, 0] and channels.amax((1, 2)).tolist() == [255, 255]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("domain", ["rms", "log", "product"])
def test_a_stream_equals_the_whole_video_bit_for_bit(videos, domain, dtype):
    video = videos["blobs"].to(dtype)
    kwargs = {"segment_length": 3, "window": 3, "domain": domain, "normalize": None}
    whole = distill(video, **kwargs)
    for cuts in ([1] * 13, [5, 0, 8], [2, 11], [13]):
        stream = Distiller(**kwargs)
        for part in video.split(cuts):
            stream.update(part)
        assert stream.n_frames == 13 and stream.n_segments == 4
        assert torch.equal(stream.image(), whole)


def test_a_stream_can_be_asked_at_any_time(videos):
    video = videos["blobs"]
    stream = Distiller(3)
    stream.update(video[:7])
    assert torch.equal(stream.image(), distill(video[:7], segment_length=3))
    stream.update(video[7:])
    assert torch.equal(stream.image(), distill(video, segment_length=3))


def test_a_stream_keeps_two_segments_only_and_can_be_pickled(videos):
    sizes = []
    stream = Distiller(3)
    for part in videos["noise"].repeat(4, 1, 1, 1).split(6):
        stream.update(part.clone())
        sizes.append(len(pickle.dumps(stream)))
    # Between them only a few bytes of counters can differ.
    assert max(sizes[1:]) - min(sizes[1:]) < 64
    copy = pickle.loads(pickle.dumps(stream))
    assert torch.equal(copy.image(), stream.image())


@pytest.mark.parametrize("backend", BACKENDS)
def test_bytes_take_a_quarter_of_the_memory_of_numbers(videos, backend):
    video = videos["blobs"]
    images, sizes = [], []
    for frames in (video, video.float()):
        stream = Distiller(4, normalize=None, backend=backend)
        stream.update(frames)
        images.append(stream.image())
        sizes.append(stream._current.nbytes + stream._reference.nbytes)
    assert torch.equal(*images) and images[0].dtype == torch.float32
    assert sizes == [2 * 4 * 2 * 9 * 11, 4 * 2 * 4 * 2 * 9 * 11]


def test_bytes_and_numbers_may_follow_each_other(videos):
    video = videos["blobs"]
    expected = distill(video, segment_length=4)
    for first, second in ((video[:6], video[6:].float()), (video[:6].float(), video[6:])):
        stream = Distiller(4)
        stream.update(first)
        stream.update(second)
        assert torch.equal(stream.image(), expected)
    fractions = Distiller(4, normalize=None)
    fractions.update(video[:6])
    fractions.update(video[6:].float() / 3)
    whole = torch.cat([video[:6].float(), video[6:].float() / 3])
    assert torch.equal(fractions.image(), distill(whole, segment_length=4, normalize=None))


def test_a_stream_does_not_keep_the_caller_s_memory(videos):
    video = videos["blobs"].float()
    expected = distill(video, segment_length=4)
    stream, buffer = Distiller(4), torch.empty_like(video[:1])
    for frame in video:
        buffer[0] = frame
        stream.update(buffer)
        buffer.zero_()
    assert torch.equal(stream.image(), expected)


def test_trailing_frames_are_dropped(videos):
    assert torch.equal(distill(videos["blobs"], segment_length=4), distill(videos["blobs"][:12], segment_length=4))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_inputs_are_left_alone_and_results_repeat(videos, dtype):
    video = videos["blobs"].to(dtype)
    before = video.clone()
    first, second = distill(video, segment_length=4), distill(video, segment_length=4)
    assert torch.equal(first, second) and torch.equal(video, before)
    first.zero_()
    assert torch.equal(second, distill(video, segment_length=4))


def test_arrays_and_views_are_as_good_as_tensors(videos):
    video = videos["blobs"]
    expected = distill(video, segment_length=4)
    array = video.numpy().copy()
    array.flags.writeable = False
    strided = np.asfortranarray(array.astype(np.float32))
    reversed_twice = array[::-1][::-1]
    for other in (
        array,
        strided,
        reversed_twice,
        array.astype(">f4"),
        array.astype(np.float16),
        video.half(),
        video.bfloat16(),  # whole numbers up to 256
    ):
        assert torch.equal(distill(other, segment_length=4), expected)
    differentiable = video.float().requires_grad_()
    assert not distill(differentiable, segment_length=4, normalize=None).requires_grad


def test_precision_follows_the_input(videos):
    assert distill(videos["blobs"], segment_length=4, normalize=None).dtype == torch.float32
    assert distill(videos["blobs"].double(), segment_length=4, normalize=None).dtype == torch.float64
    x = videos["blobs"][:2]
    assert information_weights(x, x.double()).dtype == torch.float32


GOOD = torch.zeros(6, 3, 8, 8, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (GOOD[0], r"4 axes.*\(3, 8, 8\)"),
        (GOOD[:, :0], r"'channels'.*\(6, 0, 8, 8\)"),
        (GOOD[..., :2], "8 x 2, too small to reflect for window=5"),
        (GOOD.long(), "torch.int64"),
        (GOOD.bool(), "torch.bool"),
        (GOOD.numpy().astype(np.int16), "int16"),
        (GOOD.numpy().astype(np.uint16), "uint16"),
        (GOOD.to(torch.complex64), "complex64"),
        (GOOD.tolist(), "list"),
        (GOOD.float() - 1, "-1.0 to -1.0"),
        (GOOD.float() + 255.5, "255.5 to 255.5"),
        (GOOD.double().index_fill(0, torch.tensor(4), math.nan), "NaN, first in frame 4"),
        (GOOD.float().index_fill(0, torch.tensor(4), math.inf), "0.0 to inf"),
        (GOOD[:5], r"T = 5 .* l = 3; it needs T >= 2 l = 6"),
        (GOOD[:0], r"T = 0 .* l = 3"),
    ],
)
def test_a_wrong_video_is_refused(video, message):
    for function in (distill, feature_maps):
        with pytest.raises(ValueError, match=message):
            function(video, segment_length=3)


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        ("segment_length", 0, "segment_length.*got 0"),
        ("segment_length", 2.5, "segment_length.*2.5"),
        ("window", 4, "window must be odd.*got 4"),
        ("window", -3, "window.*-3"),
        ("depth", 2, "depth must be odd.*got 2"),
        ("noise_variance", 0.0, "noise_variance.*0.0"),
        ("noise_variance", math.nan, "noise_variance.*nan"),
        ("noise_variance", None, "noise_variance.*None"),
        ("domain", "power", "domain must be one of 'rms', 'log', 'product'; got 'power'"),
        ("normalize", "frame", "normalize must be one of 'joint', 'channel', None; got 'frame'"),
        ("backend", "tpu", "backend must be one of .*; got 'tpu'"),
    ],
)
def test_a_wrong_parameter_is_refused(parameter, value, message):
    for function in (lambda **kwargs: distill(GOOD, **{"segment_length": 3, **kwargs}), Distiller, SSD):
        with pytest.raises(ValueError, match=message):
            function(**{parameter: value})


def test_wrong_segments_are_refused():
    with pytest.raises(ValueError, match=r"\(6, 3, 8, 8\) and \(5, 3, 8, 8\)"):
        information_weights(GOOD, GOOD[:5])
    with pytest.raises(ValueError, match="y must be uint8"):
        information_weights(GOOD, GOOD.long())


def test_a_stream_refuses_frames_unlike_the_first():
    stream = Distiller(3)
    stream.update(GOOD)
    with pytest.raises(ValueError, match=r"shape .*\(3, 9, 8\) after \(3, 8, 8\)"):
        stream.update(torch.zeros(1, 3, 9, 8))
    with pytest.raises(ValueError, match="precision; got torch.float64 after torch.float32"):
        stream.update(GOOD.double())
    assert stream.n_frames == 6
    with pytest.raises(ValueError, match="T = 0"):
        Distiller(3).image()


@pytest.mark.parametrize("leading", [(), (2,), (2, 1)])
def test_the_module_keeps_leading_axes(videos, leading):
    video = videos["blobs"].expand(*leading, *videos["blobs"].shape)
    image = SSD(segment_length=4, window=3)(video)
    assert image.shape == (*leading, *video.shape[-3:]) and image.dtype == torch.uint8
    single = distill(videos["blobs"], segment_length=4, window=3)
    assert all(torch.equal(one, single) for one in image.reshape(-1, *single.shape))


@pytest.mark.parametrize("backend", ["cpu", "equations"])
@pytest.mark.parametrize("normalize", ["joint", "channel", None])
@pytest.mark.parametrize("domain", ["rms", "log", "product"])
def test_several_videos_at_once_equal_each_by_itself(videos, domain, normalize, backend):
    module = SSD(segment_length=4, window=3, domain=domain, normalize=normalize, backend=backend)
    batch = torch.stack([video // shrink for shrink in (1, 2) for video in videos.values()])[:5]
    expected = torch.stack(
        [distill(v, segment_length=4, window=3, domain=domain, normalize=normalize, backend=backend) for v in batch]
    )
    assert len(expected.unique(dim=0)) == 5
    for step in (1, 2, 5, 9):
        assert torch.equal(module._together(batch, step), expected)
    assert torch.equal(module(batch), expected)


def test_how_many_videos_are_distilled_at_once(videos, monkeypatch):
    batch = torch.stack([videos["noise"]] * 5)
    segment = 4 * batch[0, 0].numel()
    monkeypatch.setattr(transform, "TOGETHER", 2 * segment)
    assert SSD(4, backend="cuda")._step(batch) == 2
    assert SSD(8, backend="cuda")._step(batch) == SSD(9, backend="cuda")._step(batch) == 1
    assert SSD(4)._step(batch) == SSD(4, backend="equations")._step(batch) == 1
    monkeypatch.setattr(transform, "best_backend", lambda frames: "cuda")  # as if it were there
    assert SSD(4, backend="equations")._step(batch) == 1
    expected = distill(batch[3], segment_length=4)
    sizes, update = [], Distiller.update
    monkeypatch.setattr(Distiller, "update", lambda self, frames: (sizes.append(frames.shape), update(self, frames)))
    assert torch.equal(SSD(4)(batch)[3], expected)
    assert sizes == [(n, c, 9, 11) for c in (4, 4, 2) for n in (4, 4, 4, 1)]


def test_the_other_videos_of_a_batch_change_nothing(videos):
    """Whole numbers beside fractions, for which the kernel works in another precision."""
    batch = torch.stack([videos["noise"].float(), videos["blobs"].float() / 3])
    expected = torch.stack([distill(video, segment_length=4, normalize=None) for video in batch])
    assert torch.equal(SSD(4, normalize=None)(batch), expected)


def test_channels_of_several_videos(videos):
    frames = torch.cat([videos["noise"], videos["blobs"]], dim=1)
    stream = Distiller(4, videos=2)
    stream.update(frames)
    expected = [distill(videos[name], segment_length=4) for name in ("noise", "blobs")]
    assert torch.equal(stream.image(), torch.cat(expected))
    assert not torch.equal(stream.image(), distill(frames, segment_length=4))
    with pytest.raises(ValueError, match="3 channels, which cannot be those of 2 videos"):
        Distiller(4, videos=2).update(GOOD)
    narrow = torch.zeros(8, 6, 9, 3, dtype=torch.uint8)  # as if channels came last, but for the number of videos
    Distiller(4, videos=2).update(narrow)
    with pytest.raises(ValueError, match="permute"):
        Distiller(4).update(narrow)


def test_the_module_is_a_transform_of_torchvision(videos):
    pipeline = v2.Compose([SSD(segment_length=4), v2.Resize((6, 6)), v2.ToDtype(torch.float32, scale=True)])
    image, label = pipeline(videos["blobs"], 3)
    assert image.shape == (2, 6, 6) and label == 3
    weight = torch.ones(2)
    sample = SSD(segment_length=4)({"weight": weight, "video": tv_tensors.Video(videos["blobs"])})
    assert isinstance(sample["video"], tv_tensors.Image) and sample["weight"] is weight
    assert torch.equal(sample["video"], distill(videos["blobs"], segment_length=4))


def test_the_module_refuses_what_is_no_video():
    with pytest.raises(ValueError, match=r"\(3, 8, 8\)"):
        SSD(3)(GOOD[0])
    with pytest.raises(ValueError, match="str"):
        SSD(3)("clip.mp4")
    with pytest.raises(ValueError, match="batch is empty"):
        SSD(3)(GOOD[None][:0])
    assert "segment_length=3" in repr(SSD(3))


def test_channels_that_come_last_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match="permute"):
        distill(torch.zeros(60, 48, 48, 3, dtype=torch.uint8))


def test_intensities_that_were_scaled_to_1_are_told():
    video = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with pytest.warns(UserWarning, match="multiply by 255"):
        distill(video, segment_length=4)
