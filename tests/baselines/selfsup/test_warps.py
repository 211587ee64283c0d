"""Synthetic warps: directions on known motions, the spline against SciPy's, and flow that reproduces the image."""

import math

import numpy as np
import pytest
import torch
from scipy.interpolate import RBFInterpolator

from baselines.selfsup.warps import WarpField, Warps, inside, pixel_points, sample, thin_plate
from repro.learning.augmentation import Augmentation

WHOLE = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
NO_BEND = (torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]]), torch.zeros(1, 3, 2))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def smooth_images(n=4, size=64):
    """Low frequencies only, so that interpolation is nearly exact."""
    coarse = torch.rand(n, 3, 6, 6, generator=generator(3))
    return torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)


def test_points_are_those_of_grid_sample():
    grid = torch.nn.functional.affine_grid(WHOLE, [1, 1, 5, 8], align_corners=False)
    torch.testing.assert_close(pixel_points(5, 8), grid[0])
    images = smooth_images()
    torch.testing.assert_close(sample(images, pixel_points(64, 64).expand(4, -1, -1, -1)), images, atol=1e-5, rtol=0)


def test_the_spline_is_scipys_and_has_its_values_at_the_control_points():
    random = np.random.default_rng(0)
    controls, values = random.uniform(-1, 1, (9, 2)), random.normal(size=(3, 9, 2))
    points = random.uniform(-1.2, 1.2, (4, 7, 2))
    ours = thin_plate(torch.tensor(controls), torch.tensor(values), torch.tensor(points))
    assert ours.shape == (3, 4, 7, 2)
    for field, given in zip(ours, values, strict=True):
        theirs = RBFInterpolator(controls, given, kernel="thin_plate_spline", degree=1)(points.reshape(-1, 2))
        np.testing.assert_allclose(field.reshape(-1, 2), theirs, atol=1e-10)
    at_controls = thin_plate(torch.tensor(controls), torch.tensor(values), torch.tensor(controls))
    np.testing.assert_allclose(at_controls, values, atol=1e-10)


def test_a_field_of_affine_values_bends_nowhere():
    controls = Warps().draw(1, generator()).controls
    values = (controls @ torch.tensor([[0.1, 0.3], [-0.2, 0.05]]) + 0.07)[None]
    points = pixel_points(9, 9)
    expected = points @ torch.tensor([[0.1, 0.3], [-0.2, 0.05]]) + 0.07
    torch.testing.assert_close(thin_plate(controls, values, points)[0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("matrix", "point", "moved"),
    [
        ([[1, 0, 0.2], [0, 1, -0.1]], (0.3, 0.4), (0.5, 0.3)),
        ([[0, -1, 0], [1, 0, 0]], (0.5, 0.0), (0.0, 0.5)),  # a quarter turn, clockwise on the screen as y is down
        ([[1.5, 0, 0], [0, 1.5, 0]], (0.2, -0.4), (0.3, -0.6)),
    ],
)
def test_known_affine_maps(matrix, point, moved):
    field = WarpField(torch.tensor([matrix], dtype=torch.float32), *NO_BEND)
    displacement = field(torch.tensor([[point]]))[0, 0, 0]
    torch.testing.assert_close(displacement, torch.tensor(moved) - torch.tensor(point), atol=1e-6, rtol=0)


def test_a_shift_by_whole_pixels_shifts_the_image():
    """The first view at x shows what the second shows 4 pixels to the right, and 2 upwards."""

    class Shift(Warps):
        def draw(self, n, generator):
            matrix = torch.tensor([[[1.0, 0.0, 8 / 64], [0.0, 1.0, -4 / 64]]]).expand(n, -1, -1)
            return WarpField(matrix, NO_BEND[0], NO_BEND[1].expand(n, -1, -1))

    pair = Shift().pair(smooth_images(), WHOLE.expand(4, -1, -1), generator())
    torch.testing.assert_close(pair.first[..., 2:, :-4], pair.second[..., :-2, 4:], atol=0.01, rtol=0)


@pytest.mark.parametrize("crops", [WHOLE.expand(4, -1, -1), Augmentation().draw(4, generator(8))])
def test_the_flow_brings_the_second_view_to_the_first(crops):
    images = smooth_images()
    pair = Warps().pair(images, crops, generator(2))
    points = pixel_points(64, 64)
    target = points + pair.field(points)
    assert float((pair.field(points).norm(dim=-1) * 50).mean()) > 3, "percent of the side: there is motion"
    error = (sample(pair.second, target) - pair.first).abs().mean(1)[inside(target)]
    still = (pair.second - pair.first).abs().mean(1)[inside(target)]
    # two interpolations instead of one, on images of unit range
    assert float(error.mean()) < 0.002 and float(error.max()) < 0.03
    assert float(still.mean()) > 20 * float(error.mean())


def test_views_show_no_repeated_edge():
    """A ramp has no gradient where its edge is repeated."""
    ramp = torch.linspace(0, 1, 48).expand(20, 1, 48, 48)
    for images in (ramp, ramp.mT):
        pair = Warps(shift=0.1, bend=0.03).pair(images, WHOLE.expand(20, -1, -1), generator(1))
        for view in (pair.first, pair.second):
            slope = view.diff(dim=-1).square()[..., :-1, :] + view.diff(dim=-2).square()[..., :-1]
            # resampling within half a pixel of the edge flattens a point at most
            assert float((slope < 1e-6).float().mean()) < 0.002


def test_ranges_and_determinism():
    warps = Warps(shift=0.05, rotation=10, scale=1.1, stretch=1.2, bend=0.0)
    field = warps.draw(500, generator())
    assert float(field.matrix[..., 2].abs().max()) <= 0.1 and not field.bends.any()
    singular = torch.linalg.svdvals(field.matrix[..., :2])
    assert float(singular.max()) <= 1.1 * 1.2**0.5 + 1e-5 and float(singular.min()) >= 1 / (1.1 * 1.2**0.5) - 1e-5
    a = field.matrix[..., :2]
    angle = torch.atan2(a[:, 1, 0] - a[:, 0, 1], a[:, 0, 0] + a[:, 1, 1])  # of the nearest rotation
    assert float(angle.abs().max()) <= math.radians(10) + 1e-5 and float(angle.abs().max()) > math.radians(9)
    again = warps.draw(500, generator())
    assert torch.equal(field.matrix, again.matrix)
    still = Warps(0.0, 0.0, 1.0, 1.0, 0.0).draw(3, generator())(pixel_points(8, 8))
    torch.testing.assert_close(still, torch.zeros(3, 8, 8, 2), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "bad", [{"shift": -0.1}, {"rotation": math.nan}, {"scale": 0.9}, {"stretch": 0.5}, {"bend": -1.0}, {"controls": 1}]
)
def test_bad_settings_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Warps(**bad)
