"""Augmentation: sizes, ranges, determinism, and what the extreme settings leave alone."""

import pytest
import torch

from repro.learning.augmentation import Augmentation, to_network


def images(n=6, size=24):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def test_same_seed_same_crops_and_inputs_are_not_modified():
    given = images()
    kept = given.clone()
    first, second = (Augmentation()(given, generator()) for _ in range(2))
    assert torch.equal(first, second) and first.shape == given.shape
    assert torch.equal(given, kept)
    assert not torch.equal(first, Augmentation()(given, generator(2)))


def test_nothing_is_changed_by_the_whole_area_without_flips():
    # bilinear sampling at pixel centres reproduces them up to rounding of the grid
    same = Augmentation(area=(1.0, 1.0), aspect=1.0, flip=False)(images(), generator())
    torch.testing.assert_close(same, images(), atol=1e-5, rtol=0)


def test_flips_are_mirror_images_of_about_half():
    given = images(200, 8)
    flipped = Augmentation(area=(1.0, 1.0), aspect=1.0)(given, generator())
    mirrored = (flipped - given.flip(-1)).abs().amax((1, 2, 3)) < 1e-5
    kept = (flipped - given).abs().amax((1, 2, 3)) < 1e-5
    assert bool((mirrored ^ kept).all())
    assert 70 < int(mirrored.sum()) < 130  # 5 standard deviations of a fair coin


def test_images_together_share_their_crop_and_mirror():
    one = images(4)
    pairs = Augmentation()(one.repeat_interleave(2, 0), generator(), together=2)
    assert torch.equal(pairs[::2], pairs[1::2])
    torch.testing.assert_close(pairs[::2], Augmentation()(one, generator()))
    assert not torch.allclose(pairs[0], Augmentation()(one.repeat_interleave(2, 0), generator())[1])


def test_crops_stay_inside_the_image():
    ramp = torch.linspace(0, 1, 32).expand(50, 3, 32, 32).contiguous()
    cropped = Augmentation(area=(0.3, 0.5), aspect=1.3)(ramp, generator())
    spread = cropped[:, 0, 0].amax(-1) - cropped[:, 0, 0].amin(-1)
    # a crop of the ramp spans its own width: between sqrt(.3 / 1.3^.5) and sqrt(.5) * 1.3^.25 of it
    assert float(spread.min()) > 0.45 and float(spread.max()) < 0.80


@pytest.mark.parametrize("bad", [{"area": (0.0, 1.0)}, {"area": (0.9, 0.5)}, {"area": (0.5, 1.5)}, {"aspect": 0.5}])
def test_impossible_ranges_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Augmentation(**bad)


def test_network_range():
    values = to_network(torch.tensor([0, 255], dtype=torch.uint8))
    torch.testing.assert_close(values, torch.tensor([-1.0, 1.0]))
