"""Speed of the affine-hull dissimilarity, gradient included, against cvxpy with Clarabel on the same program.

Run with ``pytest tests/benchmarks/test_affine_hull.py --benchmark-only``; ratios are in ``extra_info``.
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


def value_and_gradient(h_i, h_j):
    value = dissimilarity(h_i, h_j).value
    return value.detach(), torch.autograd.grad(value.sum(), (h_i, h_j))


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


@pytest.mark.benchmark(group="affine hull")
def test_many_features(benchmark, threads):
    """64 pairs, 16 samples of 2048 features a half, float32."""
    h_i, h_j = halves((PAIRS,), (PAIRS,), 16, 2048)
    value, _ = benchmark(value_and_gradient, h_i, h_j)
    pair = [h[0].detach().double().numpy() for h in (h_i, h_j)]
    printed, expected = seconds_of_solver(*pair)
    small, _ = seconds_of_solver(*reduced(*pair))
    assert float(value[0]) == pytest.approx(expected, rel=1e-6)
    each = benchmark.stats.stats.min / PAIRS
    benchmark.extra_info.update(
        milliseconds_each=1e3 * each,
        milliseconds_cvxpy_as_printed=1e3 * printed,
        milliseconds_cvxpy_reduced=1e3 * small,
        times_faster_than_cvxpy_as_printed=printed / each,
        times_faster_than_cvxpy_reduced=small / each,
    )


@pytest.mark.benchmark(group="affine hull")
def test_reduced_features(benchmark, threads):
    """64 pairs, 16 samples a half in the 32 dimensions of their span: nothing is gained by the reduction."""
    h_i, h_j = halves((PAIRS,), (PAIRS,), 16, 32)
    benchmark(value_and_gradient, h_i, h_j)
    each = benchmark.stats.stats.min / PAIRS
    small, _ = seconds_of_solver(*(h[0].detach().double().numpy() for h in (h_i, h_j)))
    benchmark.extra_info.update(milliseconds_each=1e3 * each, times_faster_than_cvxpy=small / each)


@pytest.mark.benchmark(group="affine hull")
@pytest.mark.parametrize("energy", [1.0, 0.8])
def test_training_step(benchmark, threads, energy):
    """All pairs of 8 and 8 halves, 4 unit vectors of 64 features a half: what one training step solves."""
    h_i, h_j = halves((8, 1), (1, 8), 4, 64)
    h_i, h_j = (torch.nn.functional.normalize(h.detach(), dim=-1).requires_grad_() for h in (h_i, h_j))

    def step():
        value = dissimilarity(h_i, h_j, energy=energy).value
        return torch.autograd.grad(value.sum(), (h_i, h_j))

    benchmark(step)
    benchmark.extra_info.update(milliseconds=1e3 * benchmark.stats.stats.min, pairs=PAIRS)
