"""Recurrent convolution layers, and the network of them that reads the frames of a clip as rows of one image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["RecurrentConvolution", "RecurrentConvolutionNetwork"]

_ROWS, _COLUMNS = 3, 9
"""Extent of the first filters: frames, and neighbouring pixels of a row of the face."""


class RecurrentConvolution(nn.Module):
    """A convolution that sees its own last output beside its input (M. Liang and X. Hu, CVPR 2015).

    Of an input u that stays the same, x(0) = N_0(ReLU(W_f * u + b)) and x(t) = N_t(ReLU(W_f * u + b + W_r * x(t - 1))),
    t = 1..steps; x(steps) is the output. Each N_t is a batch normalisation of its own, because activations differ from
    step to step; the filters are the same in all.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    steps : int
        Recurrences; with none it is a plain convolution.
    kernel : int
        Height and width of both filters, odd.

    Raises
    ------
    ValueError
        If steps are negative or the kernel is even.
    """

    def __init__(self, inputs: int, outputs: int, *, steps: int = 3, kernel: int = 3) -> None:
        super().__init__()
        if steps < 0 or kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"steps {steps} must not be negative and kernel {kernel} must be odd")
        self.forward_filter = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        self.recurrent_filter = nn.Conv2d(outputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _ in range(steps + 1))

    def forward(self, u: Tensor) -> Tensor:
        """Map features (B, inputs, H, W) to (B, outputs, H, W)."""
        driven = self.forward_filter(u)
        x: Tensor = self.norms[0](driven.relu())
        for norm in self.norms[1:]:
            x = norm((driven + self.recurrent_filter(x)).relu())
        return x


class RecurrentConvolutionNetwork(nn.Module):
    """Convolution, recurrent convolutions, pooling between them, and one linear output.

    Max pooling divides rows by two and columns by four after each layer; what is left over at the end of either, less
    than that, is pooled as it is.

    Parameters
    ----------
    rows, columns : int
        Of the image: frames, and pixels of a face.
    channels : sequence of int
        Of the plain convolution, then of each recurrent one.
    steps : int
        Of each recurrent convolution.
    dropout : float
        Share of the last features that a training step drops.
    generator : torch.Generator
        Draws the weights: normal with variance 2 over the inputs (He et al. 2015), but nearly 0 for the output.

    Raises
    ------
    ValueError
        If there is no layer.
    """

    def __init__(
        self,
        rows: int,
        columns: int,
        channels: Sequence[int],
        *,
        steps: int,
        dropout: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if not channels or min(channels) < 1:
            raise ValueError(f"channels {tuple(channels)} must be one number or more, each at least 1")
        first = nn.Conv2d(3, channels[0], (_ROWS, _COLUMNS), padding=(_ROWS // 2, _COLUMNS // 2), bias=False)
        layers: list[nn.Module] = [first, nn.BatchNorm2d(channels[0]), nn.ReLU(), _pooling()]
        for before, after in zip(channels, channels[1:], strict=False):
            layers += [RecurrentConvolution(before, after, steps=steps), _pooling()]
        for _ in channels:
            rows, columns = -(-rows // 2), -(-columns // 4)
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(channels[-1] * rows * columns, 1)
        self._initialise(generator)
        self.to(memory_format=torch.channels_last)

    def _initialise(self, generator: torch.Generator) -> None:
        with torch.no_grad():
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
                    if layer.bias is not None:
                        layer.bias.zero_()
            self.output.weight.normal_(0, 0.01, generator=generator)
            self.output.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, rows, columns) to one number each, (B,)."""
        features = self.layers(images.contiguous(memory_format=torch.channels_last))
        intensity: Tensor = self.output(self.dropout(features.flatten(1)))[:, 0]
        return intensity


def _pooling() -> nn.Module:
    return nn.MaxPool2d((2, 4), ceil_mode=True)
