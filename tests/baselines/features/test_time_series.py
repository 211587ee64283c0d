"""The descriptor of a series: each number by hand, the filter's gain, and what must not matter."""

import numpy as np
import pytest

from baselines.features.time_series import (
    SIGNALS,
    STATISTICS,
    describe,
    filled,
    low_pass,
    signals,
)

NAMES = [(signal, statistic) for signal in SIGNALS for statistic in STATISTICS]


def named(series, fps=2.0):
    return dict(zip(NAMES, describe(np.asarray(series, float)[:, None], fps)[0], strict=True))


def test_each_statistic_by_hand():
    # At 2 values a second the cut-off is at no frequency that a series can hold: nothing is filtered.
    found = named([1, 5, 2, 2, 4, 1])
    expected = {
        "mean": 15 / 6,
        "median": 2,
        "minimum": 1,
        "maximum": 5,
        "range": 4,
        # deviations -1.5, 2.5, -0.5, -0.5, 1.5, -1.5
        "standard deviation": np.sqrt((2.25 + 6.25 + 0.25 + 0.25 + 2.25 + 2.25) / 6),
        # sorted 1 1 2 2 4 5: quartiles at places 1.25 and 3.75, deciles at 0.5 and 4.5
        "interquartile range": 3.5 - 1.25,
        "interdecile range": 4.5 - 1,
        "mean absolute deviation": 8 / 6,
        "time of the maximum": 0.5,
        "share above the mean": 2 / 6,
        "share above the lower threshold": 4 / 6,  # above 1.75
        "segments above the mean": 2,
        "segments above the lower threshold": 1,
        "area above the minimum": 9 / 2,
        "area over range": 9 / 8,
    }
    assert list(expected) == list(STATISTICS)
    for name, value in expected.items():
        assert found["signal", name] == pytest.approx(value, abs=1e-12), name


def test_velocity_and_acceleration_by_hand():
    found = named([0, 1, 4, 9])
    # central differences at 2 values a second, one-sided at the ends: 2 4 8 10, and of these 4 6 6 4
    assert found["velocity", "mean"] == pytest.approx(6)
    assert found["velocity", "minimum"] == pytest.approx(2)
    assert found["velocity", "time of the maximum"] == pytest.approx(1.5)
    assert found["acceleration", "mean"] == pytest.approx(5)
    assert found["acceleration", "maximum"] == pytest.approx(6)
    assert found["acceleration", "time of the maximum"] == pytest.approx(0.5)


def test_runs_at_either_end_are_segments():
    found = named([3, 0, 0, 3, 0, 3])
    assert found["signal", "segments above the mean"] == 3


@pytest.mark.parametrize(("frequency", "low", "high"), [(0.2, 0.95, 0.97), (1.0, 0.499, 0.501), (5.0, 0.0, 0.04)])
def test_the_filter_has_the_known_gain(frequency, low, high):
    fps, times = 25.0, np.arange(1000) / 25.0
    filtered = low_pass(np.sin(2 * np.pi * frequency * times)[:, None], fps)[:, 0]
    # Forward and backward: the squared gain of a Butterworth filter of order 1 after the bilinear transform.
    expected = 1 / (1 + (np.tan(np.pi * frequency / fps) / np.tan(np.pi / fps)) ** 2)
    assert low <= expected <= high
    middle = slice(250, 750)  # whole periods, far from the ends
    phase = np.exp(-2j * np.pi * frequency * times[middle])
    gain = 2j * np.mean(filtered[middle] * phase)
    assert gain.real == pytest.approx(expected, abs=1e-6)
    assert abs(gain.imag) < 1e-6  # nothing is delayed


@pytest.mark.parametrize("fps", [0.5, 1.25, 2.0])
def test_nothing_is_filtered_where_the_cut_off_is_not_below_half_the_rate(fps):
    series = np.random.default_rng(0).normal(size=(9, 2))
    np.testing.assert_array_equal(low_pass(series, fps), series)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 24, 138])
@pytest.mark.parametrize("fps", [1.25, 25.0])
def test_any_length_will_do(length, fps):
    found = describe(np.random.default_rng(length).normal(size=(length, 3)), fps)
    assert found.shape == (3, 48) and np.isfinite(found).all()


@pytest.mark.parametrize("value", [0.0, 0.1, -1e6])
@pytest.mark.parametrize("length", [1, 60])
def test_a_constant_moves_nothing(value, length):
    found = named(np.full(length, value), fps=25.0)
    for (signal, statistic), number in found.items():
        is_level = signal == "signal" and statistic in ("mean", "median", "minimum", "maximum")
        # filtered constants keep 12 digits
        assert number == pytest.approx(value if is_level else 0, abs=1e-8 * max(1, abs(value))), (signal, statistic)
    assert found["signal", "share above the mean"] == found["velocity", "segments above the mean"] == 0


def test_each_derivative_is_filtered_again():
    fps, frequency = 25.0, 1.0
    phase = 2 * np.pi * frequency * np.arange(1000) / fps
    middle = slice(250, 750)
    rate = fps * np.sin(2 * np.pi * frequency / fps)  # what central differences make of the angular frequency
    for order, found in enumerate(signals(np.sin(phase)[:, None], fps)):
        amplitude = 2 * abs(np.mean(found[middle, 0] * np.exp(-1j * phase[middle])))
        assert amplitude == pytest.approx(rate**order * 0.5 ** (order + 1), rel=1e-6)


def test_a_steady_drift_has_no_acceleration_but_rounding():
    found = named(0.1 + 0.01 / 3 * np.arange(100))
    assert found["velocity", "mean"] == pytest.approx(0.02 / 3)
    for signal in ("velocity", "acceleration"):
        for statistic in STATISTICS[9:]:
            assert found[signal, statistic] == 0, (signal, statistic)


def test_channels_are_described_one_by_one():
    series = np.random.default_rng(1).normal(size=(40, 4)).cumsum(axis=0)
    alone = [describe(series[:, i : i + 1], 25.0)[0] for i in range(4)]
    np.testing.assert_allclose(describe(series, 25.0), alone, rtol=1e-12, atol=1e-12)


def test_shift_and_scale_change_what_they_should():
    series = np.random.default_rng(2).normal(size=(80, 1)).cumsum(axis=0)
    before, after = describe(series, 25.0)[0], describe(3 * series + 7, 25.0)[0]
    for number, (signal, statistic) in enumerate(NAMES):
        scaled = statistic.split()[0] not in ("time", "share", "segments") and statistic != "area over range"
        shift = 7 if signal == "signal" and statistic in ("mean", "median", "minimum", "maximum") else 0
        expected = before[number] * (3 if scaled else 1) + shift
        assert after[number] == pytest.approx(expected, rel=1e-7, abs=1e-7), (signal, statistic)


def test_backwards_in_time_velocity_changes_its_sign():
    series = np.random.default_rng(3).normal(size=(60, 1)).cumsum(axis=0)
    forward, backward = signals(series, 25.0), signals(series[::-1], 25.0)
    for sign, one, other in zip((1, -1, 1), forward, backward, strict=True):
        # Forward and backward passes begin at opposite ends, which differ by what is left of the padding.
        np.testing.assert_allclose(other[::-1], sign * one, atol=2e-2 * np.abs(one).max())


def test_missing_values_are_interpolated():
    series = np.array([[np.nan, 1], [2, 2], [np.nan, np.nan], [6, np.inf], [np.nan, 5]])
    np.testing.assert_allclose(filled(series), [[2, 1], [2, 2], [4, 3], [6, 4], [6, 5]])
    np.testing.assert_array_equal(describe(series, 25.0), describe(filled(series), 25.0))
    assert np.isnan(series).sum() == 4, "the series was modified"


def test_a_channel_without_a_value_is_nan_and_harms_no_other():
    series = np.random.default_rng(4).normal(size=(30, 2))
    gone = series.copy()
    gone[:, 0] = np.nan
    found = describe(gone, 25.0)
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[1], describe(series, 25.0)[1])


@pytest.mark.parametrize("fps", [0, -1, np.nan, np.inf])
def test_a_rate_must_be_positive(fps):
    with pytest.raises(ValueError, match="positive"):
        describe(np.zeros((5, 1)), fps)


@pytest.mark.parametrize("shape", [(0, 2), (5,)])
def test_a_series_has_values_and_channels(shape):
    with pytest.raises(ValueError, match="at least one value a channel"):
        describe(np.zeros(shape), 25.0)
