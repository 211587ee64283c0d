"""The equations against a literal implementation, a public one of the same weight, and determinants."""

import math

import numpy as np
import piq.iw_ssim
import pytest
import torch

from repro.ssd import distill, equations, feature_maps, information_weights

# Float64 differs from the literal loops by the order of sums only; a^2 amplifies that by the condition of
# C_u.
DOUBLE = 1e-9
# Float32 arithmetic on neighbourhoods, C_u in float64.
SINGLE = 1e-5

SETTINGS = [
    {"window": 5, "depth": 1, "center": True},
    {"window": 3, "depth": 1, "center": False},
    {"window": 3, "depth": 3, "center": True},
    {"window": 3, "depth": 5, "center": False},
    {"window": 7, "depth": 1, "center": True, "noise_variance": 2.5},
    {"window": 1, "depth": 3, "center": True, "noise_variance": 0.05},
]


def relative_error(actual, expected):
    """Largest difference, relative to the largest magnitude of what is expected."""
    actual, expected = np.asarray(actual, dtype=np.float64), np.asarray(expected)
    return np.abs(actual - expected).max() / np.abs(expected).max()


@pytest.fixture(scope="module")
def literal_maps(literal, videos):
    """The literal feature maps of each video and setting; they are slow, hence computed once."""
    cache = {}

    def maps(name, setting):
        key = (name, *sorted(setting.items()))
        if key not in cache:
            cache[key] = literal.feature_maps(videos[name], 4, **setting)
        return cache[key]

    return maps


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("name", ["noise", "blobs", "patchy"])
def test_feature_maps_equal_the_literal_ones(videos, literal_maps, name, setting):
    expected = literal_maps(name, setting)
    double = feature_maps(videos[name].double(), segment_length=4, **setting)
    single = feature_maps(videos[name], segment_length=4, backend="equations", **setting)
    assert double.dtype == torch.float64 and single.dtype == torch.float32
    assert relative_error(double, expected) < DOUBLE
    assert relative_error(single, expected) < SINGLE


@pytest.mark.parametrize("setting", SETTINGS[:3], ids=str)
def test_information_weights_equal_the_literal_ones(literal, videos, setting):
    x, y = videos["blobs"][:4], videos["blobs"][4:8]
    expected = np.stack(
        [literal.weights(x[:, c].double().numpy(), y[:, c].double().numpy(), **setting) for c in range(2)], 1
    )
    assert relative_error(information_weights(x.double(), y.double(), **setting), expected) < DOUBLE
    assert relative_error(information_weights(x, y, **setting), expected) < SINGLE


@pytest.mark.parametrize("normalize", ["joint", "channel", None])
@pytest.mark.parametrize("domain", ["rms", "log", "product"])
@pytest.mark.parametrize("name", ["noise", "blobs"])
def test_images_equal_the_literal_ones(literal, videos, literal_maps, name, domain, normalize):
    expected = literal.to_image(literal.aggregate(literal_maps(name, SETTINGS[0]), 4, domain), normalize)
    kwargs = {"segment_length": 4, "domain": domain, "normalize": normalize}
    double = distill(videos[name].double(), **kwargs)
    single = distill(videos[name], backend="equations", **kwargs)
    if normalize is None:
        # "product" multiplies l = 4 factors and takes exp of the result: its softmax sees absolute errors.
        assert relative_error(double, expected) < DOUBLE * (4 if domain == "product" else 1)
        assert relative_error(single, expected) < SINGLE * (4 if domain == "product" else 1)
    else:
        assert double.dtype == single.dtype == torch.uint8
        assert np.array_equal(double, expected)
        # A value next to a half may round the other way in float32.
        assert np.abs(single.numpy().astype(int) - expected.astype(int)).max() <= 1


def test_the_plain_aggregation_equals_the_running_one(videos):
    video = videos["blobs"].double()
    maps = feature_maps(video, segment_length=4)
    for domain in ("rms", "log", "product"):
        running = distill(video, segment_length=4, domain=domain, normalize=None)
        plain = equations.aggregate(maps, segment_length=4, domain=domain)
        torch.testing.assert_close(running, plain, rtol=1e-12, atol=0)


def test_the_product_overflows_only_in_the_result():
    # l = 20 squared differences near 255^2 are about 1e96: beyond float32, within float64.
    video = torch.zeros(60, 1, 8, 8, dtype=torch.uint8)
    video[20:40] = torch.randint(200, 256, (20, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    single = distill(video, domain="product", normalize=None)
    double = distill(video.double(), domain="product", normalize=None)
    assert single.isinf().all() and double.isfinite().all() and not double.isnan().any()
    image = distill(video, domain="product")
    assert image.min() == 0 and image.max() == 255


def test_the_product_is_defined_beyond_float64():
    # exp(70 * log(255^2)) = 1e336: the image by min-max needs the ratios only.
    maps = torch.full((2, 1, 2, 2), 11.0, dtype=torch.float64)
    maps[0, 0, 0, 0] = 11.01
    softmax = equations.aggregate(maps, segment_length=70, domain="product")
    assert softmax.isinf().all() and not softmax.isnan().any()


def test_eq_11_is_eq_5_by_determinants():
    generator = torch.Generator().manual_seed(3)
    samples = torch.randn(9, 40, generator=generator, dtype=torch.float64)
    c_u = samples @ samples.mT / 40
    eigenvalues = equations.decompose(c_u[None]).eigenvalues
    for a2, g, s_v2, noise in [
        (1.0, 1.0, 0.0, 0.4),
        (0.3, -0.7, 2.0, 0.4),
        (5.0, 2.0, 0.1, 3.0),
        (0.0, 0.0, 1.0, 1.0),
    ]:
        parts = (torch.tensor([[value]], dtype=torch.float64) for value in (a2, g, s_v2))
        closed = equations.information(*parts, eigenvalues, noise_variance=noise)
        determinants = equations.information_from_covariances(c_u, a2, g, s_v2, noise)
        assert closed.item() == pytest.approx(determinants.item(), rel=1e-10, abs=1e-12)


def test_the_weight_equals_that_of_piq(videos):
    """piq: 3 x 3, base 2, without the factor 1/2, C_u from uncentred inner neighbourhoods, g, s_v centred."""
    reference, deformed = (videos["blobs"][at, :1].double()[None] for at in (0, 8))
    expected = piq.iw_ssim._information_content(x=deformed, y=reference, kernel_size=3, sigma_nsq=0.4)

    def inner(image, center):
        columns = equations.neighbourhoods(image, 0, window=3, center=center)
        return columns.reshape(1, 9, 9, 11)[:, :, 1:-1, 1:-1].flatten(2)

    spectrum = equations.decompose(equations.covariance([inner(reference, False)]))
    a2 = equations.multiplier(inner(reference, False), spectrum.whitening)
    g = equations.gain(inner(reference, True), inner(deformed, True))
    s_v2 = equations.deformation_variance(inner(reference, True), inner(deformed, True), g)
    weight = equations.information(a2, g, s_v2, spectrum.eigenvalues, noise_variance=0.4)
    # piq inverts C_u instead of factoring it.
    torch.testing.assert_close(weight / (0.5 * math.log(2)), expected.reshape(weight.shape), rtol=1e-8, atol=0)


def test_gain_and_variance_solve_the_regression_of_eq_14():
    generator = torch.Generator().manual_seed(5)
    x, y = (torch.randn(1, 25, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    g = equations.gain(x, y)
    s_v2 = equations.deformation_variance(x, y, g)
    for point in range(6):
        solution = np.linalg.lstsq(x[0, :, point, None].numpy(), y[0, :, point].numpy(), rcond=None)
        assert g[0, point].item() == pytest.approx(solution[0][0], rel=1e-12)
        assert s_v2[0, point].item() == pytest.approx(solution[1][0] / 25, rel=1e-12)


def test_null_directions_are_left_out_of_the_pseudo_inverse():
    # One direction only: a^2 = (1/K) (v^T x)^2 / lambda, and the K - 1 null eigenvalues leave log(1 +
    # s_v^2/s_n^2).
    direction = torch.tensor([0.6, 0.8, 0.0], dtype=torch.float64)
    spectrum = equations.decompose(4.0 * torch.outer(direction, direction)[None])
    assert spectrum.eigenvalues.tolist() == [[0.0, 0.0, pytest.approx(4.0)]]
    x = 3.0 * direction[None, :, None]
    assert equations.multiplier(x, spectrum.whitening).item() == pytest.approx(9 / 4 / 3)
