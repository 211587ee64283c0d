"""The GPU's kernels: interpreted on a CPU, compiled for a GPU that need not be there, and run where there is one."""

import os
import subprocess
import sys

import pytest
import torch

from repro.ssd import SSD, distill, equations, feature_maps

pytest.importorskip("triton", reason="Triton is not installed: it comes with PyTorch for Linux and CUDA only")

# Both work in float64 throughout; measured differences are below 1e-15 of logarithms of order 10.
INTERPRETED = """
import torch
from repro.ssd import cuda, equations

generator = torch.Generator().manual_seed(0)
noise = torch.randint(0, 256, (4, 2, 5, 7), dtype=torch.uint8, generator=generator)
patchy = noise.clone()
patchy[..., :3] = 200
patchy[:, 1] = 255
settings = [{}, {"center": False}, {"window": 3, "depth": 3}, {"window": 1}, {"window": 3, "noise_variance": 1e-5}]
for video in (noise, noise.double() / 7, patchy):
    x, y = video.chunk(2)
    for setting in settings:
        expected = equations.feature_map(x.double(), y.double(), **setting)
        actual = cuda.feature_map(x, y, **setting)
        assert actual.dtype == (x.dtype if x.is_floating_point() else torch.float32)
        tolerance = 1e-12 if x.is_floating_point() else 1e-6
        torch.testing.assert_close(actual.double(), expected, rtol=tolerance, atol=tolerance)
        print("agrees", setting)
"""

COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from repro.ssd import cuda

pointers = dict.fromkeys(("x", "y"), "*u8") | dict.fromkeys(("whitening", "eigenvalues", "weights", "out"), "*fp64")
numbers = dict.fromkeys(("length", "channels", "height", "width"), "i32")
constants = {"noise_variance": 0.4, "samples": 25, "null": 1e-10, "padded": 32, "center": True, "pixels": 32}
constants["window"] = 5
for kernel in (cuda._weights_kernel, cuda._brackets_kernel):
    types = pointers | {"taps": "*i32"} | numbers | dict.fromkeys(constants, "constexpr")
    signature = {name: types[name] for name in kernel.arg_names}
    values = {name: value for name, value in constants.items() if name in kernel.arg_names}
    source = ASTSource(fn=kernel, signature=signature, constexprs=values)
    assert "f64" in triton.compile(source, target=GPUTarget("cuda", 80, 32)).asm["ptx"]
    print("compiled", kernel.__name__)
"""


def run(script, **environment):
    return subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_interpreted_kernels_agree_with_the_equations():
    done = run(INTERPRETED, TRITON_INTERPRET="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("agrees") == 15


def test_kernels_compile_for_a_gpu(tmp_path):
    done = run(COMPILED, TRITON_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("compiled") == 2


def test_the_backend_must_be_where_the_frames_are():
    with pytest.raises(ValueError, match='backend="cuda" needs frames on that device; got device cpu'):
        distill(torch.zeros(4, 3, 8, 8), segment_length=2, backend="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("setting", [{}, {"center": False}, {"window": 3, "depth": 3}, {"noise_variance": 1e-5}])
def test_on_a_gpu(setting):
    video = torch.randint(0, 256, (30, 6, 40, 50), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    actual = feature_maps(video.cuda(), segment_length=10, **setting)
    assert actual.device.type == "cuda"
    for number, (x, y) in enumerate(zip(video.split(10)[:-1], video.split(10)[1:], strict=True)):
        expected = equations.feature_map(x.double(), y.double(), **setting)
        # the map is rounded to float32 in the end
        torch.testing.assert_close(actual[number].cpu().double(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_batch_on_a_gpu():
    batch = torch.randint(0, 256, (5, 30, 3, 40, 50), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = SSD(10)(batch.cuda())
    assert images.device.type == "cuda"
    expected = torch.stack([distill(video, segment_length=10, backend="equations") for video in batch])
    # The reference works in float32 here; at the borders between grey levels it may round to the next one.
    assert (images.cpu().int() - expected.int()).abs().max() <= 1
