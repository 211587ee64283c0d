"""Figure 4: images of each length, why some are missing, and how alike they are."""

import numpy as np
import pytest
import torch

from repro.data.encoding import InputSpec
from repro.ssd import distill
from repro.suite.illustrations.lengths import LENGTHS, distilled, lengths_frame, lengths_plot

SPEC = InputSpec(size=24, window=3)


def test_images_are_those_of_the_distillation_with_everything_else_as_asked_for(video):
    faces = video(61).faces
    images = distilled(faces, SPEC)
    assert [one.length for one in images] == list(LENGTHS)
    for one in images[:4]:
        assert torch.equal(one.image, distill(faces, segment_length=one.length, window=3))
        assert one.n_maps == 61 // one.length - 1
    for one in images[4:]:
        assert one.image is None and one.n_maps == 0 and one.reason == f"needs {2 * one.length} frames, has 61"


def test_the_frame_compares_with_twenty_frames(video):
    example = video(61)
    images = distilled(example.faces, SPEC)
    rows = lengths_frame([(example, images)]).set_index("segment_length")
    five, twenty = images[0].image.double().numpy(), images[2].image.double().numpy()
    covariance = ((five - five.mean()) * (twenty - twenty.mean())).mean()
    assert rows.correlation[5] == pytest.approx(covariance / five.std() / twenty.std())
    assert rows.correlation[20] == pytest.approx(1) and rows["mean"][5] == pytest.approx(five.mean())
    assert rows.sd[5] == pytest.approx(five.std()) and np.isnan(rows["mean"][40]) and np.isnan(rows.correlation[60])
    assert rows.reason[30] == "" and rows.reason[60] == "needs 120 frames, has 61" and rows.maps[60] == 0


def test_without_an_image_of_twenty_frames_there_is_nothing_to_compare_with(video, page, words):
    example = video(21)
    rows = [(example, distilled(example.faces, SPEC))]
    assert lengths_frame(rows).correlation.isna().all()
    assert "$r$ = " not in words(page(lengths_plot, rows))


def test_the_page(video, page, words):
    videos = [video(121, label="UNBC-McMaster, simulated"), video(45)]
    rows = [(one, distilled(one.faces, SPEC)) for one in videos]
    figure = page(lengths_plot, rows)
    assert figure.get_figwidth() * 25.4 == pytest.approx(190)
    shown = [image.get_array() for axis in figure.axes for image in axis.images]
    assert len(shown) == 2 + 7 + 3
    assert np.array_equal(shown[3], rows[0][1][2].image.permute(1, 2, 0).numpy())
    text = words(figure)
    assert "simulated data" in text and "needs 60" in text and "23 maps" in text and "1 map " in text


def test_licensed_data_is_not_called_simulated(video, page, words):
    example = video(21, label="a file with quite a long name.mp4", data="licensed")
    assert "simulated" not in words(page(lengths_plot, [(example, distilled(example.faces, SPEC))]))
