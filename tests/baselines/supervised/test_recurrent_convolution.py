"""Recurrent convolution: the equations written out, and the network around it."""

import numpy as np
import pytest
import torch
from scipy.signal import correlate

from baselines.supervised.recurrent_convolution import RecurrentConvolution, RecurrentConvolutionNetwork


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def layer(steps=3, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = RecurrentConvolution(2, 4, steps=steps, **options).double()
        for norm in made.norms:
            torch.nn.init.uniform_(norm.weight, 0.5, 2)
            torch.nn.init.normal_(norm.bias)
    return made


def convolved(filters, maps):
    """Correlate maps (B, C, H, W) with filters (O, C, k, k), zeros around them, channel by channel."""

    def one(image, bank):
        return sum(correlate(m, f, mode="same", method="direct") for m, f in zip(image, bank, strict=True))

    return np.array([[one(image, bank) for bank in filters] for image in maps])


def normalised(norm, maps):
    mean, variance = maps.mean((0, 2, 3), keepdims=True), maps.var((0, 2, 3), keepdims=True)
    gain, shift = (p.detach().numpy()[:, None, None] for p in (norm.weight, norm.bias))
    return (maps - mean) / np.sqrt(variance + norm.eps) * gain + shift


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("kernel", [3, 5])
def test_output_is_that_of_the_unrolled_equations(steps, kernel):
    made = layer(steps, kernel=kernel)
    u = np.random.default_rng(1).normal(size=(3, 2, 6, 7))
    forward, recurrent = (f.weight.detach().numpy() for f in (made.forward_filter, made.recurrent_filter))
    driven = convolved(forward, u) + made.forward_filter.bias.detach().numpy()[:, None, None]
    x = normalised(made.norms[0], np.maximum(driven, 0))
    for t in range(1, steps + 1):
        x = normalised(made.norms[t], np.maximum(driven + convolved(recurrent, x), 0))
    np.testing.assert_allclose(made(torch.from_numpy(u)).detach().numpy(), x, atol=1e-12)


def test_each_step_sees_one_pixel_farther():
    for steps in range(4):
        made = layer(steps).eval()
        u = torch.zeros(1, 2, 15, 15, dtype=torch.float64, requires_grad=True)
        made(u)[0, :, 7, 7].sum().backward()
        seen = torch.nonzero(u.grad.abs().sum((0, 1)))
        assert seen.min() >= 7 - (1 + steps) and seen.max() <= 7 + 1 + steps
    assert seen.min() < 7 - 2, "recurrence widens what is seen"


def test_filters_are_shared_by_all_steps():
    parameters = [sum(p.numel() for p in layer(steps).parameters()) for steps in (0, 1, 3)]
    assert parameters[2] - parameters[0] == 3 * 2 * 4 and parameters[1] - parameters[0] == 2 * 4  # norms only


def network(rows=5, columns=50, channels=(4, 6, 6), seed=0):
    return RecurrentConvolutionNetwork(rows, columns, channels, steps=2, dropout=0.5, generator=seeded(seed))


@pytest.mark.parametrize("shape", [(5, 50), (16, 64), (1, 1), (2, 9)])
def test_images_of_any_fixed_size_become_one_number(shape):
    made = network(*shape).eval()
    answers = made(torch.randn(7, 3, *shape, generator=seeded()))
    assert answers.shape == (7,) and torch.isfinite(answers).all()


def test_the_generator_decides_all_weights():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = network().state_dict()
        torch.manual_seed(2)
        second, other = network().state_dict(), network(seed=1).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["output.weight"], other["output.weight"])


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="kernel 4"):
        RecurrentConvolution(2, 4, kernel=4)
    with pytest.raises(ValueError, match="steps -1"):
        RecurrentConvolution(2, 4, steps=-1)
    with pytest.raises(ValueError, match="channels"):
        network(channels=())
