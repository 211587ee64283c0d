"""RCNN: recurrent convolutions over an image whose rows are the faces of a clip, flattened to vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from baselines.supervised.network import IntensityNetwork
from baselines.supervised.recurrent_convolution import RecurrentConvolutionNetwork
from baselines.supervised.training import Show
from repro.data.features import ClipSet, Moments
from repro.learning.augmentation import Augmentation
from repro.learning.pretext import isolated_randomness
from repro.learning.seeds import seed_from

__all__ = ["RCNN"]


@dataclass
class RCNN(IntensityNetwork):
    """Recurrent convolutional network regression.

    J. Zhou, X. Hong, F. Su and G. Zhao, "Recurrent convolutional neural network regression for continuous pain
    intensity estimation in video", CVPR Workshops 2016: warped faces are flattened to vectors, and those of 16 frames,
    stacked in the order of time, are one image; recurrent convolution layers (`RecurrentConvolution`, three steps) read
    it; a linear output is fitted to the intensity by the mean squared error. No code is public. Ours, beside what
    `IntensityNetwork` says, as no source that could be read settles it:

    * faces are those of the input, aligned by landmarks or cropped, but not warped to the mean shape of an active
      appearance model, which neither maps nor data without landmarks have;
    * colours are channels; pixels are in the order of rows, so that filters join neighbours within a row only;
    * one plain convolution before the recurrent ones, as in M. Liang and X. Hu, "Recurrent convolutional neural network
      for object recognition", CVPR 2015, max pooling after each, all that is left flattened before the output; numbers
      of channels, dropout, and all numbers of training;
    * a sample is a clip, not the frames before each frame: 16 pictures spread over it. A clip of fewer pictures, as of
      maps, repeats them to fill the rows.

    Parameters
    ----------
    frames : int
        Rows of the image.
    size : int
        Height and width of the faces in pixels; their product is the number of columns.
    channels : tuple of int
        Of the plain convolution, then of each recurrent one.
    steps : int
        Recurrences of each layer.
    dropout : float
        Of the last features.
    augmentation : Augmentation
        The pictures of a clip share their crop and mirror.
    contrast, epochs, batch_size, learning_rate, weight_decay
        See `IntensityNetwork`; the optimiser is Adam.
    """

    name: ClassVar[str] = "rcnn"
    version: ClassVar[int] = 1

    size: int = 64
    channels: tuple[int, ...] = (32, 64, 64)
    steps: int = 3
    dropout: float = 0.5
    augmentation: Augmentation = Augmentation(area=(0.8, 1.0), aspect=1.1)

    def _fit(self, clips: ClipSet, levels: NDArray[np.int64], groups: NDArray[Any]) -> None:
        """Learn the levels."""
        show = self._inputs(clips.features(*self.extractors()))
        generator = torch.Generator().manual_seed(seed_from(self.name, self.seed))
        with isolated_randomness(seed_from(self.name, "dropout", self.seed)):
            network = RecurrentConvolutionNetwork(
                self.frames,
                self.size**2,
                self.channels,
                steps=self.steps,
                dropout=self.dropout,
                generator=generator,
            ).to(self.device)
            self._regress(network, show, levels, generator)

    def _inputs(self, moments: Moments) -> Show:
        """Return what lays clips out as images (B, 3, frames, size * size), whose rows are the pictures of each."""
        show = self._even_pictures(moments, self.augmentation)
        return lambda *how: show(*how).flatten(3)
