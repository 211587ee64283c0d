"""Speed of the affine-hull dissimilarity, gradient included, against cvxpy with Clarabel on the same program.

``pytest tests/benchmarks/test_affine_hull.py --benchmark-only``; ``extra_info`` holds the ratios for one pair, and how
far from optimal the worst pair of the batch may be (`residual`), as a share of its value.
"""

import time

import numpy as np
import pytest
import torch

from repro.siamese.affine_hull import dissimilarity
from repro.siamese.oracle import solve

PAIRS = 64


@pytest.fixture(params=[1, 2], ids=["1 thread", "2 threads"])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def halves(first, second, n, width):
    generator = torch.Generator().manual_seed(0)
    h_i = torch.randn(*first, n, width, generator=generator) + 1
    h_j = torch.randn(*second, n, width, generator=generator) + 1
    return h_i.requires_grad_(), h_j.requires_grad_()


def value_and_gradient(h_i, h_j, energy=1.0):
    found = dissimilarity(h_i, h_j, energy=energy)
    return found, torch.autograd.grad(found.value.sum(), (h_i, h_j))


def reduced(h_i, h_j):
    """The same pair in an orthonormal basis of its span, n_i + n_j dimensions."""
    upper = np.linalg.qr(np.concatenate([h_i, h_j]).T, mode="r")
    return upper.T[: len(h_i)], upper.T[len(h_i) :]


def seconds_of_solver(h_i, h_j, repetitions=3):
    """Shortest time of one problem, and its optimum."""
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        solution = solve(h_i, h_j)
        times.append(time.perf_counter() - start)
    return min(times), solution.value


def measure(benchmark, *halves, energy=1.0):
    """Benchmark a batch that has been solved once, so that nothing is compiled on the way."""
    value_and_gradient(*halves, energy)
    found, _ = benchmark(value_and_gradient, *halves, energy)
    residual = float(found.residual.max())
    assert residual < 1e-9
    benchmark.extra_info.update(residual=residual, pairs=PAIRS)
    return found.value.detach()


@pytest.mark.benchmark(group="affine hull, 64 pairs, value and gradient: 16 samples of 2048 features a half")
def test_many_features(benchmark, threads):
    """In float32, as a network gives them."""
    h_i, h_j = halves((PAIRS,), (PAIRS,), 16, 2048)
    value = measure(benchmark, h_i, h_j)
    if benchmark.stats is None:
        return
    pair = [h[0].detach().double().numpy() for h in (h_i, h_j)]
    printed, expected = seconds_of_solver(*pair)
    small, _ = seconds_of_solver(*reduced(*pair))
    assert float(value[0]) == pytest.approx(expected, rel=1e-6)
    each = benchmark.stats.stats.min / PAIRS
    benchmark.extra_info.update(
        milliseconds_each=1e3 * each,
        milliseconds_cvxpy_as_printed=1e3 * printed,
        milliseconds_cvxpy_reduced=1e3 * small,
        times_as_fast_as_cvxpy_as_printed=printed / each,
        times_as_fast_as_cvxpy_reduced=small / each,
    )


@pytest.mark.benchmark(group="affine hull, 64 pairs, value and gradient: 16 samples of 32 features a half")
def test_reduced_features(benchmark, threads):
    """In the dimensions of their span: nothing is gained by the reduction."""
    h_i, h_j = halves((PAIRS,), (PAIRS,), 16, 32)
    value = measure(benchmark, h_i, h_j)
    if benchmark.stats is None:
        return
    each = benchmark.stats.stats.min / PAIRS
    small, expected = seconds_of_solver(*(h[0].detach().double().numpy() for h in (h_i, h_j)))
    assert float(value[0]) == pytest.approx(expected, rel=1e-6)
    benchmark.extra_info.update(
        milliseconds_each=1e3 * each, milliseconds_cvxpy=1e3 * small, times_as_fast_as_cvxpy=small / each
    )


@pytest.mark.benchmark(
    group="affine hull, all pairs of 8 and 8 halves, value and gradient: 4 unit vectors of 64 a half"
)
@pytest.mark.parametrize("energy", [1.0, 0.8])
def test_training_step(benchmark, threads, energy):
    """What one training step solves."""
    h_i, h_j = halves((8, 1), (1, 8), 4, 64)
    h_i, h_j = (torch.nn.functional.normalize(h.detach(), dim=-1).requires_grad_() for h in (h_i, h_j))
    measure(benchmark, h_i, h_j, energy=energy)
