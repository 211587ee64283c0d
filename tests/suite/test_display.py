"""Numbers as readers see them."""

import math

import pytest

from repro.suite.display import format_number


@pytest.mark.parametrize(
    ("value", "metric", "shown"),
    [
        (2.7690, "seconds_per_frame", "2.769"),
        (0.924, "seconds_per_frame", "0.924"),
        (0.0005123, "seconds_per_frame", "0.000512"),
        (0.0123456, "seconds_per_frame", "0.0123"),
        (12.3456, "seconds_per_frame", "12.346"),
        (0.0, "seconds_per_frame", "0.000"),
        (-0.000048, "seconds_per_frame", "-0.0000480"),
        (5.4893, "training_overhead", "5.5"),
        (0.98765, "image_correlation", "0.988"),
        (0.004, "pcc", "0.00"),
        (1.267, "mse_argmax", "1.27"),
        (48398, "count", "48,398"),
        (None, "mse", "–"),
        (math.nan, "seconds_per_frame", "–"),
    ],
)
def test_numbers_have_the_digits_of_their_metric(value, metric, shown):
    assert format_number(value, metric) == shown
