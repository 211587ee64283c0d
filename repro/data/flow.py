"""Optical flow between consecutive frames, and its drawing as images.

Flow is in pixels a frame: u to the right and v downwards, from where a point is in one frame to where it is in
the next. The two methods are OpenCV's, on grey frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch import Tensor

FlowMethod = Literal["tvl1", "dis"]

LIMIT = 0.01
"""Length at which drawn flow saturates, as a share of the image's shorter side a frame (decision D9).

Measured by TV-L1 at 64 and at 224 pixels: the 99.5th percentile of the flow's length is 0.1-0.5 % of the side on ten
simulated faces of each domain, aligned, and 0.8-1.1 % on a recorded face that holds nearly still, cropped. Of a
recorded face that turns and nods in its crop, a tenth of the points move further."""

MIN_SIZE = 16
"""Smallest side in pixels: OpenCV's DIS crashes on images that are smaller than its patches."""

ZERO = 128
"""Grey value of no motion in the channels of u and v."""

REACH = 127
"""Grey values from `ZERO` to motion at the limit in the channels of u and v: they span 1..255."""


def flow(frames: Tensor, *, method: FlowMethod = "tvl1") -> Tensor:
    """Estimate the optical flow from each frame to the next.

    * ``"tvl1"``: Zach, Pock and Bischof (2007), which the paper names. Parameters are those of its published
      implementation by Sánchez, Meinhardt-Llopis and Facciolo (Image Processing On Line, 2013): tau 0.25,
      lambda 0.15, theta 0.3, at most five scales with a factor of 0.5 down to 16 pixels, five warps a scale, stop
      at 0.01, at most 300 iterations; and OpenCV's 5 x 5 median filter between them. OpenCV's own default, a
      factor of 0.8 with five scales, sees the image at 0.4 of its size at the coarsest and loses motion beyond
      about five pixels. Around frames their edge is repeated: where warping reaches beyond the image, OpenCV's field
      runs away.
    * ``"dis"``: Kroeger, Timofte, Dai and Van Gool (2016) in OpenCV's preset "medium": patches of 8 pixels,
      3 apart, sought down to half the resolution, with 5 steps of variational refinement. Fifteen to a hundred
      times as fast, and less smooth where frames are noisy.

    The result depends on one pair of frames only and is the same on any number of cores: OpenCV is limited to one
    thread while this runs.

    Parameters
    ----------
    frames : Tensor, (T, 3, H, W) uint8
        RGB, T at least 2, H and W at least 16.
    method : {"tvl1", "dis"}

    Returns
    -------
    Tensor, (T - 1, 2, H, W) float32
        u and v in pixels a frame, at the points of the earlier frame.

    Raises
    ------
    ValueError
        If a shape, type or the method is wrong.
    """
    _check_frames(frames)
    if method not in _ESTIMATORS:
        raise ValueError(f"flow method {method!r} is not one of {', '.join(map(repr, _ESTIMATORS))}")
    result = torch.empty((len(frames) - 1, 2, *frames.shape[-2:]), dtype=torch.float32)
    height, width = frames.shape[-2:]
    with _one_thread():
        estimator, border = _ESTIMATORS[method]
        calculate = estimator().calc
        earlier = _grey(frames[0], border)
        for index, frame in enumerate(frames[1:]):
            later = _grey(frame, border)
            # Without a field to start from: OpenCV would take one that is given as a first guess.
            field = calculate(earlier, later, None)[border : border + height, border : border + width]
            result[index] = torch.from_numpy(field).permute(2, 0, 1)
            earlier = later
    return result


def draw_flow(field: Tensor, *, limit: float = LIMIT) -> Tensor:
    """Draw flow as images of three channels: u, v and their magnitude (decision D9).

    The mapping depends on nothing but the size of the image, so that images of a dataset can be compared: with
    L = `limit` times the shorter side, u and v become ``128 + 127 u / L`` and the magnitude ``255 m / L``, rounded.
    A vector longer than L is shortened to L and keeps its direction. No motion is (128, 128, 0).

    Parameters
    ----------
    field : Tensor, (T, 2, H, W), floating
        In pixels a frame.
    limit : float
        Share of the shorter side a frame; see `LIMIT` for where the default comes from.

    Returns
    -------
    Tensor, (T, 3, H, W) uint8
        u and v lie in 1..255.

    Raises
    ------
    ValueError
        If a shape or type is wrong, `limit` is not positive, or the field is not finite.
    """
    if field.ndim != 4 or field.shape[1] != 2 or not field.is_floating_point():
        raise ValueError(f"a flow field must be (T, 2, H, W) and floating, got {tuple(field.shape)} {field.dtype}")
    if not (np.isfinite(limit) and limit > 0):
        raise ValueError(f"limit must be a positive share of the image's side, got {limit}")
    if not torch.isfinite(field).all():
        count = int((~torch.isfinite(field)).sum())
        raise ValueError(f"the flow field holds {count} values that are not finite; estimate it again")
    scaled = field / (limit * min(field.shape[-2:]))
    magnitude = scaled.square().sum(1, keepdim=True).sqrt()
    scaled = scaled / magnitude.clamp(min=1)
    drawn = torch.cat([ZERO + REACH * scaled, 255 * magnitude.clamp(max=1)], dim=1)
    return drawn.round().to(torch.uint8)


def _tvl1() -> Any:
    return cv2.optflow.DualTVL1OpticalFlow_create(  # type: ignore[attr-defined]  # OpenCV's types lack it
        tau=0.25,
        lambda_=0.15,
        theta=0.3,
        nscales=5,
        warps=5,
        epsilon=0.01,
        innnerIterations=30,
        outerIterations=10,
        scaleStep=0.5,
        gamma=0.0,
        medianFiltering=5,
    )


def _dis() -> Any:
    return cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined]


_ESTIMATORS: dict[str, tuple[Callable[[], Any], int]] = {"tvl1": (_tvl1, 4), "dis": (_dis, 0)}
"""The estimator, and how many pixels of their edge are repeated around frames."""


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limit OpenCV to one thread: its DIS divides the image by their number, which changes the result."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _grey(frame: Tensor, border: int) -> np.ndarray:
    grey = cv2.cvtColor(np.ascontiguousarray(frame.permute(1, 2, 0).numpy()), cv2.COLOR_RGB2GRAY)
    return cv2.copyMakeBorder(grey, border, border, border, border, cv2.BORDER_REPLICATE)


def _check_frames(frames: Tensor) -> None:
    shape = tuple(frames.shape)
    if frames.ndim != 4 or frames.shape[1] != 3 or frames.dtype != torch.uint8:
        raise ValueError(f"frames must be (T, 3, H, W) uint8, got {shape} {frames.dtype}")
    if len(frames) < 2 or min(frames.shape[-2:]) < MIN_SIZE:
        raise ValueError(f"flow needs two frames of at least {MIN_SIZE} x {MIN_SIZE} pixels, got {shape}")
