"""Figure 1 shows what the method computes: every panel is a step on the way to the image that it ends in."""

import pytest
import torch

from repro.data.encoding import InputSpec
from repro.ssd import distill, equations
from repro.suite.illustrations.outline import MOST_SEGMENTS, outline, outline_frame, outline_plot

SPEC = InputSpec(size=24, segment_length=4)


def test_the_image_is_the_sum_of_the_panels_before_it(video):
    example = video(26)
    steps = outline(example, SPEC)
    assert len(steps.segments) == 6 and torch.equal(steps.segments.flatten(0, 1), example.faces[:24])
    torch.testing.assert_close(steps.shares.sum(0), torch.ones_like(steps.shares[0]))
    image = equations.to_image((steps.shares * steps.maps).sum(0))
    # the kernel's float32 may round a point to the next of 256 grey levels
    assert (image.int() - steps.image.int()).abs().max() <= 1
    assert torch.equal(steps.image, distill(example.faces[:24], segment_length=4))


def test_maps_follow_from_the_weights_that_are_shown(video):
    steps = outline(video(12), SPEC)
    x, y = steps.segments[0].double(), steps.segments[1].double()
    torch.testing.assert_close(steps.weights[0].double(), equations.information_weights(x, y), rtol=1e-3, atol=1e-3)
    means = equations.weighted_difference(steps.weights[0].double(), x, y)
    # one map by Eq. 6 from the weights of the page; they are float32
    torch.testing.assert_close(steps.maps[0], means.clamp(min=1e-10).log().mean(0).mul(0.5).exp(), rtol=1e-3, atol=1e-3)


def test_a_long_video_is_cut_around_its_peak_and_within_its_ends(video):
    for peak, start in ((0, 0), (30, 18), (59, 36)):
        steps = outline(video(60, peak=peak), SPEC)
        assert len(steps.segments) == MOST_SEGMENTS and steps.start == start


def test_the_page_tells_which_part_of_a_video_is_distilled(video, page, words):
    assert "of the video, frames 19 to 42 are distilled" in words(page(outline_plot, outline(video(60, peak=30), SPEC)))
    assert "distilled" not in words(page(outline_plot, outline(video(24), SPEC)))


def test_a_video_without_two_segments_is_refused(video):
    with pytest.raises(ValueError, match="7 frames make 1 segments of 4; give a video of 8 frames or more"):
        outline(video(7), SPEC)


def test_the_frame_has_a_row_for_each_picture(video):
    steps = outline(video(20), SPEC)
    rows = outline_frame(steps)
    assert rows.groupby("panel").size().to_dict() == {"frame": 15, "weight": 12, "map": 4, "share": 4, "image": 1}
    weight = rows[(rows.panel == "weight") & (rows.segment == 2) & (rows.frame == 4)].iloc[0]
    values = steps.weights[1, 3].double()
    assert (weight["mean"], weight.maximum) == pytest.approx((float(values.mean()), float(values.max())))
    assert weight.sd == pytest.approx(float(values.std(correction=0))) and weight.unit == "nats"
    assert (rows.minimum <= rows["mean"]).all() and set(rows["data"]) == {"simulated"}


@pytest.mark.parametrize("frames", [8, 24])
def test_the_page(video, page, words, frames):
    figure = page(outline_plot, outline(video(frames), SPEC))
    assert figure.get_figwidth() * 25.4 == pytest.approx(190)
    shown = [image.get_array() for axis in figure.axes for image in axis.images]
    pairs = frames // 4 - 1
    assert len(shown) == 4 + 3 * (pairs + 1) + 5 * pairs + 1
    text = words(figure)
    assert "Eq. 11" in text and "Eq. 6" in text and "simulated data" in text


def test_licensed_data_is_not_called_simulated(video, page, words):
    assert "simulated" not in words(page(outline_plot, outline(video(12, label="clip.mp4", data="licensed"), SPEC)))
