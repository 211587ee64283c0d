"""The distillation on a CPU, fused: `repro.ssd.equations.feature_map`, some thirty times as fast.

One pass over each pair of frames does everything from the neighbourhoods' inner products to Eq. 6:

* C_u (Eq. 12) comes from products of a frame with itself at each distance within a window, summed once a distance.
  Neighbourhoods are centred (D2) afterwards: C_u = P R P with P = I - 1 1^T / K.
* x^T C_u^+ x (Eq. 13) is the squared length of the answers of filters, a triangular factor of C_u^+. They apply to
  differences between neighbouring pixels, which are nearly uncorrelated where pixels are not: so float32 suffices
  for them, and centring costs nothing.
* Inner products (Eqs. 14, 15) are separable sums, exact in float32 for integers up to 255.
* The K logarithms of Eq. 11 are a few, of products.

Where float32 does not suffice (intensities that are no integers, large neighbourhoods, a nearly singular C_u, next to
no noise), float64 takes its place, at about half the speed.
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
_Task = tuple[int, int, int]
"""Channel, first and last frame."""
_Runner = Callable[[Callable[[int, int, int], Any], Sequence[_Task]], list[Any]]

CHUNK = 10
"""Frames in a task. It decides in what order numbers are added, hence does not depend on the threads."""

ROUNDING = 2e-6
"""Expected relative error of a that float32 filters may have; that of real videos is about a tenth of it."""

LEAST_NOISE = 1e-3
"""Noise variance below which Eq. 11's factors could leave the range of float32."""


class _Layout(NamedTuple):
    """Shape of a neighbourhood, of a frame, and of the plane that holds it (`repro.ssd.kernels`)."""

    window: int
    depth: int
    center: bool
    height: int
    width: int
    integer: bool  # whether all intensities are

    @property
    def samples(self) -> int:
        """K."""
        return self.window * self.window * self.depth

    @property
    def shift(self) -> float:
        """Taken from every intensity where means are taken out anyway, so that products are smaller."""
        return 128.0 if self.center else 0.0

    @property
    def stride(self) -> int:
        """Elements in a row of a plane."""
        return self.width + self.window - 1

    @property
    def size(self) -> int:
        """Elements in a plane."""
        return (self.height + self.window) * self.stride + kernels.SLACK

    def precision(self, products: int) -> type[np.float32] | type[np.float64]:
        """Float32 if a sum of that many products of intensities is exact in it."""
        largest = max(self.shift, 255 - self.shift)
        return np.float32 if self.integer and products * largest**2 < 2**24 else np.float64

    @property
    def sums(self) -> type[np.float32] | type[np.float64]:
        """Precision of inner products; centred, they are multiplied by K."""
        return self.precision(self.samples**2 if self.center else self.samples)


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


def _covariances(reference: Array, layout: _Layout, tasks: Sequence[_Task], run: _Runner) -> list[Array]:
    """Eq. 12 for each channel; (K, K) float64."""
    depth, area = layout.depth, layout.window**2

    def add_up(channel: int, first: int, last: int) -> Array:
        out = np.zeros((depth, depth, area, area))
        planes = np.zeros((depth, layout.size), layout.precision(layout.height))
        kernels.covariance(reference, channel, first, last, layout.window, layout.shift, planes, out)
        return out

    length, channels, height, width = reference.shape
    blocks = np.stack(run(add_up, tasks)).reshape(channels, -1, depth, depth, area, area).sum(1)
    matrices = []
    for upper in blocks.transpose(0, 1, 3, 2, 4).reshape(channels, layout.samples, layout.samples):
        c_u = np.triu(upper) / (length * height * width)
        c_u += np.triu(c_u, 1).T
        if layout.center:
            c_u -= c_u.mean(0)
            c_u -= c_u.mean(1, keepdims=True)
        matrices.append(c_u)
    return matrices


def _plan(c_u: Array, layout: _Layout, noise_variance: float) -> kernels.Plan:
    """Factor C_u, (K, K), and lay the filters out for the planes."""
    basis = _basis(layout.window, layout.depth, layout.center)
    spectrum = equations.decompose(torch.from_numpy(c_u))
    eigenvalues = spectrum.eigenvalues.numpy()[::-1]
    factor = np.asarray(np.linalg.qr(spectrum.whitening.numpy() @ basis.inverse, mode="r"))
    # An answer is a sum of terms with relative errors of 2^-24 each; the answers' expected square is 1.
    variances = ((basis.differences @ c_u) * basis.differences).sum(1)
    rounding = 2**-24 * np.sqrt((factor**2 @ variances).sum() / max(np.count_nonzero(eigenvalues), 1))
    number = np.float32 if rounding < ROUNDING and noise_variance >= LEAST_NOISE else np.float64
    filters = np.zeros(((len(factor) + 1) // 2, len(basis.tiles), 2, kernels.TILE), number)
    rows = np.arange(len(factor))[:, None]
    filters[rows // 2, basis.taps[:, 0], rows % 2, basis.taps[:, 1]] = factor
    samples, scale = layout.samples, layout.samples if layout.center else 1
    sums = layout.sums if number is np.float32 else np.float64  # one combination less to compile
    return kernels.Plan(
        window=layout.window,
        center=layout.center,
        shift=layout.shift,
        scale=sums(scale),
        rounding=sums(0 if sums is np.float32 else 1e-14),
        null=sums(equations.NULL_PRODUCT * scale),
        a2_unit=number(1 / (samples * noise_variance)),
        variance_unit=number(1 / (samples * scale * noise_variance)),
        eigenvalues=np.ascontiguousarray(eigenvalues, number),
        offsets=basis.tiles @ np.array([layout.size, layout.stride, 1]),
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
    x, y : Tensor, (l, C, H, W)
        Reference and deformed segment on 0..255, uint8 or floating, on a CPU; float64 is rounded to float32.
    window, depth, noise_variance, center
        Decisions D3, D1 and D2.
    threads : int, optional
        Threads to use; by default as many as PyTorch may use (`torch.get_num_threads`), which is one in the
        worker processes of a data loader. The result does not depend on it.

    Returns
    -------
    Tensor, (C, H, W)
        (1/l) sum_j log m_j, each m_j at least 1e-10, float64 if x is, else float32.
    """
    bytes_only = x.dtype == y.dtype == torch.uint8
    stored = np.uint8 if bytes_only else np.float32
    reference, deformed = (np.ascontiguousarray(segment.numpy(), stored) for segment in (x, y))
    length, channels, height, width = reference.shape
    chunks = [(first, min(first + CHUNK, length)) for first in range(0, length, CHUNK)]
    tasks = [(channel, *chunk) for channel in range(channels) for chunk in chunks]

    def integers(*task: int) -> bool:
        return kernels.integers(reference, *task) and kernels.integers(deformed, *task)

    def add_up(channel: int, first: int, last: int) -> Array:
        out, plan = np.empty((height, width)), plans[channel]
        planes = np.zeros((2, depth, layout.size), np.asarray(plan.scale).dtype)
        work = np.zeros((3 * depth + 2, layout.size), plan.filters.dtype)
        sources, weights, difference = work[2:].reshape(-1), work[0], work[1]
        kernels.log_map(reference, deformed, channel, first, last, plan, planes, sources, weights, difference, out)
        return out

    with _runner(torch.get_num_threads() if threads is None else threads) as run:
        layout = _Layout(window, depth, center, height, width, bytes_only or all(run(integers, tasks)))
        matrices = _covariances(reference, layout, tasks, run)
        plans = [_plan(c_u, layout, noise_variance) for c_u in matrices]
        total = np.stack(run(add_up, tasks)).reshape(channels, -1, height, width).sum(1)
    return torch.from_numpy((total / length).astype(np.float64 if x.dtype == torch.float64 else np.float32))


@contextmanager
def _runner(threads: int) -> Iterator[_Runner]:
    """Yield a function that maps another over tasks; the kernels run without the interpreter's lock."""
    with event.install_listener("numba:compile", _Announcer()):
        if threads == 1:
            yield lambda function, tasks: [function(*task) for task in tasks]
        else:
            with ThreadPoolExecutor(threads) as pool:
                yield lambda function, tasks: list(pool.map(lambda task: function(*task), tasks))


class _Announcer(event.Listener):
    """Says, once in a process, that kernels are being compiled; those that come from the cache are not."""

    announced = False

    def on_start(self, event: Any) -> None:
        if not _Announcer.announced:
            _Announcer.announced = True
            sys.stderr.write("repro.ssd: compiling the CPU kernels (about ten seconds, once if they can be cached)\n")

    def on_end(self, event: Any) -> None:
        pass
