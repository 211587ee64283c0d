"""What the features of each supervised system cost: a clip of 60 frames of 96 pixels, decoded and aligned before."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from baselines import METHODS

SYSTEMS = [name for name, method in METHODS.items() if method.kind == "supervised"]
FRAMES, SIZE = 60, 96


@pytest.fixture
def one_thread():
    """Measure one core: subjects are worked on side by side."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


@pytest.fixture(scope="module")
def clip(drawn_sequences):
    """Return a drawn face that is shown slower and larger than in the tests."""
    small = drawn_sequences("RGB")[3]
    shown = torch.arange(FRAMES) * len(small) // FRAMES
    pictures = functional.interpolate(small.pictures[shown].float(), SIZE, mode="bilinear").round().to(torch.uint8)
    start = np.arange(FRAMES)
    return dataclasses.replace(
        small,
        clip=dataclasses.replace(small.clip, stop=FRAMES),
        pictures=pictures,
        spans=np.stack([start, start + 1], axis=1),
        landmarks=small.landmarks[shown.numpy()] * SIZE / small.pictures.shape[-1],
    )


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.benchmark(group=f"features of a clip of {FRAMES} frames, {SIZE} px")
def test_features(benchmark, one_thread, clip, name):
    extractors = METHODS[name].load()().extractors()
    found = benchmark.pedantic(lambda: [e.of([clip]) for e in extractors], rounds=5, warmup_rounds=1)
    assert all(len(moments) == 1 for moments in found)
    benchmark.extra_info["minutes_for_1000_clips_on_2_cores"] = benchmark.stats.stats.median * 1000 / 2 / 60
