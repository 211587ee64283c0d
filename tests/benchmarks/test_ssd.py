"""How fast a video is distilled: ``pytest tests/benchmarks/test_ssd.py --benchmark-only --benchmark-json FILE``.

`extra_info` holds frames per second; in the comparison, also of a core (by processor time, which other programs on the
machine do not take from), and how many times as fast as each other implementation it is. All of them use as many
threads as PyTorch may.
"""

import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import torch
from numba import njit
from numpy.lib.stride_tricks import sliding_window_view

from repro.ssd import SSD, cpu, distill, equations

LENGTH = 20


def video(frames, size, seed=0):
    """A drifting texture with sensor noise, (frames, 3, size, size) uint8."""
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.integers(0, 256, (size + frames, size + frames, 3), dtype=np.uint8), (0, 0), 3)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    clip = np.stack([texture[t // 3 : t // 3 + size, t // 2 : t // 2 + size] for t in range(frames)])
    noisy = clip + rng.normal(0, 2, clip.shape)
    return torch.from_numpy(noisy.clip(0, 255).round().astype(np.uint8).transpose(0, 3, 1, 2).copy())


def numpy_feature_map(x, y, window=5, noise_variance=0.4, optimize=False):
    """Eqs. 6 and 11 to 15 as they stand, every neighbourhood gathered: (l, C, H, W) float64 twice -> (C, H, W).

    The quadratic form of Eq. 13 is NumPy's ``einsum`` of the formula: evaluated as written, K x K products a
    neighbourhood, or with ``optimize=True`` by a matrix product.
    """
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
            a2 = np.where(flat, 0, np.einsum("...i,ij,...j->...", a, inverse, a, optimize=optimize) / k)
            slope = (s_v2 / noise_variance**2 + (1 + g * g) / noise_variance) * a2
            w = 0.5 * np.log(1 + (s_v2 / noise_variance)[..., None] + slope[..., None] * eigenvalues).sum(-1)
            m = gathered(w * (f - h) ** 2).sum(-1) / np.maximum(gathered(w).sum(-1), 1e-300)
            total[channel] += np.log(np.maximum(m[0], 1e-10)) / len(x)
    return total


def vectorised_numpy_feature_map(x, y):
    return numpy_feature_map(x, y, optimize=True)


def tv_l1(frames):
    """Optical flow of consecutive frames, (T, C, H, W) uint8, with OpenCV's defaults."""
    grey = [cv2.cvtColor(np.ascontiguousarray(f.permute(1, 2, 0)), cv2.COLOR_RGB2GRAY) for f in frames]
    algorithm = cv2.optflow.DualTVL1OpticalFlow_create()
    return [algorithm.calc(before, after, None) for before, after in zip(grey[:-1], grey[1:], strict=True)]


# Name -> Eq. 6 of two segments, (l, C, H, W) twice, and the dtype that it works in. TV-L1 does something else.
MAPS = {
    "numpy_literal": (numpy_feature_map, torch.float64),
    "numpy_vectorised": (vectorised_numpy_feature_map, torch.float64),
    "equations": (equations.feature_map, torch.float32),
    "fused": (cpu.feature_map, torch.uint8),
}


def prepared(name, video):
    """Return what `name` takes: two segments of its dtype, as arrays where it is one of NumPy's."""
    halves = video.to(MAPS[name][1]).chunk(2)
    return [half.numpy() for half in halves] if name.startswith("numpy") else halves


@pytest.fixture(scope="module")
def speeds():
    """Frames per second of what has been measured so far: (by the clock, by processor time), by name."""
    return {}


@pytest.mark.benchmark(group="implementations, 224 x 224 x 3, l = 20, 5 x 5")
@pytest.mark.parametrize("name", ["tv_l1", *MAPS])
def test_implementations(benchmark, speeds, name):
    frames = {"tv_l1": 4, "numpy_literal": 2, "numpy_vectorised": 2}.get(name, LENGTH)
    clip = video(2 * frames, 224)
    if name == "tv_l1":
        function, arguments = tv_l1, (clip[: frames + 1],)
    else:
        function, arguments = MAPS[name][0], prepared(name, clip)
        corner = clip[:, :1, :48, :48]  # they do the same thing
        expected = equations.feature_map(*corner.double().chunk(2))
        np.testing.assert_allclose(function(*prepared(name, corner)), expected, atol=1e-4)
    processor = []

    def timed():
        begin = time.process_time()
        result = function(*arguments)
        processor.append(time.process_time() - begin)
        return result

    result = benchmark.pedantic(timed, rounds=20 if name == "fused" else 2)
    assert name == "tv_l1" or result.shape == (3, 224, 224)
    if benchmark.stats is None:  # under --benchmark-disable there is nothing to record
        return
    speeds[name] = frames / benchmark.stats.stats.min, frames / min(processor)
    benchmark.extra_info.update(frames_per_second=speeds[name][0], frames_per_second_of_a_core=speeds[name][1])
    for other, (by_clock, by_processor) in speeds.items():
        if other != name:
            benchmark.extra_info[f"times_as_fast_as_{other}"] = speeds[name][0] / by_clock
            benchmark.extra_info[f"times_less_processor_time_than_{other}"] = speeds[name][1] / by_processor


def multiply_adds(plan, window, height):
    """Multiply-adds of the fused kernel for a sample, by step; an addition or a multiplication alone counts as one.

    The kernel's own divisions, comparisons, conversions and the decomposition of C_u, once a segment, are left out.
    """
    area, distances = window * window, ((2 * window - 1) ** 2 + 1) // 2
    # Eq. 12 is one product a distance; moving the window by a row takes one row of products out and another one in.
    moves = window * (window - 1) // 2 + (2 * window - 1) * (window - 1) * (window - 2) // 2
    covariance = distances + 2 * moves / height
    pairs, tiles, _, taps = plan.filters.shape
    filters = sum((tiles - int(begin)) * 2 * taps + 2 for begin in plan.begins) + 2
    assert pairs == len(plan.begins) and filters < area * (area + 1)  # fewer than x^T C^+ x as it stands
    sums = (2 + 3) * 2 * window  # of x, y, x^2, y^2, x y: rows, then columns
    products = 3 * 2 + 6 + 7  # means out, Eqs. 14 and 15, Eq. 11's offset and slope
    groups = -(-int(np.count_nonzero(plan.eigenvalues)) // 8)
    information = 8 * groups + 13 * (groups + 1) + 1
    brackets = 2 + 2 * 2 * window + 2
    return {
        "covariance": covariance,
        "quadratic form": filters,
        "inner products": sums + products,
        "information": information,
        "brackets": brackets + 3,  # and planes
    }


@njit(fastmath={"contract"}, nogil=True)
def polynomials(values, out, rounds):
    """Evaluate eight polynomials of each value: 64 multiply-adds in chains that do not wait for each other."""
    half = np.float32(0.5)
    for _ in range(rounds):
        for i in range(len(values)):
            x = values[i]
            a, b, c, d = half, x, x + half, x - half
            e, f, g, h = half - x, x * half, x * x, x * x + half
            for _ in range(8):
                a, b, c, d = a * x + half, b * x + half, c * x + half, d * x + half
                e, f, g, h = e * x + half, f * x + half, g * x + half, h * x + half
            out[i] = ((a + b) + (c + d)) + ((e + f) + (g + h))


def peak(rounds=500):
    """Float32 multiply-adds a second of one core, measured."""
    values = np.random.default_rng(0).random(1024, np.float32)
    out = np.empty_like(values)
    polynomials(values, out, 1)
    seconds = []
    for _ in range(20):
        begin = time.process_time()
        polynomials(values, out, rounds)
        seconds.append(time.process_time() - begin)
    return rounds * len(values) * 64 / min(seconds)


@pytest.mark.benchmark(group="fused, one thread")
@pytest.mark.parametrize("size", [64, 224])
def test_share_of_the_processors_peak(benchmark, size):
    x, y = video(2 * LENGTH, size).chunk(2)
    c_u = equations.covariance(equations.neighbourhoods(x.double(), j) for j in range(LENGTH))
    layout = cpu._Layout(5, 1, True, size, size, True)
    counts = multiply_adds(cpu._plan(c_u[0].numpy(), layout, 0.4), 5, size)
    cpu.feature_map(x, y, threads=1)
    seconds = []

    def timed():
        begin = time.process_time()
        cpu.feature_map(x, y, threads=1)
        seconds.append(time.process_time() - begin)

    limit = peak()
    benchmark.pedantic(timed, rounds=20)
    a_frame = sum(counts.values()) * 3 * size * size
    reached = LENGTH / min(seconds)
    benchmark.extra_info.update(
        multiply_adds_a_sample={step: round(count, 1) for step, count in counts.items()},
        multiply_adds_a_frame=a_frame,
        peak_multiply_adds_per_second=limit,
        bound_in_frames_per_second=limit / a_frame,
        frames_per_second_of_a_core=reached,
        share_of_peak=reached * a_frame / limit,
    )
    assert 0 < reached * a_frame / limit < 1


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


@pytest.mark.benchmark(group="a batch on a CPU, 16 videos of 40 frames, 64 x 64 x 3")
@pytest.mark.parametrize("step", [1, 16])
def test_a_batch(benchmark, step):
    batch = torch.stack([video(2 * LENGTH, 64, seed) for seed in range(16)])
    module = SSD()
    images = module(batch)
    assert torch.equal(benchmark.pedantic(module._together, (batch, step), rounds=10), images)


PEAK_MEMORY = r"""
import re, sys
from pathlib import Path
import cv2, torch
torch.set_num_threads(1)
cv2.setNumThreads(1)
from repro.data.video import iter_frames
from repro.ssd import Distiller
stream = Distiller()
for frames in iter_frames(sys.argv[1]):
    stream.update(frames)
# Not getrusage: its maximum includes that of the process that started this one.
peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]
print(stream.n_frames, int(stream.image().max()), peak)
"""


def peak_memory(path, frames):
    """Distil a file in a process of its own; return that process's largest resident memory, in MB."""
    run = subprocess.run([sys.executable, "-c", PEAK_MEMORY, path], capture_output=True, text=True, check=True)
    count, brightest, kilobytes = map(int, run.stdout.split())
    assert count == frames and brightest == 255
    return kilobytes / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a process's peak memory")
@pytest.mark.benchmark(group="memory")
def test_memory_does_not_grow_with_the_video(benchmark, tmp_path):
    """A video of 10,000 frames, 64 x 64, takes no more than one of 100."""
    pictures = video(100, 64).permute(0, 2, 3, 1).numpy()
    paths = {}
    for frames in (100, 10_000):
        paths[frames] = tmp_path / f"{frames}.avi"
        writer = cv2.VideoWriter(str(paths[frames]), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (64, 64))
        for t in range(frames):
            writer.write(np.roll(pictures[t % 100], t // 100, axis=1))
        writer.release()
    short = peak_memory(paths[100], 100)
    long = benchmark.pedantic(peak_memory, (paths[10_000], 10_000), rounds=1)
    benchmark.extra_info.update(megabytes_of_100_frames=short, megabytes_of_10000_frames=long)
    assert long - short < 50
