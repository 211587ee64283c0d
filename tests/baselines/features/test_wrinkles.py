"""Wrinkles: gradients in regions of a picture."""

import numpy as np
import pytest
import torch

from baselines.features.regions import eye_distance, regions
from baselines.features.wrinkles import WRINKLES, wrinkles

SIZE = 96


def grey(values):
    return torch.from_numpy(np.broadcast_to(values, (1, 3, SIZE, SIZE)).astype(np.uint8).copy())


def test_a_ramp_has_its_slope_everywhere():
    ramp = grey(2 * np.arange(SIZE))
    # exact but for float32 weights of the three channels
    np.testing.assert_allclose(wrinkles(ramp), np.full((1, 4), 2 * eye_distance(SIZE)), rtol=1e-5)
    np.testing.assert_allclose(wrinkles(ramp.transpose(2, 3)), wrinkles(ramp), rtol=1e-5)


def test_brightness_does_not_matter_and_contrast_scales():
    random = np.random.default_rng(0).integers(0, 60, (SIZE, SIZE))
    found = wrinkles(grey(random))
    np.testing.assert_allclose(wrinkles(grey(random + 100)), found, rtol=1e-4)
    np.testing.assert_allclose(wrinkles(grey(3 * random)), 3 * found, rtol=1e-4)
    assert wrinkles(grey(np.full((SIZE, SIZE), 90))).max() < 1e-3


@pytest.mark.parametrize("name", WRINKLES)
def test_a_furrow_is_seen_in_its_region(name):
    rows, columns = regions(SIZE)[name]
    face = np.full((SIZE, SIZE), 120)
    face[(rows.start + rows.stop) // 2, columns.start + 2 : columns.stop - 2] = 60
    found = dict(zip(WRINKLES, wrinkles(grey(face))[0], strict=True))
    assert max(found, key=found.get) == name and found[name] > 10


def test_pictures_are_measured_one_by_one():
    pictures = torch.randint(0, 256, (4, 3, 48, 48), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    alone = np.concatenate([wrinkles(picture[None]) for picture in pictures])
    np.testing.assert_allclose(wrinkles(pictures), alone, rtol=1e-6)


def test_a_picture_may_be_too_small():
    with pytest.raises(ValueError, match="make (it|them) larger"):
        wrinkles(torch.zeros((1, 3, 6, 6), dtype=torch.uint8))
