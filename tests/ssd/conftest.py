"""What the tests of the distillation share: the literal implementation and small videos."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch


@pytest.fixture(scope="session")
def literal():
    spec = importlib.util.spec_from_file_location("ssd_literal", Path(__file__).with_name("literal.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def moving_blobs(frames, height, width, seed=0, channels=3):
    """A smooth scene that drifts and deforms, with sensor noise, as uint8: like a face."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None, None, None]
    row = np.arange(height)[None, None, :, None] / height
    column = np.arange(width)[None, None, None, :] / width
    phase = rng.uniform(0, 6, (1, channels, 1, 1))
    scene = 120 + 60 * np.sin(6 * row + 0.15 * t + phase) * np.cos(5 * column - 0.1 * t)
    scene = scene + 30 * np.sin(25 * row * column + 0.3 * t + 2 * phase)
    noisy = scene + rng.normal(0, 2, (frames, channels, height, width))
    return torch.from_numpy(noisy.clip(0, 255).round().astype(np.uint8))


@pytest.fixture(scope="session")
def videos():
    """Name -> (T, 2, 9, 11) uint8 video, T = 13: three segments of 4 and a frame to drop."""
    rng = np.random.default_rng(7)
    noise = torch.from_numpy(rng.integers(0, 256, (13, 2, 9, 11), dtype=np.uint8))
    patchy = torch.full_like(noise, 90)
    patchy[:, :, :, 6:] = noise[:, :, :, 6:]
    patchy[5:, 0, 2:4, 2] = 200
    return {"noise": noise, "blobs": moving_blobs(13, 9, 11, channels=2), "patchy": patchy}
