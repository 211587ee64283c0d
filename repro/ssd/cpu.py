"""The distillation on a CPU, fused: `repro.ssd.equations.feature_map`, two orders of magnitude faster.

One pass over each pair of frames does everything from the neighbourhoods' inner products to Eq. 6. How:

* C_u (Eq. 12) from products of a frame with itself at each distance within a window, summed once a distance.
  Neighbourhoods are centred (D2) afterwards: C_u = P R P with P = I - 1 1^T / K.
* x^T C_u^+ x (Eq. 13) as the squared length of the answers of filters, a triangular factor of C_u^+. The filters
  apply to differences between neighbouring pixels, which are nearly uncorrelated where pixels are not: so float32
  suffices for them, and centring is free.
* Inner products (Eqs. 14, 15) as separable sums, exact in float32 for integers up to 255.
* The K logarithms of Eq. 11 as a few, of products.

Where float32 does not suffice (intensities that are no integers, large neighbourhoods, a nearly singular C_u), float64
takes its place, at about half the speed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numba.core import event
from torch import Tensor

from repro.ssd import equations, kernels

Array = np.ndarray

CHUNK = 10
"""Frames in a task. It decides in what order numbers are added, hence must not depend on the number of threads."""

SHIFT = 128.0
"""Taken from every intensity where means are taken out anyway, so that products are smaller."""

ROUNDING = 2e-6
"""Expected relative error of a that float32 filters may have; that of real videos is about a tenth of it."""


class _Basis(NamedTuple):
    """Differences between neighbouring samples, and where a kernel finds them.

    Attributes
    ----------
    inverse : array, (K, n)
        x = inverse d, up to its mean if centred, for the n differences d of a neighbourhood x.
    differences : array, (n, K)
        d = differences x.
    taps : array, (n, 2) int
        Tile of each difference, and place in it.
    tiles : array, (tiles, 3) int
        Source image, row and column of each tile's first tap.
    """

    inverse: Array
    differences: Array
    taps: Array
    tiles: Array


@lru_cache(maxsize=16)
def _basis(window: int, depth: int, center: bool) -> _Basis:
    """Vertical differences, horizontal ones in the middle row, and those between frames at one sample.

    Without centring one sample itself is added. See `kernels._write_sources` for the source images.
    """
    sample = np.eye(depth * window * window).reshape(depth, window, window, -1)
    vertical, horizontal = np.diff(sample, axis=1), np.diff(sample[:, window // 2], axis=1)
    runs = [(2 * t, y, vertical[t, y]) for t in range(depth) for y in range(window - 1)]
    runs += [(2 * t + 1, window // 2, horizontal[t]) for t in range(depth)]
    runs += [(2 * depth + t, 0, sample[t + 1, 0, :1] - sample[t, 0, :1]) for t in range(depth - 1)]
    if not center:
        runs.append((3 * depth - 1, 0, sample[0, 0, :1]))
    rows, taps, tiles = [np.empty((0, sample.shape[-1]))], [], []
    for source, y, run in runs:
        rows.append(run)
        for x in range(len(run)):
            if x % kernels.TILE == 0:
                tiles.append((source, y, x))
            taps.append((len(tiles) - 1, x % kernels.TILE))
    differences = np.concatenate(rows)
    return _Basis(
        np.linalg.pinv(differences),
        differences,
        np.array(taps, dtype=np.int64).reshape(-1, 2),
        np.array(tiles, dtype=np.int64).reshape(-1, 3),
    )


def _covariance(blocks: Array, count: int, center: bool) -> Array:
    """Eq. 12 from what `kernels.covariance` adds up, (depth, depth, area, area) -> (K, K)."""
    depth, _, area, _ = blocks.shape
    upper = blocks.transpose(0, 2, 1, 3).reshape(depth * area, depth * area)
    c_u = np.triu(upper) / count
    c_u += np.triu(c_u, 1).T
    if center:
        c_u -= c_u.mean(0)
        c_u -= c_u.mean(1, keepdims=True)
    return c_u


def _plan(
    c_u: Array, *, window: int, depth: int, center: bool, noise_variance: float, stride: int, size: int, exact: bool
) -> kernels.Plan:
    """Factor C_u and lay the filters out for planes of `size` elements in rows of `stride`.

    `exact` says that inner products are exact in float32; otherwise they are taken in float64.
    """
    basis = _basis(window, depth, center)
    spectrum = equations.decompose(torch.from_numpy(c_u))
    eigenvalues = spectrum.eigenvalues.numpy()[::-1]
    factor = np.linalg.qr(spectrum.whitening.numpy() @ basis.inverse, mode="r")
    # An answer is a sum of terms with relative errors of 2^-24 each; the answers' expected square is 1.
    variances = ((basis.differences @ c_u) * basis.differences).sum(1)
    rounding = 2**-24 * np.sqrt((factor**2 @ variances).sum() / max(np.count_nonzero(eigenvalues), 1))
    number = np.float32 if rounding < ROUNDING and noise_variance >= 1e-3 else np.float64
    filters = np.zeros(((len(factor) + 1) // 2, len(basis.tiles), 2, kernels.TILE), number)
    for row, answer in enumerate(factor):
        filters[row // 2, basis.taps[:, 0], row % 2, basis.taps[:, 1]] = answer
    samples = window * window * depth
    scale = samples if center else 1
    product = np.float32 if exact else np.float64
    return kernels.Plan(
        window=window,
        center=center,
        shift=SHIFT if center else 0.0,
        samples=product(samples),
        rounding=product(0 if exact else 1e-14),
        null=product(equations.NULL_PRODUCT * scale),
        a2_unit=number(1 / samples),
        variance_unit=number(1 / (scale * samples)),
        precision=number(1 / noise_variance),
        eigenvalues=np.ascontiguousarray(eigenvalues, number),
        offsets=basis.tiles @ np.array([size, stride, 1]),
        begins=np.ascontiguousarray(basis.taps[: len(factor) : 2, 0]),
        filters=filters,
    )


def feature_map(
    x: Tensor,
    y: Tensor,
    *,
    window: int = 5,
    depth: int = 1,
    noise_variance: float = 0.4,
    center: bool = True,
    threads: int | None = None,
) -> Tensor:
    """Eq. 6 for two consecutive segments, as `repro.ssd.equations.feature_map`.

    Parameters
    ----------
    x, y : Tensor, (l, C, H, W) float32
        Reference and deformed segment on 0..255, on a CPU.
    window, depth, noise_variance, center
        Decisions D3, D1 and D2.
    threads : int, optional
        Threads to use; by default as many as PyTorch may use (`torch.get_num_threads`), which is one in the
        worker processes of a data loader. The result does not depend on it.

    Returns
    -------
    Tensor, (C, H, W) float32
        (1/l) sum_j log m_j, each m_j at least 1e-10.
    """
    reference, deformed = (np.ascontiguousarray(segment.numpy()) for segment in (x, y))
    length, channels, height, width = reference.shape
    stride, area, samples = width + window - 1, window * window, window * window * depth
    size = (height + window) * stride + kernels.SLACK
    integer = all(np.array_equal(segment, np.rint(segment)) for segment in (reference, deformed))
    largest = 255 - SHIFT if center else 255.0

    def exact(products: int) -> bool:
        return integer and products * largest**2 < 2**24

    def covariance(channel: int, first: int, last: int) -> Array:
        out = np.zeros((depth, depth, area, area))
        planes = np.zeros((depth, size), np.float32 if exact(height) else np.float64)
        shift = SHIFT if center else 0.0
        kernels.covariance(reference, channel, first, last, window, shift, planes, out)
        return out

    def log_map(channel: int, first: int, last: int) -> Array:
        out, plan = np.empty((height, width)), plans[channel]
        planes = np.zeros((2, depth, size), plan.samples.dtype)
        sources = np.zeros((3 * depth, size), plan.filters.dtype)
        kernels.log_map(reference, deformed, channel, first, last, plan, planes, sources, out)
        return out

    chunks = [(first, min(first + CHUNK, length)) for first in range(0, length, CHUNK)]
    tasks = [(channel, *chunk) for channel in range(channels) for chunk in chunks]
    with _runner(torch.get_num_threads() if threads is None else threads) as run:
        blocks = np.stack(run(covariance, tasks)).reshape(channels, len(chunks), depth, depth, area, area).sum(1)
        plans = [
            _plan(
                _covariance(block, length * height * width, center),
                window=window,
                depth=depth,
                center=center,
                noise_variance=noise_variance,
                stride=stride,
                size=size,
                exact=exact(samples**2 if center else samples),
            )
            for block in blocks
        ]
        total = np.stack(run(log_map, tasks)).reshape(channels, len(chunks), height, width).sum(1)
    return torch.from_numpy(total / length).to(x.dtype)


@contextmanager
def _runner(threads: int) -> Iterator[Callable[[Callable[..., Array], Sequence[tuple]], list[Array]]]:
    """Yield a function that applies another to tuples of arguments; the kernels run without the interpreter's lock."""
    with _compilation_announced():
        if threads == 1:
            yield lambda function, tasks: [function(*task) for task in tasks]
            return
        with ThreadPoolExecutor(threads) as pool:
            yield lambda function, tasks: list(pool.map(lambda task: function(*task), tasks))


class _Announcer(event.Listener):
    """Says, once in a process, that kernels are being compiled; what comes from the cache is not compiled."""

    announced = False

    def on_start(self, event: Any) -> None:
        if not _Announcer.announced:
            _Announcer.announced = True
            sys.stderr.write("repro.ssd: compiling the CPU kernels, once for this machine (about ten seconds)\n")

    def on_end(self, event: Any) -> None:
        pass


@contextmanager
def _compilation_announced() -> Iterator[None]:
    with event.install_listener("numba:compile", _Announcer()):
        yield
