"""RCNN: the image that it makes of a clip."""

import numpy as np
import torch

from baselines.supervised.rcnn import RCNN
from repro.data.features import Moments


def test_the_paper_s_network_is_the_default():
    system = RCNN()
    assert (system.frames, system.steps, system.optimiser, system.contrast) == (16, 3, "adam", False)


def test_rows_of_the_image_are_pictures_row_by_row():
    values = np.random.default_rng(0).integers(0, 256, (6, 3, 16, 16), dtype=np.uint8)
    spans = np.arange(6)[:, None] + (0, 1)
    show = RCNN(frames=3, size=16)._inputs(Moments(values, np.array([3, 3]), spans))
    rows = torch.tensor([1, 0])
    expected = values.reshape(2, 3, 3, 16, 16)[[1, 0]].astype(np.float64) / 127.5 - 1
    for mirrored, of_pictures in ((False, expected), (True, expected[..., ::-1])):
        made = show(rows, None, mirrored)
        assert made.shape == (2, 3, 3, 256)
        np.testing.assert_allclose(made.unflatten(3, (16, 16)).transpose(1, 2), of_pictures, atol=1e-6)


def test_a_pixel_keeps_its_column_under_augmentation():
    values = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 3, 16, 16), dtype=np.uint8), 4, axis=0)
    show = RCNN(frames=4, size=16)._inputs(Moments(values, np.array([4]), np.arange(4)[:, None] + (0, 1)))
    made = show(torch.zeros(2, dtype=torch.int64), torch.Generator().manual_seed(0), False)
    assert torch.equal(made, made[:, :, :1].expand_as(made))
    assert not torch.equal(made[0], made[1])
