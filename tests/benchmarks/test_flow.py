"""How fast optical flow is, a pair of frames."""

import cv2
import numpy as np
import pytest
import torch

from repro.data.flow import draw_flow, flow


@pytest.mark.parametrize("size", [64, 112, 224])
@pytest.mark.parametrize("method", ["tvl1", "dis"])
def test_flow_of_a_pair(benchmark, method, size):
    random = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(random.normal(size=(size + 2, size + 2)), (0, 0), size / 32)
    grey = np.uint8(cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX))
    frames = torch.stack([torch.from_numpy(grey[k : k + size, k : k + size]).expand(3, -1, -1) for k in (1, 0)])
    assert benchmark(flow, frames, method=method).shape == (1, 2, size, size)


def test_drawing(benchmark):
    field = torch.randn(138, 2, 64, 64, generator=torch.Generator().manual_seed(0))
    assert benchmark(draw_flow, field).dtype == torch.uint8
