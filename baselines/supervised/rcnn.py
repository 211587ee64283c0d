"""RCNN: recurrent convolutions over an image whose rows are the faces of a clip, flattened to vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from baselines.features.frames import Pictures, are_frames, spread
from baselines.supervised.estimator import IntensityRegressor
from baselines.supervised.recurrent_convolution import RecurrentConvolutionNetwork
from baselines.supervised.training import train
from repro.data.features import ClipSet, Extractor, Moments
from repro.learning.augmentation import Augmentation, to_network
from repro.learning.pretext import isolated_randomness
from repro.learning.schedule import Schedule
from repro.learning.seeds import seed_from

__all__ = ["RCNN"]

_CHUNK = 32
"""Clips that are predicted at a time."""


@dataclass
class RCNN(IntensityRegressor):
    """Recurrent convolutional network regression (J. Zhou, X. Hong, F. Su and G. Zhao, CVPR Workshops 2016).

    From the paper: warped faces are flattened to vectors, and those of 16 frames, stacked in the order of time, are one
    image; recurrent convolution layers (`RecurrentConvolution`, three steps) read it; a linear output is fitted to the
    intensity by the mean squared error. No code is public. Ours, as no source that could be read settles it:

    * faces are those of the input, aligned by landmarks or cropped, but not warped to the mean shape of an active
      appearance model, which neither maps nor data without landmarks have;
    * colours are channels; pixels are in the order of rows, so that filters join neighbours within a row only;
    * one plain convolution before the recurrent ones, as in M. Liang and X. Hu (CVPR 2015), max pooling after each,
      all that is left flattened before the output; numbers of channels, dropout, and all numbers of training;
    * a sample is a clip, not the frames before each frame: 16 pictures spread over it, and its level. A clip of fewer
      pictures, as of maps, repeats them to fill the rows. The answer is the mean of the clip's and its mirror image's;
    * `contrast`, off by default and not in the paper: from each picture of a clip their mean is subtracted. What
      differs from one person to another is then gone, and what a face does in the clip remains. Maps of segments show
      that already and are left as they are.

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
    contrast : bool
        Show each frame by what it differs by from the mean of its clip's.
    epochs, batch_size : int
        Passes over the clips, and clips in an update.
    learning_rate, weight_decay : float
        Of Adam; the rate warms up and falls as half a cosine.
    augmentation : Augmentation
        The pictures of a clip share their crop and mirror.

    Attributes
    ----------
    network_ : RecurrentConvolutionNetwork
        Maps images to levels in deviations from the training mean.
    mean_, scale_ : float
        Mean and standard deviation of the training levels.
    """

    name: ClassVar[str] = "rcnn"
    version: ClassVar[int] = 1

    frames: int = 16
    size: int = 64
    channels: tuple[int, ...] = (32, 64, 64)
    steps: int = 3
    dropout: float = 0.5
    contrast: bool = False
    epochs: int = 30
    batch_size: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    augmentation: Augmentation = Augmentation(area=(0.8, 1.0), aspect=1.1)

    def extractors(self) -> tuple[Extractor, ...]:
        """Return the one of the pictures."""
        return (Pictures(frames=self.frames, size=self.size),)

    def _fit(self, clips: ClipSet, levels: NDArray[np.int64], groups: NDArray[Any]) -> None:
        """Minimise the squared error of the levels, in units of their standard deviation."""
        moments = clips.features(*self.extractors())
        rows = spread(moments, self.frames)
        self.mean_, self.scale_ = float(levels.mean()), float(levels.std())
        target = torch.from_numpy((levels - self.mean_) / self.scale_).float().to(self.device)
        generator = torch.Generator().manual_seed(seed_from(self.name, self.seed))
        schedule = Schedule(
            self.epochs, self.batch_size, self.learning_rate, "cosine", weight_decay=self.weight_decay, clip_norm=1.0
        )
        with isolated_randomness(seed_from(self.name, "dropout", self.seed)):
            network = RecurrentConvolutionNetwork(
                self.frames,
                self.size**2,
                self.channels,
                steps=self.steps,
                dropout=self.dropout,
                generator=generator,
            ).to(self.device)

            def loss(batch: Tensor) -> Tensor:
                images = self._images(moments, rows[batch.numpy()], generator)
                return functional.mse_loss(network(images), target[batch])

            train(
                network.parameters(),
                loss,
                torch.arange(len(levels)),
                schedule,
                generator,
                self.report,
                optimiser="adam",
            )
        self.network_ = network.eval()

    @torch.no_grad()
    def _intensity(self, clips: ClipSet) -> NDArray[np.float64]:
        """Return levels (n,), the mean over clips and their mirror images."""
        moments = clips.features(*self.extractors())
        rows = spread(moments, self.frames)
        network = self.network_.to(self.device)
        answers = []
        for start in range(0, len(rows), _CHUNK):
            images = [self._images(moments, rows[start : start + _CHUNK], None, mirrored=m) for m in (False, True)]
            answers.append((network(images[0]) + network(images[1])).cpu() / 2)
        intensities: NDArray[np.float64] = torch.cat(answers).double().numpy() * self.scale_ + self.mean_
        return intensities

    def _images(
        self,
        moments: Moments,
        rows: NDArray[np.int64],
        generator: torch.Generator | None,
        *,
        mirrored: bool = False,
    ) -> Tensor:
        """Lay clips out as images (B, 3, frames, size * size) whose rows are the moments (B, frames) of each.

        Pictures are augmented if a generator is given. A pixel keeps its column in all rows.
        """
        pictures = to_network(torch.from_numpy(moments.values[rows.ravel()]))
        if generator is not None:
            pictures = self.augmentation(pictures, generator, together=self.frames)
        if mirrored:
            pictures = pictures.flip(-1)
        shown = pictures.unflatten(0, rows.shape)
        if self.contrast and are_frames(moments):
            shown = shown - shown.mean(1, keepdim=True)
        return shown.transpose(1, 2).flatten(3).to(self.device)
