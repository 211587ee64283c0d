"""Fully connected layers of pretext heads, initialised from a generator."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["linear"]


def linear(inputs: int, outputs: int, generator: torch.Generator, *, gain: float = 2.0) -> nn.Linear:
    """Create a fully connected layer.

    Parameters
    ----------
    inputs, outputs : int
    generator : torch.Generator
        Weights are normal with variance ``gain / inputs``, biases zero.
    gain : float
        2 before a ReLU (He et al. 2015); little for a classifier, whose first answers should not be confident.
    """
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.normal_(0, (gain / inputs) ** 0.5, generator=generator)
        layer.bias.zero_()
    return layer
