"""LSTM: a recurrent network over what a convolutional one says of each frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from baselines.features.frames import Pictures, are_frames
from baselines.supervised.estimator import IntensityRegressor
from baselines.supervised.training import train
from repro.data.features import ClipSet, Extractor, Moments
from repro.learning.augmentation import Augmentation, to_network
from repro.learning.backbones import MIN_SIZE
from repro.learning.finetune import FineTuning, fine_tune
from repro.learning.pretext import BackboneSpec, Report, isolated_randomness
from repro.learning.schedule import Schedule
from repro.learning.seeds import seed_from

__all__ = ["LSTM"]

_CHUNK = 256
"""Pictures that are described at a time."""

_NO_CONTRAST = 128
"""Grey level that stands for no difference from the mean of a clip."""

_CNN_SHARE = 0.8
"""Of the progress; fine-tuning takes most of the time."""


class SequenceRegressor(nn.Module):
    """One LSTM layer and a linear output of its last step.

    Parameters
    ----------
    n_features : int
    units : int
    dropout : float
    """

    def __init__(self, n_features: int, units: int, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_features, units, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(units, 1)

    def forward(self, sequences: Tensor, lengths: Tensor) -> Tensor:
        """Map padded sequences (B, T, n_features) of lengths (B,) to one number each, (B,)."""
        states, _ = self.lstm(sequences)
        last = states[torch.arange(len(states)), lengths - 1]  # what is padded comes after it and changes nothing
        intensity: Tensor = self.output(self.dropout(last))[:, 0]
        return intensity


@dataclass
class LSTM(IntensityRegressor):
    """Long short-term memory over fine-tuned features of frames (P. Rodriguez et al., IEEE Trans. Cybernetics, 2017).

    From the paper "Deep Pain" and its authors' code: a convolutional network is fine-tuned on single frames and their
    labels, then frozen; its features, standardised by those of the training frames, are the input of one LSTM layer of
    256 units; a linear layer reads its last step; sequences of 16 frames; Adam and the mean squared error. Ours:

    * the convolutional network. The paper's was trained on millions of other faces before, and no such network is at
      hand: it is one of this suite's backbones, trained from scratch as a classifier of the levels of the training
      clips' frames. Where these are not known, or all alike, frames have their clip's;
    * a sequence is a clip, not the frames before each frame: pictures spread over it, and its level. Clips of fewer
      pictures, as of maps, are shorter sequences;
    * each clip is learned as it is or mirrored, as drawn anew each time; the answer is the mean of both;
    * `contrast`, off by default and not in the paper: from each picture of a clip their mean is subtracted before the
      convolutional network sees it. What differs from one person to another is then gone, and what a face does in the
      clip remains. Maps of segments show that already and are left as they are.

    Parameters
    ----------
    frames : int
        Frames of a clip that are looked at. Of maps, all are.
    size : int
        Height and width of the pictures in pixels.
    cnn : FineTuning
        The convolutional network and its training.
    units : int
        Of the LSTM layer.
    dropout : float
        Of its last step.
    contrast : bool
        Show each frame by what it differs by from the mean of its clip's.
    epochs, batch_size : int
        Passes of the LSTM's training over the clips, and clips in an update.
    learning_rate, weight_decay : float
        Of Adam; the rate warms up and falls as half a cosine.

    Attributes
    ----------
    backbone_, network_ : nn.Module
        The convolutional network, without its classifier, and a `SequenceRegressor`, which maps sequences to levels in
        deviations from the training mean.
    centre_, spread_ : Tensor, (d,)
        Mean and standard deviation of the features of training pictures and their mirror images.
    mean_, scale_ : float
        Mean and standard deviation of the training levels.

    Raises
    ------
    ValueError
        For pictures that are too small for the convolutional network.
    """

    name: ClassVar[str] = "lstm"
    version: ClassVar[int] = 1

    frames: int = 16
    size: int = 112
    cnn: FineTuning = FineTuning(
        BackboneSpec("resnet50"), Schedule(10, 32, 0.02, "cosine", clip_norm=1.0), Augmentation((0.8, 1.0), 1.1)
    )
    units: int = 256
    dropout: float = 0.0
    contrast: bool = False
    epochs: int = 30
    batch_size: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        """Check the size."""
        if self.size < MIN_SIZE:
            raise ValueError(f"size {self.size} is too small for the CNN, which takes {MIN_SIZE} pixels or more")

    def extractors(self) -> tuple[Extractor, ...]:
        """Return the one of the pictures."""
        return (Pictures(frames=self.frames, size=self.size),)

    def _fit(self, clips: ClipSet, levels: NDArray[np.int64], groups: NDArray[Any]) -> None:
        """Train the CNN on pictures, then the LSTM on its features of clips."""
        moments = clips.features(*self.extractors())
        shown = clips.moment_levels(moments, levels)
        if len(np.unique(shown)) < 2:
            shown = levels[moments.clip]
        pictures = self._pictures(moments)
        trained = fine_tune(
            pictures,
            shown,
            self.n_levels_,
            self.cnn,
            seed=seed_from(self.name, "cnn", self.seed),
            device=self.device,
            report=self._part(0.0, _CNN_SHARE),
        )
        self.backbone_: nn.Module = trained.backbone  # type: ignore[assignment]
        features = self._describe(pictures)
        self.centre_ = features.mean((0, 1))
        self.spread_ = features.std((0, 1), correction=0).clamp(min=1e-6)
        self._regress(self._sequences(features, moments), levels)

    def _regress(self, sequences: list[Tensor], levels: NDArray[np.int64]) -> None:
        """Minimise the squared error of the levels, in units of their standard deviation."""
        self.mean_, self.scale_ = float(levels.mean()), float(levels.std())
        target = torch.from_numpy((levels - self.mean_) / self.scale_).float().to(self.device)
        generator = torch.Generator().manual_seed(seed_from(self.name, "batches", self.seed))
        schedule = Schedule(
            self.epochs, self.batch_size, self.learning_rate, "cosine", weight_decay=self.weight_decay, clip_norm=1.0
        )
        with isolated_randomness(seed_from(self.name, "global", self.seed)):
            network = SequenceRegressor(sequences[0].shape[-1], self.units, self.dropout).to(self.device)

            def loss(batch: Tensor) -> Tensor:
                mirrored = torch.randint(2, (len(batch),), generator=generator)
                drawn = [sequences[int(i)][int(m)] for i, m in zip(batch, mirrored, strict=True)]
                return functional.mse_loss(self._answer(network, drawn), target[batch])

            train(
                network.parameters(),
                loss,
                torch.arange(len(levels)),
                schedule,
                generator,
                self._part(_CNN_SHARE, 1.0),
                optimiser="adam",
            )
        self.network_ = network.eval()

    @torch.no_grad()
    def _intensity(self, clips: ClipSet) -> NDArray[np.float64]:
        """Return levels (n,), the mean over clips and their mirror images."""
        moments = clips.features(*self.extractors())
        sequences = self._sequences(self._describe(self._pictures(moments)), moments)
        network = self.network_.to(self.device)
        answers = [
            torch.stack([self._answer(network, [s[mirrored] for s in part]) for mirrored in (0, 1)]).mean(0).cpu()
            for part in (sequences[start : start + _CHUNK] for start in range(0, len(sequences), _CHUNK))
        ]
        intensities: NDArray[np.float64] = torch.cat(answers).double().numpy() * self.scale_ + self.mean_
        return intensities

    def _answer(self, network: SequenceRegressor, sequences: list[Tensor]) -> Tensor:
        """Run the LSTM over sequences (T, d) whose lengths may differ."""
        lengths = torch.tensor([len(s) for s in sequences])
        answer: Tensor = network(pad_sequence(sequences, batch_first=True).to(self.device), lengths.to(self.device))
        return answer

    def _pictures(self, moments: Moments) -> Tensor:
        """Return the pictures (M, 3, size, size) uint8 that the CNN sees."""
        if not (self.contrast and are_frames(moments)):
            return torch.from_numpy(moments.values)
        shown = np.empty_like(moments.values)
        ends = np.cumsum(moments.counts)
        for start, end in zip(ends - moments.counts, ends, strict=True):
            clip = moments.values[start:end].astype(np.float32)
            shown[start:end] = np.clip(np.rint(clip - clip.mean(axis=0) + _NO_CONTRAST), 0, 255)
        return torch.from_numpy(shown)

    @torch.no_grad()
    def _describe(self, pictures: Tensor) -> Tensor:
        """Return features (M, 2, d) of pictures and their mirror images."""
        backbone = self.backbone_.to(self.device)
        rows = []
        for chunk in pictures.split(_CHUNK):
            inputs = to_network(chunk).to(self.device)
            rows.append(torch.stack([backbone(inputs), backbone(inputs.flip(-1))], dim=1).cpu())
        return torch.cat(rows)

    def _sequences(self, features: Tensor, moments: Moments) -> list[Tensor]:
        """Return z-scored features (2, T, d) of each clip."""
        scores = (features - self.centre_) / self.spread_
        return list(scores.transpose(0, 1).split(moments.counts.tolist(), dim=1))

    def _part(self, start: float, stop: float) -> Report:
        """Return what reports the progress of one stage as that of the whole."""
        return lambda share, message: self.report(start + (stop - start) * share, message)
