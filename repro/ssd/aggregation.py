"""The aggregation of feature maps, one map at a time, and the image that comes of it.

The weights b_s = exp(e_s) / sum_s exp(e_s) need every map; a running softmax needs the memory of three. Every
distillation uses it, so that a stream gives the very bits that a whole video gives. `equations.aggregate` and
`equations.to_image` are the plain forms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from repro.ssd import equations


class RunningSoftmax:
    """Weighted mean sum_s b_s e_s with b = softmax(e), over maps that arrive one after the other.

    `_weight` holds sum_s exp(e_s - e_top), with e_top the largest e so far, and `_moment` holds
    sum_s exp(e_s - e_top) e_s. Where e is itself an exponential (D5, every domain but "log"), `_top` is the
    logarithm of e_top and `_moment` is relative to e_top, so that nothing overflows before the image itself
    does.

    On a CPU they are arrays of NumPy: PyTorch divides so little work among threads that wait for each other busily,
    which where other programs run as well takes longer than all the rest.

    Parameters
    ----------
    segment_length : int
        l of Eq. 6, the power of the geometric mean that ``domain="product"`` is.
    domain : {"rms", "log", "product"}
        What e is (D5).
    """

    def __init__(self, segment_length: int, domain: str) -> None:
        self._exponential = domain != "log"
        self._power = {"rms": 0.5, "log": 1.0, "product": float(segment_length)}[domain]
        self._top: Any = None
        self._weight: Any = None
        self._moment: Any = None
        self.count = 0

    def add(self, log_map: Tensor) -> None:
        """Take in the next map of mean logarithms, (C, H, W)."""
        level = self._float64(log_map) * self._power
        if self.count == 0:
            self._top = level
            self._weight = level * 0 + 1
            self._moment = self._weight if self._exponential else level
        else:
            with np.errstate(over="ignore", invalid="ignore"):
                self._add(level)
        self.count += 1

    @staticmethod
    def _float64(log_map: Tensor) -> Any:
        return log_map.numpy().astype(np.float64) if log_map.device.type == "cpu" else log_map.double()

    def _add(self, level: Any) -> None:
        xp = self._xp
        top = xp.maximum(self._top, level)
        old, new = self._softmax_weight(self._top, top), self._softmax_weight(level, top)
        self._weight = self._weight * old + new
        if self._exponential:
            self._moment = self._moment * old * xp.exp(self._top - top) + new * xp.exp(level - top)
        else:
            self._moment = self._moment * old + new * level
        self._top = top

    @property
    def _xp(self) -> Any:
        return np if isinstance(self._top, np.ndarray) else torch

    def _softmax_weight(self, level: Any, top: Any) -> Any:
        """Return exp(e - e_top), 1 where they are equal even if both exceed the range of float64."""
        xp = self._xp
        if not self._exponential:
            return xp.exp(level - top)
        gap = -xp.expm1(level - top)
        return xp.exp(xp.where(gap > 0, -xp.exp(top) * gap, 0.0))

    def value(self) -> Tensor:
        """Return the weighted mean of the maps so far; (C, H, W) float64, infinite only if too large."""
        if not self._exponential:
            return torch.as_tensor(self._moment / self._weight)
        with np.errstate(over="ignore"):
            return torch.as_tensor(self._xp.exp(self._logarithm()))

    def _logarithm(self) -> Any:
        return self._top + self._xp.log(self._moment / self._weight)

    def image(self, normalize: str | None, videos: int = 1) -> Tensor:
        """Return D7's image of `value`, (C, H, W) uint8, or `value` itself for ``normalize=None``.

        The channels may be those of several videos one after the other; each is normalised by itself.
        """
        if normalize is None:
            return self.value()
        xp, axes = self._xp, equations.EXTREMES[normalize]
        values = self._logarithm() if self._exponential else self._moment / self._weight
        shape = values.shape
        values = values.reshape(videos, -1, *shape[1:])
        if self._exponential:  # min-max ignores scale, and relative to the largest point no value is infinite
            values = xp.exp(values - xp.amax(values, axes, keepdims=True))
        low, high = xp.amin(values, axes, keepdims=True), xp.amax(values, axes, keepdims=True)
        levels = xp.round((values - low) / xp.where(high > low, high - low, 1.0) * 255).reshape(shape)
        return torch.as_tensor(levels.astype(np.uint8) if xp is np else levels.to(torch.uint8))
