"""A linear classifier of the images' own pixels: what a network's features must beat when they are probed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from repro.learning.probe import LinearProbe

__all__ = ["PixelProbe"]


class PixelProbe:
    """Logistic regression (`LinearProbe`) on images that are reduced to few pixels.

    Parameters
    ----------
    side : int
        Pixels along each side, each the mean of those that it stands for.
    """

    def __init__(self, side: int = 16) -> None:
        self.side = side

    def fit(self, clips: Tensor, levels: NDArray[np.int64], groups: NDArray[Any]) -> PixelProbe:
        """Fit images (n, 3, H, W), or (n, V, 3, H, W) with V of each clip, to levels (n,) of the subjects `groups`.

        Raises
        ------
        ValueError
            If only one level occurs.
        """
        self.probe_ = LinearProbe(int(levels.max()) + 1).fit(self._reduced(clips), levels, groups)
        return self

    def predict_proba(self, clips: Tensor) -> NDArray[np.float64]:
        """Return level probabilities, shape (n, highest training level + 1)."""
        return self.probe_.predict_proba(self._reduced(clips))

    def predict(self, clips: Tensor) -> NDArray[np.float64]:
        """Return the expected level of each clip, shape (n,)."""
        expected: NDArray[np.float64] = self.predict_proba(clips) @ np.arange(self.probe_.n_levels)
        return expected

    def _reduced(self, clips: Tensor) -> NDArray[np.float64]:
        """Return the pixels (n, 3 side side) of each clip, the mean of its images."""
        images = clips if clips.ndim == 5 else clips[:, None]
        small = functional.adaptive_avg_pool2d(images.flatten(0, 1).float(), self.side).flatten(1)
        pixels: NDArray[np.float64] = small.unflatten(0, images.shape[:2]).mean(1).double().numpy()
        return pixels
