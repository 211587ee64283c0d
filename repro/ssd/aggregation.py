"""The aggregation of feature maps, one map at a time, and the image that comes of it.

The weights b_s = exp(e_s) / sum_s exp(e_s) need every map; a running softmax needs the memory of three. Every
distillation uses it, so that a stream gives the very bits that a whole video gives. `equations.aggregate` is
the plain form.
"""

from __future__ import annotations

import torch
from torch import Tensor

from repro.ssd import equations


class RunningSoftmax:
    """Weighted mean sum_s b_s e_s with b = softmax(e), over maps that arrive one after the other.

    `_weight` holds sum_s exp(e_s - e_top), with e_top the largest e so far, and `_moment` holds
    sum_s exp(e_s - e_top) e_s. Where e is itself an exponential (D5, every domain but "log"), `_top` is the
    logarithm of e_top and `_moment` is relative to e_top, so that nothing overflows before the image itself
    does.

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
        self._top = self._weight = self._moment = torch.empty(0, dtype=torch.float64)
        self.count = 0

    def add(self, log_map: Tensor) -> None:
        """Take in the next map of mean logarithms, (C, H, W)."""
        level = log_map.double() * self._power
        if self.count == 0:
            self._top, self._weight = level, torch.ones_like(level)
            self._moment = torch.ones_like(level) if self._exponential else level
        else:
            top = torch.maximum(self._top, level)
            old, new = self._softmax_weight(self._top, top), self._softmax_weight(level, top)
            self._weight = self._weight * old + new
            if self._exponential:
                self._moment = self._moment * old * (self._top - top).exp() + new * (level - top).exp()
            else:
                self._moment = self._moment * old + new * level
            self._top = top
        self.count += 1

    def _softmax_weight(self, level: Tensor, top: Tensor) -> Tensor:
        """Return exp(e - e_top), 1 where they are equal even if both exceed the range of float64."""
        if not self._exponential:
            return (level - top).exp()
        gap = -torch.expm1(level - top)
        return torch.where(gap > 0, -top.exp() * gap, 0.0).exp()

    def value(self) -> Tensor:
        """Return the weighted mean of the maps so far; (C, H, W) float64, infinite only if too large."""
        mean = self._moment / self._weight
        return (self._top + mean.log()).exp() if self._exponential else mean

    def image(self, normalize: str | None) -> Tensor:
        """Return D7's image of `value`, (C, H, W) uint8, or `value` itself for ``normalize=None``."""
        if normalize is None or not self._exponential:
            return equations.to_image(self.value(), normalize=normalize)
        # Min-max ignores scale, and relative to the largest point no value is infinite.
        logarithm = self._top + (self._moment / self._weight).log()
        axes = {"joint": (0, 1, 2), "channel": (1, 2)}[normalize]
        return equations.to_image((logarithm - logarithm.amax(axes, keepdim=True)).exp(), normalize=normalize)
