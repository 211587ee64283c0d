"""The distillate of a series: by hand, and beside that of pictures."""

import numpy as np
import pytest
import torch

from baselines.features.distilled_series import SMALLEST_CHANGE, distil_series
from repro.ssd import feature_maps


def test_distillates_by_hand():
    series = np.array([1.0, 2, 5, 4, 5, 12, 99])[:, None]  # the last value fills no segment
    np.testing.assert_allclose(distil_series(series, 2)[:, 0], [np.sqrt(4 * 2), np.sqrt(SMALLEST_CHANGE * 8)])


def test_the_distillate_of_a_series_is_that_of_a_picture_of_one_tone():
    """Where a picture has one grey level, all weights of a frame are equal and cancel, as those of a single point."""
    series = np.random.default_rng(5).uniform(0, 255, (24, 1))
    video = np.broadcast_to(series[:, :, None, None], (24, 1, 7, 7)).copy()
    maps = feature_maps(torch.from_numpy(video), segment_length=6, center=False).numpy()
    expected = np.exp(maps / 2)  # maps are mean logarithms of m_j; half of that is the domain "rms"
    np.testing.assert_allclose(expected, np.broadcast_to(distil_series(series, 6)[:, :, None, None], expected.shape))


def test_unknown_frames_are_left_out_of_distillates():
    series = np.array([[1.0, np.nan], [2, np.nan], [5, 1], [np.nan, 1]])
    np.testing.assert_allclose(distil_series(series, 2), [[4, np.nan]])


@pytest.mark.parametrize(("length", "segment"), [(3, 2), (5, 0)])
def test_two_segments_are_needed(length, segment):
    with pytest.raises(ValueError, match="two segments"):
        distil_series(np.zeros((length, 1)), segment)
