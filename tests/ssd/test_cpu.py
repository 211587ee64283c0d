"""The fused kernel against the equations in float64, and what surrounds it."""

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from repro.compiling import compiled
from repro.ssd import Distiller, cpu, distill, equations, feature_maps, kernels

# The kernel works in float32 where that is exact or harmless and in float64 elsewhere; the map is a mean of logarithms
# of sums of positive numbers. Measured errors are near 1e-6, absolute, on logarithms of order 10.
TOLERANCE = 1e-5

SETTINGS = [
    {},
    {"center": False},
    {"window": 3},
    {"window": 7, "center": False},
    {"window": 9, "noise_variance": 100.0},
    {"depth": 3},
    {"window": 3, "depth": 5, "center": False},
    {"window": 1},
    {"window": 1, "center": False},
    {"window": 1, "depth": 3},
    {"noise_variance": 1e-5},
]


def scene(frames, height, width, smooth=False, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None, None, None]
    row, column = np.arange(height)[:, None] / 40, np.arange(width) / 40
    phase = rng.uniform(0, 6, (2, 1, 1))
    values = 120 + 60 * np.sin(6 * row + 0.2 * t + phase) * np.cos(5 * column - 0.1 * t)
    values = values + 30 * np.sin(25 * row * column + 0.3 * t + 2 * phase)
    if not smooth:
        values = (values + rng.normal(0, 2, values.shape)).round()
    return torch.from_numpy(values.clip(0, 255)).float()


def noise(frames, height, width, seed=1):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (frames, 2, height, width)).astype(np.float32))


def patchy(frames, height, width):
    """Flat regions, of which some move, beside noise; the second channel is constant."""
    video = noise(frames, height, width)
    video[..., : width // 2] = 200.3
    video[frames // 2 :, :, : height // 2, : width // 3] = 17.7
    video[:, 1] = 255.0
    return video


VIDEOS = {
    "noise": noise(12, 31, 45),
    "scene": scene(12, 31, 45),
    "smooth": scene(12, 31, 45, smooth=True),
    "patchy": patchy(12, 31, 45),
    "fractions": noise(12, 31, 45) / 3,
    "faint": 100 + noise(12, 31, 45) / 1000,
    "still": scene(1, 31, 45).expand(12, -1, -1, -1),
}


def error(video, **setting):
    half = len(video) // 2
    x, y = video[:half], video[half:]
    expected = equations.feature_map(x.double(), y.double(), **setting)
    actual = cpu.feature_map(x, y, **setting)
    assert actual.dtype == torch.float32 and actual.shape == expected.shape
    assert actual.isfinite().all()
    # Relative to the size of logarithms between that of the floor and that of 255^2.
    return ((actual - expected).abs() / expected.abs().clamp(min=1)).max().item()


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("name", VIDEOS)
def test_the_kernel_equals_the_equations(name, setting):
    assert error(VIDEOS[name], **setting) < TOLERANCE


@pytest.mark.parametrize("shape", [(3, 3), (3, 50), (50, 3), (4, 7), (16, 16), (64, 64), (5, 200), (33, 130)])
def test_every_shape(shape):
    assert error(noise(4, *shape)) < TOLERANCE


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_bytes_give_the_bits_that_numbers_give(setting):
    x, y = VIDEOS["scene"].chunk(2)
    expected = cpu.feature_map(x, y, **setting)
    actual = cpu.feature_map(x.byte(), y.byte(), **setting)
    assert actual.dtype == torch.float32 and torch.equal(actual, expected)
    assert torch.equal(cpu.feature_map(x.byte(), y, **setting), expected)


@pytest.mark.parametrize("length", [1, 2, 3, 10, 11, 25])
def test_every_length(length):
    # Frames are treated 10 at a time; beyond a segment's ends frames repeat.
    assert error(scene(2 * length, 12, 14), depth=3) < TOLERANCE


def test_a_large_neighbourhood():
    assert error(scene(4, 40, 40), window=15) < TOLERANCE


@pytest.mark.parametrize("setting", [{}, {"depth": 3}, {"window": 9}])
def test_the_number_of_threads_changes_nothing(setting):
    x, y = scene(50, 40, 30).chunk(2)
    single = cpu.feature_map(x, y, threads=1, **setting)
    for threads in (2, 5):
        assert torch.equal(cpu.feature_map(x, y, threads=threads, **setting), single)


def test_it_can_be_called_from_several_threads():
    halves = [scene(8, 20, 20, seed=seed).chunk(2) for seed in range(6)]
    expected = [cpu.feature_map(x, y) for x, y in halves]
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda pair: cpu.feature_map(*pair), halves))
    assert all(torch.equal(a, b) for a, b in zip(results, expected, strict=True))


def test_which_backend_is_taken(monkeypatch):
    video = scene(8, 12, 12)
    calls = []
    monkeypatch.setattr(cpu, "feature_map", lambda x, y, **_: calls.append(x.dtype) or x[0].float())
    for frames, backend, expected in [
        (video.byte(), "auto", [torch.uint8]),
        (video, "auto", [torch.float32]),
        (video.double(), "auto", []),
        (video.byte(), "equations", []),
        (video, "equations", []),
        (video.double(), "cpu", [torch.float64]),
    ]:
        calls.clear()
        distill(frames, segment_length=4, backend=backend)
        assert calls == expected


def test_a_forced_kernel_takes_float64_and_refuses_other_devices():
    video = scene(8, 12, 12)
    forced = feature_maps(video.double(), segment_length=4, backend="cpu")
    assert forced.dtype == torch.float64
    assert torch.equal(forced.float(), feature_maps(video, segment_length=4))
    with pytest.raises(ValueError, match="got device meta"):
        Distiller(4, backend="cpu").update(video.byte().to("meta"))


def test_the_logarithm_is_accurate_to_its_last_digits():
    excess = np.concatenate([[0], np.logspace(-30, 36, 4000), np.linspace(0.3, 0.5, 500)]).astype(np.float32)
    total = np.zeros_like(excess)
    kernels._add_log1p_single(total, excess, np.float32(1))
    expected = np.log1p(excess.astype(np.float64))
    np.testing.assert_allclose(total, expected, rtol=3e-7, atol=0)


def test_the_polynomial_equals_the_sum_of_logarithms():
    rng = np.random.default_rng(0)
    for scale in (1e-6, 1.0, 1e4):
        eigenvalues = np.sort(rng.exponential(1000, 25))[::-1].astype(np.float32)
        offset = (scale * rng.exponential(1, 300)).astype(np.float32)
        slope = (scale * rng.exponential(1, 300)).astype(np.float32)
        total = np.empty_like(offset)
        factors = np.outer(slope.astype(np.float64), eigenvalues)
        expected = 25 * np.log1p(offset.astype(np.float64)) + np.log1p(factors).sum(1)
        kernels._information(total, offset, slope, eigenvalues, np.empty_like(offset))
        np.testing.assert_allclose(total, expected, rtol=2e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_of_non_negative_numbers(dtype):
    rng = np.random.default_rng(0)
    for size in (1, 2, 15, 1024):
        for scale in (0, 1e-42, 1, 1e37):
            values = (scale * rng.random(size)).astype(dtype)
            assert kernels._largest(values) == values.max()


def test_a_fraction_anywhere_is_found():
    segment = np.full((2, 2, 9, 35), 255, np.float32)
    assert kernels.integers(segment, 1, 0, 2)
    for row, column in ((0, 0), (8, 34), (4, 17)):
        segment[1, 1, row, column] = 254.99998
        assert not kernels.integers(segment, 1, 0, 2) and kernels.integers(segment, 1, 0, 1)
        segment[1, 1, row, column] = 255


SCRIPT = textwrap.dedent("""
    import sys
    from pathlib import Path
    import torch
    sys.path.insert(0, sys.argv[1])
    from repro.ssd import distill
    if sys.argv[2] == "unwritable":
        # As where both the package and the user's cache folder are read-only: numba finds no place for a cache.
        from numba.core.caching import CacheImpl
        CacheImpl._locator_classes = []
    print(int(distill(torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8), segment_length=2).max()))
""")


def test_compiling_is_announced_once(monkeypatch, capsys):
    monkeypatch.setattr(cpu._Announcer, "announced", False)
    names: dict = {}
    exec("def double(x): return 2 * x", names)  # lies in no file, so that it is in no cache
    for compiles in (compiled()(names["double"]), compiled()(names["double"])):
        with cpu._runner(1) as run:
            assert run(compiles, [(3,), (4,)]) == [6, 8]
    assert capsys.readouterr().err.count("compiling") == 1


@pytest.mark.faults
def test_without_a_cache_the_kernel_is_compiled_and_says_so(tmp_path):
    """Two processes, the first of which cannot write a cache; in the second it is filled."""
    root = str(Path(__file__).parents[2])

    def run(kind):
        command = [sys.executable, "-c", SCRIPT, root, kind]
        return subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=True, cwd=tmp_path)

    first = run("unwritable")
    assert first.stdout == "255\n" and first.stderr.count("\n") == 1 and "compiling" in first.stderr
    feature_maps(torch.zeros(4, 1, 8, 8), segment_length=2)  # fills the cache if nothing has yet
    second = run("writable")
    assert second.stdout == "255\n" and second.stderr == ""
