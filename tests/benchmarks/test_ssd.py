"""How fast a video is distilled: ``pytest tests/benchmarks/test_ssd.py --benchmark-only --benchmark-json FILE``.

`extra_info` holds frames per second and, in the comparison, how many times as fast as each other implementation it
is. All of them use as many threads as PyTorch may.
"""

import cv2
import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from repro.ssd import cpu, distill, equations

LENGTH = 20


def video(frames, size, seed=0):
    """A drifting texture with sensor noise, (frames, 3, size, size) uint8."""
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.integers(0, 256, (size + frames, size + frames, 3), dtype=np.uint8), (0, 0), 3)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    clip = np.stack([texture[t // 3 : t // 3 + size, t // 2 : t // 2 + size] for t in range(frames)])
    noisy = clip + rng.normal(0, 2, clip.shape)
    return torch.from_numpy(noisy.clip(0, 255).round().astype(np.uint8).transpose(0, 3, 1, 2).copy())


def numpy_feature_map(x, y, window=5, noise_variance=0.4):
    """Eqs. 6 and 11 to 15 as they stand, every neighbourhood gathered: (l, C, H, W) float64 twice -> (C, H, W)."""
    margin, k = window // 2, window * window

    def gathered(frames):
        padded = np.pad(frames, ((0, 0), (margin, margin), (margin, margin)), mode="reflect")
        return sliding_window_view(padded, (window, window), axis=(1, 2)).reshape(*frames.shape, k)

    total = np.zeros(x.shape[1:])
    for channel in range(x.shape[1]):
        c_u = np.zeros((k, k))
        for frame in x[:, channel, None]:
            v = gathered(frame).reshape(-1, k)
            v = v - v.mean(1, keepdims=True)
            c_u += v.T @ v
        c_u /= x[:, channel].size
        inverse = np.linalg.pinv(c_u, rcond=1e-9, hermitian=True)
        eigenvalues = np.linalg.eigvalsh(c_u)
        eigenvalues[eigenvalues < 1e-9 * eigenvalues[-1]] = 0
        for f, h in zip(x[:, channel, None], y[:, channel, None], strict=True):
            a, b = (v - v.mean(-1, keepdims=True) for v in (gathered(f), gathered(h)))
            aa, ab, bb = (a * a).sum(-1), (a * b).sum(-1), (b * b).sum(-1)
            flat = aa < 1e-10
            g = np.where(flat, 0, ab / np.where(flat, 1, aa))
            s_v2 = np.maximum((bb - g * ab) / k, 0)
            a2 = np.where(flat, 0, np.einsum("...i,ij,...j->...", a, inverse, a, optimize=True) / k)
            slope = (s_v2 / noise_variance**2 + (1 + g * g) / noise_variance) * a2
            w = 0.5 * np.log(1 + (s_v2 / noise_variance)[..., None] + slope[..., None] * eigenvalues).sum(-1)
            m = gathered(w * (f - h) ** 2).sum(-1) / np.maximum(gathered(w).sum(-1), 1e-300)
            total[channel] += np.log(np.maximum(m[0], 1e-10)) / len(x)
    return total


def tv_l1(frames):
    """Optical flow of consecutive frames, (T, C, H, W) uint8, with OpenCV's defaults."""
    grey = [cv2.cvtColor(np.ascontiguousarray(f.permute(1, 2, 0)), cv2.COLOR_RGB2GRAY) for f in frames]
    algorithm = cv2.optflow.DualTVL1OpticalFlow_create()
    return [algorithm.calc(before, after, None) for before, after in zip(grey[:-1], grey[1:], strict=True)]


@pytest.fixture(scope="module")
def speeds():
    """Frames per second of what has been measured so far, by name."""
    return {}


def record(benchmark, speeds, name, frames):
    # Under --benchmark-disable there is nothing to record.
    if benchmark.stats is None:
        return
    speeds[name] = frames / benchmark.stats.stats.min
    benchmark.extra_info["frames_per_second"] = speeds[name]
    for other, speed in speeds.items():
        if other != name:
            benchmark.extra_info[f"times_as_fast_as_{other}"] = speeds[name] / speed


@pytest.mark.benchmark(group="implementations, 224 x 224 x 3, l = 20, 5 x 5")
@pytest.mark.parametrize("name", ["tv_l1", "numpy", "equations", "fused"])
def test_implementations(benchmark, speeds, name):
    frames = {"tv_l1": 4, "numpy": 2}.get(name, LENGTH)
    clip = video(2 * frames, 224)
    x, y = clip.float().chunk(2)
    functions = {
        "tv_l1": lambda: tv_l1(clip[: frames + 1]),
        "numpy": lambda: numpy_feature_map(x.double().numpy(), y.double().numpy()),
        "equations": lambda: equations.feature_map(x, y),
        "fused": lambda: cpu.feature_map(x, y),
    }
    functions[name]()  # compiles
    result = benchmark.pedantic(functions[name], rounds=10 if name == "fused" else 1)
    if name != "tv_l1":  # they do the same thing
        expected = equations.feature_map(x[:, :1, :48, :48].double(), y[:, :1, :48, :48].double())
        part = {"numpy": numpy_feature_map}.get(name, cpu.feature_map if name == "fused" else equations.feature_map)
        small = [v[:, :1, :48, :48] for v in (x, y)]
        actual = part(*(v.double().numpy() for v in small)) if name == "numpy" else part(*small)
        np.testing.assert_allclose(actual, expected, atol=1e-4)
        assert result.shape == (3, 224, 224)
    record(benchmark, speeds, name, frames)


@pytest.mark.benchmark(group="fused, cost by frames, 64 x 64 x 3")
@pytest.mark.parametrize("frames", [40, 80, 160, 320])
def test_cost_is_linear_in_frames(benchmark, frames):
    clip = video(frames, 64)
    distill(clip)
    benchmark(distill, clip)
    if benchmark.stats is not None:
        benchmark.extra_info["frames_per_second"] = (frames - LENGTH) / benchmark.stats.stats.min


@pytest.mark.benchmark(group="fused, cost by pixels, 40 frames")
@pytest.mark.parametrize("size", [32, 64, 128, 256, 512])
def test_cost_is_linear_in_pixels(benchmark, size):
    clip = video(2 * LENGTH, size)
    distill(clip)
    benchmark.pedantic(distill, (clip,), rounds=5)
    if benchmark.stats is not None:
        seconds = benchmark.stats.stats.min
        benchmark.extra_info["nanoseconds_per_sample"] = 1e9 * seconds / (LENGTH * 3 * size * size)


@pytest.mark.benchmark(group="fused, one thread, 64 x 64 x 3")
def test_one_thread_on_small_frames(benchmark):
    x, y = video(2 * LENGTH, 64).float().chunk(2)
    cpu.feature_map(x, y, threads=1)
    benchmark(cpu.feature_map, x, y, threads=1)
    if benchmark.stats is not None:
        benchmark.extra_info["frame_pairs_per_second"] = LENGTH / benchmark.stats.stats.min
