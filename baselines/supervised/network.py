"""What the networks that answer with an intensity share: what they are shown, how they learn, and how they answer."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from baselines.features.frames import Pictures, are_frames, contrast, sample_evenly
from baselines.supervised.estimator import IntensityRegressor
from baselines.supervised.training import Optimiser, Show, train
from repro.data.features import ClipSet, Extractor, Moments
from repro.learning.augmentation import Augmentation, to_network
from repro.learning.pretext import Report
from repro.learning.schedule import Schedule

__all__ = ["IntensityNetwork"]

_CHUNK = 32
"""Clips that are predicted at a time."""


@dataclass
class IntensityNetwork(IntensityRegressor):
    """A network that is fitted to the intensity of clips by the mean squared error.

    A subclass says in `_inputs` what its network is shown, and in `_fit` builds it and calls `_regress`. A sample is a
    clip, of which some pictures are shown, and its level; the answer is the mean of the clip's and its mirror image's.

    Parameters
    ----------
    frames : int
        Frames of a clip that are looked at; see `Pictures`.
    size : int
        Height and width of the pictures in pixels.
    contrast : bool
        Show each frame by what it differs by from the mean of its clip's; see `baselines.features.frames.contrast`.
        Off by default, as no paper of these networks has it. Maps are shown as they are.
    epochs, batch_size : int
        Passes over the clips, and clips in an update.
    learning_rate, weight_decay : float
        Of the optimiser; the rate warms up and falls as half a cosine.

    Attributes
    ----------
    network_ : nn.Module
        Maps what clips are shown by to their levels (B,), in deviations from the training mean.
    mean_, scale_ : float
        Mean and standard deviation of the training levels.
    """

    uses_device: ClassVar[bool] = True
    optimiser: ClassVar[Optimiser] = "adam"

    frames: int = 16
    size: int = 112
    contrast: bool = False
    epochs: int = 30
    batch_size: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.0

    def extractors(self) -> tuple[Extractor, ...]:
        """Return the one of the pictures."""
        return (Pictures(frames=self.frames, size=self.size),)

    @abstractmethod
    def _inputs(self, moments: Moments) -> Show:
        """Return what shows clips with these pictures to the network."""

    def _regress(
        self,
        network: nn.Module,
        show: Show,
        levels: NDArray[np.int64],
        generator: torch.Generator,
        *,
        start: float = 0.0,
    ) -> None:
        """Minimise the squared error of the levels (n,), in units of their standard deviation.

        The network, on its device and in training mode, becomes `network_`. `start` is the progress made before.
        """
        self.mean_, self.scale_ = float(levels.mean()), float(levels.std())
        target = torch.from_numpy((levels - self.mean_) / self.scale_).float().to(self.device)

        def loss(batch: Tensor) -> Tensor:
            return functional.mse_loss(network(show(batch, generator, False)), target[batch])

        train(
            network,
            loss,
            torch.arange(len(levels)),
            self._schedule(self.epochs),
            generator,
            self._part(start, 1.0),
            optimiser=self.optimiser,
            checkpoint=self._folder("levels"),
        )
        self.network_ = network.eval()

    @torch.no_grad()
    def _intensity(self, clips: ClipSet) -> NDArray[np.float64]:
        """Return levels (n,), the mean over clips and their mirror images."""
        show = self._inputs(clips.features(*self.extractors()))
        network = self.network_.to(self.device)
        answers = []
        for rows in torch.arange(len(clips)).split(_CHUNK):
            plain, mirrored = (network(show(rows, None, mirror)) for mirror in (False, True))
            answers.append((plain + mirrored).cpu() / 2)
        intensities: NDArray[np.float64] = torch.cat(answers).double().numpy() * self.scale_ + self.mean_
        return intensities

    def _even_pictures(self, moments: Moments, augmentation: Augmentation) -> Show:
        """Return what shows each clip by `frames` pictures, spread evenly over it, (B, 3, frames, size, size).

        A clip of fewer pictures repeats them. The pictures of a clip share their crop and mirror.
        """
        chosen = sample_evenly(moments, self.frames)
        contrasted = self._contrasts(moments)

        def show(rows: Tensor, generator: torch.Generator | None, mirrored: bool) -> Tensor:
            pictures = to_network(torch.from_numpy(moments.values[chosen[rows.numpy()].ravel()]))
            if generator is not None:
                pictures = augmentation(pictures, generator, together=self.frames)
            if mirrored:
                pictures = pictures.flip(-1)
            shown = pictures.unflatten(0, (-1, self.frames))
            return (contrast(shown) if contrasted else shown).transpose(1, 2).to(self.device)

        return show

    def _contrasts(self, moments: Moments) -> bool:
        """Tell whether these moments are shown by their contrast."""
        return self.contrast and are_frames(moments)

    def _schedule(self, epochs: int) -> Schedule:
        return Schedule(
            epochs, self.batch_size, self.learning_rate, "cosine", weight_decay=self.weight_decay, clip_norm=1.0
        )

    def _folder(self, stage: str) -> Path | None:
        """Return the folder for where a stage of the training stands; None if nothing is kept."""
        return None if self.checkpoint is None else self.checkpoint / stage

    def _part(self, start: float, stop: float) -> Report:
        """Return what reports the progress of one stage as that of the whole."""
        return lambda share, message: self.report(start + (stop - start) * share, message)
