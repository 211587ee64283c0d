"""Dynamic images: the order of a video's frames as one image (Bilen et al. 2016).

Rank pooling asks for the vector d whose product with what a video showed up to frame t grows with t. Its approximation
is the first step of gradient descent from zero, the sum of V_q - V_t over all pairs of frames q > t ("Dynamic image
networks for action recognition", CVPR 2016; "Action recognition with dynamic image networks", TPAMI 2018). V_t is what
differs between the two forms that were published:

* the mean of the frames up to t. V_t then enters the sum 2 t - T - 1 times, and frame t enters every mean from V_t on,
  so that its coefficient is the sum of (2 i - T - 1) / i over i = t .. T, which is
  alpha_t = 2 (T - t + 1) - (T + 1) (H_T - H_{t-1}) with harmonic numbers H;
* frame t itself, whose coefficient is 2 t - T - 1.

This module offers the first, the one of 2016. Frames are their RGB values, and the weighted sum becomes an image of
8 bits as a distilled one does (decision D7).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repro.ssd import checks
from repro.ssd.checks import VideoLike

__all__ = ["SHORTEST", "dynamic_image", "rank_coefficients"]

SHORTEST = 2
"""Frames below which there is no order."""


def rank_coefficients(frames: int) -> NDArray[np.float64]:
    """Weights of a video's frames in its dynamic image.

    Parameters
    ----------
    frames : int
        T, at least 2.

    Returns
    -------
    ndarray, (T,)
        alpha_1 .. alpha_T of the module's first form. They add up to zero, so that a video that stands still has none.

    Raises
    ------
    ValueError
        If T is below 2.
    """
    if frames < SHORTEST:
        raise ValueError(f"a video of T = {frames} frames has no order; a dynamic image needs T >= {SHORTEST}")
    t = np.arange(1, frames + 1)
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / t)])
    coefficients: NDArray[np.float64] = 2.0 * (frames - t + 1) - (frames + 1) * (harmonic[-1] - harmonic[:-1])
    return coefficients


def dynamic_image(video: VideoLike) -> Tensor:
    """Pool a video into its dynamic image by approximate rank pooling.

    Parameters
    ----------
    video : Tensor or ndarray, (T, C, H, W)
        uint8 or floating, on 0..255, RGB.

    Returns
    -------
    Tensor, (C, H, W) uint8
        One min-max to 0..255 over all channels together, rounded to nearest; a video that stands still gives zeros.

    Raises
    ------
    ValueError
        If `video` is no video (`repro.ssd.checks.frames`), or T < 2.

    Examples
    --------
    >>> import torch
    >>> video = torch.randint(0, 256, (60, 3, 32, 32), dtype=torch.uint8)
    >>> dynamic_image(video).shape
    torch.Size([3, 32, 32])
    """
    frames = checks.frames(video)
    coefficients = rank_coefficients(len(frames))
    pooled = torch.zeros(frames.shape[1:], dtype=torch.float64, device=frames.device)
    for frame, coefficient in zip(frames, coefficients.tolist(), strict=True):
        pooled += coefficient * frame.double()
    # What the rounding of float64 leaves of a video that stands still is no contrast.
    smallest = 1e-12 * 255 * float(np.abs(coefficients).sum())
    low, high = torch.aminmax(pooled)
    if high - low <= smallest:
        return torch.zeros_like(pooled, dtype=torch.uint8)
    return ((pooled - low) / (high - low) * 255).round().to(torch.uint8)
