"""Dynamic images: the coefficients against their definition, and what they show of toy videos."""

import numpy as np
import pytest
import torch

from repro.data.dynamic_image import dynamic_image, rank_coefficients


def by_definition(video):
    """Sum V_q - V_t over all pairs q > t, V the running means of frames (T, ...)."""
    means = np.stack([video[: t + 1].mean(0) for t in range(len(video))])
    pairs = ((q, t) for q in range(len(video)) for t in range(q))
    return sum(means[q] - means[t] for q, t in pairs)


def as_image(pooled):
    low, high = pooled.min(), pooled.max()
    return np.round((pooled - low) / (high - low) * 255).astype(np.uint8)


@pytest.mark.parametrize("frames", [2, 3, 7, 60])
def test_coefficients_are_what_each_frame_adds_to_the_sum_over_pairs(frames):
    # the pooling is linear, so that its coefficients are its answers to videos with one bright frame
    expected = by_definition(np.eye(frames))
    # float64; sums over up to 1770 pairs
    np.testing.assert_allclose(rank_coefficients(frames), expected, rtol=0, atol=1e-10)
    assert abs(rank_coefficients(frames).sum()) < 1e-10


def test_coefficients_of_three_frames_by_hand():
    # V = I1, (I1 + I2) / 2, (I1 + I2 + I3) / 3; twice V3 less twice V1
    np.testing.assert_allclose(rank_coefficients(3), [2 / 3 - 2, 2 / 3, 2 / 3], rtol=1e-14)


def test_the_image_is_the_definition_scaled_by_one_min_max():
    rng = np.random.default_rng(0)
    video = rng.integers(0, 256, (23, 3, 9, 8), dtype=np.uint8)
    expected = as_image(by_definition(video.astype(float)))
    image = dynamic_image(torch.from_numpy(video))
    assert image.dtype == torch.uint8
    # two orders of summation may round a value that lies between two levels to either
    assert np.abs(image.numpy().astype(int) - expected).max() <= 1
    assert (image.numpy() != expected).mean() < 0.01
    assert int(image.min()) == 0 and int(image.max()) == 255
    np.testing.assert_array_equal(dynamic_image(video).numpy(), image.numpy())
    np.testing.assert_array_equal(dynamic_image(torch.from_numpy(video).float()).numpy(), image.numpy())


def test_a_moving_bar_is_bright_where_it_arrives_and_dark_where_it_left():
    video = torch.full((12, 3, 8, 16), 100, dtype=torch.uint8)
    for t in range(12):
        video[t, :, :, t : t + 2] = 200
    image = dynamic_image(video)[0, 0].int()
    still = int(image[14])
    assert int(image[1]) == 0, "the bar is there in the first two frames, whose coefficients are lowest"
    assert int(image[8:12].min()) > still > int(image[:2].max())
    assert torch.equal(image[14:], image[14:15].expand(2)), "where nothing moves nothing shows"
    backwards = dynamic_image(video.flip(0))[0, 0].int()
    assert int(backwards[11]) < int(backwards[14]) < int(backwards[1]), "the order counts"


def test_a_video_that_stands_still_gives_zeros():
    frame = torch.randint(0, 256, (3, 6, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert not dynamic_image(frame.expand(200, 3, 6, 6)).any()
    one_level = frame.expand(200, 3, 6, 6).clone()
    one_level[-1, 0, 0, 0] = one_level[-1, 0, 0, 0].clamp(max=254) + 1
    assert dynamic_image(one_level).any(), "one grey level in one frame is a change"


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "T = 1 frames has no order.*T >= 2"),
        (torch.zeros(0, 3, 8, 8, dtype=torch.uint8), "T = 0"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r"4 axes.*\(3, 8, 8\)"),
        (torch.zeros(4, 8, 8, 3, dtype=torch.uint8), "channels came last"),
        (torch.full((4, 3, 8, 8), float("nan")), "NaN, first in frame 0"),
        (torch.full((4, 3, 8, 8), 256.0), "0..255"),
        (torch.zeros(4, 3, 8, 8, dtype=torch.int64), "int64"),
    ],
)
def test_what_is_no_video_is_refused(video, message):
    with pytest.raises(ValueError, match=message):
        dynamic_image(video)
