"""Seconds a frame of SSD and a 2D network against the same network in 3D: Table 3's protocol on fewer videos.

The clock holds the distillation and the network; decoding, which is the same for both, is outside. A 3D network takes
a video whole. ``times_as_fast_as_3D`` stands beside the paper's.
"""

import numpy as np
import pytest
import torch

from repro.learning.backbones import NAMES, build
from repro.learning.timing import time_per_frame

SCALES = {"half": (112, 0.5, (150, 175, 200)), "full": (224, 1.0, (175,))}
"""Size, width and the videos' lengths in frames."""

PAPER = {
    "vgg16": (0.924, 2.769),
    "inception_v1": (0.985, 2.854),
    "resnet18": (1.085, 2.866),
    "resnet50": (1.299, 2.892),
}
"""Seconds a frame in 2D and in 3D: Table 3."""


@pytest.fixture(scope="module")
def seconds():
    """Seconds a frame of what has been measured so far."""
    return {}


def noise(frames, size):
    """Neither the distillation nor a network takes longer for one picture than for another."""
    generator = torch.Generator().manual_seed(frames)
    return torch.randint(0, 256, (frames, 3, size, size), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("dims", [3, 2], ids=["3D", "SSD + 2D"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", SCALES)
def test_time_per_frame(benchmark, seconds, scale, name, dims):
    size, width, lengths = SCALES[scale]
    benchmark.group = f"2D against 3D, {size} px, {scale} width, {', '.join(map(str, lengths))} frames"
    backbone = build(name, dims=dims, width=width, generator=torch.Generator().manual_seed(0))
    videos = [noise(frames, size) for frames in lengths]
    time_per_frame(backbone, [noise(40, size)], repeats=1)  # compiles
    timings = []

    def run():
        timings.append(time_per_frame(backbone, videos, repeats=1, warmup=0))

    benchmark.pedantic(run, rounds=1 if dims == 3 and width == 1 else 3)
    assert all(timing.frames.tolist() == list(lengths) for timing in timings)
    seconds[scale, name, dims] = float(np.median([timing.mean for timing in timings]))
    benchmark.extra_info["milliseconds_a_frame"] = 1e3 * seconds[scale, name, dims]
    if dims == 2:
        flat, deep = PAPER[name]
        benchmark.extra_info["percent_of_it_distillation"] = 100 * timings[-1].distillation_share
        benchmark.extra_info["paper_times_as_fast_as_3D"] = round(deep / flat, 2)
        if (scale, name, 3) in seconds:
            benchmark.extra_info["times_as_fast_as_3D"] = seconds[scale, name, 3] / seconds[scale, name, 2]
