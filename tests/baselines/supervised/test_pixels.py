"""The classifier of pixels: the probe of what it says, and nothing of what it does not see."""

import numpy as np
import pytest
import torch

from baselines.supervised.pixels import PixelProbe
from repro.learning.metrics import auc
from repro.learning.probe import LinearProbe


def clips(n=60, seed=0):
    """Noise; those of level 2 are brighter in one corner."""
    images = torch.randint(0, 200, (n, 3, 32, 32), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    levels = np.arange(n) % 2 * 2
    images[torch.from_numpy(levels > 0), :, :8, :8] += 40
    return images, levels, np.repeat(["a", "b", "c"], n // 3)


def test_it_is_the_probe_of_block_means():
    images, levels, groups = clips()
    blocks = images.double().unflatten(2, (16, 2)).unflatten(4, (16, 2)).mean((3, 5)).flatten(1).numpy()
    expected = LinearProbe(3).fit(blocks, levels, groups).predict_proba(blocks)
    # float32 means, and a solver that stops at a small gradient
    np.testing.assert_allclose(PixelProbe().fit(images, levels, groups).predict_proba(images), expected, atol=1e-3)


def test_what_is_visible_is_learned_and_intensity_is_expected():
    model = PixelProbe().fit(*clips())
    images, levels, _ = clips(seed=1)
    assert auc(levels == 2, model.predict(images)) > 0.9
    np.testing.assert_allclose(model.predict(images), model.predict_proba(images) @ [0, 1, 2])


def test_images_of_a_clip_are_averaged():
    images, levels, groups = clips()
    model = PixelProbe().fit(images, levels, groups)
    two = torch.stack([images, images], 1)
    np.testing.assert_allclose(model.predict_proba(two), model.predict_proba(images), atol=1e-9)


def test_one_level_is_refused():
    images, _, groups = clips()
    with pytest.raises(ValueError, match="two levels"):
        PixelProbe().fit(images, np.zeros(60, int), groups)
