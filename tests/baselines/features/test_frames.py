"""Pictures as features: which of a clip, in what size, and how a fixed number of them shows any clip."""

import numpy as np
import pytest
import torch

from baselines.features.frames import Pictures, are_frames, contrast, contrast_in_bytes, sample_evenly
from repro.data.features import ClipSet, Moments


def test_frames_are_the_middle_ones_of_equal_parts(drawn_sequences):
    sequence = drawn_sequences()[3]
    values, spans = Pictures(frames=6).extract(sequence)
    assert values.dtype == np.uint8
    np.testing.assert_array_equal(spans[:, 0], [2, 6, 10, 14, 18, 22])  # 24 frames, parts of 4
    np.testing.assert_array_equal(values, sequence.pictures[spans[:, 0]].numpy())


def test_all_pictures_are_shown_if_there_are_no_more_than_asked_for(drawn_sequences):
    assert len(Pictures(frames=40).extract(drawn_sequences()[0])[0]) == 24
    values, spans = Pictures(frames=1).extract(drawn_sequences("SSD(RGB)")[0])
    assert len(values) == 3, "of maps, all are"
    np.testing.assert_array_equal(spans, [[0, 12], [6, 18], [12, 24]])


def test_smaller_pictures_are_means_of_areas(drawn_sequences):
    sequence = drawn_sequences()[2]
    before = sequence.pictures.clone()
    values, _ = Pictures(frames=4, size=12).extract(sequence)
    assert values.shape == (4, 3, 12, 12)
    source = sequence.pictures[[3, 9, 15, 21]].numpy().astype(np.float64)
    np.testing.assert_allclose(values, source.reshape(4, 3, 12, 4, 12, 4).mean((3, 5)), atol=0.5)  # rounded
    assert torch.equal(sequence.pictures, before)
    uneven = Pictures(frames=4, size=20).extract(sequence)[0]  # areas of 2.4 pixels
    np.testing.assert_allclose(uneven.mean((2, 3)), source.mean((2, 3)), atol=0.5)


def test_larger_pictures_are_interpolated(drawn_sequences):
    sequence = drawn_sequences()[2]
    values, _ = Pictures(frames=2, size=96).extract(sequence)
    source = sequence.pictures[[6, 18]].float()
    expected = torch.nn.functional.interpolate(source, (96, 96), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(values, expected, atol=1)  # OpenCV's weights are multiples of 1/2048


def test_pictures_do_not_share_memory_with_the_sequence(drawn_sequences):
    sequence = drawn_sequences()[0]
    before = sequence.pictures.clone()
    for size in (None, 48, 24):
        Pictures(frames=24, size=size).extract(sequence)[0][:] = 0
    assert torch.equal(sequence.pictures, before)


def test_frames_and_maps_are_told_apart(drawn_sequences):
    assert are_frames(Pictures().of(drawn_sequences())) and not are_frames(Pictures().of(drawn_sequences("SSD(RGB)")))


def test_contrast_is_what_differs_from_the_mean_of_a_clip():
    clips = torch.randn(2, 4, 3, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for shown, clip in zip(contrast(clips), clips, strict=True):
        np.testing.assert_allclose(shown, clip.numpy() - clip.numpy().mean(axis=0), atol=1e-12)
    assert contrast(clips[:, :1].expand(-1, 4, -1, -1, -1)).abs().max() < 1e-12, "nothing is left of a still face"


def one_frame_each(values, counts):
    return Moments(values, np.array(counts), np.arange(len(values))[:, None] + (0, 1))


def test_contrast_in_bytes_is_about_a_middle_grey():
    values = np.random.default_rng(0).integers(60, 120, (5, 3, 8, 8), dtype=np.uint8)
    before = values.copy()
    shown = contrast_in_bytes(one_frame_each(values, [2, 3]))
    assert shown.dtype == torch.uint8
    for clip in (slice(0, 2), slice(2, 5)):
        differing = shown[clip].numpy().astype(np.float64) - 128
        np.testing.assert_allclose(differing, values[clip] - values[clip].mean(axis=0), atol=0.5001)  # rounded
    np.testing.assert_array_equal(values, before)
    extreme = np.repeat(np.array([0, 255, 255], np.uint8), 3 * 8 * 8).reshape(3, 3, 8, 8)
    shown = contrast_in_bytes(one_frame_each(extreme, [3]))
    assert shown[0].unique().tolist() == [0] and shown[1].unique().tolist() == [213]  # 128 - 170 is cut off


@pytest.mark.parametrize("options", [{"frames": 0}, {"size": 0}])
def test_numbers_below_one_are_refused(options):
    with pytest.raises(ValueError, match="at least 1"):
        Pictures(**options)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 20])
def test_a_clip_is_shown_by_as_many_moments_as_asked_for(count):
    counts = np.array([5, count, 1])
    moments = Moments(np.zeros((counts.sum(), 1)), counts, np.zeros((counts.sum(), 2), np.int64))
    rows = sample_evenly(moments, 8)
    assert rows.shape == (3, 8)
    np.testing.assert_array_equal(rows[2], 5 + count)
    own = rows[1] - 5
    centres = (np.arange(count) + 0.5) / count  # in time, of the moments and of the parts
    middles = (np.arange(8) + 0.5) / 8
    distance = np.abs(centres[own] - middles)
    np.testing.assert_allclose(distance, np.abs(centres[:, None] - middles).min(axis=0), atol=1e-12)
    assert (np.diff(own) >= 0).all()


def test_clips_of_many_lengths_lie_in_one_set(drawn_sequences):
    few, many = drawn_sequences("SSD(RGB)")[0], drawn_sequences()[0]
    moments = ClipSet.of_sequences([few, many]).features(Pictures(frames=16, size=32))
    np.testing.assert_array_equal(moments.counts, [3, 16])
