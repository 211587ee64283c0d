"""The distillation on a GPU: `repro.ssd.equations.feature_map` in two Triton kernels.

The first gives the weights of Eq. 11: a program holds the neighbourhoods of a few pixels, one tap a column, from the
loads to the logarithms, so that nothing K times as large as a frame reaches memory. The second gives the mean logarithm
of Eq. 6's brackets: a program walks through the frames of a segment for its pixels.

Channels are independent of each other. A batch of videos is therefore distilled at once by counting their channels as
those of one video, which `repro.ssd.SSD` does.

Frames may be uint8; arithmetic is in float64 throughout. C_u may be close to singular, where float32 fails
(`repro.ssd.cpu` describes what avoiding that takes), and the few hundred multiplications a sample are cheap beside the
loads even on cards with few float64 units.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from repro.ssd import equations

SAMPLES = 1024
"""Pixels times taps that a program holds: four registers a thread at 4 warps, twice that in float64."""

PIXELS = 128
"""Pixels of a program that evaluates Eq. 6."""

NEIGHBOURHOODS = 1 << 28
"""Bytes of neighbourhoods that the covariance of Eq. 12 gathers at a time."""


@triton.jit
def _reflected(index, size):
    """Reflect an index into 0..size - 1 without repeating the edge (D8)."""
    index = tl.abs(index)
    return tl.where(index < size, index, 2 * (size - 1) - index)


@triton.jit
def _block(height, width, pixels: tl.constexpr):
    """Which plane this program works on, and which block of its pixels.

    Programs are numbered along one axis, since a GPU allows no more than 65535 along another: a batch of videos has
    more planes than that.
    """
    blocks = tl.cdiv(height * width, pixels)
    return (tl.program_id(0) // blocks).to(tl.int64), tl.program_id(0) % blocks


@triton.jit
def _log1p(t):
    """Evaluate log(1 + t) to full precision for small t >= 0 (Kahan): the rounding of 1 + t cancels."""
    u = 1.0 + t
    return tl.where(u == 1.0, t, tl.log(u) * (t / tl.where(u == 1.0, 1.0, u - 1.0)))


@triton.jit
def _weights_kernel(
    x,
    y,
    whitening,
    eigenvalues,
    taps,
    weights,
    length,
    channels,
    height,
    width,
    noise_variance: tl.constexpr,
    samples: tl.constexpr,
    null: tl.constexpr,
    padded: tl.constexpr,
    center: tl.constexpr,
    pixels: tl.constexpr,
):
    """Eqs. 11 and 13 to 15 for `pixels` pixels of one frame of one channel; `taps` is (3, K): frame, row, column."""
    plane, block = _block(height, width, pixels)
    frame, channel = plane // channels, plane % channels
    pixel = block * pixels + tl.arange(0, pixels)
    tap = tl.arange(0, padded)
    used = tap < samples
    mask = (pixel < height * width)[:, None] & used[None, :]
    row = _reflected((pixel // width)[:, None] + tl.load(taps + samples + tap, used, 0)[None, :], height)
    column = _reflected((pixel % width)[:, None] + tl.load(taps + 2 * samples + tap, used, 0)[None, :], width)
    moment = tl.minimum(tl.maximum(frame + tl.load(taps + tap, used, 0), 0), length - 1)
    at = (moment * channels + channel)[None, :] * (height * width) + row * width + column
    a = tl.load(x + at, mask, 0).to(tl.float64)
    b = tl.load(y + at, mask, 0).to(tl.float64)
    if center:
        a = tl.where(used[None, :], a - (tl.sum(a, 1) / samples)[:, None], 0.0)
        b = tl.where(used[None, :], b - (tl.sum(b, 1) / samples)[:, None], 0.0)
    xx, yy, xy = tl.sum(a * a, 1), tl.sum(b * b, 1), tl.sum(a * b, 1)
    xx, yy = tl.where(xx < null, 0.0, xx), tl.where(yy < null, 0.0, yy)
    xy = tl.where(tl.abs(xy) < null, 0.0, xy)
    gain = tl.where(xx > 0, xy / tl.maximum(xx, null), 0.0)
    rest = b - gain[:, None] * a
    variance = tl.where(yy > 0, tl.sum(rest * rest, 1) / samples, 0.0)
    quadratic = tl.zeros([pixels], tl.float64)
    for k in range(samples):
        line = tl.load(whitening + (channel * samples + k) * samples + tap, used, 0.0)
        answer = tl.sum(a * line[None, :], 1)
        quadratic += answer * answer
    a2 = tl.where(xx > 0, quadratic / samples, 0.0)
    offset = variance / noise_variance
    slope = (offset + 1.0 + gain * gain) / noise_variance * a2
    spectrum = tl.load(eigenvalues + channel * samples + tap, used, 0.0)
    nats = 0.5 * tl.sum(tl.where(used[None, :], _log1p(offset[:, None] + slope[:, None] * spectrum[None, :]), 0.0), 1)
    tl.store(weights + plane * (height * width) + pixel, nats, pixel < height * width)


@triton.jit
def _brackets_kernel(
    x, y, weights, out, length, channels, height, width, null: tl.constexpr, window: tl.constexpr, pixels: tl.constexpr
):
    """(1/l) sum_j log m_j of Eq. 6 for `pixels` pixels of one channel."""
    channel, block = _block(height, width, pixels)
    pixel = block * pixels + tl.arange(0, pixels)
    inside = pixel < height * width
    total = tl.zeros([pixels], tl.float64)
    for frame in range(length):
        plane = (frame * channels + channel) * (height * width)
        above, below = tl.zeros([pixels], tl.float64), tl.zeros([pixels], tl.float64)
        for tap in range(window * window):
            row = _reflected(pixel // width + tap // window - window // 2, height)
            column = _reflected(pixel % width + tap % window - window // 2, width)
            at = plane + row * width + column
            weight = tl.load(weights + at, inside, 0.0)
            change = tl.load(x + at, inside, 0).to(tl.float64) - tl.load(y + at, inside, 0).to(tl.float64)
            above += weight * change * change
            below += weight
        ratio = tl.where(below > 0, above / tl.where(below > 0, below, 1.0), 0.0)
        total += tl.log(tl.maximum(ratio, null))
    tl.store(out + channel * (height * width) + pixel, total / length, inside)


def feature_map(
    x: Tensor,
    y: Tensor,
    *,
    window: int = 5,
    depth: int = 1,
    noise_variance: float = 0.4,
    center: bool = True,
) -> Tensor:
    """Eq. 6 for two consecutive segments, as `repro.ssd.equations.feature_map`; nothing waits for the GPU.

    Parameters
    ----------
    x, y : Tensor, (l, C, H, W)
        Reference and deformed segment on 0..255, uint8 or floating, on one GPU; C may be the channels of several
        videos.
    window, depth, noise_variance, center
        Decisions D3, D1 and D2.

    Returns
    -------
    Tensor, (C, H, W)
        (1/l) sum_j log m_j, each m_j at least 1e-10, in the dtype of x, float32 for uint8.
    """
    x, y = x.contiguous(), y.contiguous()
    length, channels, height, width = x.shape
    samples = window * window * depth
    spectrum = equations.decompose(_covariance(x, window, depth, center))
    padded = triton.next_power_of_2(max(samples, 2))
    pixels = max(SAMPLES // padded, 1)
    weights = torch.empty(x.shape, dtype=torch.float64, device=x.device)
    result = torch.empty(x.shape[1:], dtype=torch.float64, device=x.device)
    shape = length, channels, height, width
    # Floating-point numbers are compile-time constants: as arguments they would be float32.
    _weights_kernel[(triton.cdiv(height * width, pixels) * length * channels,)](
        x,
        y,
        spectrum.whitening.contiguous(),
        spectrum.eigenvalues.contiguous(),
        _taps(window, depth, x.device),
        weights,
        *shape,
        noise_variance=float(noise_variance),
        samples=samples,
        null=equations.NULL_PRODUCT,
        padded=padded,
        center=center,
        pixels=pixels,
    )
    _brackets_kernel[(triton.cdiv(height * width, PIXELS) * channels,)](
        x, y, weights, result, *shape, null=equations.NULL_PRODUCT, window=window, pixels=PIXELS
    )
    return result.to(x.dtype if x.is_floating_point() else torch.float32)


@lru_cache(maxsize=16)
def _taps(window: int, depth: int, device: torch.device) -> Tensor:
    """Frame, row and column of each sample of a neighbourhood from its middle, (3, K) int32."""
    extents = [torch.arange(n) - n // 2 for n in (depth, window, window)]
    grid = torch.meshgrid(*extents, indexing="ij")
    return torch.stack([axis.flatten() for axis in grid]).to(device, torch.int32)


def _covariance(x: Tensor, window: int, depth: int, center: bool) -> Tensor:
    """Eq. 12 for each channel, (C, K, K) float64, so many channels at a time as memory is meant for."""
    _, channels, height, width = x.shape
    step = max(NEIGHBOURHOODS // (8 * window * window * depth * height * width), 1)
    parts = []
    for part in x.split(step, dim=1):
        segment = part.double()
        parts.append(
            equations.covariance(
                equations.neighbourhoods(segment, frame, window=window, depth=depth, center=center)
                for frame in range(len(segment))
            )
        )
    return torch.cat(parts)
